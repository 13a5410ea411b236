/** `npm run check`: format, lint, types, tidy and unused exports, each with its own tool; all run, and any failure fails. */
import { spawnSync } from 'node:child_process';

import { CHECKS } from './support/checks.ts';

let failed = false;
for (const check of CHECKS) {
  const { status } = spawnSync(process.execPath, [...check.words], { stdio: 'inherit' });
  process.stdout.write(`${check.name}: ${status === 0 ? 'ok' : 'FAILED'}\n`);
  failed ||= status !== 0;
}
process.exitCode = failed ? 1 : 0;

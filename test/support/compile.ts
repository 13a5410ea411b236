/** `prepack`: compiles the product to dist/, since Node refuses .ts under node_modules. */
import { spawnSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { GENERATED } from './generated.ts';

const root = join(import.meta.dirname, '..', '..');
rmSync(join(root, 'dist'), { recursive: true, force: true });
const compiler = join(root, 'node_modules/typescript/bin/tsc');
const { status } = spawnSync(process.execPath, [compiler, '-p', join(root, 'tsconfig.pack.json')], {
  stdio: ['ignore', 2, 2],
});
if (status !== 0) process.exit(status ?? 1);
for (const folder of GENERATED) {
  cpSync(join(root, folder, 'generated'), join(root, 'dist', folder, 'generated'), { recursive: true });
}

/** Regenerates `generated/` beside each `.proto` of the product; the result is committed, so only a change of a protocol needs this. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { GENERATED } from './generated.ts';

/** buf finds the imports and calls the plug-in; neither is a dependency of the gateway. */
const GENERATORS = ['@bufbuild/buf@1.75.0', '@bufbuild/protoc-gen-es@2.17.0'] as const;

/** JavaScript with declarations: Node runs it without a build, and it needs no enum, which type stripping refuses. */
const TEMPLATE = JSON.stringify({
  version: 'v2',
  plugins: [{ local: 'protoc-gen-es', out: 'generated', opt: ['target=js+dts', 'import_extension=js'] }],
});

const packages = GENERATORS.map((name) => `--package=${name}`);
const words = [...packages, '--', 'buf', 'generate', '--template', TEMPLATE, '.'];
for (const folder of GENERATED) {
  const cwd = join(import.meta.dirname, '..', '..', folder);
  const { error, status } = spawnSync('npm', ['exec', '--yes', ...words], { cwd, stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) process.exitCode = status ?? 1;
}

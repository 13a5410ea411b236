/** Regenerates `generated/` from `peering.proto`; the result is committed, so only a change of the protocol needs this. */
import { spawnSync } from 'node:child_process';

/** buf finds the imports and calls the plug-in; neither is a dependency of the gateway. */
const GENERATORS = ['@bufbuild/buf@1.75.0', '@bufbuild/protoc-gen-es@2.17.0'] as const;

/** JavaScript with declarations: Node runs it without a build, and it needs no enum, which type stripping refuses. */
const TEMPLATE = JSON.stringify({
  version: 'v2',
  plugins: [{ local: 'protoc-gen-es', out: 'generated', opt: ['target=js+dts', 'import_extension=js'] }],
});

const packages = GENERATORS.map((name) => `--package=${name}`);
const outcome = spawnSync('npm', ['exec', '--yes', ...packages, '--', 'buf', 'generate', '--template', TEMPLATE, '.'], {
  cwd: import.meta.dirname,
  stdio: 'inherit',
});
if (outcome.error !== undefined) throw outcome.error;
process.exitCode = outcome.status ?? 1;

/** `npm test`: installs what the tests need, runs every test file, and fails on any failure, any skip, or no test at all. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

import { installNeededPackages } from './support/debian.ts';

/** A test file that takes longer hangs. */
const FILE_TIMEOUT_MS = 240_000;

const root = import.meta.dirname;
const wanted = process.argv.slice(2);
const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts') && (wanted.length === 0 || wanted.some((word) => path.includes(word))))
  .sort()
  .map((path) => join(root, path));

const counts = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];

installNeededPackages((line) => process.stdout.write(`${line}\n`));

// Hundreds of processes load the same modules: compiled once, they start in half the processor time. They inherit this.
const compiled = mkdtempSync(join(tmpdir(), 'jumpgate-compiled-'));
process.env['NODE_COMPILE_CACHE'] = compiled;

const events = run({ files, concurrency: 2, timeout: FILE_TIMEOUT_MS });
events.on('test:pass', (test) => {
  if (test.skip !== undefined || test.todo !== undefined) counts.skipped += 1;
  else if (test.details.type !== 'suite') counts.passed += 1;
});
events.on('test:fail', (test) => {
  counts.failed += 1;
  failures.push(`${test.file ?? ''}: ${test.name}`);
});
const report = events.compose(spec);
report.pipe(process.stdout, { end: false });
report.on('end', () => {
  rmSync(compiled, { recursive: true, force: true });
  for (const failure of failures) process.stdout.write(`failed: ${failure}\n`);
  if (counts.passed === 0) process.stdout.write('no test ran\n');
  if (counts.skipped > 0) process.stdout.write('a skipped test counts as a failure\n');
  process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
  process.exitCode = counts.passed > 0 && counts.failed === 0 && counts.skipped === 0 ? 0 : 1;
});

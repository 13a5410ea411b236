/** What a new user does: the demo, and the package as npm makes and installs it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { finished, jumpgate, type Ran } from '../support/gateway-process.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const NOT_SOURCES = new Set(['node_modules', '.git', 'dist', 'state']);

/** Command lines of the live processes, as /proc has them, that name `text`. */
function processesNaming(text: string): readonly string[] {
  const lines = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    });
  return lines.filter((line) => line.includes(text));
}

function run(directory: string, program: string, words: readonly string[]): Promise<Ran> {
  // What npm tells its scripts of itself must not steer the npm that is run here.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')));
  return finished(spawn(program, words, { cwd: directory, env }));
}

test('jumpgate demo --once shows every expected outcome, exits with 0, and leaves no process and no file', async () => {
  using temporary = temporaryDirectory();
  const { code, stdout, stderr } = await jumpgate(['demo', '--once'], '', { TMPDIR: temporary.path });
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /every outcome was the expected one/);
  assert.ok(!stdout.includes('NOT as expected'), stdout);
  assert.ok(stdout.split('  as expected').length > 8, stdout);
  assert.deepEqual(readdirSync(temporary.path), []);
  assert.deepEqual(processesNaming(temporary.path), []);
});

test('npm pack makes a tarball that installs and runs elsewhere', async () => {
  using temporary = temporaryDirectory();
  const source = join(temporary.path, 'source');
  // A copy, since packing compiles into dist/ and this checkout is not to be changed by a test.
  mkdirSync(source);
  for (const name of readdirSync(ROOT).filter((each) => !NOT_SOURCES.has(each)))
    cpSync(join(ROOT, name), join(source, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(source, 'node_modules'));
  const packed = await run(source, 'npm', ['pack', '--pack-destination', temporary.path]);
  assert.equal(packed.code, 0, packed.stderr);
  const tarball = readdirSync(temporary.path).find((name) => name.endsWith('.tgz')) ?? '';
  const listed = await run(temporary.path, 'tar', ['tzf', tarball]);
  const contents = listed.stdout.trim().split('\n');
  for (const wanted of [
    'bin/jumpgate',
    'bin/node',
    'dist/gateway/main.js',
    'deploy/examples/mesh.yaml',
    'README.md',
    'LICENSE',
    'SECURITY.md',
    'CHANGELOG.md',
  ])
    assert.ok(contents.includes(`package/${wanted}`), `${wanted} is not in the package`);
  assert.deepEqual(
    contents.filter((name) => /package\/(?:dist\/)?test\/|\.test\.|\/state\//.test(name)),
    [],
  );

  const elsewhere = join(temporary.path, 'elsewhere');
  mkdirSync(elsewhere);
  writeFileSync(join(elsewhere, 'package.json'), '{ "private": true }');
  const words = ['install', '--no-audit', '--no-fund', '--prefer-offline', join('..', tarball)];
  const installed = await run(elsewhere, 'npm', words);
  assert.equal(installed.code, 0, installed.stderr);
  const version = await run(elsewhere, 'npx', ['jumpgate', 'version']);
  assert.equal(version.code, 0, version.stderr);
  const { version: expected } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  assert.match(version.stdout, new RegExp(`^jumpgate ${expected.replaceAll('.', '\\.')} \\(node v2[4-9]`));
  const init = await run(elsewhere, 'npx', ['jumpgate', 'init', 'mesh', '--trust-domain', 'us-east.example.org']);
  assert.equal(init.code, 0, init.stderr);
  const validated = await run(elsewhere, 'npx', ['jumpgate', 'validate', '-f', 'mesh']);
  assert.equal(validated.code, 0, validated.stdout + validated.stderr);
  const demo = await run(elsewhere, 'npx', ['jumpgate', 'demo', '--once']);
  assert.equal(demo.code, 0, demo.stdout + demo.stderr);
});

test('the command lines of the README that need no gateway run as they stand there', async () => {
  using temporary = temporaryDirectory();
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const inits = [...readme.matchAll(/jumpgate (init [^&|\n]+)/g)].map(([, words]) => (words ?? '').trim().split(/\s+/));
  assert.ok(inits.length >= 2, 'the README says how to begin');
  for (const words of inits) {
    const directory = join(temporary.path, words[1] ?? '');
    const { code, stderr } = await jumpgate(['init', directory, ...words.slice(2)]);
    assert.equal(code, 0, `${words.join(' ')}: ${stderr}`);
    const validated = await jumpgate(['validate', '-f', directory]);
    assert.equal(validated.code, 0, validated.stdout);
  }
});

test('the examples of deploy are valid as the command line sees them, once the edge has its certificate', async () => {
  using temporary = temporaryDirectory();
  const directory = join(temporary.path, 'examples');
  cpSync(join(ROOT, 'deploy/examples'), directory, { recursive: true });
  const without = await jumpgate(['validate', '-f', directory]);
  assert.equal(without.code, 1);
  assert.match(without.stdout, /edge\.yaml:\d+:\d+: .*edge\.(?:crt|key)/);
  for (const name of ['edge.crt', 'edge.key']) {
    copyFileSync(join(ROOT, 'test/fixtures/edge-tls', name), join(directory, name));
    await run(directory, 'chmod', ['600', name]);
  }
  const { code, stdout, stderr } = await jumpgate(['validate', '-f', directory]);
  assert.equal(code, 0, stdout + stderr);
  assert.ok(!stderr.includes('warning'), stderr);
});

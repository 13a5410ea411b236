/** Tests of the directory watch: told once files are still, symlink swaps included, with and without content changes. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { watchDirectory } from '../../base/config/watch.ts';

/** A directory, and a promise of the next call. */
async function watched(t: TestContext, prepare: (path: string) => Promise<void>) {
  const path = await mkdtemp(join(tmpdir(), 'jg-'));
  await prepare(path);
  let calls = 0;
  let wake: () => void = () => undefined;
  const watch = await watchDirectory({
    directory: path,
    quietMs: 20,
    pollMs: 20,
    clock: systemClock,
    onQuiet: () => {
      calls += 1;
      wake();
    },
  });
  // The clock's timers keep no process alive, so something must while a test waits.
  const alive = setInterval(() => undefined, 1000);
  t.after(async () => {
    clearInterval(alive);
    await watch[Symbol.asyncDispose]();
    await rm(path, { recursive: true, force: true });
  });
  const reached = async (count: number): Promise<void> => {
    while (calls < count) await new Promise<void>((resolve) => (wake = resolve));
  };
  return { path, reached, calls: () => calls };
}

test('a changed, a new and a removed file are told', async (t) => {
  const { path, reached } = await watched(t, (dir) => writeFile(join(dir, 'a.yaml'), 'a: 1'));
  await writeFile(join(path, 'a.yaml'), 'a: 2');
  await reached(1);
  await writeFile(join(path, 'b.yml'), 'b: 1');
  await reached(2);
  await rm(join(path, 'b.yml'));
  await reached(3);
});

test('a symlink swap as Kubernetes makes it is told', async (t) => {
  const { path, reached } = await watched(t, async (dir) => {
    for (const version of ['..v1', '..v2']) {
      await mkdir(join(dir, version));
      await writeFile(join(dir, version, 'a.yaml'), `a: ${version}`);
    }
    await symlink('..v1', join(dir, '..data'));
    await symlink('..data/a.yaml', join(dir, 'a.yaml'));
  });
  await symlink('..v2', join(path, '..tmp'));
  await rename(join(path, '..tmp'), join(path, '..data'));
  await reached(1);
});

test('a touched file of the same content and files that do not count are not told', async (t) => {
  const { path, reached, calls } = await watched(t, (dir) => writeFile(join(dir, 'a.yaml'), 'a: 1'));
  await utimes(join(path, 'a.yaml'), 1, 1);
  await writeFile(join(path, 'access.log'), 'x');
  await writeFile(join(path, '.a.yaml.swp'), 'x');
  await writeFile(join(path, 'b.yaml'), 'b: 1');
  await reached(1);
  assert.equal(calls(), 1);
});

test('a directory that is removed and made again is told both times', async (t) => {
  const { path, reached } = await watched(t, (dir) => writeFile(join(dir, 'a.yaml'), 'a: 1'));
  await rm(path, { recursive: true });
  await reached(1);
  await mkdir(path);
  await writeFile(join(path, 'a.yaml'), 'a: 2');
  await reached(2);
});

/** The file store and its state directory: crashes, damage, and other processes. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { codeOf } from '../../base/errors.ts';
import { createLog, silentLog } from '../../base/log.ts';
import { writeFileAtomic } from '../../base/store/atomic-file.ts';
import { openFileStore } from '../../base/store/files.ts';
import { openStateDirectory } from '../../base/store/state-directory.ts';
import { type Store } from '../../base/store/store.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const open = (directory: string): Promise<Store> => openFileStore({ directory, clock: systemClock, log: silentLog });

interface Writer extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Resolves with the next line. */
  line(): Promise<string>;
  kill(): Promise<void>;
}

function writer(directory: string, writes: string, shell?: string): Writer {
  const program = ['test/support/store-writer.ts', directory, writes];
  const child =
    shell === undefined
      ? spawn(process.execPath, program, { stdio: ['ignore', 'pipe', 'inherit'] })
      : spawn('sh', ['-c', `${shell}; exec "$@"`, 'sh', process.execPath, ...program], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
  const exited = once(child, 'exit');
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  return { child, line: async () => String((await lines.next()).value), kill, [Symbol.asyncDispose]: kill };
}

test('L2: a store killed while writing holds the old row or the new one, and the next start is not refused', async () => {
  using directory = temporaryDirectory();
  for (let round = 1; round <= 5; round += 1) {
    await using child = writer(directory.path, 'Infinity');
    assert.equal(await child.line(), 'open');
    let acknowledged = 0;
    while (acknowledged < round) acknowledged = Number(await child.line());
    await child.kill();
    await using store = await open(directory.path);
    const [count, body] = (await store.get('bundles/a'))?.value.split(':') ?? [];
    assert.ok(Number(count) >= acknowledged);
    assert.ok(body === String(Number(count) % 10).repeat(1024 * 1024));
    assert.deepEqual(readdirSync(join(directory.path, 'rows')), ['bundles%a.row']);
  }
});

test('L7: a second process on the state directory is refused with the pid of the first', async () => {
  using directory = temporaryDirectory();
  await using child = writer(directory.path, '0');
  assert.equal(await child.line(), 'open');
  const refusal = await open(directory.path).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(refusal instanceof Error);
  assert.match(refusal.message, new RegExp(`is in use by process ${child.child.pid ?? 0};`));
  assert.equal(codeOf(refusal), 'state-in-use');

  child.child.kill('SIGSTOP');
  await assert.rejects(open(directory.path), { code: 'state-in-use', message: /a process that does not answer/ });
  await child.kill();
  await using store = await open(directory.path);
  assert.deepEqual(await store.list(''), []);
});

test('of many starters at once on a dead lock exactly one gets the directory, and later starters can follow', async () => {
  using directory = temporaryDirectory();
  for (let round = 0; round < 10; round += 1) {
    const starts = Array.from({ length: 12 }, () =>
      openStateDirectory({ directory: directory.path, clock: systemClock }),
    );
    const outcomes = await Promise.allSettled(starts);
    const won = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    const lost = outcomes.filter((outcome) => outcome.status === 'rejected');
    assert.equal(won.length, 1);
    for (const { reason } of lost) assert.equal(codeOf(reason), 'state-in-use');
    for (const { value } of won) await value[Symbol.asyncDispose]();
  }
  assert.deepEqual(readdirSync(directory.path).sort(), ['format', 'lock.10']);
});

test('a state directory whose path is longer than a socket may have is locked as well', async () => {
  using directory = temporaryDirectory();
  const deep = join(directory.path, 'x'.repeat(200), 'state');
  await using first = await open(deep);
  await first.put('a', '1', 'any');
  await assert.rejects(open(deep), { code: 'state-in-use', message: new RegExp(`process ${process.pid};`) });
  await first[Symbol.asyncDispose]();
  await using second = await open(deep);
  assert.equal((await second.get('a'))?.value, '1');
});

test('L1: directories are made for their owner alone, and rows too', async () => {
  using directory = temporaryDirectory();
  const state = join(directory.path, 'a/state');
  const before = process.umask(0);
  try {
    await using store = await open(state);
    await store.put('peers/a', '1', 'any');
  } finally {
    process.umask(before);
  }
  const mode = (name: string): number => statSync(join(state, name)).mode & 0o777;
  assert.deepEqual(
    [mode(''), mode('rows'), mode('format'), mode('rows/peers%a.row'), mode('lock.1')],
    [0o700, 0o700, 0o600, 0o600, 0o600],
  );
});

for (const mode of [0o770, 0o707, 0o720, 0o702]) {
  test(`L1: a state directory of mode ${mode.toString(8)} is refused`, async () => {
    using directory = temporaryDirectory();
    chmodSync(directory.path, mode);
    await assert.rejects(open(directory.path), {
      code: 'state-mode',
      message: new RegExp(`mode 0${mode.toString(8)}; chmod`),
    });
    chmodSync(directory.path, 0o755);
    await (await open(directory.path))[Symbol.asyncDispose]();
  });
}

test('a newer format version is refused, and so is one that is no number', async () => {
  using directory = temporaryDirectory();
  await (await open(directory.path))[Symbol.asyncDispose]();
  assert.equal(readFileSync(join(directory.path, 'format'), 'utf8'), '1\n');
  for (const found of ['2\n', '', 'one', '-1', '0', '1e1']) {
    writeFileSync(join(directory.path, 'format'), found);
    await assert.rejects(open(directory.path), { code: 'state-format', source: 'local' }, found);
  }
  writeFileSync(join(directory.path, 'format'), '1');
  await (await open(directory.path))[Symbol.asyncDispose]();
});

test('a directory without a format version is taken only if it holds nothing of value', async () => {
  using directory = temporaryDirectory();
  mkdirSync(join(directory.path, 'lost+found'));
  writeFileSync(join(directory.path, 'admin.sock'), '');
  mkdirSync(join(directory.path, 'rows'));
  await assert.rejects(open(directory.path), { code: 'state-format', message: /found 1 other entries \(rows\)/ });

  using fresh = temporaryDirectory();
  mkdirSync(join(fresh.path, 'lost+found'));
  writeFileSync(join(fresh.path, 'admin.sock'), '');
  await (await open(fresh.path))[Symbol.asyncDispose]();
});

test('L3: damaged rows are put aside, logged and absent, while the others stay', async () => {
  using directory = temporaryDirectory();
  const rows = join(directory.path, 'rows');
  {
    await using store = await open(directory.path);
    for (const key of ['kept', 'empty', 'cut', 'flipped', 'renamed', 'huge'])
      await store.put(key, `value of ${key}`, 'any');
  }
  const path = (key: string): string => join(rows, `${key}.row`);
  writeFileSync(path('empty'), '');
  writeFileSync(path('cut'), readFileSync(path('cut')).subarray(0, -1));
  const bytes = readFileSync(path('flipped'));
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 2) ^ 1, bytes.length - 2);
  writeFileSync(path('flipped'), bytes);
  writeFileSync(path('other'), readFileSync(path('renamed')));
  writeFileSync(path('huge'), Buffer.alloc(5 * 1024 * 1024, 'x'));
  symlinkSync(path('kept'), path('linked'));
  mkdirSync(path('directory'));
  writeFileSync(join(rows, '.tmp-0123456789abcdef'), 'half a r');
  writeFileSync(join(rows, 'notes.txt'), 'of an operator');
  writeFileSync(path('proto'), '{"__proto__":{"row":1},"key":"proto","version":"v","sha256":""}\n');

  const lines: string[] = [];
  const log = createLog({ level: 'warn', write: (line) => lines.push(line), now: () => 0 });
  await using store = await openFileStore({ directory: directory.path, clock: systemClock, log });
  assert.deepEqual(
    (await store.list('')).map(({ key, value }) => [key, value]),
    [
      ['kept', 'value of kept'],
      ['renamed', 'value of renamed'],
    ],
  );
  const aside = ['cut', 'directory', 'empty', 'flipped', 'huge', 'linked', 'other', 'proto'].map(
    (key) => `${key}.row.corrupt`,
  );
  assert.deepEqual(readdirSync(rows).sort(), [...aside, 'kept.row', 'notes.txt', 'renamed.row'].sort());
  assert.equal(lines.filter((line) => line.includes('corrupt row put aside')).length, aside.length);
  assert.equal((await store.put('cut', 'anew', 'absent')).kind, 'stored');
});

test('L4: a write that the disk refuses is a local error that can be tried again, and leaves the old row', async () => {
  using directory = temporaryDirectory();
  {
    await using store = await open(directory.path);
    await store.put('bundles/a', 'old', 'absent');
  }
  // 64 blocks of 512 bytes: enough for small files, not for the row.
  await using child = writer(directory.path, '1', 'ulimit -f 64');
  assert.equal(await child.line(), 'open');
  const line = await child.line();
  assert.match(line, /"code":"file-unwritable","source":"local","retry":"later"/);
  assert.match(line, /cannot write .*bundles%a\.row: EFBIG/);
  await child.kill();
  await using store = await open(directory.path);
  assert.equal((await store.get('bundles/a'))?.value, 'old');
  assert.deepEqual(readdirSync(join(directory.path, 'rows')), ['bundles%a.row']);
});

test('an atomic write replaces content and mode, and leaves nothing behind when it fails', async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, 'key.pem');
  writeFileSync(path, 'old', { mode: 0o644 });
  await writeFileAtomic(path, Buffer.from('new'), 0o600);
  assert.equal(readFileSync(path, 'utf8'), 'new');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  mkdirSync(join(directory.path, 'taken'));
  const refusal = { code: 'file-unwritable', source: 'local', retry: 'later' };
  await assert.rejects(writeFileAtomic(join(directory.path, 'taken'), 'x', 0o600), refusal);
  await assert.rejects(writeFileAtomic(join(directory.path, 'missing/key.pem'), 'x', 0o600), refusal);
  assert.deepEqual(readdirSync(directory.path).sort(), ['key.pem', 'taken']);
});

/** The quarantine over every engine of the store, and the copy of it on this machine. */
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { openFileStore } from '../../base/store/files.ts';
import { memoryStore } from '../../base/store/memory.ts';
import { openRedisStore } from '../../base/store/redis.ts';
import { sealedStore } from '../../base/store/sealed.ts';
import { type Store } from '../../base/store/store.ts';
import { distrustCopy } from '../../trust-bundles/distrust/distrust-copy.ts';
import { DistrustSet } from '../../trust-bundles/distrust/distrust-set.ts';
import { keyOf } from '../../trust-bundles/distrust/record.ts';
import { inForce, MemoryCopy, suspect } from '../support/distrust.ts';
import { until } from '../support/gateways.ts';
import { startRedis } from '../support/redis-server.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const SEAL_KEY = new Uint8Array(32).fill(9);
const TARGETS = [
  `key ${'ab'.repeat(32)}`,
  'domain eu.example',
  'export payments',
  'peer eu',
  'spiffe spiffe://a.example/ns/Shop/**',
  // The longest of all.
  `spiffe spiffe://${'d'.repeat(255)}/${'x'.repeat(2_048 - 'spiffe:///'.length - 255)}`,
].sort();

/** Opens a store on the same rows each time. */
type Open = () => Promise<Store>;

const engines: Readonly<Record<string, (held: AsyncDisposableStack) => Promise<Open>>> = {
  memory: async () => {
    const rows = memoryStore();
    // As an engine whose rows outlive the store that is closed.
    return async () => ({
      get: (key) => rows.get(key),
      list: (prefix) => rows.list(prefix),
      put: (key, value, expected) => rows.put(key, value, expected),
      remove: (key, expected) => rows.remove(key, expected),
      watch: (prefix, listener) => rows.watch(prefix, listener),
      [Symbol.asyncDispose]: async () => undefined,
    });
  },
  files: async (held) => {
    const { path } = held.use(temporaryDirectory());
    return () => openFileStore({ directory: path, clock: systemClock, log: silentLog });
  },
  'sealed redis': async (held) => {
    const server = held.use(await startRedis());
    return async () => {
      const options = { url: server.url, prefix: 'test:', clock: systemClock, log: silentLog };
      return sealedStore(await openRedisStore(options), { key: SEAL_KEY, scope: 'test:', log: silentLog });
    };
  },
};

for (const [name, engine] of Object.entries(engines)) {
  void suite(`a quarantine in ${name}`, () => {
    test('is in force again after a restart, without any copy, and lifted for good', async () => {
      await using held = new AsyncDisposableStack();
      const open = await engine(held);
      const during = async (work: (set: DistrustSet) => Promise<void>): Promise<void> => {
        await using store = await open();
        await using set = await DistrustSet.open({ store, copy: new MemoryCopy(), clock: systemClock, log: silentLog });
        await work(set);
      };
      await during(async (set) => {
        for (const target of TARGETS) assert.equal(await set.add(suspect(target, { reason: 'é' })), 'stored', target);
      });
      await during(async (set) => {
        assert.deepEqual([inForce(set), set.alarms()], [TARGETS, []]);
        assert.equal(set.entries()[0]?.reason, 'é');
        for (const target of TARGETS) assert.equal(await set.lift(suspect(target), 'test'), true, target);
      });
      await during(async (set) => assert.deepEqual(inForce(set), []));
    });

    test('outlives the loss of its rows while it runs, and follows what another replica says', async () => {
      await using held = new AsyncDisposableStack();
      const open = await engine(held);
      await using store = await open();
      const options = { store, clock: systemClock, log: silentLog };
      await using one = await DistrustSet.open({ ...options, copy: new MemoryCopy() });
      await using two = await DistrustSet.open({ ...options, copy: new MemoryCopy() });
      await one.add(suspect('peer eu'));
      await until('the other to know', () => inForce(two).length === 1);
      await store.remove(keyOf(suspect('peer eu')), 'any');
      await until('the row to be back', async () => (await store.list('quarantine/')).length === 1);
      assert.deepEqual([inForce(one), inForce(two)], [['peer eu'], ['peer eu']]);
      await two.lift(suspect('peer eu'), 'test');
      await until('the first to know', () => inForce(one).length === 0);
    });
  });
}

test('a copy is private and whole; one that is damaged is told of, in part or all of it, and never stops the start', async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, 'quarantine.json');
  const errors: string[] = [];
  const copy = distrustCopy(path, { ...silentLog, error: (message) => void errors.push(message) });
  assert.deepEqual([await copy.read(), errors], [[], []], 'none yet');
  const record = { ...suspect('peer eu'), sinceMs: 1, revision: 3, liftedMs: undefined };
  await copy.write([record, { ...record, ...suspect('peer us'), liftedMs: 2 }]);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const read = await copy.read();
  assert.deepEqual(
    read.map(({ name, revision, liftedMs }) => [name, revision, liftedMs]),
    [
      ['eu', 3, undefined],
      ['us', 3, 2],
    ],
  );
  const text = await readFile(path, 'utf8');
  for (const [damaged, left] of [
    [text.replace('quarantine/peer/us', 'quarantine/peer/ap'), 1],
    [text.slice(0, -2), 0],
    ['', 0],
    ['[]', 0],
    ['{"__proto__":{"records":[]}}', 0],
  ] as const) {
    errors.length = 0;
    await writeFile(path, damaged);
    assert.deepEqual([(await copy.read()).length, errors.length], [left, 1], damaged.slice(0, 60));
  }
});

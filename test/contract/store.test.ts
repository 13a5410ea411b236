/** The contract of every store engine. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { openFileStore } from '../../base/store/files.ts';
import { memoryStore } from '../../base/store/memory.ts';
import { openRedisStore } from '../../base/store/redis.ts';
import { SEALED_VALUE_BYTES_MAX, sealedStore } from '../../base/store/sealed.ts';
import { type Store, VALUE_BYTES_MAX } from '../../base/store/store.ts';
import { startRedis } from '../support/redis-server.ts';
import { openSharedStore, SHARED_VALUE_BYTES_MAX } from '../support/shared-store.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

interface Rig extends AsyncDisposable {
  /** Opens a store on the same rows; the previous one is closed. */
  reopen(): Promise<Store>;
  readonly keepsRows: boolean;
}

const engines: Readonly<Record<string, () => Promise<Rig>>> = {
  memory: async () => rig(async () => memoryStore(), []),
  files: async () => {
    const directory = temporaryDirectory();
    return rig(() => openFileStore({ directory: directory.path, clock: systemClock, log: silentLog }), [directory]);
  },
  redis: async () => {
    const server = await startRedis();
    const options = { url: server.url, prefix: 'test:', clock: systemClock, log: silentLog };
    return rig(() => openRedisStore(options), [server]);
  },
};

function rig(open: () => Promise<Store>, resources: readonly (Disposable | AsyncDisposable)[]): Rig {
  let store: Store | undefined;
  return {
    keepsRows: resources.length > 0,
    reopen: async () => {
      await store?.[Symbol.asyncDispose]();
      store = await open();
      return store;
    },
    [Symbol.asyncDispose]: async () => {
      await store?.[Symbol.asyncDispose]();
      for (const resource of resources) {
        if (Symbol.asyncDispose in resource) await resource[Symbol.asyncDispose]();
        else resource[Symbol.dispose]();
      }
    },
  };
}

const seal = { key: new Uint8Array(32).fill(7), scope: 'test:', log: silentLog };

for (const [name, engine] of Object.entries(engines)) {
  contract(name, VALUE_BYTES_MAX, engine);
  contract(`sealed ${name}`, SEALED_VALUE_BYTES_MAX, async () => {
    const inner = await engine();
    return {
      keepsRows: inner.keepsRows,
      reopen: async () => sealedStore(await inner.reopen(), seal),
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
  });
}

contract('shared', SHARED_VALUE_BYTES_MAX, async () => {
  const server = await startRedis();
  const directory = temporaryDirectory();
  return rig(() => openSharedStore(server.url, directory.path), [server, directory]);
});

function contract(name: string, valueBytesMax: number, engine: () => Promise<Rig>): void {
  void suite(`the ${name} store`, () => {
    test('returns what was put, and nothing for other keys', async () => {
      await using opened = await engine();
      const store = await opened.reopen();
      const put = await store.put('peers/eu-west', 'héllo\n{"a":1}', 'absent');
      assert.ok(put.kind === 'stored');
      assert.deepEqual(await store.get('peers/eu-west'), {
        key: 'peers/eu-west',
        value: 'héllo\n{"a":1}',
        version: put.version,
      });
      assert.equal(await store.get('peers/eu-wes'), undefined);
      assert.equal(await store.get('peers/eu-west/'), undefined);
    });

    test('after a close and an open has the same rows, or none if it is memory', async () => {
      await using opened = await engine();
      const long = `bundles/${'x'.repeat(300)}`;
      const before = await opened.reopen();
      await before.put('a/b', 'one', 'absent');
      await before.put(long, 'two', 'absent');
      const rows = await before.list('');
      assert.deepEqual(
        rows.map(({ key, value }) => [key, value]),
        [
          ['a/b', 'one'],
          [long, 'two'],
        ],
      );
      const after = await opened.reopen();
      assert.deepEqual(await after.list(''), opened.keepsRows ? rows : []);
      assert.deepEqual(await after.get(long), opened.keepsRows ? rows[1] : undefined);
    });

    test('writes only over the version expected', async () => {
      await using opened = await engine();
      const store = await opened.reopen();
      assert.deepEqual(await store.put('a', '0', 'never-stored'), { kind: 'conflict' });
      const first = await store.put('a', '1', 'absent');
      assert.deepEqual(await store.put('a', '2', 'absent'), { kind: 'conflict' });
      assert.ok(first.kind === 'stored');
      const second = await store.put('a', '2', first.version);
      assert.ok(second.kind === 'stored');
      assert.notEqual(second.version, first.version);
      assert.deepEqual(await store.put('a', '3', first.version), { kind: 'conflict' });
      assert.equal((await store.get('a'))?.value, '2');
      assert.equal((await store.put('a', '4', 'any')).kind, 'stored');
      assert.equal((await store.put('b', '5', 'any')).kind, 'stored');
    });

    test('removes only the version expected', async () => {
      await using opened = await engine();
      const store = await opened.reopen();
      assert.equal(await store.remove('a', 'any'), 'absent');
      const first = await store.put('a', '1', 'absent');
      assert.ok(first.kind === 'stored');
      const second = await store.put('a', '2', first.version);
      assert.ok(second.kind === 'stored');
      assert.equal(await store.remove('a', first.version), 'conflict');
      assert.equal((await store.get('a'))?.value, '2');
      assert.equal(await store.remove('a', second.version), 'removed');
      assert.equal(await store.get('a'), undefined);
      assert.deepEqual(await store.list(''), []);
    });

    test('never takes a version of a removed row for one of its successor', async () => {
      await using opened = await engine();
      const store = await opened.reopen();
      const first = await store.put('a', '1', 'absent');
      assert.ok(first.kind === 'stored');
      await store.remove('a', 'any');
      await store.put('a', '1', 'absent');
      assert.deepEqual(await store.put('a', '2', first.version), { kind: 'conflict' });
      assert.equal(await store.remove('a', first.version), 'conflict');
    });

    test('lets exactly one of twenty concurrent writers win', async () => {
      await using opened = await engine();
      const store = await opened.reopen();
      const writers = Array.from({ length: 20 }, (_, number) => store.put('invites/1', String(number), 'absent'));
      const kinds = (await Promise.all(writers)).map(({ kind }) => kind);
      assert.equal(kinds.filter((kind) => kind === 'stored').length, 1);
    });

    test('lists a prefix in order of key', async () => {
      await using opened = await engine();
      const store = await opened.reopen();
      for (const key of ['peers/b', 'peers/a', 'peersx', 'bundles/a', 'peers/a/b']) await store.put(key, key, 'absent');
      const keys = async (prefix: string): Promise<readonly string[]> =>
        (await store.list(prefix)).map(({ key, value }) => (key === value ? key : 'mixed up'));
      assert.deepEqual(await keys('peers/'), ['peers/a', 'peers/a/b', 'peers/b']);
      assert.deepEqual(await keys(''), ['bundles/a', 'peers/a', 'peers/a/b', 'peers/b', 'peersx']);
      assert.deepEqual(await keys('none/'), []);
    });

    test('takes every key of its alphabet and keeps them apart', async () => {
      await using opened = await engine();
      const store = await opened.reopen();
      const keys = [
        'a',
        'a.row',
        'a/',
        'a//b',
        'a/b',
        'a/../b',
        'a/.',
        'a-b',
        'a_b',
        '0',
        `b${'/'.repeat(511)}`,
        'c'.repeat(512),
      ];
      for (const key of keys) assert.equal((await store.put(key, `of ${key}`, 'absent')).kind, 'stored', key);
      for (const key of keys) assert.equal((await store.get(key))?.value, `of ${key}`, key);
      assert.equal((await store.list('')).length, keys.length);
    });

    for (const key of ['', 'A', '/a', '.', '..', '../a', 'a b', 'a\n', 'a%', 'é', 'a\0', 'a'.repeat(513)]) {
      test(`refuses the key ${JSON.stringify(key.slice(0, 20))} of ${key.length} characters`, async () => {
        await using opened = await engine();
        const store = await opened.reopen();
        const refusal = { name: 'JumpgateError', code: 'store-key-malformed', source: 'local' };
        await assert.rejects(store.put(key, '', 'any'), refusal);
        await assert.rejects(store.get(key), refusal);
        await assert.rejects(store.remove(key, 'any'), refusal);
      });
    }

    test('takes a value of the largest size, an empty one, and refuses one byte more', async () => {
      await using opened = await engine();
      const store = await opened.reopen();
      const largest = 'x'.repeat(valueBytesMax - 2) + 'é';
      assert.equal((await store.put('largest', largest, 'absent')).kind, 'stored');
      assert.ok((await store.get('largest'))?.value === largest);
      assert.equal((await store.put('empty', '', 'absent')).kind, 'stored');
      assert.equal((await store.get('empty'))?.value, '');
      const refusal = { name: 'JumpgateError', code: 'store-value-malformed', source: 'local' };
      await assert.rejects(store.put('more', `${largest}x`, 'any'), refusal);
      await assert.rejects(store.put('more', 'lone \ud800', 'any'), refusal);
      assert.equal(await store.get('more'), undefined);
    });

    test('tells watchers of puts and removals under their prefix until they stop watching', async () => {
      await using opened = await engine();
      const store = await opened.reopen();
      const told: string[] = [];
      let wake = Promise.withResolvers<undefined>();
      const watching = store.watch('peers/', (key) => {
        told.push(key);
        wake.resolve(undefined);
      });
      store.watch('peers/', () => {
        throw new Error('a listener that throws disturbs nobody');
      });
      for (const change of [
        () => store.put('peers/a', '1', 'absent'),
        () => store.put('peers/a', '2', 'any'),
        () => store.remove('peers/a', 'any'),
      ]) {
        wake = Promise.withResolvers();
        await store.put('bundles/a', '1', 'any');
        await change();
        await wake.promise;
      }
      assert.ok(told.every((key) => key === 'peers/a'));
      watching[Symbol.dispose]();
      told.length = 0;
      const other = Promise.withResolvers<undefined>();
      store.watch('peers/b', () => {
        other.resolve(undefined);
      });
      await store.put('peers/b', '1', 'any');
      await other.promise;
      assert.deepEqual(told, []);
    });

    test('refuses to be used after it was closed, and can be closed twice', async () => {
      await using opened = await engine();
      const store = await opened.reopen();
      await store.put('a', '1', 'any');
      await store[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await assert.rejects(store.get('a'), { code: 'store-closed' });
      await assert.rejects(store.list(''), { code: 'store-closed' });
      await assert.rejects(store.put('a', '1', 'any'), { code: 'store-closed' });
      assert.throws(() => store.watch('', () => undefined), { code: 'store-closed' });
    });
  });
}

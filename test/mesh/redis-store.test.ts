/** The Redis store against a real server that dies, stalls, forgets, and holds what others wrote. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { codeOf } from '../../base/errors.ts';
import { createLog, type Logger, silentLog } from '../../base/log.ts';
import { memoryStore } from '../../base/store/memory.ts';
import { openRedisStore, type RedisStoreOptions } from '../../base/store/redis.ts';
import { readRedisAddress } from '../../base/store/redis-address.ts';
import { sealedStore } from '../../base/store/sealed.ts';
import { type Store, VALUE_BYTES_MAX } from '../../base/store/store.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { startRedis } from '../support/redis-server.ts';

interface Opened extends AsyncDisposable {
  readonly store: Store;
  readonly lines: readonly string[];
  /** Resolves when availability is told as `wanted` the next time. */
  told(wanted: boolean): Promise<void>;
}

async function open(url: string, more: Partial<RedisStoreOptions> = {}): Promise<Opened> {
  const lines: string[] = [];
  const log: Logger = createLog({ level: 'debug', write: (line) => lines.push(line), now: () => 0 });
  const waiting = new Set<(available: boolean) => void>();
  const onAvailability = (available: boolean): void => {
    for (const listener of waiting) listener(available);
  };
  const store = await openRedisStore({ url, prefix: 'jg:', clock: systemClock, log, onAvailability, ...more });
  return {
    store,
    lines,
    told: (wanted) =>
      new Promise((resolve) => {
        const listener = (available: boolean): void => {
          if (available !== wanted) return;
          waiting.delete(listener);
          resolve();
        };
        waiting.add(listener);
      }),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

const unavailable = { name: 'JumpgateError', code: 'store-unavailable', source: 'local', retry: 'later' };

test('a server that dies fails operations at once, and one that comes back serves them again', async () => {
  const server = await startRedis();
  await using opened = await open(server.url);
  await opened.store.put('a', '1', 'absent');
  const lost = opened.told(false);
  const inFlight = Promise.allSettled(Array.from({ length: 50 }, () => opened.store.put('b', 'x', 'any')));
  await server[Symbol.asyncDispose]();
  for (const outcome of await inFlight) {
    if (outcome.status === 'rejected') assert.equal(codeOf(outcome.reason), 'store-unavailable');
  }
  await lost;
  const startedMs = performance.now();
  await assert.rejects(opened.store.get('a'), unavailable);
  await assert.rejects(opened.store.list(''), unavailable);
  await assert.rejects(opened.store.put('a', '2', 'any'), unavailable);
  await assert.rejects(opened.store.remove('a', 'any'), unavailable);
  assert.ok(performance.now() - startedMs < 500);

  const back = opened.told(true);
  const changed = Promise.withResolvers<string>();
  opened.store.watch('', changed.resolve);
  await using second = await startRedis({ port: server.port });
  await back;
  assert.match(await second.command('DBSIZE'), /^:\d/);
  assert.equal(await opened.store.get('a'), undefined);
  assert.equal((await opened.store.put('a', '3', 'absent')).kind, 'stored');
  assert.deepEqual(
    (await opened.store.list('')).map(({ value }) => value),
    ['3'],
  );
  assert.ok(['a', 'b'].includes(await changed.promise));
});

test('a server that is away at the start is no error, and is used when it comes', async () => {
  const gone = await startRedis();
  await gone[Symbol.asyncDispose]();
  await using opened = await open(gone.url);
  await assert.rejects(opened.store.get('a'), unavailable);
  const back = opened.told(true);
  await using server = await startRedis({ port: gone.port });
  await back;
  assert.equal((await opened.store.put('a', '1', 'absent')).kind, 'stored');
  assert.match(await server.command('EXISTS', 'jg:row:a'), /^:1/);
});

test('a server that stops answering fails operations after the command timeout, and recovers', async () => {
  await using server = await startRedis();
  await using opened = await open(server.url);
  server.signal('SIGSTOP');
  const startedMs = performance.now();
  await assert.rejects(opened.store.put('a', '1', 'any'), unavailable);
  assert.ok(performance.now() - startedMs < 4_000);
  const back = opened.told(true);
  server.signal('SIGCONT');
  await back;
  assert.equal((await opened.store.put('a', '2', 'any')).kind, 'stored');
});

test('closing is quick while the server is away', async () => {
  const server = await startRedis();
  const opened = await open(server.url);
  const lost = opened.told(false);
  await server[Symbol.asyncDispose]();
  await lost;
  await opened.store[Symbol.asyncDispose]();
  await assert.rejects(opened.store.get('a'), { code: 'store-closed' });
});

test('two stores on one server see each other, and of their concurrent writes one wins', async () => {
  await using server = await startRedis();
  await using one = await open(server.url);
  await using two = await open(server.url);
  await using elsewhere = await open(server.url, { prefix: 'other:' });
  const first = await one.store.put('a', '0', 'absent');
  assert.ok(first.kind === 'stored');
  const { version } = first;
  const writes = Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? one : two).store.put('a', String(n), version));
  const kinds = (await Promise.all(writes)).map(({ kind }) => kind);
  assert.equal(kinds.filter((kind) => kind === 'stored').length, 1);
  assert.deepEqual(await one.store.get('a'), await two.store.get('a'));
  assert.deepEqual(await elsewhere.store.list(''), []);
  const told = Promise.withResolvers<string>();
  two.store.watch('peers/', told.resolve);
  await one.store.put('peers/x', '1', 'absent');
  assert.equal(await told.promise, 'peers/x');
});

test('a change whose message was lost is told within 30 s', async () => {
  await using server = await startRedis();
  const clock = new ManualClock();
  await using opened = await open(server.url, { clock });
  let told = Promise.withResolvers<string>();
  await opened.store.put('a', '1', 'any');
  opened.store.watch('b', (key) => {
    told.resolve(key);
  });
  await server.command('SADD', 'jg:keys', 'b');
  await server.command('SET', 'jg:row:b', 'v1\nvalue');
  clock.advance(30_000);
  assert.equal(await told.promise, 'b');
  told = Promise.withResolvers();
  await server.command('DEL', 'jg:row:b');
  await until(() => clock.pending > 0);
  clock.advance(30_000);
  assert.equal(await told.promise, 'b');
});

test('rows of the wrong type or size are ignored, logged once, and can be written over', async () => {
  await using server = await startRedis();
  await using opened = await open(server.url);
  await opened.store.put('good', '1', 'any');
  await server.command('SADD', 'jg:row:set', 'x');
  await server.command('SET', 'jg:row:huge', `v\n${'x'.repeat(VALUE_BYTES_MAX + 1)}`);
  await server.command('SET', 'jg:row:bare', 'no version line');
  await server.command('SADD', 'jg:keys', 'set', 'huge', 'bare', 'evicted', '../Not a key');
  for (let round = 0; round < 2; round += 1) {
    assert.deepEqual(
      (await opened.store.list('')).map(({ key }) => key),
      ['good'],
    );
    for (const key of ['set', 'huge', 'bare']) assert.equal(await opened.store.get(key), undefined);
  }
  assert.equal(opened.lines.filter((line) => line.includes('redis row ignored')).length, 3);
  for (const key of ['set', 'huge', 'bare']) assert.equal((await opened.store.put(key, '2', 'absent')).kind, 'stored');
  assert.equal((await opened.store.list('')).length, 4);
});

test('an index that was evicted or overwritten is rebuilt from the rows', async () => {
  await using server = await startRedis();
  await using opened = await open(server.url);
  await opened.store.put('a', '1', 'any');
  await server.command('DEL', 'jg:keys');
  await opened.store.put('b', '2', 'any');
  const keys = async (): Promise<readonly string[]> => (await opened.store.list('')).map(({ key }) => key);
  assert.deepEqual(await keys(), ['a', 'b']);
  await server.command('SET', 'jg:keys', 'a string');
  assert.equal((await opened.store.put('c', '3', 'absent')).kind, 'stored');
  assert.deepEqual(await keys(), ['a', 'b', 'c']);
});

test('a prefix that a newer version wrote is refused', async () => {
  await using server = await startRedis();
  await server.command('SET', 'jg:format', '2');
  await assert.rejects(open(server.url), { code: 'state-format', source: 'local' });
});

test('a user that may do nothing but what the docstring lists suffices, and a wrong password is told', async () => {
  const commands =
    '+auth +select +getrange +get +set +del +sadd +srem +sscan +scan +watch +multi +exec +publish +subscribe';
  await using server = await startRedis({
    settings: ['--user', ...`jumpgate on >secret ~jg:* &jg:* -@all ${commands}`.split(' '), '--user', 'default', 'off'],
  });
  const url = server.url.replace('://', '://jumpgate@');
  await using opened = await open(url, { password: 'secret' });
  const told = Promise.withResolvers<string>();
  opened.store.watch('', told.resolve);
  const put = await opened.store.put('a', '1', 'absent');
  assert.ok(put.kind === 'stored');
  assert.equal(await told.promise, 'a');
  assert.equal((await opened.store.list('')).length, 1);
  assert.equal(await opened.store.remove('a', put.version), 'removed');
  assert.deepEqual(
    opened.lines.filter((line) => !line.includes('"info"')),
    [],
  );

  await using wrong = await open(url, { password: 'guess' });
  await assert.rejects(wrong.store.get('a'), { ...unavailable, message: /WRONGPASS/ });
  assert.ok(wrong.lines.every((line) => !line.includes('guess')));
});

test('a row that was changed without the seal key counts as absent', async () => {
  await using server = await startRedis();
  await using opened = await open(server.url);
  const sealed = sealedStore(opened.store, { key: new Uint8Array(32).fill(1), scope: 'jg:', log: silentLog });
  await sealed.put('bundles/a', 'good', 'absent');
  await sealed.put('bundles/b', 'other', 'absent');
  const row = await opened.store.get('bundles/a');
  assert.ok(row !== undefined && !row.value.startsWith('good'));
  for (const forged of ['bad', `${row.value}x`, row.value.replace('good', 'evil'), `s1.${'A'.repeat(43)}.good`, '']) {
    await opened.store.put('bundles/a', forged, 'any');
    assert.equal(await sealed.get('bundles/a'), undefined, forged);
    assert.deepEqual(
      (await sealed.list('')).map(({ key }) => key),
      ['bundles/b'],
    );
  }
  await opened.store.put('bundles/b', row.value, 'any');
  assert.equal(await sealed.get('bundles/b'), undefined, 'a sealed row under another key');
  assert.equal((await sealed.put('bundles/a', 'anew', 'absent')).kind, 'stored');
  assert.equal((await sealed.get('bundles/a'))?.value, 'anew');
  for (const [byte, scope] of [
    [2, 'jg:'],
    [1, 'other:'],
  ] as const) {
    const reader = sealedStore(opened.store, { key: new Uint8Array(32).fill(byte), scope, log: silentLog });
    assert.equal(await reader.get('bundles/a'), undefined, 'another key, or a row of another mesh under this one');
  }
  const short = { key: new Uint8Array(31), scope: 'jg:', log: silentLog };
  assert.throws(() => sealedStore(memoryStore(), short), {
    code: 'seal-key-short',
    source: 'config',
  });
});

for (const [url, code] of [
  ['redis://10.0.0.1', 'redis-plaintext'],
  ['redis://redis.example.org:6379/0', 'redis-plaintext'],
  ['redis://127.0.0.1.example.org', 'redis-plaintext'],
  ['redis://[::2]', 'redis-plaintext'],
  ['rediss://redis.example.org', 'redis-anonymous'],
  ['redis://user:secret@localhost', 'redis-url-malformed'],
  ['http://localhost', 'redis-url-malformed'],
  ['redis://localhost/a', 'redis-url-malformed'],
  ['redis://localhost?x=1', 'redis-url-malformed'],
  ['redis:', 'redis-url-malformed'],
  ['', 'redis-url-malformed'],
] as const) {
  test(`the address ${url} is refused as ${code}`, () => {
    assert.throws(() => readRedisAddress({ url }), { code, source: 'config', message: /^(?!.*secret)/ });
  });
}

test('plaintext is taken on loopback, TLS with a password elsewhere, and the rest only when allowed', () => {
  const address = { host: '::1', port: 6379, tls: false, database: 0, username: undefined };
  assert.deepEqual(readRedisAddress({ url: 'redis://[::1]' }), address);
  const remote = { host: 'r.example.org', port: 6380, tls: true, database: 3, username: 'a@b' };
  assert.deepEqual(readRedisAddress({ url: 'rediss://a%40b@r.example.org:6380/3', password: 'x' }), remote);
  assert.equal(readRedisAddress({ url: 'redis://10.0.0.1', allowPlaintext: true, allowAnonymous: true }).tls, false);
  assert.throws(() => readRedisAddress({ url: 'redis://10.0.0.1', allowPlaintext: true }), { code: 'redis-anonymous' });
});

/** Turns of the event loop, since what is waited for takes real network replies. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

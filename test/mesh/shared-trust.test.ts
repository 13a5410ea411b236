/** Trust in a Redis that loses, brings back, forges and withholds rows, while we run and over restarts: catalogue M. */
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { createLog, silentLog } from '../../base/log.ts';
import { type RememberedStore } from '../../base/store/remembered.ts';
import { PeerBook } from '../../federation/peering/peer-book.ts';
import { type StoredPeer, writeStoredPeer } from '../../federation/resources/stored-peer.ts';
import { DistrustSet } from '../../trust-bundles/distrust/distrust-set.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { inForce, MemoryCopy, suspect } from '../support/distrust.ts';
import { until } from '../support/gateways.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { openSharedStore, redisKeyOf } from '../support/shared-store.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { bundleOf, testDomain } from '../support/trust.ts';

const OURS = testDomain('us.example');
const THEIRS = testDomain('eu.example');
const domain = THEIRS.trustDomain;
const old = testDomain('eu.example').root;
const BUNDLE = redisKeyOf('bundles/eu.example');
const PEER = redisKeyOf('peers/eu');
const peer: StoredPeer = {
  name: 'eu',
  trustDomain: domain,
  gatewayId: parseSpiffeId('spiffe://eu.example/jumpgate'),
  gateways: [{ host: 'gw.eu.example', port: 15443 }],
  bundleEndpoint: { kind: 'link' },
  joinedAtMs: 1,
  source: 'join',
};

/** One replica: what it believes, over the store that its gateway would have. */
interface Replica extends AsyncDisposable {
  readonly store: RememberedStore;
  readonly bundles: BundleSet;
  readonly peers: PeerBook;
  readonly distrust: DistrustSet;
}

async function start(url: string, directory: string, log = silentLog): Promise<Replica> {
  await using held = new AsyncDisposableStack();
  const store = held.use(await openSharedStore(url, directory, { log }));
  const base = { store, clock: systemClock, log };
  const own = (): typeof OURS.bundle => OURS.bundle;
  const bundles = held.use(await BundleSet.open({ ...base, own, trustDomain: OURS.trustDomain }));
  const peers = held.use(await PeerBook.open(store, log));
  const distrust = held.use(await DistrustSet.open({ ...base, copy: new MemoryCopy() }));
  const kept = held.move();
  return { store, bundles, peers, distrust, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

const bulk = (reply: string): string => reply.replace(/^\$\d+\r\n/, '').replace(/\r\n$/, '');
const valueOf = async (redis: RedisServer, key: string): Promise<string> => bulk(await redis.command('GET', key));
/** Without the version, which is another after each write. */
const sealedOf = (row: string): string => row.slice(row.indexOf('\n'));
const namesOf = (replica: Replica): readonly string[] => replica.peers.all().map(({ name }) => name);

/** Puts a row back as somebody does who has kept its bytes; its message tells everybody. */
async function putBack(redis: RedisServer, key: string, value: string): Promise<void> {
  await redis.command('SET', key, value);
  await redis.command('SADD', 'test:keys', key.slice('test:row:'.length));
  await redis.command('PUBLISH', 'test:changes', `${key.slice('test:row:'.length)} ${value.split('\n')[0] ?? ''}`);
}

test('I4 M5: an older bundle put back with its true seal is not believed, while we run and after a restart, and is written over', async () => {
  await using redis = await startRedis();
  using directory = temporaryDirectory();
  const lines: string[] = [];
  const log = createLog({ level: 'error', write: (line) => lines.push(line), now: () => 0 });
  let first: string;
  {
    await using replica = await start(redis.url, directory.path, log);
    await replica.bundles.offer(bundleOf(domain, [old], 5n));
    first = await valueOf(redis, BUNDLE);
    await replica.bundles.offer(bundleOf(domain, [THEIRS.root], 6n));
    const second = await valueOf(redis, BUNDLE);
    await putBack(redis, BUNDLE, first);
    await until('the row to be whole', async () => sealedOf(await valueOf(redis, BUNDLE)) === sealedOf(second));
    await until('the alarm', () => replica.store.trouble.mended === 1);
    assert.equal(replica.bundles.get(domain)?.sequence, 6n);
    assert.equal(replica.store.trouble.last?.problem, 'older');
    assert.match(lines.join(''), /a row of the shared store was lost or went back/);
  }
  await putBack(redis, BUNDLE, first);
  await using replica = await start(redis.url, directory.path);
  assert.deepEqual(replica.bundles.get(domain), bundleOf(domain, [THEIRS.root], 6n));
  await until('the row to be whole', () => replica.store.trouble.mended === 1);
  using elsewhere = temporaryDirectory();
  await using other = await start(redis.url, elsewhere.path);
  assert.equal(other.bundles.get(domain)?.sequence, 6n, 'a replica that has seen nothing finds the newest again');
});

test('I25 M6: a peer that was removed never comes back by its row, nor by its loss, while we run and after a restart', async () => {
  await using redis = await startRedis();
  using here = temporaryDirectory();
  using there = temporaryDirectory();
  await using one = await start(redis.url, here.path);
  await one.store.put('peers/eu', writeStoredPeer(peer), 'absent');
  const stolen = await valueOf(redis, PEER);
  {
    await using two = await start(redis.url, there.path);
    assert.deepEqual(namesOf(two), ['eu']);
    assert.equal(await one.peers.remove('eu'), true);
    await until('the other replica to follow', () => namesOf(two).length === 0);
    await putBack(redis, PEER, stolen);
    await until('one of them to mend it', () => one.store.trouble.mended + two.store.trouble.mended > 0);
    assert.deepEqual([namesOf(one), namesOf(two)], [[], []]);
  }
  await putBack(redis, PEER, stolen);
  await using again = await start(redis.url, there.path);
  assert.deepEqual(namesOf(again), []);
  await again.store.put('peers/eu', writeStoredPeer(peer), 'absent');
  await until('a peer that joins again to be one', () => namesOf(one).length === 1);
});

test('M5: a quarantine whose row vanished stays in force after a restart, what another replica lifted does not', async () => {
  await using redis = await startRedis();
  using here = temporaryDirectory();
  using there = temporaryDirectory();
  {
    await using one = await start(redis.url, here.path);
    await one.distrust.add(suspect('peer eu'));
    await one.distrust.add(suspect('peer ap'));
  }
  {
    await using two = await start(redis.url, there.path);
    assert.equal(await two.distrust.lift(suspect('peer ap'), 'test'), true);
  }
  await redis.command('DEL', redisKeyOf('quarantine/peer/eu'));
  await using one = await start(redis.url, here.path);
  assert.deepEqual(inForce(one.distrust), ['peer eu']);
  await until('the row to be back', async () =>
    (await redis.command('EXISTS', redisKeyOf('quarantine/peer/eu'))).startsWith(':1'),
  );
});

test('M1 M2: with the server dead trust is what is remembered; bundles and removals go on here, and reach it later', async () => {
  const redis = await startRedis();
  using directory = temporaryDirectory();
  {
    await using replica = await start(redis.url, directory.path);
    await replica.bundles.offer(bundleOf(domain, [old], 5n));
    for (const name of ['eu', 'ap'])
      await replica.store.put(`peers/${name}`, writeStoredPeer({ ...peer, name }), 'any');
    await replica.distrust.add(suspect('export payments'));
    await redis[Symbol.asyncDispose]();
    await until('the loss', async () => replica.store.get('x').then(() => replica.store.trouble.away !== undefined));
    await replica.bundles.offer(bundleOf(domain, [THEIRS.root], 6n), { fetched: true });
    assert.equal(await replica.peers.remove('ap'), true);
    await assert.rejects(replica.store.put('invites/1', 'once', 'absent'), { code: 'store-unavailable' });
  }
  await using replica = await start(redis.url, directory.path);
  assert.equal(replica.bundles.get(domain)?.sequence, 6n);
  assert.deepEqual([namesOf(replica), inForce(replica.distrust)], [['eu'], ['export payments']]);
  await using back = await startRedis({ port: redis.port });
  await until('the server to know', async () => (await back.command('EXISTS', BUNDLE)).startsWith(':1'));
  using elsewhere = temporaryDirectory();
  await until('all rows to be there', () => replica.store.trouble.behind === 0);
  await using other = await start(back.url, elsewhere.path);
  assert.equal(other.bundles.get(domain)?.sequence, 6n);
  assert.deepEqual([namesOf(other), inForce(other.distrust)], [['eu'], ['export payments']]);
});

test('M8 M10: rows that are evicted, forged, of a wrong type or huge are written again, and what nobody wrote is no trust', async () => {
  await using redis = await startRedis();
  using directory = temporaryDirectory();
  await using replica = await start(redis.url, directory.path);
  await replica.bundles.offer(bundleOf(domain, [THEIRS.root], 6n));
  await replica.store.put('peers/eu', writeStoredPeer(peer), 'absent');
  const bundle = await valueOf(redis, BUNDLE);
  const damages: readonly (() => Promise<unknown>)[] = [
    () => redis.command('DEL', BUNDLE),
    () => redis.command('SET', BUNDLE, `v\n${'x'.repeat(5 * 1024 * 1024)}`),
    () => redis.command('SET', BUNDLE, bundle.replace('"refreshedAtMs":', '"refreshedAtMs":1')),
    async () => [await redis.command('DEL', BUNDLE), await redis.command('SADD', BUNDLE, '{"__proto__":{}}')],
    () => redis.command('FLUSHALL'),
  ];
  let mended = 0;
  for (const damage of damages) {
    await damage();
    // As the message that the contract promises within 30 s.
    await redis.command('PUBLISH', 'test:changes', 'bundles/eu.example lost');
    await redis.command('PUBLISH', 'test:changes', 'peers/eu lost');
    await until('the row to be whole', async () => sealedOf(await valueOf(redis, BUNDLE)) === sealedOf(bundle));
    await until('the alarm', () => replica.store.trouble.mended > mended);
    ({ mended } = replica.store.trouble);
    assert.equal(replica.bundles.get(domain)?.sequence, 6n);
    assert.deepEqual(namesOf(replica), ['eu']);
  }
  const forged = `v1\ns1.${'A'.repeat(43)}.9999999999999 set\n${writeStoredPeer({ ...peer, name: 'evil' })}`;
  await putBack(redis, redisKeyOf('peers/evil'), forged);
  await putBack(redis, redisKeyOf('peers/evil2'), (await valueOf(redis, PEER)).replaceAll('"eu"', '"evil2"'));
  assert.deepEqual(
    (await replica.store.list('peers/')).map(({ key }) => key),
    ['peers/eu'],
  );
});

test('M8: an index that somebody filled, or a format that he raised, is a store that is away, not one without rows', async () => {
  await using redis = await startRedis();
  using directory = temporaryDirectory();
  await using replica = await start(redis.url, directory.path);
  await replica.store.put('peers/eu', writeStoredPeer(peer), 'absent');
  for (let start = 0; start < 70_000; start += 10_000) {
    await redis.command('SADD', 'test:keys', ...Array.from({ length: 10_000 }, (_, index) => `junk/${start + index}`));
  }
  await replica.peers.refresh();
  assert.deepEqual(namesOf(replica), ['eu']);
  assert.match(replica.store.trouble.away ?? '', /expected at most 65536 rows/);
});

test('M5: an invite that was used is not open again because its row went back, nor is one of another seal', async () => {
  await using redis = await startRedis();
  using directory = temporaryDirectory();
  {
    await using replica = await start(redis.url, directory.path);
    await replica.store.put('invites/1', 'open', 'absent');
    const open = await valueOf(redis, redisKeyOf('invites/1'));
    await replica.store.put('invites/1', 'used', 'any');
    await putBack(redis, redisKeyOf('invites/1'), open);
  }
  await using replica = await start(redis.url, directory.path);
  assert.equal((await replica.store.get('invites/1'))?.value, 'used');
  using elsewhere = temporaryDirectory();
  await using stranger = await openSharedStore(redis.url, elsewhere.path, { seal: 8 });
  assert.deepEqual(await stranger.list(''), []);
});

test('L1 L2: what is remembered is one file a row, for its owner alone', async () => {
  await using redis = await startRedis();
  using directory = temporaryDirectory();
  await using replica = await start(redis.url, directory.path);
  await replica.bundles.offer(bundleOf(domain, [THEIRS.root], 6n));
  const rows = join(directory.path, 'shared', 'rows');
  assert.deepEqual(readdirSync(rows), ['bundles%eu.example.row']);
  assert.equal(statSync(join(rows, 'bundles%eu.example.row')).mode & 0o777, 0o600);
  assert.equal(statSync(rows).mode & 0o777, 0o700);
});

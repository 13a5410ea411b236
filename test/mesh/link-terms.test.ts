/** How a link begins and ends: what is no link, and what its term does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { dialLink } from '../../gateway/link/dialled-link.ts';
import { writeHello, type Hello } from '../../gateway/link/hello.ts';
import { askSmall, type SmallQuestion } from '../../gateway/link/small-body.ts';
import { LinkPool } from '../../gateway/link/pool.ts';
import { BufferPool } from '../../gateway/message/output.ts';
import { LINK_CONNECTION } from '../../gateway/http2/limits.ts';
import { type ConnectedHttp2, connectHttp2 } from '../../gateway/socket/http2-socket.ts';
import { connectMutualTls } from '../../trust-bundles/tls/connect.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { startGateway, until, type TestGateway } from '../support/gateways.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { trustIn } from '../support/trust.ts';

const HELLO: SmallQuestion = { method: 'POST', authority: 'hello.jumpgate', path: '/hello', json: '' };
const PAYMENTS: SmallQuestion = { method: 'GET', authority: 'payments.us.example', path: '/' };

/** A connection to `us` that has proved to be the gateway of `eu`, and has said nothing yet. */
const dialled = async (us: TestGateway, eu: TestGateway): Promise<ConnectedHttp2> => {
  const { socket } = await connectMutualTls({
    host: '127.0.0.1',
    port: us.port,
    svid: eu.svid,
    alpn: 'h2',
    verify: (chain) => verifySvid({ chain, trust: trustIn(us.domain), role: 'server', nowMs: systemClock.now() }),
    signal: AbortSignal.timeout(20_000),
    clock: systemClock,
  });
  return connectHttp2(socket, { clock: systemClock, limits: LINK_CONNECTION });
};

const helloOf = ({ domain }: TestGateway): Hello => ({
  versions: { min: 1, max: 1 },
  trustDomain: domain.trustDomain,
  instance: 'eu-9',
  epoch: 1n,
  worker: 0,
  workers: 1,
  features: [],
});

/** `eu` is a peer of `us`, and dials nothing by itself. */
const onePeer = async (clock = systemClock): Promise<AsyncDisposable & { us: TestGateway; eu: TestGateway }> => {
  const us = await startGateway('us.example', {}, clock);
  const eu = await startGateway('eu.example', {}, clock);
  us.peerWith(eu, 'eu');
  const end = async (): Promise<void> => {
    await us[Symbol.asyncDispose]();
    await eu[Symbol.asyncDispose]();
  };
  return { us, eu, [Symbol.asyncDispose]: end };
};

test('a first stream that is no hello, or not a good one, ends the connection, and no call comes of it', async () => {
  await using both = await onePeer();
  const { us, eu } = both;
  const good = writeHello(helloOf(eu));
  const limits = { bytesMax: 4096, signal: AbortSignal.timeout(20_000) };
  const firsts: readonly SmallQuestion[] = [
    PAYMENTS,
    { ...HELLO, method: 'GET', json: good },
    { ...HELLO, path: '/', json: good },
    { ...HELLO, authority: 'Hello.jumpgate', json: good },
    { ...HELLO, json: '{}' },
    { ...HELLO, json: good.padEnd(4 * 1024 + 1) },
    { method: 'POST', authority: 'hello.jumpgate', path: '/hello' },
  ];
  for (const first of firsts) {
    const connection = await dialled(us, eu);
    await assert.rejects(askSmall(connection, first, limits), { code: 'body-cut' }, JSON.stringify(first));
    await connection.closed;
  }
  for (const json of [good, good.padEnd(4 * 1024)]) {
    const connection = await dialled(us, eu);
    assert.equal((await askSmall(connection, { ...HELLO, json }, limits)).status, 200);
    assert.deepEqual(
      us.listener.links().map(({ instance }) => instance),
      ['eu-9'],
    );
    connection.destroy();
    await until('no link', () => us.listener.links().length === 0);
  }
  assert.deepEqual(us.calls, []);
});

test('a hello of another mesh is answered, so that its sender can say why, and makes no link', async () => {
  await using both = await onePeer();
  const { us, eu } = both;
  const connection = await dialled(us, eu);
  const limits = { bytesMax: 4096, signal: AbortSignal.timeout(20_000) };
  const json = writeHello(helloOf(us));
  assert.equal((await askSmall(connection, { ...HELLO, json }, limits)).status, 200);
  assert.deepEqual(us.listener.links(), []);
  await connection.closed;
});

test('no call is taken before the hello is complete: one that is sent with it ends the connection', async () => {
  await using both = await onePeer();
  const { us, eu } = both;
  const connection = await dialled(us, eu);
  const limits = { bytesMax: 4096, signal: AbortSignal.timeout(20_000) };
  const asked = [{ ...HELLO, json: writeHello(helloOf(eu)) }, PAYMENTS].map((question) =>
    askSmall(connection, question, limits),
  );
  const settled = await Promise.allSettled(asked);
  assert.equal(settled[1]?.status, 'rejected');
  await connection.closed;
  assert.deepEqual([us.calls, us.listener.links()], [[], []]);
});

test('a connection without a hello is cut after ten seconds', async () => {
  const clock = new ManualClock(systemClock.now());
  await using both = await onePeer(clock);
  const { us, eu } = both;
  const connection = await dialled(us, eu);
  await connection.ready;
  clock.advance(9_999);
  await connection.ping();
  clock.advance(1);
  await connection.closed;
});

test('A6: a link takes no calls after nine tenths of its term, finishes those it has, and ends with its term', async () => {
  const clock = new ManualClock(systemClock.now());
  await using both = await onePeer(clock);
  const { us, eu } = both;
  eu.peerWith(us, 'us');
  const peer = us.snapshots.current().peers.get('eu');
  const address = eu.identity.addresses[0];
  assert.ok(peer !== undefined && address !== undefined);
  const signal = AbortSignal.timeout(20_000);
  const hello = { ...helloOf(us), instance: 'us-9' };
  const snapshot = (): ReturnType<typeof us.snapshots.current> => us.snapshots.current();
  const made = { peer, address, snapshot, svid: us.svid, hello, buffers: new BufferPool(), log: silentLog };
  const link = await dialLink({ ...made, clock, signal, random: () => 0 });
  const pool = new LinkPool();
  pool.add(link);
  const under = askSmall(link, { ...PAYMENTS, authority: 'payments.eu.example' }, { bytesMax: 10, signal });
  under.catch(() => undefined);
  await until('the call to arrive', () => eu.calls.length === 1);
  const { noNewCallsAtMs, endsAtMs } = link.term;
  clock.advance(noNewCallsAtMs - clock.now() - 1);
  assert.deepEqual([link.usable, link.leaving], [true, false]);
  clock.advance(1);
  assert.deepEqual([link.usable, link.leaving, pool.pick('eu', [])], [false, true, undefined]);
  const more = askSmall(link, { ...PAYMENTS, authority: 'payments.eu.example' }, { bytesMax: 10, signal });
  await assert.rejects(more, { code: 'not-sent' });
  await link.ping();
  assert.ok(pool.all().includes(link), 'the call is still under way');
  clock.advance(endsAtMs - clock.now());
  await assert.rejects(under, { code: 'body-cut' });
  await link.closed;
  await until('the accepted end to be gone', () => eu.listener.links().every(({ instance }) => instance !== 'us-9'));
});

test('links that the other end turns away are replaced at once, without waiting for any timer', async () => {
  const clock = new ManualClock(systemClock.now());
  await using both = await onePeer(clock);
  const { us, eu } = both;
  await until('no link yet', () => us.dialer.failures().length > 0);
  eu.peerWith(us, 'us');
  await until('links of eu', () => eu.pool.all().length === 2);
  const before = eu.pool.all();
  await Promise.all(before.map((link) => link.ping()));
  clock.advance(10_000);
  await us.listener.drain(AbortSignal.abort());
  await until('new links', () => eu.pool.all().filter((link) => !link.leaving && !before.includes(link)).length === 2);
  assert.ok(before.every((link) => link.leaving));
});

test('a link that does not answer a PING is cut, and one that does is not', async () => {
  const clock = new ManualClock(systemClock.now());
  await using both = await onePeer(clock);
  const { us, eu } = both;
  eu.peerWith(us, 'us');
  await until('links', () => us.pool.all().length === 2 && eu.pool.all().length === 2);
  const before = [...us.pool.all(), ...eu.pool.all()];
  // A round trip, with which also SETTINGS are acknowledged.
  await Promise.all(before.map((link) => link.ping()));
  clock.advance(15_000);
  await Promise.all(before.map((link) => link.ping()));
  clock.advance(10_000);
  assert.ok(
    before.every((link) => !link.leaving),
    'the answers came before',
  );
  // No turn of the event loop lies between a PING and the end of its time.
  clock.advance(15_000 + 10_000);
  await Promise.all(before.map((link) => link.closed));
});

/** A gateway that has no SVID, not yet or not any more: it shows nothing, takes nobody, and goes on when one is there. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { createLog, type LogLevel, silentLog } from '../../base/log.ts';
import { Lifecycle } from '../../gateway/process/lifecycle.ts';
import { awaitSvid, knownBundle } from '../../gateway/process/own-identity.ts';
import { serveBundle } from '../../trust-bundles/serve/bundle-endpoint.ts';
import { svidCredentials } from '../../trust-bundles/tls/server-credentials.ts';
import { connectMutualTls } from '../../trust-bundles/tls/connect.ts';
import { listenMutualTls } from '../../trust-bundles/tls/listen.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { startGateway, until } from '../support/gateways.ts';
import { portOf, rawTls } from '../support/tls.ts';
import { svidSource, testDomain, type TestSvidSource, trustIn } from '../support/trust.ts';

const us = testDomain('us.test');
const eu = testDomain('eu.test');
const LOOPBACK = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;

const euDials = (port: number, svid: TestSvidSource): ReturnType<typeof connectMutualTls> =>
  connectMutualTls({
    host: '127.0.0.1',
    port,
    svid,
    alpn: 'h2',
    verify: (chain) => verifySvid({ chain, trust: trustIn(us), role: 'server', nowMs: systemClock.now() }),
    signal: AbortSignal.timeout(20_000),
    clock: systemClock,
  });

test('a mutual-TLS listener without an SVID refuses every handshake, takes them once it has one, and refuses again without', async () => {
  const svid = svidSource();
  let taken = 0;
  await using listener = await listenMutualTls({
    address: LOOPBACK,
    svid,
    alpn: ['h2'],
    admit: (chain) => verifySvid({ chain, trust: trustIn(eu), role: 'client', nowMs: systemClock.now() }),
    onConnection: ({ socket }) => {
      taken += 1;
      socket.destroy();
    },
    log: silentLog,
    clock: systemClock,
  });
  const caller = svidSource(eu.svid('/jumpgate'));
  const dial = async (): Promise<string> => {
    const connection = await euDials(portOf(listener), caller).catch((error: unknown) => error);
    if (connection instanceof Error) return 'code' in connection ? String(connection.code) : connection.message;
    const { socket } = connection as Awaited<ReturnType<typeof euDials>>;
    socket.on('error', () => undefined).resume();
    return 'connected';
  };
  assert.equal(await dial(), 'tls');
  svid.rotate(us.svid('/jumpgate'));
  assert.equal(await dial(), 'connected');
  await until('the connection to be taken', () => taken === 1);
  svid.rotate(undefined);
  assert.equal(await dial(), 'tls');
  assert.equal(taken, 1);
});

test('nothing is dialled without an SVID to show', async () => {
  await assert.rejects(euDials(1, svidSource()), { code: 'no-svid', source: 'local', retry: 'later' });
});

test('the bundle endpoint without an SVID refuses every handshake, and without a bundle says 503, never an empty one', async () => {
  const svid = svidSource();
  await using listener = await serveBundle({
    address: LOOPBACK,
    credentials: svidCredentials(svid),
    bundle: () => undefined,
    log: silentLog,
    clock: systemClock,
  });
  const ask = async (): Promise<string> => {
    const socket = rawTls(portOf(listener), {});
    let answer = '';
    socket.on('data', (data: Buffer) => (answer += data.toString('latin1')));
    socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\nhost: us\r\n\r\n'));
    return new Promise((resolve) => {
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(answer));
    });
  };
  assert.equal(await ask(), '');
  svid.rotate(us.svid('/jumpgate'));
  assert.match(await ask(), /^HTTP\/1\.1 503 /);
});

test('WC-7: links take no more calls when our SVID is taken back, and are there again soon after a new one is', async () => {
  await using a = await startGateway('a.example', {}, systemClock, { minMs: 60_000, maxMs: 600_000 });
  await using b = await startGateway('b.example');
  a.peerWith(b, 'b');
  b.peerWith(a, 'a');
  await until('links each way', () => a.pool.all().length === 2 && b.pool.all().length === 2);
  a.svid.rotate(undefined);
  await until('no links', () => a.pool.all().length === 0 && a.listener.links().length === 0);
  await until('the reason to be told', () => a.dialer.failures().some(({ code }) => code === 'no-svid'));
  assert.equal(b.pool.all().length, 0);
  // Its own back-off is a minute at least: that links are back shows that nobody waited for it.
  a.svid.rotate(a.domain.svid('/jumpgate'));
  await until('links each way again', () => a.pool.all().length === 2 && b.pool.all().length === 2);
});

test('a gateway is not ready while it has no SVID, and its log says what it waits for', () => {
  const lines: string[] = [];
  const log = createLog({ level: 'info' satisfies LogLevel, write: (line) => void lines.push(line), now: () => 0 });
  const lifecycle = new Lifecycle({ clock: systemClock, log });
  const svid = svidSource();
  const problem = { code: 'workload-api-unavailable', message: 'nobody listens there', sinceMs: 0 };
  const from = 'unix:///run/agent.sock';
  const identity = { svid, status: () => ({ kind: 'workloadApi' as const, from, problem }), bundle: () => undefined };
  using watch = awaitSvid({ identity, lifecycle, log });
  assert.deepEqual([lifecycle.state, lifecycle.pending], ['starting', ['svid']]);
  assert.match(lines.join(''), /no svid to show.*nobody listens there/);
  assert.throws(() => knownBundle(identity), { code: 'own-bundle-unknown', message: /nobody listens there/ });
  svid.rotate(us.svid('/jumpgate'));
  assert.equal(lifecycle.state, 'ready');
  svid.rotate(us.svid('/jumpgate'));
  assert.equal(lifecycle.state, 'ready');
  svid.rotate(undefined);
  assert.deepEqual([lifecycle.state, lifecycle.pending], ['starting', ['svid']]);
  watch[Symbol.dispose]();
});

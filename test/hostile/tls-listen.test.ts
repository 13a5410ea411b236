/** Mutual-TLS listeners under attack: what must not come in does not, and nobody else suffers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { type ConnectionOptions, type TLSSocket } from 'node:tls';

import { systemClock } from '../../base/clock.ts';
import { createLog, type Logger } from '../../base/log.ts';
import { type TlsListener } from '../../trust-bundles/tls/accept.ts';
import { connectMutualTls } from '../../trust-bundles/tls/connect.ts';
import { type VerifiedConnection } from '../../trust-bundles/tls/connection.ts';
import { credentialsOf } from '../../trust-bundles/tls/context.ts';
import { listenMutualTls, type MutualTlsListenOptions } from '../../trust-bundles/tls/listen.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { ended, portOf, rawTcp, rawTls } from '../support/tls.ts';
import { forgingDomain, svidSource, testDomain, trustIn } from '../support/trust.ts';

const a = testDomain('a.test');
const forger = forgingDomain('b.test', 'a.test');
const b = forger.domain;
const trust = trustIn(a, b);
const never = new AbortController().signal;

interface Rig extends AsyncDisposable {
  readonly listener: TlsListener;
  readonly port: number;
  readonly admitted: readonly VerifiedConnection[];
  readonly log: readonly string[];
}

/** A listener of a.test that greets whom it admits and echoes what they say. */
async function rig(options: Partial<MutualTlsListenOptions> = {}): Promise<Rig> {
  const admitted: VerifiedConnection[] = [];
  const lines: string[] = [];
  const log: Logger = createLog({ level: 'debug', write: (line) => lines.push(line), now: () => 0 });
  const listener = await listenMutualTls({
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    svid: svidSource(a.svid('/jumpgate')),
    alpn: ['h2', 'jumpgate-reverse'],
    admit: (chain) => verifySvid({ chain, trust, role: 'client', nowMs: systemClock.now() }),
    onConnection: (connection) => {
      admitted.push(connection);
      connection.socket.write('hello');
      connection.socket.pipe(connection.socket);
    },
    log,
    clock: systemClock,
    ...options,
  });
  return {
    listener,
    port: portOf(listener),
    admitted,
    log: lines,
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

function client(port: number, svid: X509Svid | undefined, options: ConnectionOptions = {}): TLSSocket {
  const credentials = svid === undefined ? {} : credentialsOf(svid);
  return rawTls(port, { ...credentials, ALPNProtocols: ['h2'], ...options });
}

/** The proof that the listener still serves the innocent. */
async function assertServes(port: number): Promise<void> {
  const { socket } = await connectMutualTls({
    host: '127.0.0.1',
    port,
    svid: svidSource(b.svid('/innocent')),
    alpn: 'h2',
    verify: (chain) => verifySvid({ chain, trust, role: 'server', nowMs: systemClock.now() }),
    signal: never,
    clock: systemClock,
  });
  const [greeting] = (await once(socket, 'data')) as [Buffer];
  assert.equal(greeting.toString(), 'hello');
  socket.destroy();
}

/** What a client could resume by: tickets come after the handshake, so it waits for an echo behind them. */
async function sessionAfterEcho(socket: TLSSocket): Promise<Buffer | undefined> {
  socket.write('echo');
  await once(socket, 'data');
  return socket.getSession();
}

/** Neither greeted nor handed on. */
async function assertRefused(gateway: Rig, socket: TLSSocket, code: string): Promise<void> {
  const { received } = await ended(socket);
  assert.equal(received, '');
  assert.deepEqual(gateway.admitted, []);
  assert.ok(
    gateway.log.some((line) => line.includes('connection refused') && line.includes(code)),
    `expected a refusal with ${code}, found ${gateway.log.join('')}`,
  );
  await assertServes(gateway.port);
}

test('a client with an svid of a known trust domain is admitted under its id', async () => {
  await using gateway = await rig();
  await assertServes(gateway.port);
  assert.equal(gateway.admitted[0]?.identity.id, 'spiffe://b.test/innocent');
  assert.equal(gateway.admitted[0].alpn, 'h2');
  assert.equal(gateway.admitted[0].remoteAddress, '127.0.0.1');
});

test('A1 XV-9: a leaf that names one domain and is signed by the root of another is refused, both being federated', async () => {
  await using gateway = await rig();
  const forged = forger.svid('/w');
  await assertRefused(gateway, client(gateway.port, forged), 'not-vouched-for');
});

test('A1: the foreign root sent along with the forged leaf changes nothing', async () => {
  await using gateway = await rig();
  const forged = forger.svid('/w');
  const withRoot = { ...forged, chain: [...forged.chain, forger.root.certificate] };
  await assertRefused(gateway, client(gateway.port, withRoot), 'not-vouched-for');
});

test('XV-8: a leaf of an unknown trust domain is refused', async () => {
  await using gateway = await rig();
  await assertRefused(gateway, client(gateway.port, testDomain('c.test').svid('/w')), 'unknown-trust-domain');
});

test('a client without a certificate is refused', async () => {
  await using gateway = await rig();
  await assertRefused(gateway, client(gateway.port, undefined), 'no-certificate');
});

test('A23 A24: TLS 1.2 and older are refused, and with them what knows of renegotiation', async () => {
  await using gateway = await rig();
  const old = client(gateway.port, b.svid('/w'), { maxVersion: 'TLSv1.2' });
  const { code } = await ended(old);
  assert.equal(code, 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
  await assertServes(gateway.port);
});

test('A22: a client without ALPN is closed after its handshake', async () => {
  await using gateway = await rig();
  await assertRefused(gateway, client(gateway.port, b.svid('/w'), { ALPNProtocols: [] }), 'alpn');
});

test('A22: unknown names and more than one name are answered by no_application_protocol', async () => {
  await using gateway = await rig();
  for (const names of [['http/1.1'], ['h3'], ['h2', 'jumpgate-reverse'], ['h2', 'http/1.1'], ['H2']]) {
    const { code } = await ended(client(gateway.port, b.svid('/w'), { ALPNProtocols: names }));
    assert.equal(code, 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL', names.join());
  }
  assert.deepEqual(gateway.admitted, []);
  await assertServes(gateway.port);
});

test('where ordinary clients come, several names are negotiated and none means http/1.1', async () => {
  await using gateway = await rig({ alpnOffer: 'negotiate', alpn: ['h2', 'http/1.1'] });
  const clients = [['http/1.1', 'h2'], ['http/1.1'], []].map((names) =>
    client(gateway.port, b.svid('/w'), { ALPNProtocols: names }),
  );
  for (const socket of clients) await once(socket, 'data');
  assert.deepEqual(gateway.admitted.map(({ alpn }) => alpn).sort(), ['h2', 'http/1.1', 'http/1.1']);
  for (const socket of clients) socket.destroy();
});

test('a protocol for strangers admits clients without a certificate, and to nothing else', async () => {
  const strangers: TLSSocket[] = [];
  await using gateway = await rig({
    stranger: {
      alpn: ['jumpgate-join'],
      onConnection: ({ socket }) => {
        strangers.push(socket);
        socket.end('who are you');
      },
    },
  });
  const { received } = await ended(client(gateway.port, undefined, { ALPNProtocols: ['jumpgate-join'] }));
  assert.equal(received, 'who are you');
  assert.equal(strangers.length, 1);
  await assertRefused(gateway, client(gateway.port, undefined), 'no-certificate');
  assert.equal(strangers.length, 1);
});

test('A26: a client that says nothing, or half of a handshake, is closed at the deadline', async () => {
  await using gateway = await rig({ limits: { handshakeTimeoutMs: 100 } });
  const silent = await rawTcp(gateway.port);
  const halfway = await rawTcp(gateway.port);
  halfway.write(Buffer.from('1603010200010001fc0303', 'hex'));
  await Promise.all([ended(silent), ended(halfway)]);
  assert.deepEqual(gateway.admitted, []);
  await assertServes(gateway.port);
});

test('A25: plain HTTP and noise on the TLS port are closed', async () => {
  await using gateway = await rig();
  for (const bytes of ['GET / HTTP/1.1\r\nhost: x\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '\x00'.repeat(64)]) {
    const socket = await rawTcp(gateway.port);
    socket.write(bytes);
    const { received } = await ended(socket);
    assert.ok(!received.includes('HTTP'));
  }
  assert.deepEqual(gateway.admitted, []);
  await assertServes(gateway.port);
});

test('A25: records that lie about their length, unknown alerts and types, and alerts out of turn end that socket alone', async () => {
  await using gateway = await rig();
  for (const hex of [
    '160301ffff',
    '1603014001',
    '15030300020264',
    '1503030002022a',
    '1503030002015a',
    '180303000301',
    'ff0303000100',
    '1403030001011403030001011403030001011403030001011603',
  ]) {
    const socket = await rawTcp(gateway.port);
    socket.end(Buffer.concat([Buffer.from(hex, 'hex'), Buffer.alloc(2_000)]));
    assert.doesNotMatch((await ended(socket)).received, /hello/);
  }
  assert.deepEqual(gateway.admitted, []);
  await assertServes(gateway.port);
});

test('A25: a handshake that arrives octet by octet is carried out like any other', async () => {
  await using gateway = await rig();
  const [near, far] = duplexPair();
  const raw = await rawTcp(gateway.port);
  raw.setNoDelay(true);
  raw.pipe(far);
  far.on('data', (chunk: Buffer) => {
    for (const octet of chunk) raw.write(Buffer.from([octet]));
  });
  const slow = client(gateway.port, b.svid('/w'), { socket: near });
  const [greeting] = (await once(slow, 'data')) as [Buffer];
  assert.equal(greeting.toString(), 'hello');
  assert.equal(gateway.admitted[0]?.identity.id, 'spiffe://b.test/w');
  slow.destroy();
  raw.destroy();
});

test('A19: a client that comes again with another certificate is its new self, with nothing of the old session', async () => {
  await using gateway = await rig();
  let session: Buffer | undefined;
  for (const path of ['/one', '/two', '/one']) {
    const socket = client(gateway.port, b.svid(path), session === undefined ? {} : { session });
    const outcome = await new Promise((resolve) => {
      socket.once('data', () => resolve('greeted'));
      socket.once('close', () => resolve('closed'));
    });
    assert.equal(outcome, 'greeted');
    assert.equal(gateway.admitted.at(-1)?.identity.id, `spiffe://b.test${path}`);
    assert.equal(socket.isSessionReused(), false);
    session = await sessionAfterEcho(socket);
    socket.destroy();
  }
});

test('A16 A17 A18: no session is offered, and one taken along is not resumed', async () => {
  await using gateway = await rig();
  const first = client(gateway.port, b.svid('/w'));
  const sessions: Buffer[] = [];
  first.on('session', (session) => sessions.push(session));
  await once(first, 'data');
  const session = await sessionAfterEcho(first);
  first.destroy();
  assert.deepEqual(sessions, []);
  const again = client(gateway.port, undefined, session === undefined ? {} : { session });
  const { received } = await ended(again);
  assert.notEqual(again.isSessionReused(), true);
  assert.equal(received, '');
  assert.equal(gateway.admitted.length, 1);
});

test('a verifier that throws refuses that connection and no other', async () => {
  let calls = 0;
  await using gateway = await rig({
    admit: (chain) => {
      calls += 1;
      if (calls === 1) throw new Error('a bug');
      return verifySvid({ chain, trust, role: 'client', nowMs: systemClock.now() });
    },
  });
  assert.equal((await ended(client(gateway.port, b.svid('/w')))).received, '');
  assert.deepEqual(gateway.admitted, []);
  await assertServes(gateway.port);
});

test('a failure in what takes the connection over closes that connection and no other', async () => {
  let calls = 0;
  await using gateway = await rig({
    onConnection: ({ socket }) => {
      calls += 1;
      if (calls === 1) throw new Error('a bug');
      socket.write('hello');
    },
  });
  assert.equal((await ended(client(gateway.port, b.svid('/w')))).received, '');
  await assertServes(gateway.port);
});

test('connections over the limit are closed before their handshake', async () => {
  await using gateway = await rig({ limits: { connectionsMax: 1 } });
  const first = client(gateway.port, b.svid('/w'));
  await once(first, 'data');
  const second = await rawTcp(gateway.port);
  await ended(second);
  const gone = once(gateway.admitted[0]!.socket, 'close');
  first.destroy();
  await gone;
  await assertServes(gateway.port);
});

test('a client that resets its connection in the middle does no harm', async () => {
  await using gateway = await rig();
  const halfway = await rawTcp(gateway.port);
  halfway.resetAndDestroy();
  const raw = await rawTcp(gateway.port);
  const whole = client(gateway.port, b.svid('/w'), { socket: raw });
  await once(whole, 'data');
  const gone = new Promise((resolve) => gateway.admitted[0]!.socket.once('close', resolve));
  whole.on('error', () => undefined);
  raw.resetAndDestroy();
  await gone;
  await assertServes(gateway.port);
});

test('disposing of a listener closes what it admitted and what is still shaking hands', async () => {
  const gateway = await rig();
  const silent = await rawTcp(gateway.port);
  const whole = client(gateway.port, b.svid('/w'));
  await once(whole, 'data');
  const all = Promise.all([ended(silent), ended(whole)]);
  await gateway[Symbol.asyncDispose]();
  await all;
});

test('a listener that stops accepting keeps the connections it has', async () => {
  await using gateway = await rig();
  const whole = client(gateway.port, b.svid('/w'));
  await once(whole, 'data');
  await gateway.listener.stopAccepting();
  await assert.rejects(rawTcp(gateway.port), { code: 'ECONNREFUSED' });
  whole.write('still here');
  const [echo] = (await once(whole, 'data')) as [Buffer];
  assert.equal(echo.toString(), 'still here');
  whole.destroy();
});

test('new handshakes show the rotated svid, and live connections stay', async () => {
  const svid = svidSource(a.svid('/jumpgate'));
  await using gateway = await rig({ svid });
  const serialOf = (socket: TLSSocket): string | undefined => socket.getPeerX509Certificate()?.serialNumber;
  const before = client(gateway.port, b.svid('/w'));
  await once(before, 'data');
  svid.rotate(a.svid('/jumpgate'));
  const after = client(gateway.port, b.svid('/w'));
  await once(after, 'data');
  assert.notEqual(serialOf(after), serialOf(before));
  before.write('alive');
  await once(before, 'data');
  before.destroy();
  after.destroy();
});

test('A30: an svid whose key is another one is not taken, and the old one stays', async () => {
  const svid = svidSource(a.svid('/jumpgate'));
  await using gateway = await rig({ svid });
  svid.rotate({ ...a.svid('/jumpgate'), key: b.svid('/x').key });
  await assertServes(gateway.port);
  assert.ok(gateway.log.some((line) => line.includes('keeping the old one')));
  await assert.rejects(rig({ svid: svidSource({ ...a.svid('/jumpgate'), key: b.svid('/x').key }) }), {
    code: 'certificate-unusable',
  });
});

test('a flood of refusals does not fill the log', async () => {
  await using gateway = await rig();
  for (let round = 0; round < 30; round += 1) {
    const socket = await rawTcp(gateway.port);
    socket.write('noise noise noise');
    await ended(socket);
  }
  assert.equal(gateway.log.filter((line) => line.includes('connection refused')).length, 20);
});

/** Dialling: hostile servers, failures that name their step, and the self-test of the runtime. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls';

import { systemClock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { silentLog } from '../../base/log.ts';
import { connectMutualTls, connectServerTls, type MutualTlsConnectOptions } from '../../trust-bundles/tls/connect.ts';
import { credentialsOf } from '../../trust-bundles/tls/context.ts';
import { listenMutualTls, listenServerTls } from '../../trust-bundles/tls/listen.ts';
import { peerChain } from '../../trust-bundles/tls/peer-chain.ts';
import { selfTestChainGetter } from '../../trust-bundles/tls/self-test.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ended, portOf, rawTls } from '../support/tls.ts';
import { forgingDomain, svidSource, testDomain, trustIn } from '../support/trust.ts';

const a = testDomain('a.test');
const forger = forgingDomain('b.test', 'a.test');
const b = forger.domain;
const trust = trustIn(a, b);

/** A server of node:tls with rules of its own. */
async function rogue(
  options: TlsOptions,
): Promise<AsyncDisposable & { port: number; server: Server; heard: string[] }> {
  const heard: string[] = [];
  const server = createTlsServer({ ...credentialsOf(a.svid('/jumpgate')), ...options }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (data: Buffer) => heard.push(data.toString('latin1')));
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return { ...(await listening(server)), heard };
}

async function listening(server: Server): Promise<AsyncDisposable & { port: number; server: Server }> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    port: address.port,
    server,
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}

function dial(port: number, options: Partial<MutualTlsConnectOptions> = {}): ReturnType<typeof connectMutualTls> {
  return connectMutualTls({
    host: '127.0.0.1',
    port,
    svid: svidSource(b.svid('/jumpgate')),
    alpn: 'h2',
    verify: (chain) => verifySvid({ chain, trust, role: 'server', nowMs: systemClock.now() }),
    signal: new AbortController().signal,
    clock: systemClock,
    ...options,
  });
}

test('a server that proves the expected domain is connected to under its id', async () => {
  await using server = await rogue({ ALPNProtocols: ['h2'] });
  const { identity, alpn, socket } = await dial(server.port);
  assert.equal(identity.id, 'spiffe://a.test/jumpgate');
  assert.equal(alpn, 'h2');
  socket.destroy();
});

test('A1 XV-9: a server with a leaf forged by another federated domain is refused, and hears nothing', async () => {
  await using server = await rogue({ ...credentialsOf(forger.svid('/jumpgate')), ALPNProtocols: ['h2'] });
  await assert.rejects(dial(server.port), (error) => {
    assert.ok(error instanceof JumpgateError && error.cause instanceof JumpgateError);
    assert.equal(error.code, 'untrusted');
    assert.equal(error.cause.code, 'not-vouched-for');
    return true;
  });
  assert.deepEqual(server.heard, []);
});

test('a verifier that throws refuses the server', async () => {
  await using server = await rogue({ ALPNProtocols: ['h2'] });
  const verify = (): never => {
    throw new Error('a bug');
  };
  await assert.rejects(dial(server.port, { verify }), /a bug/);
});

test('A22: a server that speaks another protocol or ignores ALPN is refused', async () => {
  await using other = await rogue({ ALPNProtocols: ['http/1.1'] });
  await assert.rejects(dial(other.port), { code: 'alpn' });
  await using deaf = await rogue({});
  await assert.rejects(dial(deaf.port), { code: 'alpn' });
});

test('A23: a server below TLS 1.3 is refused', async () => {
  await using server = await rogue({ maxVersion: 'TLSv1.2', ALPNProtocols: ['h2'] });
  await assert.rejects(dial(server.port), { code: 'tls' });
});

test('a name that does not resolve fails with dns, in the words of the resolver', async () => {
  const lookup = (): Promise<never> => Promise.reject(new Error('SERVFAIL'));
  await assert.rejects(dial(1, { host: 'gw.a.test', lookup }), { code: 'dns', message: /gw\.a\.test.*SERVFAIL/ });
  await assert.rejects(dial(1, { host: 'gw.a.test', lookup: async () => [] }), { code: 'dns' });
  await assert.rejects(dial(1, { host: 'gw.a.test', lookup: async () => ['not-an-address'] }), { code: 'dns' });
});

test('a port where nobody listens fails with tcp', async () => {
  const server = await listening(createTcpServer());
  await server[Symbol.asyncDispose]();
  await assert.rejects(dial(server.port), { code: 'tcp', message: /ECONNREFUSED/ });
});

test('every address of a name is tried', async () => {
  await using server = await rogue({ ALPNProtocols: ['h2'] });
  const { socket } = await dial(server.port, { host: 'gw.a.test', lookup: async () => ['127.0.0.2', '127.0.0.1'] });
  assert.equal(socket.remoteAddress, '127.0.0.1');
  socket.destroy();
});

test('a server that closes during the handshake fails with tls', async () => {
  await using server = await listening(
    createTcpServer((socket) =>
      socket
        .on('error', () => undefined)
        .resume()
        .end('not tls'),
    ),
  );
  await assert.rejects(dial(server.port), { code: 'tls' });
});

test('a server that accepts and says nothing fails with timeout at the deadline', async () => {
  const clock = new ManualClock();
  await using server = await listening(createTcpServer((socket) => socket.on('error', () => undefined).resume()));
  const accepted = once(server.server, 'connection') as Promise<[TLSSocket]>;
  const failed = assert.rejects(dial(server.port, { clock, timeoutMs: 5_000 }), { code: 'timeout' });
  const [socket] = await accepted;
  const closed = ended(socket);
  clock.advance(4_999);
  assert.equal(clock.pending, 1);
  clock.advance(1);
  await failed;
  await closed;
});

test('a resolver that never answers is not waited for beyond the deadline', async () => {
  const clock = new ManualClock();
  const failed = assert.rejects(dial(1, { host: 'gw.a.test', clock, lookup: () => new Promise(() => undefined) }), {
    code: 'timeout',
  });
  clock.advance(10_000);
  await failed;
});

test('an aborted dial ends with the reason of its signal and closes its socket', async () => {
  const controller = new AbortController();
  await using server = await listening(createTcpServer((socket) => socket.on('error', () => undefined).resume()));
  const accepted = once(server.server, 'connection') as Promise<[TLSSocket]>;
  const failed = assert.rejects(dial(server.port, { signal: controller.signal }), /enough/);
  const [socket] = await accepted;
  const closed = ended(socket);
  controller.abort(new Error('enough'));
  await failed;
  await closed;
  await assert.rejects(dial(server.port, { signal: AbortSignal.abort(new Error('before')) }), /before/);
});

test('SNI is the host name dialled, and absent for addresses and odd names', async () => {
  const names: (string | undefined)[] = [];
  await using listener = await listenServerTls({
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    credentials: credentialsOf(a.svid('/jumpgate')),
    alpn: ['h2'],
    onConnection: ({ socket, serverName }) => {
      names.push(serverName);
      socket.end('x');
    },
    log: silentLog,
    clock: systemClock,
  });
  const verify = (chain: readonly Uint8Array[]): ReturnType<typeof verifySvid> =>
    verifySvid({ chain, trust, role: 'server', nowMs: systemClock.now() });
  for (const host of ['GW.a.test', '127.0.0.1', 'under_score.a.test']) {
    const { socket } = await connectServerTls({
      host,
      port: portOf(listener),
      alpn: 'h2',
      verify,
      signal: new AbortController().signal,
      clock: systemClock,
      lookup: async () => ['127.0.0.1'],
    });
    await ended(socket);
  }
  assert.deepEqual(names, ['gw.a.test', undefined, undefined]);
});

test('A18: a session that was resumed is refused by the chain getter', async () => {
  const verdicts: string[] = [];
  const server = createTlsServer({ ...credentialsOf(a.svid('/w')), ca: [], maxVersion: 'TLSv1.2' }, (socket) => {
    const peer = peerChain(socket);
    verdicts.push(peer.kind === 'rejected' ? peer.code : 'chain');
    socket.end('x');
  });
  await using rig = await listening(server);
  const first = rawTls(rig.port, {});
  const sessions: Buffer[] = [];
  first.on('session', (session) => sessions.push(session));
  await ended(first);
  const session = sessions[0];
  assert.ok(session !== undefined);
  const second = rawTls(rig.port, { session });
  await ended(second);
  assert.deepEqual(verdicts, ['no-certificate', 'session-resumed']);
});

test('A16 A17 A24: a one-way listener speaks TLS 1.2 and 1.3, resumes nothing and lets nobody renegotiate', async () => {
  await using listener = await listenServerTls({
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    credentials: credentialsOf(a.svid('/jumpgate')),
    alpn: ['h2', 'http/1.1'],
    onConnection: ({ socket }) => {
      socket.on('data', () => socket.end());
      socket.write('x');
    },
    log: silentLog,
    clock: systemClock,
  });
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = rawTls(portOf(listener), { minVersion: version, maxVersion: version, ALPNProtocols: ['h2'] });
    await once(socket, 'data');
    assert.equal(socket.getProtocol(), version);
    const session = socket.getSession();
    socket.destroy();
    const again = rawTls(portOf(listener), {
      minVersion: version,
      maxVersion: version,
      ...(session === undefined ? {} : { session }),
    });
    await once(again, 'data');
    assert.equal(again.isSessionReused(), false, version);
    again.destroy();
  }
  const old = rawTls(portOf(listener), { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' });
  assert.equal((await ended(old)).received, '');
  const talker = rawTls(portOf(listener), { maxVersion: 'TLSv1.2' });
  await once(talker, 'data');
  let renegotiated = false;
  talker.renegotiate({ rejectUnauthorized: false }, (error) => (renegotiated = error === null));
  talker.write('go on');
  await ended(talker);
  assert.equal(renegotiated, false);
});

test('a replaced certificate is shown to new clients, and an unusable one is refused', async () => {
  await using listener = await listenServerTls({
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    credentials: credentialsOf(a.svid('/one')),
    alpn: ['h2'],
    onConnection: ({ socket }) => socket.write('x'),
    log: silentLog,
    clock: systemClock,
  });
  const shown = async (): Promise<string | undefined> => {
    const socket = rawTls(portOf(listener), {});
    await once(socket, 'data');
    const name = socket.getPeerX509Certificate()?.subjectAltName;
    socket.destroy();
    return name;
  };
  assert.equal(await shown(), 'URI:spiffe://a.test/one');
  listener.replaceCertificate(credentialsOf(a.svid('/two')));
  assert.equal(await shown(), 'URI:spiffe://a.test/two');
  const { key } = credentialsOf(b.svid('/x'));
  for (const broken of [
    { cert: credentialsOf(a.svid('/three')).cert, key },
    { cert: 'not pem', key },
    { cert: '', key: '' },
  ]) {
    assert.throws(() => listener.replaceCertificate(broken), { code: 'certificate-unusable' });
  }
  assert.equal(await shown(), 'URI:spiffe://a.test/two');
});

test('an address in use is named, and the socket file of a dead process is replaced', async () => {
  const options = {
    svid: svidSource(a.svid('/jumpgate')),
    alpn: ['h2'],
    admit: () => ({ kind: 'rejected', code: 'x', message: 'x' }) as const,
    onConnection: () => undefined,
    log: silentLog,
    clock: systemClock,
  };
  await using first = await listenMutualTls({ ...options, address: { kind: 'tcp', host: '127.0.0.1', port: 0 } });
  await assert.rejects(listenMutualTls({ ...options, address: first.address }), {
    code: 'address-in-use',
    message: new RegExp(`127\\.0\\.0\\.1:${portOf(first)}`),
  });
  const directory = await mkdtemp(join(tmpdir(), 'jumpgate-tls-'));
  try {
    const address = { kind: 'unix', path: join(directory, 'jump.sock') } as const;
    await leaveSocketFile(address.path);
    await using second = await listenMutualTls({ ...options, address });
    assert.deepEqual(second.address, address);
    await assert.rejects(listenMutualTls({ ...options, address }), { code: 'address-in-use' });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

/** What kill -9 leaves behind: a socket file that nobody listens on. */
async function leaveSocketFile(path: string): Promise<void> {
  const { execFileSync } = await import('node:child_process');
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  assert.throws(() => execFileSync(process.execPath, ['-e', script]), { signal: 'SIGKILL' });
}

test('the self-test passes here, and fails where the runtime hides certificates', async () => {
  await selfTestChainGetter(systemClock);
  await assert.rejects(
    selfTestChainGetter(systemClock, () => 1),
    { code: 'runtime-hides-chain', message: /found 1 as server and 1 as client/ },
  );
});

/** TLS around tunnels: passed through by name without a key of ours, and ended at an import's listener of mutual TLS. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import {
  connect as connectTls,
  type ConnectionOptions,
  createServer as createTlsServer,
  type TLSSocket,
} from 'node:tls';

import { codeOf } from '../../base/errors.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { alpnExtension, hello, serverNameExtension } from '../support/client-hello-writer.ts';
import { listen } from '../support/forward-rig.ts';
import { until } from '../support/gateways.ts';
import { bundleMap, pem, svidSource, testDomain } from '../support/trust.ts';
import { startTunnels, tcpService, type TunnelRig } from '../support/tunnel-rig.ts';

const LIMIT = { timeout: 30_000 };
const NAMES = ['vault.shop.example', '*.vault.shop.example'];
const UNRECOGNIZED_NAME = Buffer.from([21, 3, 3, 0, 2, 2, 112]);

/** A TLS service that says which name it was asked for, then echoes. */
async function tlsService(): Promise<{ readonly port: number; readonly fingerprint: string } & AsyncDisposable> {
  const credentials = pem(testDomain('vault.test').svid('/service'));
  const sockets = new Set<TLSSocket>();
  const server = createTlsServer({ ...credentials, ALPNProtocols: ['h2', 'http/1.1'] }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    const name = 'servername' in socket ? String(socket.servername) : '';
    socket.write(`${name} ${String(socket.alpnProtocol)}\n`);
    socket.pipe(socket);
  });
  server.on('tlsClientError', () => undefined);
  const port = await listen(server);
  return {
    port,
    fingerprint: new X509Certificate(credentials.cert).fingerprint256,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Shakes hands through the tunnel: the certificate that was shown and the first line, or the code of the error. */
async function ask(port: number, options: ConnectionOptions): Promise<readonly string[]> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  try {
    const [line] = (await once(socket, 'data')) as [Buffer];
    socket.write('ping');
    const [echoed] = (await once(socket, 'data')) as [Buffer];
    assert.equal(echoed.toString(), 'ping');
    return [socket.getPeerX509Certificate()?.fingerprint256 ?? '', line.toString().trim()];
  } catch (error) {
    return [codeOf(error) ?? String(error)];
  } finally {
    socket.destroy();
  }
}

/** What comes back for these bytes, sent as one piece or byte by byte, and how the connection ends. */
async function say(rig: TunnelRig, bytes: Uint8Array, half = false): Promise<{ heard: Buffer; how: string }> {
  const socket = connect({ port: rig.port('vault'), host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const heard: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => heard.push(chunk));
  if (half) socket.end(bytes);
  else socket.write(bytes);
  const how = await new Promise<string>((resolve) => {
    socket.once('end', () => resolve('end'));
    socket.once('error', (error) => resolve(codeOf(error) ?? 'error'));
  });
  socket.destroy();
  return { heard: Buffer.concat(heard), how };
}

test('names that are served get through, exact and by wildcard, to the keys of the service alone', LIMIT, async () => {
  await using service = await tlsService();
  await using rig = await startTunnels([{ name: 'vault', ports: [service.port], serverNames: NAMES }]);
  const port = rig.port('vault');
  const got = await ask(port, { servername: 'vault.shop.example', ALPNProtocols: ['h2'] });
  assert.deepEqual(got, [service.fingerprint, 'vault.shop.example h2']);
  const below = await ask(port, { servername: 'eu.vault.shop.example', maxVersion: 'TLSv1.2' });
  assert.deepEqual(below, [service.fingerprint, 'eu.vault.shop.example false']);
  assert.deepEqual(await ask(port, { servername: 'VAULT.shop.example' }), [
    service.fingerprint,
    'VAULT.shop.example false',
  ]);
  await until('the records', () => rig.records.length === 6);
  // Callers and their bytes are all that is known of it.
  assert.deepEqual([...new Set(rig.records.map(({ host, status }) => `${host} ${status}`))], ['vault.eu.test:443 200']);
});

test('other names, and none, get the alert that says so; nobody is dialled for them', LIMIT, async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  await using rig = await startTunnels([{ name: 'vault', ports: [service.port], serverNames: NAMES }]);
  const port = rig.port('vault');
  for (const servername of ['shop.example', 'a.b.vault.shop.example', 'evil.example', ''])
    assert.deepEqual(await ask(port, { servername }), ['ERR_SSL_TLSV1_UNRECOGNIZED_NAME'], servername);
  for (const record of rig.records)
    assert.deepEqual([record.direction, record.reason, record.status], ['outbound', 'server-name-unserved', 404]);
  assert.equal(service.sockets.size, 0);
  assert.equal(rig.live.us.size, 0);
});

test('the exporter looks for itself: a name that only the importer believes in is reset', LIMIT, async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  const imported = { serverNames: ['evil.example'] };
  await using rig = await startTunnels([{ name: 'vault', ports: [service.port], serverNames: NAMES, imported }]);
  const sent = hello({ extensions: [serverNameExtension('evil.example')] });
  assert.equal((await say(rig, sent)).how, 'ECONNRESET');
  assert.equal((await rig.record('inbound')).reason, 'server-name-unserved');
  assert.equal(service.sockets.size, 0);
});

test('every byte of a hello goes on as it came, in whatever pieces', LIMIT, async () => {
  const arrived: Promise<Buffer>[] = [];
  await using service = await tcpService((socket) => {
    arrived.push(buffer(socket));
    socket.end();
  });
  await using rig = await startTunnels([{ name: 'vault', ports: [service.port], serverNames: NAMES }]);
  const whole = Buffer.concat([
    hello({ extensions: [serverNameExtension('vault.shop.example'), alpnExtension('h2', 'x')] }),
    Buffer.from('and what else the client sends at once'),
  ]);
  const socket = connect({ port: rig.port('vault'), host: '127.0.0.1', allowHalfOpen: true, noDelay: true }).resume();
  for (const byte of whole) {
    socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
  await once(socket, 'close');
  assert.equal(arrived.length, 1);
  assert.ok((await arrived[0])?.equals(whole));
});

test('what is no ClientHello gets an alert or a reset, in time, and never the service', LIMIT, async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  await using rig = await startTunnels([{ name: 'vault', ports: [service.port], serverNames: NAMES }], {
    limits: { handshakeMs: 300 },
  });
  const name = serverNameExtension('vault.shop.example');
  const alert = (description: number): Buffer => Buffer.from([21, 3, 3, 0, 2, 2, description]);
  const cases: readonly (readonly [what: string, bytes: Buffer, alert: Buffer])[] = [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: vault.shop.example\r\n\r\n'), alert(10)],
    ['SSLv2', Buffer.from([0x80, 0x2e, 1, 0, 2]), alert(70)],
    ['an empty record', Buffer.from([22, 3, 1, 0, 0]), alert(10)],
    ['a record that is too long', Buffer.from([22, 3, 1, 0xff, 0xff]), alert(22)],
    ['the name twice', hello({ extensions: [name, name] }), alert(47)],
    ['a name with a dot at its end', hello({ extensions: [serverNameExtension('vault.shop.example.')] }), alert(47)],
    ['a name with NUL', hello({ extensions: [serverNameExtension('vault.shop.example\0.evil')] }), alert(47)],
    ['no extensions', hello({}), UNRECOGNIZED_NAME],
  ];
  for (const [what, bytes, expected] of cases) {
    const { heard, how } = await say(rig, bytes);
    assert.deepEqual([heard.toString('hex'), how], [expected.toString('hex'), 'end'], what);
  }
  const good = hello({ extensions: [name] });
  assert.equal((await say(rig, good.subarray(0, 40))).how, 'ECONNRESET', 'half a hello, and then silence');
  assert.equal((await say(rig, good.subarray(0, 40), true)).how, 'ECONNRESET', 'half a hello, and then the end');
  const reasons = rig.records.map(({ reason }) => reason);
  assert.deepEqual(reasons.slice(-2), ['deadline', 'client-hello-malformed']);
  assert.equal(service.sockets.size, 0);
  assert.deepEqual([rig.live.us.size, rig.link.streams], [0, 0]);
});

test(
  'an import with mutual TLS takes its callers from their SVIDs; other domains and strangers do not come in',
  LIMIT,
  async () => {
    await using service = await tcpService((socket) => {
      socket.write('ready ');
      socket.on('data', (chunk: Buffer) => socket.write(chunk));
      socket.once('end', () => socket.end(' bye'));
    });
    const own = testDomain('us.test');
    const other = testDomain('eu.test');
    const mutualTls = svidSource(own.svid('/jumpgate'));
    const who = ['spiffe://us.test/ns/shop/**'] as const;
    await using rig = await startTunnels([{ name: 'vault', ports: [service.port], imported: { who } }], {
      mutualTls,
      us: { bundles: bundleMap(own, other) },
    });
    const tls = { port: rig.port('vault'), host: '127.0.0.1', rejectUnauthorized: false, allowHalfOpen: true } as const;
    const talk = async (svid: X509Svid | undefined, options: ConnectionOptions = {}): Promise<string> => {
      const socket = connectTls({ ...tls, ...(svid === undefined ? {} : pem(svid)), ...options });
      socket.end('hello');
      return buffer(socket).then(
        (all) => all.toString(),
        (error: unknown) => codeOf(error) ?? String(error),
      );
    };
    assert.equal(await talk(own.svid('/ns/shop/web')), 'ready hello bye');
    const record = await rig.record('inbound');
    assert.equal(record.caller, 'spiffe://us.test/ns/shop/web');
    assert.equal(await talk(own.svid('/ns/shop/web'), { ALPNProtocols: ['postgresql'] }), 'ready hello bye');
    assert.equal(await talk(own.svid('/ns/bank/web')), 'ECONNRESET');
    await until('the refusal', () => rig.records.some(({ reason }) => reason === 'denied-by-import'));
    for (const svid of [other.svid('/ns/shop/web'), undefined]) assert.notEqual(await talk(svid), 'ready hello bye');

    const open = connectTls({ ...tls, ...pem(own.svid('/ns/shop/web')) });
    await once(open, 'data');
    const gone = closing(open);
    // The root behind the SVID is ours no more.
    rig.snapshots.us.replace({ ...rig.snapshots.us.current(), bundles: bundleMap(testDomain('us.test'), other) });
    await gone;
    await until('the service to be told', () => service.sockets.size === 0);
  },
);

async function closing(socket: Socket): Promise<void> {
  socket.on('error', () => undefined).resume();
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
    socket.once('end', () => socket.destroy());
  });
}

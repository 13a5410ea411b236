/** What a client with a good certificate may do to a mutual-TLS listener after, and before, its handshake. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { type TlsListener } from '../../trust-bundles/tls/accept.ts';
import { credentialsOf } from '../../trust-bundles/tls/context.ts';
import { listenMutualTls, type MutualTlsListenOptions } from '../../trust-bundles/tls/listen.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { extension, helloMessage, record } from '../support/client-hello-writer.ts';
import { ended, portOf, rawTcp, rawTls } from '../support/tls.ts';
import { CONTENT, recordWriter, type RecordWriter } from '../support/tls-records.ts';
import { svidSource, testDomain, trustIn } from '../support/trust.ts';

const a = testDomain('a.test');
const b = testDomain('b.test');
const credentials = { ...credentialsOf(b.svid('/w')), ALPNProtocols: ['h2'] };
const FLOOD = 20_000;
const SLOW = 600;
/** What is left of a flood that was worked off: nothing, but collections come when they like. */
const LEFT_BYTES_MAX = 8 * 1024 * 1024;

interface Greeter extends AsyncDisposable {
  readonly listener: TlsListener;
  readonly port: number;
  readonly heard: string[];
  readonly sockets: Socket[];
}

const OPTIONS: MutualTlsListenOptions = {
  address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
  svid: svidSource(a.svid('/jumpgate')),
  alpn: ['h2'],
  admit: (chain) => verifySvid({ chain, trust: trustIn(a, b), role: 'client', nowMs: systemClock.now() }),
  onConnection: () => undefined,
  log: silentLog,
  clock: systemClock,
};

/** A listener that greets whom it admits, and keeps what they say. */
async function greeter(options: Partial<MutualTlsListenOptions> = {}): Promise<Greeter> {
  const heard: string[] = [];
  const sockets: Socket[] = [];
  const onConnection: MutualTlsListenOptions['onConnection'] = ({ socket }) => {
    const index = sockets.push(socket) - 1;
    heard[index] = '';
    socket.on('data', (data: Buffer) => (heard[index] = `${heard[index] ?? ''}${data.toString('latin1')}`));
    socket.write('hello');
  };
  const listener = await listenMutualTls({ ...OPTIONS, onConnection, ...options });
  return {
    listener,
    port: portOf(listener),
    heard,
    sockets,
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

async function assertServes(port: number): Promise<void> {
  const socket = rawTls(port, credentials);
  const [greeting] = (await once(socket, 'data')) as [Buffer];
  assert.equal(greeting.toString(), 'hello');
  socket.destroy();
}

async function says(gateway: Greeter, index: number, expected: string): Promise<void> {
  const socket = gateway.sockets[index];
  assert.ok(socket !== undefined);
  while ((gateway.heard[index]?.length ?? 0) < expected.length) await once(socket, 'data');
  assert.equal(gateway.heard[index], expected);
}

test('A25: records of one octet, and key updates between them, say what they say', async () => {
  await using gateway = await greeter();
  const client = await recordWriter(gateway.port, credentials);
  const text = 'one octet at a time'.repeat(20);
  const parts = Array.from(Buffer.from(text), (octet, index) => [
    client.seal(CONTENT.application, Buffer.from([octet])),
    ...(index % 7 === 0 ? [client.keyUpdate('quiet')] : []),
  ]);
  client.socket.write(Buffer.concat(parts.flat()));
  await says(gateway, 0, text);
  client.socket.destroy();
});

test('A25: a flood of key updates that ask for others is worked off or ended, holds no memory, and nobody else sees it', async () => {
  await using gateway = await greeter();
  const client = await recordWriter(gateway.port, credentials);
  const over = ended(client.socket);
  const before = heldBytes();
  const updates = Array.from({ length: FLOOD }, () => client.keyUpdate('asking'));
  client.socket.write(Buffer.concat([...updates, client.seal(CONTENT.application, Buffer.from('done'))]));
  await assertServes(gateway.port);
  await Promise.race([says(gateway, 0, 'done'), over]);
  assert.ok(heldBytes() - before < LEFT_BYTES_MAX);
  client.socket.destroy();
  await over;
  await assertServes(gateway.port);
});

const AFTERWARDS: Readonly<Record<string, (client: RecordWriter) => Buffer>> = {
  'A24: a ClientHello within a connection': (client) =>
    client.seal(CONTENT.handshake, helloMessage({ extensions: [] })),
  'A24: a HelloRequest': (client) => client.seal(CONTENT.handshake, Buffer.from([0, 0, 0, 0])),
  'A25: a certificate after the handshake': (client) =>
    client.seal(CONTENT.handshake, Buffer.from([11, 0, 0, 4, 0, 0, 0, 0])),
  'A25: a key update of no known kind': (client) => client.seal(CONTENT.handshake, Buffer.from([24, 0, 0, 1, 9])),
  'A25: a ticket from a client': (client) => client.seal(CONTENT.handshake, Buffer.from([4, 0, 0, 1, 0])),
  'A25: EndOfEarlyData without any': (client) => client.seal(CONTENT.handshake, Buffer.from([5, 0, 0, 0])),
  'A25: a record of no known type': (client) => client.seal(99, Buffer.from('x')),
  'A25: a record that is only padding': (client) => client.seal(0, Buffer.alloc(100)),
  'A25: more than a record may hold': (client) => client.seal(CONTENT.application, Buffer.alloc(2 ** 14 + 1)),
  'A25: a fatal alert': (client) => client.seal(CONTENT.alert, Buffer.from([2, 40])),
  'A25: half an alert': (client) => client.seal(CONTENT.alert, Buffer.from([2])),
  'A25: a record in the clear': () => record(Buffer.from('x'), CONTENT.application),
};

for (const [name, write] of Object.entries(AFTERWARDS))
  test(`${name} ends that connection, and what follows is not heard`, async () => {
    await using gateway = await greeter();
    const client = await recordWriter(gateway.port, credentials);
    client.socket.write(Buffer.concat([write(client), client.seal(CONTENT.application, Buffer.from('after'))]));
    await ended(client.socket);
    assert.deepEqual(gateway.heard, ['']);
    await assertServes(gateway.port);
  });

test('A25: 0-RTT data is no data: nothing of it is read, and its sender gets no further', async () => {
  await using gateway = await greeter({ limits: { handshakeTimeoutMs: 500 } });
  const hello = await helloOfNode();
  const socket = await rawTcp(gateway.port);
  const early = record(Buffer.from('GET / HTTP/1.1\r\n\r\n'), CONTENT.application);
  socket.write(Buffer.concat([record(withEarlyData(hello)), early, early]));
  const { received } = await ended(socket);
  // What the server says ends in alerts or silence; a hello of its own would mean that it took the extension for sound.
  assert.doesNotMatch(received, /hello/);
  assert.deepEqual(gateway.heard, []);
  await assertServes(gateway.port);
});

test('A29: a choice of ALPN that throws ends that connection and no other', async () => {
  let isBroken = false;
  await using listener = await listenMutualTls({
    ...OPTIONS,
    onConnection: ({ socket }) => void socket.write('hello'),
    get alpnOffer(): 'exactly-one' {
      if (isBroken) throw new Error('a bug');
      return 'exactly-one';
    },
  });
  const established = rawTls(portOf(listener), credentials);
  await once(established, 'data');
  isBroken = true;
  assert.equal((await ended(rawTls(portOf(listener), credentials))).received, '');
  isBroken = false;
  await assertServes(portOf(listener));
  assert.equal(established.closed, false);
  established.destroy();
});

test('A26: hundreds of silent and half-finished handshakes are closed at the deadline, and an innocent gets in meanwhile', async () => {
  await using gateway = await greeter({ limits: { handshakeTimeoutMs: 3_000 } });
  const hello = await helloOfNode();
  const beginnings = [Buffer.alloc(0), record(hello).subarray(0, 40), record(hello)];
  const sockets = await Promise.all(
    Array.from({ length: SLOW }, async (_, index) => {
      const socket = await rawTcp(gateway.port);
      socket.write(beginnings[index % beginnings.length] ?? '');
      return socket;
    }),
  );
  let closed = 0;
  const all = Promise.all(sockets.map((socket) => ended(socket).then(() => (closed += 1))));
  await assertServes(gateway.port);
  assert.equal(closed, 0, 'they were there when the innocent came');
  await all;
  assert.deepEqual(gateway.heard, ['']);
});

/** The ClientHello message that node:tls begins with. */
async function helloOfNode(): Promise<Buffer> {
  const [near, far] = duplexPair();
  const client = rawTls(0, { ...credentials, socket: near });
  client.on('error', () => undefined);
  const [bytes] = (await once(far, 'data')) as [Buffer];
  client.destroy();
  return bytes.subarray(5);
}

/** The same with an empty `early_data` extension (RFC 8446 §4.2.10) as its last. */
function withEarlyData(message: Buffer): Buffer {
  const session = 4 + 2 + 32;
  const ciphers = session + 1 + message.readUInt8(session);
  const compressions = ciphers + 2 + message.readUInt16BE(ciphers);
  const extensions = compressions + 1 + message.readUInt8(compressions);
  const grown = Buffer.concat([message, extension(42, Buffer.alloc(0))]);
  grown.writeUInt16BE(message.readUInt16BE(extensions) + 4, extensions);
  grown.writeUIntBE(message.readUIntBE(1, 3) + 4, 1, 3);
  return grown;
}

/** After a collection. */
function heldBytes(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** The HTTP/2 engine on real sockets, with node:http2 as the other end of each role. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import { suite, test, type TestContext } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { LINK_CONNECTION, STRANGER_CONNECTION } from '../../gateway/http2/limits.ts';
import { type Field } from '../../gateway/message/field.ts';
import { type RequestHead } from '../../gateway/message/head.ts';
import { field } from '../../gateway/message/names.ts';
import { type RequestListener, type ResponseReceiver, type StreamReceiver } from '../../gateway/message/stream.ts';
import { connectHttp2, serveHttp2, type ConnectedHttp2, type Http2Socket } from '../../gateway/socket/http2-socket.ts';

const text = (fields: readonly Field[]): Record<string, string> =>
  Object.fromEntries(fields.map(({ name, value }) => [name.text, value]));

/** Answers each request with what came of it. */
class Echo implements RequestListener {
  readonly resets: number[] = [];
  readonly refused: string[] = [];
  requests = 0;

  onRequest(...[stream, head, end]: Parameters<RequestListener['onRequest']>): StreamReceiver {
    this.requests += 1;
    const { resets } = this;
    if (head.path.value === '/early') stream.inform({ status: 103, fields: [field('link', '</a>')] });
    const respond = (last: boolean): void =>
      stream.respond({ status: 200, fields: [field('x-method', head.method.value)] }, last);
    if (head.path.value !== '/never') respond(end);
    if (head.path.value === '/reset') stream.reset(2);
    return {
      onData: (bytes, last) => {
        if (head.path.value === '/never') return;
        if (bytes.length > 0) stream.write(bytes, false);
        if (last) stream.finish([field('x-trailer', 'ours')]);
      },
      onTrailers: (trailers) => stream.finish([field('x-trailer', text(trailers)['x-sum'] ?? '')]),
      onReset: (code) => void resets.push(code),
      onSent: (bytes) => stream.credit(bytes),
    };
  }

  onRefused(reason: string): void {
    this.refused.push(reason);
  }
}

interface Served {
  readonly port: number;
  readonly echo: Echo;
  readonly connections: Http2Socket[];
}

async function serveEcho(t: TestContext, limits = STRANGER_CONNECTION): Promise<Served> {
  const echo = new Echo();
  const connections: Http2Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    connections.push(serveHttp2(socket, { clock: systemClock, limits, listener: echo, scheme: 'http' }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    for (const connection of connections) connection.destroy();
    await Promise.all(connections.map(({ closed }) => closed));
    server.close();
    await once(server, 'close');
  });
  return { port: (server.address() as AddressInfo).port, echo, connections };
}

async function nodeClient(t: TestContext, port: number): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(`http://127.0.0.1:${String(port)}`);
  session.on('error', () => undefined);
  t.after(() => session.destroy());
  await once(session, 'remoteSettings');
  return session;
}

interface Outcome {
  readonly body: Buffer;
  readonly headers: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly code: number;
}

async function nodeCall(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: Buffer,
): Promise<Outcome> {
  const stream = session.request(headers, { endStream: body === undefined, waitForTrailers: body !== undefined });
  let answered: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders = {};
  const chunks: Buffer[] = [];
  stream.on('response', (received: http2.IncomingHttpHeaders) => (answered = received));
  stream.on('trailers', (received: http2.IncomingHttpHeaders) => (trailers = received));
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'theirs' }));
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => undefined);
  if (body !== undefined) stream.end(body);
  // Not `once` of node:events, which fails with the errors that are expected here.
  await new Promise<void>((resolve) => {
    stream.once('close', resolve);
  });
  return { body: Buffer.concat(chunks), headers: answered, trailers, code: stream.rstCode };
}

const sizes = [0, 1, 100, 16_384, 16_385, 65_535, 65_536, 1_000_000];

suite('our server, node as client', () => {
  test('bodies of many sizes come back whole, with trailers', async (t) => {
    const { port } = await serveEcho(t);
    const session = await nodeClient(t, port);
    for (const size of sizes) {
      const body = Buffer.alloc(size, 'abcdefg');
      const outcome = await nodeCall(session, { ':path': '/', ':method': 'POST' }, body);
      assert.ok(outcome.body.equals(body), `${String(size)} bytes`);
      assert.equal(outcome.headers['x-method'], 'POST');
      assert.equal(outcome.trailers['x-trailer'], 'theirs');
      assert.equal(outcome.code, 0);
    }
  });

  test('a hundred calls at once, each its own body', async (t) => {
    const { port, connections } = await serveEcho(t);
    const session = await nodeClient(t, port);
    const bodies = Array.from({ length: 100 }, (_, index) => Buffer.alloc(30_000 + index, `${String(index)},`));
    const outcomes = await Promise.all(bodies.map((body) => nodeCall(session, { ':method': 'POST' }, body)));
    outcomes.forEach(({ body }, index) => assert.ok(bodies[index]?.equals(body)));
    assert.equal(connections[0]?.streams, 0);
    assert.equal(connections[0].queuedBytes, 0);
  });

  test('interim responses come before the final one', async (t) => {
    const { port } = await serveEcho(t);
    const session = await nodeClient(t, port);
    const stream = session.request({ ':path': '/early' });
    const [interim] = (await once(stream, 'headers')) as [http2.IncomingHttpHeaders & { ':status'?: number }];
    assert.equal(interim[':status'], 103);
    const [final] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders & { ':status'?: number }];
    assert.equal(final[':status'], 200);
    stream.resume();
    await once(stream, 'close');
  });

  test('resets arrive in both directions with their codes', async (t) => {
    const { port, echo } = await serveEcho(t);
    const session = await nodeClient(t, port);
    assert.equal((await nodeCall(session, { ':path': '/reset', ':method': 'POST' }, Buffer.alloc(5))).code, 2);
    const stream = session.request({ ':path': '/never', ':method': 'POST' }, { endStream: false });
    stream.on('error', () => undefined);
    stream.write('x');
    while (echo.requests < 2) await new Promise((resolve) => setImmediate(resolve));
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await once(stream, 'close');
    while (echo.resets.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(echo.resets, [8]);
  });

  test('finish lets calls under way end, takes no others, and closes', async (t) => {
    const { port, connections } = await serveEcho(t);
    const session = await nodeClient(t, port);
    const stream = session.request({ ':method': 'POST' }, { endStream: false });
    stream.write('before');
    await once(stream, 'response');
    const going = once(session, 'goaway');
    connections[0]?.finish();
    await going;
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.end(' after');
    await once(stream, 'close');
    assert.equal(Buffer.concat(chunks).toString(), 'before after');
    await connections[0]?.closed;
  });

  test('a ping comes back, and is refused once the connection is over', async (t) => {
    const { port, connections } = await serveEcho(t);
    await nodeClient(t, port);
    const [connection] = connections;
    assert.ok(connection !== undefined);
    assert.ok((await connection.ping()) >= 0);
    connection.destroy();
    await connection.closed;
    await assert.rejects(connection.ping(), /the connection is over/);
  });

  test('a lost connection resets every stream to its receiver', async (t) => {
    const { port, echo, connections } = await serveEcho(t);
    const session = await nodeClient(t, port);
    for (let index = 0; index < 3; index += 1) {
      session.request({ ':path': '/never', ':method': 'POST' }, { endStream: false }).on('error', () => undefined);
    }
    while (echo.requests < 3) await new Promise((resolve) => setImmediate(resolve));
    session.destroy();
    await connections[0]?.closed;
    assert.equal(echo.resets.length, 3);
    assert.equal(connections[0]?.streams, 0);
  });
});

/** What came of one of our calls. */
class Call implements ResponseReceiver {
  status = 0;
  readonly interim: number[] = [];
  readonly chunks: Buffer[] = [];
  trailers: Record<string, string> = {};
  reset: number | undefined;
  sent = 0;
  readonly done: Promise<void>;
  credit: (bytes: number) => void = () => undefined;
  #resolve: () => void = () => undefined;

  constructor() {
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }
  get body(): Buffer {
    return Buffer.concat(this.chunks);
  }
  onInterim({ status }: { readonly status: number }): void {
    this.interim.push(status);
  }
  onResponse({ status }: { readonly status: number }, end: boolean): void {
    this.status = status;
    if (end) this.#resolve();
  }
  onData(bytes: Uint8Array, end: boolean): void {
    this.chunks.push(Buffer.from(bytes));
    this.credit(bytes.length);
    if (end) this.#resolve();
  }
  onTrailers(trailers: readonly Field[]): void {
    this.trailers = text(trailers);
    this.#resolve();
  }
  onReset(code: number): void {
    this.reset = code;
    this.#resolve();
  }
  onSent(bytes: number): void {
    this.sent += bytes;
  }
}

function headOf(path: string, method: string): RequestHead {
  return {
    method: field(':method', method),
    path: field(':path', path),
    authority: field(':authority', 'a.test'),
    scheme: field(':scheme', 'http'),
    protocol: undefined,
    fields: [field('x-one', '1')],
  };
}

function startCall(client: ConnectedHttp2, path: string, body?: Buffer): Call {
  const call = new Call();
  const stream = client.open(headOf(path, body === undefined ? 'GET' : 'POST'), body === undefined, call);
  assert.ok(stream !== undefined, 'the connection takes no call');
  call.credit = (bytes) => {
    stream.credit(bytes);
  };
  if (body !== undefined) {
    stream.write(body, false);
    stream.finish([field('x-sum', 'ours')]);
  }
  return call;
}

function echoStream(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
  stream.on('error', () => undefined);
  if (headers[':path'] === '/reset') {
    stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    return;
  }
  if (headers[':path'] === '/early') stream.additionalHeaders({ ':status': 103 });
  if (headers[':path'] === '/head') {
    stream.respond({ ':status': 204 }, { endStream: true });
    return;
  }
  let sum = '';
  stream.on('trailers', (received: http2.IncomingHttpHeaders) => (sum = String(received['x-sum'])));
  stream.respond({ ':status': 200 }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-trailer': sum }));
  stream.pipe(stream);
}

async function ourClient(t: TestContext, limits = LINK_CONNECTION) {
  const server = http2.createServer({ settings: { maxConcurrentStreams: 100 } });
  const sessions: http2.ServerHttp2Session[] = [];
  server.on('session', (session: http2.ServerHttp2Session) => {
    sessions.push(session);
    session.on('error', () => undefined);
  });
  server.on('stream', echoStream);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = net.connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  await once(socket, 'connect');
  const client = connectHttp2(socket, { clock: systemClock, limits });
  t.after(async () => {
    client.destroy();
    await client.closed;
    for (const session of sessions) session.destroy();
    server.close();
  });
  await client.ready;
  return { client, sessions };
}

suite('our client, node as server', () => {
  test('bodies of many sizes come back whole, with trailers', async (t) => {
    const { client } = await ourClient(t);
    for (const size of sizes) {
      const body = Buffer.alloc(size, 'abcdefg');
      const call = startCall(client, '/', body);
      await call.done;
      assert.equal(call.status, 200);
      assert.ok(call.body.equals(body), `${String(size)} bytes`);
      assert.equal(call.trailers['x-trailer'], 'ours');
      assert.equal(call.sent, size);
    }
    assert.equal(client.streams, 0);
  });

  test('a hundred calls at once, and not one more than the server takes', async (t) => {
    const { client } = await ourClient(t);
    const bodies = Array.from({ length: 100 }, (_, index) => Buffer.alloc(30_000 + index, `${String(index)},`));
    const calls = bodies.map((body) => startCall(client, '/', body));
    assert.equal(client.streamsMax, 100);
    assert.equal(client.usable, false);
    assert.equal(client.open(headOf('/', 'GET'), true, new Call()), undefined);
    await Promise.all(calls.map(({ done }) => done));
    calls.forEach((call, index) => assert.ok(bodies[index]?.equals(call.body)));
    assert.equal(client.usable, true);
    assert.equal(client.queuedBytes, 0);
  });

  test('interim responses, responses without a body and refusals are told as what they are', async (t) => {
    const { client } = await ourClient(t);
    const early = startCall(client, '/early', Buffer.from('x'));
    await early.done;
    assert.deepEqual([early.interim, early.status], [[103], 200]);
    const bare = startCall(client, '/head');
    await bare.done;
    assert.equal(bare.status, 204);
    const refused = startCall(client, '/reset');
    await refused.done;
    assert.equal(refused.reset, 7);
  });

  test('a GOAWAY ends what it refuses, finishes the rest, and the connection closes', async (t) => {
    const { client, sessions } = await ourClient(t);
    const call = new Call();
    const stream = client.open(headOf('/', 'POST'), false, call);
    assert.ok(stream !== undefined);
    stream.write(Buffer.from('before'), false);
    while (call.status === 0) await new Promise((resolve) => setImmediate(resolve));
    sessions[0]?.close();
    while (client.usable) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(client.wantsClose, true);
    stream.write(Buffer.from(' after'), true);
    await call.done;
    assert.equal(call.body.toString(), 'before after');
    await client.closed;
  });

  test('a lost connection resets every call', async (t) => {
    const { client, sessions } = await ourClient(t);
    const calls = [1, 2, 3].map(() => {
      const call = new Call();
      client.open(headOf('/', 'POST'), false, call);
      return call;
    });
    await client.ping();
    sessions[0]?.destroy();
    await Promise.all(calls.map(({ done }) => done));
    await client.closed;
    assert.equal(client.usable, false);
    assert.equal(client.open(headOf('/', 'GET'), true, new Call()), undefined);
  });

  test('a connection that is no HTTP/2 never gets ready', async (t) => {
    const server = net.createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const socket = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
    const errors: string[] = [];
    const onError = (_code: number, reason: string): void => void errors.push(reason);
    const client = connectHttp2(socket, { clock: systemClock, limits: LINK_CONNECTION, onError });
    await assert.rejects(client.ready, /closed before HTTP\/2 began/);
    await client.closed;
    assert.equal(errors.length, 1);
  });
});

/** HTTP/1.1 on real sockets, against itself and node:http in both roles. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { type Duplex } from 'node:stream';
import { suite, test, type TestContext } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { connectHttp1, type ConnectedHttp1, serveHttp1, type ServedHttp1 } from '../../gateway/socket/http1-socket.ts';
import {
  bytesOf,
  fieldsOf,
  pairs,
  type RecordedRequest,
  RecordedResponse,
  RecordingListener,
  requestHead,
} from '../support/http1-wire.ts';
import { ManualClock } from '../support/manual-clock.ts';

interface Served {
  readonly port: number;
  readonly listener: RecordingListener;
  readonly connections: ServedHttp1[];
}

async function listen(t: TestContext, server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

async function serve(t: TestContext, clock = systemClock): Promise<Served> {
  const listener = new RecordingListener();
  const connections: ServedHttp1[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    connections.push(serveHttp1(socket, { clock, listener, scheme: 'http' }));
  });
  const port = await listen(t, server);
  t.after(async () => {
    for (const connection of connections) connection.destroy();
    await Promise.all(connections.map(({ closed }) => closed));
  });
  return { port, listener, connections };
}

async function dial(t: TestContext, port: number): Promise<ConnectedHttp1> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await once(socket, 'connect');
  const connection = connectHttp1(socket, { clock: systemClock });
  t.after(async () => {
    connection.destroy();
    await connection.closed;
  });
  return connection;
}

async function ended(response: RecordedResponse): Promise<void> {
  if (response.ended || response.resetCode !== undefined) return;
  await new Promise<void>((resolve) => {
    response.onEnd = resolve;
  });
}

function echo(request: RecordedRequest): void {
  const answer = (): void => {
    request.stream.respond({ status: 200, fields: fieldsOf([['x-method', request.head.method.value]]) }, false);
    request.stream.write(bytesOf(request.body), true);
  };
  request.onEnd = answer;
  request.onChunk = (size) => {
    request.stream.credit(size);
  };
  if (request.ended) answer();
}

suite('as server', () => {
  test('answers node:http over one kept connection, with bodies both ways', async (t) => {
    const { port, listener, connections } = await serve(t);
    listener.onEach = echo;
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    for (const size of [0, 1, 1000, 100_000]) {
      const request = http.request({ port, host: '127.0.0.1', agent, method: 'POST' });
      request.end('x'.repeat(size));
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      await once(response, 'end');
      assert.equal(response.statusCode, 200);
      assert.equal(Buffer.concat(parts).length, size);
    }
    assert.equal(connections.length, 1);
  });

  test('a refusal is read before the connection closes, though the body is still being sent', async (t) => {
    const { port, listener } = await serve(t);
    listener.onEach = ({ stream }) => {
      stream.respond({ status: 403, fields: [] }, true);
    };
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let text = '';
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
    });
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n');
    socket.write(Buffer.alloc(500_000));
    await once(socket, 'end');
    assert.match(text, /^HTTP\/1\.1 403 Forbidden\r\n[^]*connection: close/);
    socket.destroy();
  });

  test('a client that never closes is dropped a second after its last answer', async (t) => {
    const clock = new ManualClock();
    const { port, listener, connections } = await serve(t, clock);
    listener.onEach = echo;
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    socket.resume();
    socket.on('error', () => undefined);
    await once(socket, 'end');
    const state = { open: true };
    const closed = connections[0]?.closed.then(() => {
      state.open = false;
    });
    for (let seconds = 0; state.open; seconds += 1) {
      assert.ok(seconds < 60, 'dropped long before the deadline of slow readers');
      clock.advance(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await closed;
    assert.equal(clock.pending, 0);
    socket.destroy();
  });

  test('a reset reaches the client as one, not as the end of a complete answer', async (t) => {
    const { port, listener } = await serve(t);
    listener.onEach = ({ stream }) => {
      stream.respond({ status: 200, fields: [] }, false);
      stream.write(bytesOf('part'), false);
    };
    const socket = net.connect({ port, host: '127.0.0.1' });
    socket.write('GET / HTTP/1.0\r\n\r\n');
    await once(socket, 'data');
    listener.at(0).stream.reset(8);
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNRESET');
  });

  test('upgrades node:http to a tunnel', async (t) => {
    const { port, listener } = await serve(t);
    listener.onEach = (request) => {
      assert.equal(request.head.protocol?.value, 'websocket');
      request.stream.respond({ status: 200, fields: [] }, false);
      request.onEnd = () => {
        request.stream.write(bytesOf(request.body.toUpperCase()), true);
      };
    };
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version': '13',
    };
    const request = http.request({ port, host: '127.0.0.1', headers });
    request.end();
    const [response, socket] = (await once(request, 'upgrade')) as [http.IncomingMessage, Duplex];
    assert.equal(response.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    socket.end('hello');
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    assert.equal(bytes.toString(), 'HELLO');
    await once(socket, 'close');
  });

  test('leaves no timers behind', async (t) => {
    const clock = new ManualClock();
    const { port, connections } = await serve(t, clock);
    const socket = net.connect({ port, host: '127.0.0.1' });
    await once(socket, 'connect');
    while (connections.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(clock.pending, 1);
    socket.destroy();
    await connections[0]?.closed;
    assert.equal(clock.pending, 0);
  });
});

suite('as client', () => {
  async function backend(
    t: TestContext,
    onRequest: http.RequestListener,
  ): Promise<{ port: number; server: http.Server }> {
    const server = http.createServer(onRequest);
    const port = await listen(t, server);
    t.after(() => server.closeAllConnections());
    return { port, server };
  }

  test('is answered by node:http over one kept connection, with bodies both ways', async (t) => {
    const { port } = await backend(t, (request, response) => {
      request.pipe(response);
    });
    const connection = await dial(t, port);
    for (const size of [0, 1, 1000, 60_000]) {
      const response = new RecordedResponse();
      const stream = connection.open(requestHead('POST', '/'), false, response);
      assert.ok(stream !== undefined);
      stream.write(Buffer.alloc(size, 'x'), true);
      response.onChunk = () => stream.credit(1_000_000);
      await ended(response);
      assert.equal(response.head?.status, 200);
      assert.equal(response.body.length, size);
      assert.ok(connection.usable);
    }
    assert.equal(connection.keepAliveMs, 5_000);
  });

  test('a connection that the backend closes as a request is sent is told as stale', async (t) => {
    const { port, server } = await backend(t, (_request, response) => {
      response.end('x');
    });
    const sockets: net.Socket[] = [];
    server.on('connection', (socket: net.Socket) => sockets.push(socket));
    const connection = await dial(t, port);
    const first = new RecordedResponse();
    connection.open(requestHead('GET', '/'), true, first);
    await ended(first);
    server.removeAllListeners('request');
    server.on('request', () => sockets[0]?.destroy());
    const second = new RecordedResponse();
    assert.ok(connection.open(requestHead('GET', '/'), true, second) !== undefined);
    await ended(second);
    assert.equal(second.resetCode, 2);
    assert.ok(connection.staleReset);
    await connection.closed;
    assert.equal(connection.usable, false);
  });

  test('a large answer stands still without credit, and arrives whole with it', async (t) => {
    const size = 5_000_000;
    const { port } = await backend(t, (_request, response) => {
      response.end(Buffer.alloc(size, 'x'));
    });
    const connection = await dial(t, port);
    const response = new RecordedResponse();
    const stream = connection.open(requestHead('GET', '/'), true, response);
    assert.ok(stream !== undefined);
    const held = await new Promise<number>((resolve) => {
      response.onChunk = () => {
        if (response.body.length > 65_536) setImmediate(() => setImmediate(() => resolve(response.body.length)));
      };
    });
    assert.ok(held <= 3 * 65_536, `${held} bytes came without credit`);
    let credited = 0;
    response.onChunk = () => {
      const total = response.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
      stream.credit(total - credited);
      credited = total;
    };
    response.onChunk();
    await ended(response);
    assert.equal(response.body.length, size);
  });

  test('is upgraded by node:http', async (t) => {
    const { webSocketAccept } = await import('../../gateway/http1/web-socket.ts');
    const { port, server } = await backend(t, () => undefined);
    server.on('upgrade', (request, socket) => {
      const accept = webSocketAccept(request.headers['sec-websocket-key'] ?? '');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      socket.on('data', (bytes: Buffer) => socket.end(bytes.toString().toUpperCase()));
    });
    const connection = await dial(t, port);
    const response = new RecordedResponse();
    const stream = connection.open(requestHead('CONNECT', '/chat', { protocol: 'websocket' }), false, response);
    await new Promise<void>((resolve) => {
      response.onHead = resolve;
    });
    assert.equal(response.head?.status, 200);
    stream?.write(bytesOf('hello'), false);
    await ended(response);
    assert.equal(response.body, 'HELLO');
    stream?.finish([]);
    await connection.closed;
  });

  test('and server speak to each other, trailers and tunnels included', async (t) => {
    const { port, listener } = await serve(t);
    listener.onEach = (request) => {
      if (request.head.protocol !== undefined) {
        request.stream.respond({ status: 200, fields: [] }, false);
        request.onEnd = () => request.stream.write(bytesOf(`got ${request.body}`), true);
        return;
      }
      request.onEnd = () => {
        request.stream.respond({ status: 200, fields: [] }, false);
        request.stream.write(bytesOf(request.body), false);
        request.stream.finish(request.trailers ?? []);
      };
    };
    const connection = await dial(t, port);
    const plain = new RecordedResponse();
    const stream = connection.open(requestHead('POST', '/'), false, plain);
    stream?.write(bytesOf('hello'), false);
    stream?.finish(fieldsOf([['x-sum', '1']]));
    await ended(plain);
    assert.equal(plain.body, 'hello');
    assert.deepEqual(pairs(plain.trailers ?? []), [['x-sum', '1']]);
    const tunnel = new RecordedResponse();
    const sender = connection.open(requestHead('CONNECT', '/', { protocol: 'websocket' }), false, tunnel);
    sender?.write(bytesOf('early'), true);
    await ended(tunnel);
    assert.equal(tunnel.body, 'got early');
    await connection.closed;
  });
});

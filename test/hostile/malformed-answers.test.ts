/** What a caller and the record are told of a service whose answer is none: that it was malformed, not that it broke off. */
import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';

import { get, listen, startRig } from '../support/forward-rig.ts';
import {
  CODE,
  dataFrame,
  FRAME,
  headersFrame,
  type Pairs,
  rstFrame,
  settingsAckFrame,
  settingsFrame,
} from '../support/http2-frames.ts';
import { block } from '../support/raw-hpack.ts';
import { RawHttp2 } from '../support/raw-http2.ts';

const LIMIT = { timeout: 20_000 };

/** A service that does with each connection what it is told to. */
async function rawService(serve: (socket: Socket) => void): Promise<{ readonly port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    serve(socket);
  });
  const port = await listen(server);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What one call to such a service came to: for the caller, and in the records of both gateways. */
async function outcomeOf(
  protocol: 'http1' | 'http2',
  serve: (socket: Socket) => void,
): Promise<readonly [number, unknown]> {
  await using service = await rawService(serve);
  await using rig = await startRig([{ name: 'web', protocol, port: service.port }]);
  const answer = await get(rig.port, { headers: { host: 'web.eu.mesh.internal' } });
  const reason = answer.headers['jumpgate-reason'];
  for (const direction of ['inbound', 'outbound'] as const) {
    const record = await rig.record(direction);
    assert.deepEqual([record.status, record.reason, record.verdict], [answer.status, reason, 'error'], direction);
  }
  return [answer.status, reason];
}

const OVER_1: Readonly<Record<string, string>> = {
  'length and chunked': 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
  'NUL in a value': 'HTTP/1.1 200 OK\r\nX: \0\r\n\r\n',
  'a folded field': 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n',
  'bare LF': 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n',
  'status 600': 'HTTP/1.1 600 OK\r\n\r\n',
  'a head over the limit': `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`,
};

for (const [name, bytes] of Object.entries(OVER_1)) {
  test(`HTTP/1.1: ${name} is told as malformed`, LIMIT, async () => {
    const outcome = await outcomeOf('http1', (socket) => socket.once('data', () => socket.write(bytes)));
    assert.deepEqual(outcome, [502, 'service-malformed']);
  });
}

test('HTTP/1.1: an answer that never began, or whose head broke off, is told as broken off', LIMIT, async () => {
  for (const bytes of ['', 'HTTP/1.1 200 OK\r\nContent-']) {
    const outcome = await outcomeOf('http1', (socket) => socket.once('data', () => socket.end(bytes)));
    assert.deepEqual(outcome, [502, 'service-failed']);
  }
});

/** Answers each request with these frames. */
const answering =
  (frames: (stream: number) => readonly Buffer[]) =>
  (socket: Socket): void => {
    const peer = RawHttp2.accept(socket);
    peer.write(settingsFrame([]), settingsAckFrame());
    void peer
      .find(({ type }) => type === FRAME.headers, 'a request')
      .then(({ stream }) => peer.write(...frames(stream)));
  };

const head = (pairs: Pairs) => (stream: number) => [headersFrame(stream, block(pairs))];

const OVER_2: Readonly<Record<string, (stream: number) => readonly Buffer[]>> = {
  'status 600': head([[':status', '600']]),
  'no status': head([['x', 'y']]),
  'a field of one hop': head([
    [':status', '200'],
    ['connection', 'close'],
  ]),
  'NUL in a value': head([
    [':status', '200'],
    ['x', 'a\0b'],
  ]),
  'a head over the limit': head([
    [':status', '200'],
    ...Array.from({ length: 120 }, (_, index): readonly [string, string] => [`x-${index}`, 'y']),
  ]),
  'DATA before the head': (stream) => [dataFrame(stream, true, 'x')],
  'what ends the connection': (stream) => [headersFrame(stream, Buffer.from([0x80]))],
};

for (const [name, frames] of Object.entries(OVER_2)) {
  test(`HTTP/2: ${name} is told as malformed`, LIMIT, async () => {
    assert.deepEqual(await outcomeOf('http2', answering(frames)), [502, 'service-malformed']);
  });
}

test('HTTP/2: a service that complains of us or gives up has not answered malformed', LIMIT, async () => {
  for (const code of [CODE.protocolError, CODE.internalError, CODE.cancel]) {
    const frames = (stream: number): readonly Buffer[] => [rstFrame(stream, code)];
    assert.deepEqual(await outcomeOf('http2', answering(frames)), [502, 'service-failed'], `reset ${code}`);
  }
});

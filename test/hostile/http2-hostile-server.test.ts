/** What a service or peer may do wrong as an HTTP/2 server: the engine's client ends stream or connection, and its caller is told. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { STRANGER_CONNECTION } from '../../gateway/http2/limits.ts';
import { type RequestHead, type ResponseHead } from '../../gateway/message/head.ts';
import { field } from '../../gateway/message/names.ts';
import { type ResponseReceiver } from '../../gateway/message/stream.ts';
import { connectHttp2 } from '../../gateway/socket/http2-socket.ts';
import {
  CODE,
  codeOf,
  continuationFrame,
  dataFrame,
  FRAME,
  frame,
  goAwayFrame,
  headersFrame,
  type Pairs,
  pushPromiseFrame,
  rstFrame,
  SETTING,
  settingsAckFrame,
  settingsFrame,
  windowUpdateFrame,
} from '../support/http2-frames.ts';
import { block } from '../support/raw-hpack.ts';
import { RawHttp2 } from '../support/raw-http2.ts';

/** What the caller was told, in words. */
class Told implements ResponseReceiver {
  readonly events: string[] = [];
  readonly #waiting: (() => void)[] = [];

  onInterim({ status }: ResponseHead): void {
    this.#add(`interim ${status}`);
  }
  onResponse({ status }: ResponseHead, end: boolean): void {
    this.#add(`response ${status}${end ? ' end' : ''}`);
  }
  onData(bytes: Uint8Array, end: boolean): void {
    this.#add(`data ${bytes.length}${end ? ' end' : ''}`);
  }
  onTrailers(): void {
    this.#add('trailers');
  }
  onReset(code: number): void {
    this.#add(`reset ${code}`);
  }
  onSent(): void {}

  /** Resolves when an event of this word was told. */
  async of(word: string): Promise<void> {
    while (!this.events.some((event) => event.startsWith(word)))
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #add(event: string): void {
    this.events.push(event);
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

interface Rig {
  readonly server: RawHttp2;
  readonly told: Told;
  readonly connection: ReturnType<typeof connectHttp2>;
}

const HEAD = (method: string): RequestHead => ({
  method: field(':method', method),
  path: field(':path', '/'),
  authority: field(':authority', 'a.test'),
  scheme: field(':scheme', 'http'),
  protocol: undefined,
  fields: [],
});

/** A client connection of the engine with one request on stream 1, which the hostile server has read. */
function againstServer(name: string, run: (rig: Rig) => Promise<void>, method = 'GET'): void {
  test(name, { timeout: 10_000 }, async () => {
    const listener = createServer({ noDelay: true });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const socket = connect((listener.address() as AddressInfo).port, '127.0.0.1');
    const [accepted] = (await once(listener, 'connection')) as [Socket];
    const server = RawHttp2.accept(accepted);
    const connection = connectHttp2(socket, { clock: systemClock, limits: STRANGER_CONNECTION });
    try {
      server.write(settingsFrame([]), settingsAckFrame());
      await server.find(({ type, flags }) => type === FRAME.settings && flags === 1, 'an acknowledgement');
      const told = new Told();
      assert.ok(connection.open(HEAD(method), true, told) !== undefined);
      await server.find(({ type }) => type === FRAME.headers, 'a request');
      await run({ server, told, connection });
    } finally {
      socket.destroy();
      server.destroy();
      listener.close();
    }
  });
}

/** Frames after which the whole connection ends with this code. */
function fatal(name: string, code: number, frames: () => readonly Buffer[]): void {
  againstServer(`${name} ends the connection`, async ({ server, told }) => {
    server.write(...frames());
    assert.equal((await server.goAway()).code, code);
    await told.of('reset');
    await server.ended();
  });
}

/** Frames after which the stream is reset, with nothing more told than `events`. */
function malformed(name: string, frames: () => readonly Buffer[], events: readonly string[] = []): void {
  againstServer(`${name} resets the stream, and the connection lives`, async ({ server, told }) => {
    server.write(...frames());
    await told.of('reset');
    assert.deepEqual(told.events, [...events, `reset ${CODE.protocolError}`]);
    const reset = await server.find(({ type }) => type === FRAME.rstStream, 'RST_STREAM');
    assert.deepEqual([reset.stream, codeOf(reset)], [1, CODE.protocolError]);
    assert.ok(await server.alive());
  });
}

const answer = (pairs: Pairs, end = true): Buffer => headersFrame(1, block(pairs), { end });
const OK: Pairs = [[':status', '200']];

fatal('C20 PUSH_PROMISE', CODE.protocolError, () => [pushPromiseFrame(1, 2, block(OK))]);
fatal('SETTINGS_ENABLE_PUSH of 1', CODE.protocolError, () => [settingsFrame([[SETTING.enablePush, 1]])]);
fatal('HEADERS on an even stream', CODE.protocolError, () => [headersFrame(2, block(OK))]);
fatal('HEADERS on a stream that was never opened', CODE.protocolError, () => [headersFrame(3, block(OK))]);
fatal('DATA on stream 0', CODE.protocolError, () => [dataFrame(0, true, 'x')]);
fatal('RST_STREAM on an idle stream', CODE.protocolError, () => [rstFrame(7, 0)]);
fatal('a window increment of 0 on the connection', CODE.protocolError, () => [windowUpdateFrame(0, 0)]);
fatal('a connection window above 2^31-1', CODE.flowControlError, () => [windowUpdateFrame(0, 0x7fffffff)]);
fatal('a block that cannot be decoded', CODE.compressionError, () => [headersFrame(1, Buffer.from('80', 'hex'))]);
fatal('a frame above the maximum', CODE.frameSizeError, () => [frame({ stream: 1 }, Buffer.alloc(10), 16_385)]);
fatal('a header block that is interrupted', CODE.protocolError, () => [
  headersFrame(1, block(OK), { more: true }),
  dataFrame(1, true, 'x'),
]);
fatal('C4 CONTINUATION without end', CODE.enhanceYourCalm, () => [
  headersFrame(1, block(OK), { more: true }),
  ...Array.from({ length: STRANGER_CONNECTION.continuationsMax + 1 }, () =>
    continuationFrame(1, false, Buffer.alloc(1)),
  ),
]);

malformed('an answer without :status', () => [answer([['x', 'y']])]);
malformed('an answer with two :status', () => [answer([...OK, ...OK])]);
malformed('an answer with a :status of two digits', () => [answer([[':status', '20']])]);
malformed('an answer with a :status of letters', () => [answer([[':status', '2x0']])]);
malformed('an answer of 101', () => [answer([[':status', '101']])]);
malformed('an answer with :path', () => [answer([...OK, [':path', '/']])]);
malformed('an answer with :status after a field', () => [answer([['x', 'y'], ...OK])]);
malformed('an answer with an upper-case name', () => [answer([...OK, ['X-Upper', 'v']])]);
malformed('an answer with a connection field', () => [answer([...OK, ['connection', 'close']])]);
malformed('an answer with transfer-encoding', () => [answer([...OK, ['transfer-encoding', 'chunked']])]);
malformed('an answer with CR LF in a value', () => [answer([...OK, ['x', 'a\r\nb: c']])]);
malformed('an interim answer that ends the stream', () => [answer([[':status', '103']])]);
malformed('DATA before the answer', () => [dataFrame(1, true, 'x')]);
malformed(
  'a body shorter than its content-length',
  () => [answer([...OK, ['content-length', '5']], false), dataFrame(1, true, '')],
  ['response 200'],
);
malformed('no body for a content-length of 5', () => [answer([...OK, ['content-length', '5']])]);

againstServer('a body longer than its content-length is cut before the excess', async ({ server, told }) => {
  server.write(answer([...OK, ['content-length', '2']], false), dataFrame(1, false, 'xyz'));
  await told.of('reset');
  assert.deepEqual(told.events, ['response 200', `reset ${CODE.protocolError}`]);
});

againstServer(
  'the answer to HEAD has the content-length of a body that does not come',
  async ({ server, told }) => {
    server.write(answer([...OK, ['content-length', '5']]));
    await told.of('response');
    assert.deepEqual(told.events, ['response 200 end']);
  },
  'HEAD',
);

againstServer(
  'C23 GOAWAY hands back what was not processed and takes nothing more',
  async ({ server, told, connection }) => {
    server.write(goAwayFrame(0, CODE.noError));
    await told.of('reset');
    assert.deepEqual(told.events, [`reset ${CODE.refusedStream}`]);
    assert.equal(connection.usable, false);
    assert.equal(connection.open(HEAD('GET'), true, new Told()), undefined);
  },
);

againstServer('C23 GOAWAY lets what was processed finish', async ({ server, told, connection }) => {
  server.write(goAwayFrame(1, CODE.noError), answer(OK, false), dataFrame(1, true, 'done'));
  await told.of('data');
  assert.deepEqual(told.events, ['response 200', 'data 4 end']);
  assert.equal(connection.usable, false);
});

againstServer(
  'C23 a limit of no streams makes the connection unusable until it is raised',
  async ({ server, connection }) => {
    server.write(settingsFrame([[SETTING.maxConcurrentStreams, 0]]));
    assert.ok(await server.alive());
    assert.equal(connection.usable, false);
    assert.equal(connection.open(HEAD('GET'), true, new Told()), undefined);
    server.write(settingsFrame([[SETTING.maxConcurrentStreams, 2]]));
    assert.ok(await server.alive('raised'));
    assert.equal(connection.usable, true);
  },
);

againstServer('REFUSED_STREAM is told as such', async ({ server, told }) => {
  server.write(rstFrame(1, CODE.refusedStream));
  await told.of('reset');
  assert.deepEqual(told.events, [`reset ${CODE.refusedStream}`]);
  assert.ok(await server.alive());
});

againstServer('a lost connection is told once', async ({ server, told }) => {
  server.write(answer(OK, false), dataFrame(1, false, 'part'));
  await told.of('data');
  server.destroy();
  await told.of('reset');
  assert.equal(told.events.length, 3);
});

againstServer('interim answers come before the final one', async ({ server, told }) => {
  server.write(
    answer(
      [
        [':status', '103'],
        ['link', '</a>'],
      ],
      false,
    ),
    answer([[':status', '100']], false),
    answer(OK),
  );
  await told.of('response');
  assert.deepEqual(told.events, ['interim 103', 'interim 100', 'response 200 end']);
});

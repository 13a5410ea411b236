/** The HTTP/2 machine, frame by frame: windows, ends, GOAWAY and limits, each side against frames written by hand. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { Http2ClientConnection } from '../../gateway/http2/client-connection.ts';
import { LINK_CONNECTION, STRANGER_CONNECTION, type ConnectionLimits } from '../../gateway/http2/limits.ts';
import { Http2ServerConnection } from '../../gateway/http2/server-connection.ts';
import { type RequestHead, type ResponseHead } from '../../gateway/message/head.ts';
import { field } from '../../gateway/message/names.ts';
import { type ResponseReceiver, type ServerStream, type StreamReceiver } from '../../gateway/message/stream.ts';
import {
  CODE,
  continuationFrame,
  dataFrame,
  FLAG,
  FRAME,
  frame,
  FrameReader,
  goAwayFrame,
  headersFrame,
  pingFrame,
  PREFACE,
  priorityFields,
  priorityFrame,
  type RawFrame,
  rstFrame,
  SETTING,
  settingsAckFrame,
  settingsFrame,
  windowUpdateFrame,
} from '../support/http2-frames.ts';
import { MemoryOutlet, RecordedEvents } from '../support/http2-pair.ts';
import { block } from '../support/raw-hpack.ts';

/** What one end was told of one exchange. */
class Told implements ResponseReceiver {
  readonly data: string[] = [];
  ended = false;
  readonly resets: number[] = [];
  readonly statuses: number[] = [];
  sent = 0;
  onInterim({ status }: ResponseHead): void {
    this.statuses.push(status);
  }
  onResponse({ status }: ResponseHead, end: boolean): void {
    this.statuses.push(status);
    this.ended = end;
  }
  onData(bytes: Uint8Array, end: boolean): void {
    this.data.push(Buffer.from(bytes).toString());
    this.ended = end;
  }
  onTrailers(): void {
    this.ended = true;
  }
  onReset(code: number): void {
    this.resets.push(code);
  }
  onSent(bytes: number): void {
    this.sent += bytes;
  }
}

const GET = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a.test'],
] as const;
/** RFC 8441 §3. */
const ENABLE_CONNECT_PROTOCOL = 0x8;
const OK = block([[':status', '200']]);

const get = (stream: number): Buffer => headersFrame(stream, block(GET));
const post = (stream: number, more: readonly (readonly [string, string])[] = []): Buffer =>
  headersFrame(stream, block([[':method', 'POST'], ...GET.slice(1), ...more]), { end: false });

/** A server between frames written by hand and a listener that only remembers. */
class ServerRig {
  readonly outlet = new MemoryOutlet();
  readonly events = new RecordedEvents();
  readonly streams: ServerStream[] = [];
  readonly heads: RequestHead[] = [];
  readonly told: Told[] = [];
  readonly refused: string[] = [];
  readonly connection: Http2ServerConnection;
  readonly #reader = new FrameReader();

  constructor(limits: Partial<ConnectionLimits> = {}, settings: readonly (readonly [number, number])[] = []) {
    this.connection = new Http2ServerConnection({
      outlet: this.outlet,
      events: this.events,
      limits: { ...STRANGER_CONNECTION, ...limits },
      scheme: 'https',
      listener: {
        onRequest: (stream, head): StreamReceiver => {
          const told = new Told();
          this.streams.push(stream);
          this.heads.push(head);
          this.told.push(told);
          return told;
        },
        onRefused: (reason, _head, stream) => {
          this.refused.push(reason);
          stream?.respond({ status: 431, fields: [] }, true);
        },
      },
    });
    this.say(PREFACE, settingsFrame(settings), settingsAckFrame());
    this.hear();
  }

  say(...frames: readonly Buffer[]): void {
    this.connection.receive(Buffer.concat(frames));
  }

  /** Frames since the last time. */
  hear(): readonly RawFrame[] {
    this.connection.turnEnd();
    return this.#reader.push(this.outlet.take());
  }

  /** Codes of RST_STREAM by stream, and the code of GOAWAY. */
  errors(): { readonly resets: readonly (readonly [number, number])[]; readonly goaway: number | undefined } {
    const frames = this.hear();
    const goaway = frames.find(({ type }) => type === FRAME.goAway);
    return {
      resets: frames
        .filter(({ type }) => type === FRAME.rstStream)
        .map(({ stream, payload }) => [stream, payload.readUInt32BE(0)] as const),
      goaway: goaway?.payload.readUInt32BE(4),
    };
  }
}

const answer = (stream: ServerStream | undefined, body: string): void => {
  stream?.respond({ status: 200, fields: [] }, false);
  stream?.write(Buffer.from(body), true);
};

const dataOf = (frames: readonly RawFrame[]): readonly (readonly [number, number])[] =>
  frames.filter(({ type }) => type === FRAME.data).map(({ stream, payload }) => [stream, payload.length] as const);

suite('an HTTP/2 server', () => {
  test('tells a request in pieces, and the scheme of its connection', () => {
    const rig = new ServerRig();
    for (const octet of Buffer.concat([post(1), dataFrame(1, false, 'ab', 3), dataFrame(1, true, 'c')]))
      rig.say(Buffer.from([octet]));
    assert.equal(rig.told[0]?.data.join(''), 'abc');
    assert.equal(rig.told[0].ended, true);
    assert.equal(rig.heads[0]?.scheme.value, 'https');
  });

  test('an answer within the listener tells what was sent once there is somebody to tell', () => {
    const rig = new ServerRig();
    rig.say(post(1));
    answer(rig.streams[0], 'hello');
    assert.equal(rig.told[0]?.sent, 5);
    assert.deepEqual(dataOf(rig.hear()), [[1, 5]]);
  });

  test('sends no more than the window of the stream, then what an update permits', () => {
    const rig = new ServerRig({}, [[SETTING.initialWindowSize, 4]]);
    rig.say(get(1));
    answer(rig.streams[0], 'abcdefgh');
    assert.deepEqual(dataOf(rig.hear()), [[1, 4]]);
    rig.say(windowUpdateFrame(1, 3));
    assert.deepEqual(dataOf(rig.hear()), [[1, 3]]);
    assert.equal(rig.connection.queuedBytes, 1);
    rig.say(windowUpdateFrame(1, 1));
    const [last] = rig.hear();
    assert.deepEqual([last?.flags, last?.payload.toString()], [FLAG.endStream, 'h']);
    assert.equal(rig.connection.streams, 0);
  });

  test('a window that SETTINGS made negative stays shut until it is above zero', () => {
    const rig = new ServerRig({}, [[SETTING.initialWindowSize, 10]]);
    rig.say(get(1));
    answer(rig.streams[0], 'x'.repeat(20));
    assert.deepEqual(dataOf(rig.hear()), [[1, 10]]);
    rig.say(settingsFrame([[SETTING.initialWindowSize, 4]]), windowUpdateFrame(1, 6));
    assert.deepEqual(dataOf(rig.hear()), []);
    rig.say(windowUpdateFrame(1, 1));
    assert.deepEqual(dataOf(rig.hear()), [[1, 1]]);
  });

  test('a window that SETTINGS shut while bytes waited for the socket lets nothing out', () => {
    const rig = new ServerRig({}, [[SETTING.initialWindowSize, 10]]);
    rig.say(get(1));
    rig.outlet.writable = false;
    answer(rig.streams[0], 'x'.repeat(5));
    rig.say(settingsFrame([[SETTING.initialWindowSize, 0]]));
    rig.outlet.writable = true;
    assert.deepEqual(dataOf(rig.hear()), []);
    rig.say(windowUpdateFrame(1, 2));
    assert.deepEqual(dataOf(rig.hear()), [[1, 2]]);
  });

  test('padding is given back without anybody asking', () => {
    const rig = new ServerRig({ streamWindowBytes: 600 });
    rig.say(post(1), dataFrame(1, false, 'x', 255), dataFrame(1, false, 'x', 255));
    const update = rig.hear().find(({ type }) => type === FRAME.windowUpdate);
    assert.deepEqual([update?.stream, update?.payload.readUInt32BE(0)], [1, 512]);
  });

  test('streams take turns when the connection window or the socket holds them up', () => {
    const rig = new ServerRig();
    rig.say(get(1), get(3));
    rig.outlet.writable = false;
    answer(rig.streams[0], 'x'.repeat(40_000));
    answer(rig.streams[1], 'y'.repeat(40_000));
    assert.deepEqual(dataOf(rig.hear()), []);
    rig.outlet.writable = true;
    rig.connection.onWritable();
    const frames = dataOf(rig.hear());
    assert.deepEqual(
      frames.map(([stream]) => stream),
      [1, 3, 1, 3],
    );
    assert.equal(
      frames.reduce((sum, [, bytes]) => sum + bytes, 0),
      65_535,
    );
  });

  test('a window update to 2^31-1 is taken, one more is an error', () => {
    const rig = new ServerRig();
    rig.say(post(1), windowUpdateFrame(1, 0x7fffffff - 65_535), windowUpdateFrame(0, 0x7fffffff - 65_535));
    assert.deepEqual(rig.errors(), { resets: [], goaway: undefined });
    rig.say(windowUpdateFrame(1, 1));
    assert.deepEqual(rig.errors(), { resets: [[1, CODE.flowControlError]], goaway: undefined });
    assert.deepEqual(rig.told[0]?.resets, [CODE.flowControlError]);
    rig.say(windowUpdateFrame(0, 1));
    assert.equal(rig.errors().goaway, CODE.flowControlError);
  });

  test('a stream may fill its window and not a byte more, padding included', () => {
    const window = 1_000;
    const rig = new ServerRig({ streamWindowBytes: window });
    rig.say(post(1), dataFrame(1, false, 'x'.repeat(window)));
    assert.deepEqual(rig.errors().resets, []);
    rig.say(dataFrame(1, false, 'x'));
    assert.deepEqual(rig.errors().resets, [[1, CODE.flowControlError]]);
    rig.say(post(3), dataFrame(3, false, 'x'.repeat(window - 10), 10));
    assert.deepEqual(rig.errors().resets, [[3, CODE.flowControlError]]);
  });

  test('credit is announced at half a window, for stream and connection', () => {
    const rig = new ServerRig({ streamWindowBytes: 1_000, connectionWindowBytes: 65_535 });
    rig.say(post(1), dataFrame(1, false, 'x'.repeat(800)));
    rig.streams[0]?.credit(499);
    assert.deepEqual(rig.hear(), []);
    rig.streams[0]?.credit(1);
    const [update] = rig.hear();
    assert.deepEqual([update?.type, update?.stream, update?.payload.readUInt32BE(0)], [FRAME.windowUpdate, 1, 500]);
  });

  test('what a reset stream held, and what still comes for it, opens the connection window again', () => {
    const rig = new ServerRig({ streamWindowBytes: 40_000, connectionWindowBytes: 65_535 });
    rig.say(post(1), dataFrame(1, false, 'x'.repeat(16_384)), dataFrame(1, false, 'x'.repeat(16_000)));
    rig.streams[0]?.reset(CODE.cancel);
    assert.deepEqual(rig.errors().resets, [[1, CODE.cancel]]);
    rig.say(dataFrame(1, false, 'x'.repeat(384)));
    const update = rig.hear().find(({ type }) => type === FRAME.windowUpdate);
    assert.deepEqual([update?.stream, update?.payload.readUInt32BE(0)], [0, 32_768]);
    assert.deepEqual(rig.events.closed, []);
  });

  test('frames on a stream that was reset here are ignored, on one that ended they end the connection', () => {
    const rig = new ServerRig();
    rig.say(post(1), post(3));
    rig.streams[0]?.reset(CODE.cancel);
    rig.hear();
    rig.say(dataFrame(1, false, 'late'), headersFrame(1, block([['x-late', '1']])), windowUpdateFrame(1, 5));
    assert.deepEqual(rig.errors(), { resets: [], goaway: undefined });
    rig.say(dataFrame(3, true, ''));
    answer(rig.streams[1], 'done');
    rig.hear();
    rig.say(windowUpdateFrame(3, 5));
    assert.equal(rig.errors().goaway, undefined);
    rig.say(dataFrame(3, false, 'x'));
    assert.equal(rig.errors().goaway, CODE.streamClosed);
  });

  test('data after END_STREAM while the answer is due breaks the stream', () => {
    const rig = new ServerRig();
    rig.say(get(1), dataFrame(1, false, 'x'));
    assert.deepEqual(rig.errors(), { resets: [[1, CODE.streamClosed]], goaway: undefined });
    assert.deepEqual(rig.told[0]?.resets, [CODE.streamClosed]);
  });

  test('shutdown announces, then names the last stream, ignores what comes later, and closes when all have ended', () => {
    const rig = new ServerRig();
    rig.say(get(1));
    rig.connection.shutdown();
    const [first, ping] = rig.hear();
    assert.equal(first?.payload.readUInt32BE(0), 0x7fffffff);
    rig.say(get(3), frame({ type: FRAME.ping, flags: FLAG.ack }, ping?.payload ?? Buffer.alloc(0)));
    assert.equal(rig.hear().at(-1)?.payload.readUInt32BE(0), 3);
    rig.say(post(5), dataFrame(5, true, 'x'));
    assert.equal(rig.streams.length, 2);
    assert.deepEqual(rig.errors(), { resets: [], goaway: undefined });
    for (const stream of rig.streams) answer(stream, 'x');
    rig.hear();
    assert.deepEqual(rig.events.closed, [{ code: 0, reason: '', byPeer: false }]);
  });

  test('shutdown does not wait for a pong for ever', () => {
    const rig = new ServerRig();
    rig.connection.shutdown();
    rig.connection.tick(0);
    rig.connection.tick(1_000);
    rig.hear();
    assert.equal(rig.events.closed.length, 1);
  });

  test('a refusal by limit is answered on its stream, and the rest of the request is not read', () => {
    const rig = new ServerRig({ headerFieldsMax: 4 });
    rig.say(post(1));
    rig.say(post(3, [['x-one', 'too many']]));
    assert.deepEqual(rig.refused, ['limit-header-fields']);
    const heard = (): readonly (readonly [number, number])[] => rig.hear().map(({ type, stream }) => [type, stream]);
    assert.deepEqual(heard(), [[FRAME.headers, 3]]);
    // Not with the answer, which some clients would then lose.
    rig.connection.tick(0);
    assert.deepEqual(heard(), []);
    rig.connection.tick(1_000);
    const [reset, ...more] = rig.hear();
    assert.deepEqual([reset?.type, reset?.stream, more.length], [FRAME.rstStream, 3, 0]);
    assert.equal(reset?.payload.readUInt32BE(0), CODE.noError);
    assert.equal(rig.connection.streams, 1);
  });

  test('streams that are answered and linger take nobody’s place, and beyond their own limit are reset at once', () => {
    const rig = new ServerRig({ headerFieldsMax: 4, streamsMax: 2, lingeringMax: 2 });
    for (const id of [1, 3, 5]) rig.say(post(id, [['x-one', 'too many']]));
    assert.deepEqual(rig.errors().resets, [[5, CODE.noError]]);
    rig.say(get(7), get(9), get(11));
    assert.deepEqual(rig.errors().resets.at(-1), [11, CODE.refusedStream]);
    assert.equal(rig.streams.length, 2, 'two calls beside two that linger');
  });

  test('streams: the limit is served, one more is refused, and one that ended makes room', () => {
    const rig = new ServerRig({ streamsMax: 2 });
    rig.say(get(1), get(3), get(5));
    assert.deepEqual(rig.errors().resets, [[5, CODE.refusedStream]]);
    answer(rig.streams[0], 'x');
    rig.say(get(7));
    assert.equal(rig.streams.length, 3);
  });

  for (const resets of [9, 10, 11]) {
    test(`resets: ${resets} where 10 are allowed`, () => {
      const rig = new ServerRig({ resetsMax: 10 });
      for (let index = 0; index < resets; index += 1) rig.say(get(2 * index + 1), rstFrame(2 * index + 1, CODE.cancel));
      assert.equal(rig.errors().goaway, resets > 10 ? CODE.enhanceYourCalm : undefined);
      assert.equal(
        rig.told.every((told) => told.resets.length === 1),
        true,
      );
    });
  }

  test('resets on a link are reported above their share, once, and the link lives', () => {
    const rig = new ServerRig({ ...LINK_CONNECTION, resetsMax: 10 });
    for (let index = 0; index < 50; index += 1) {
      rig.say(get(2 * index + 1));
      if (index >= 30) rig.say(rstFrame(2 * index + 1, CODE.cancel));
      else answer(rig.streams[index], 'x');
    }
    assert.equal(rig.events.abuses, 1);
    assert.deepEqual(rig.events.closed, []);
  });

  for (const [glitches, goaway, isClosed] of [
    [74, undefined, false],
    [75, CODE.noError, false],
    [99, CODE.noError, false],
    [100, CODE.noError, true],
  ] as const) {
    test(`glitches: ${glitches} where 100 are the end`, () => {
      const rig = new ServerRig({ glitchesMax: 100 });
      rig.say(post(1));
      for (let index = 0; index < glitches; index += 1) rig.say(dataFrame(1, false, ''));
      assert.equal(rig.errors().goaway, goaway);
      assert.equal(rig.events.closed.length > 0, isClosed);
    });
  }

  for (const pings of [20, 21]) {
    test(`control frames: ${pings} answers wait for a socket where 20 may`, () => {
      const rig = new ServerRig({ controlFramesMax: 20 });
      rig.outlet.writable = false;
      for (let index = 0; index < pings; index += 1) {
        rig.say(pingFrame('x'));
        rig.connection.turnEnd();
      }
      assert.equal(rig.errors().goaway, pings > 20 ? CODE.enhanceYourCalm : undefined);
    });
  }

  for (const frames of [7, 8, 9]) {
    test(`CONTINUATION: ${frames} frames where 8 may come`, () => {
      const rig = new ServerRig();
      const bytes = block(GET);
      rig.say(headersFrame(1, bytes.subarray(0, 1), { more: true }));
      for (let index = 1; index < frames; index += 1) rig.say(continuationFrame(1, false, Buffer.alloc(0)));
      rig.say(continuationFrame(1, true, bytes.subarray(1)));
      assert.equal(rig.streams.length, frames <= 8 ? 1 : 0);
      assert.equal(rig.errors().goaway, frames <= 8 ? undefined : CODE.enhanceYourCalm);
    });
  }

  test('a header block may take as long as the limit and no longer', () => {
    const rig = new ServerRig();
    rig.say(headersFrame(1, block(GET), { more: true }));
    rig.connection.tick(1_000);
    rig.connection.tick(10_999);
    assert.equal(rig.errors().goaway, undefined);
    rig.connection.tick(11_000);
    assert.equal(rig.errors().goaway, CODE.enhanceYourCalm);
    assert.deepEqual(rig.refused, ['headers-timeout']);
  });

  test('settings that are never acknowledged end the connection', () => {
    const outlet = new MemoryOutlet();
    const events = new RecordedEvents();
    const connection = new Http2ServerConnection({
      outlet,
      events,
      limits: STRANGER_CONNECTION,
      scheme: 'http',
      listener: { onRequest: () => new Told(), onRefused: () => undefined },
    });
    connection.receive(Buffer.concat([PREFACE, settingsFrame([])]));
    connection.tick(0);
    connection.tick(9_999);
    assert.equal(events.closed.length, 0);
    connection.tick(10_000);
    assert.equal(events.closed[0]?.code, CODE.settingsTimeout);
  });

  test('a priority on itself breaks an open stream and ends the connection on an idle one', () => {
    const rig = new ServerRig();
    rig.say(post(1), priorityFrame(1, priorityFields(3, 1)));
    assert.deepEqual(rig.errors(), { resets: [], goaway: undefined });
    rig.say(priorityFrame(1, priorityFields(1, 1)));
    assert.deepEqual(rig.errors().resets, [[1, CODE.protocolError]]);
    rig.say(priorityFrame(9, priorityFields(9, 1)));
    assert.equal(rig.errors().goaway, CODE.protocolError);
  });

  test('a retained slice of a large read is copied when it has to wait', () => {
    const rig = new ServerRig({}, [[SETTING.initialWindowSize, 0]]);
    rig.say(get(1));
    const read = Buffer.alloc(64 * 1024, 'a');
    rig.streams[0]?.respond({ status: 200, fields: [] }, false);
    rig.streams[0]?.write(read.subarray(0, 100), true);
    read.fill('b');
    rig.say(windowUpdateFrame(1, 100));
    assert.equal(rig.hear().at(-1)?.payload.toString(), 'a'.repeat(100));
  });
});

const request: RequestHead = {
  method: field(':method', 'GET'),
  path: field(':path', '/'),
  authority: field(':authority', 'a.test'),
  scheme: field(':scheme', 'http'),
  protocol: undefined,
  fields: [],
};

/** A client against frames written by hand. */
class ClientRig {
  readonly outlet = new MemoryOutlet();
  readonly events = new RecordedEvents();
  readonly connection: Http2ClientConnection;
  readonly #reader = new FrameReader();

  constructor(settings: readonly (readonly [number, number])[] = []) {
    const { outlet, events } = this;
    this.connection = new Http2ClientConnection({ outlet, events, limits: LINK_CONNECTION });
    assert.ok(this.outlet.take().subarray(0, PREFACE.length).equals(PREFACE));
    this.say(settingsFrame(settings), settingsAckFrame());
    this.hear();
  }

  say(...frames: readonly Buffer[]): void {
    this.connection.receive(Buffer.concat(frames));
  }

  hear(): readonly RawFrame[] {
    this.connection.turnEnd();
    return this.#reader.push(this.outlet.take());
  }

  open(head: Partial<RequestHead> = {}): Told {
    const told = new Told();
    assert.ok(this.connection.open({ ...request, ...head }, true, told) !== undefined);
    return told;
  }
}

suite('an HTTP/2 client', () => {
  test('GOAWAY resets what was not processed as refused, and the rest may end', () => {
    const rig = new ClientRig();
    const first = rig.open();
    const second = rig.open();
    rig.say(goAwayFrame(1, CODE.noError));
    assert.deepEqual([first.resets, second.resets], [[], [CODE.refusedStream]]);
    assert.equal(rig.connection.usable, false);
    assert.equal(rig.connection.open(request, true, new Told()), undefined);
    rig.say(headersFrame(1, OK));
    assert.equal(first.ended, true);
    rig.hear();
    assert.equal(rig.events.closed.length, 1);
  });

  test('opens as many as the other end takes, and again when one has ended', () => {
    const rig = new ClientRig([[SETTING.maxConcurrentStreams, 1]]);
    rig.open();
    assert.equal(rig.connection.usable, false);
    assert.equal(rig.connection.open(request, true, new Told()), undefined);
    rig.say(headersFrame(1, OK));
    assert.equal(rig.connection.usable, true);
  });

  test('uses the last stream id and no more', () => {
    const rig = new ClientRig();
    rig.connection.skipTo(0x7fffffff);
    assert.equal(rig.connection.wantsClose, false);
    const told = rig.open();
    assert.deepEqual([rig.connection.usable, rig.connection.wantsClose], [false, true]);
    rig.say(headersFrame(0x7fffffff, OK));
    assert.equal(told.ended, true);
  });

  test('an extended CONNECT is sent only to who has announced it', () => {
    const head = { ...request, method: field(':method', 'CONNECT'), protocol: field(':protocol', 'websocket') };
    assert.equal(new ClientRig().connection.open(head, false, new Told()), undefined);
    assert.ok(new ClientRig([[ENABLE_CONNECT_PROTOCOL, 1]]).connection.open(head, false, new Told()));
  });

  const broken: readonly (readonly [string, readonly Buffer[]])[] = [
    ['data before the head', [dataFrame(1, true, 'x')]],
    ['status 101', [headersFrame(1, block([[':status', '101']]), { end: false })]],
    ['an interim response with END_STREAM', [headersFrame(1, block([[':status', '103']]))]],
    ['a status of two digits', [headersFrame(1, block([[':status', '20']]))]],
    ['no status', [headersFrame(1, block([['server', 'x']]))]],
    ['a request pseudo-header field', [headersFrame(1, block([[':path', '/']]))]],
    [
      'less than its length',
      [
        headersFrame(
          1,
          block([
            [':status', '200'],
            ['content-length', '2'],
          ]),
          { end: false },
        ),
        dataFrame(1, true, 'x'),
      ],
    ],
    [
      'more than its length',
      [
        headersFrame(
          1,
          block([
            [':status', '200'],
            ['content-length', '2'],
          ]),
          { end: false },
        ),
        dataFrame(1, false, 'xxx'),
      ],
    ],
    ['a body to 204', [headersFrame(1, block([[':status', '204']]), { end: false }), dataFrame(1, true, 'x')]],
    [
      'trailers without END_STREAM',
      [headersFrame(1, OK, { end: false }), headersFrame(1, block([['x', 'y']]), { end: false })],
    ],
    [
      'a connection field',
      [
        headersFrame(
          1,
          block([
            [':status', '200'],
            ['connection', 'close'],
          ]),
        ),
      ],
    ],
  ];
  for (const [name, frames] of broken) {
    test(`a response with ${name} breaks its stream only`, () => {
      const rig = new ClientRig();
      const told = rig.open();
      const other = rig.open();
      rig.hear();
      rig.say(...frames);
      assert.deepEqual(told.resets, [CODE.protocolError]);
      assert.deepEqual(
        rig.hear().map(({ type, payload }) => [type, payload.readUInt32BE(0)]),
        [[FRAME.rstStream, CODE.protocolError]],
      );
      rig.say(headersFrame(3, OK));
      assert.deepEqual(other.statuses, [200]);
    });
  }

  test('the answer to HEAD has a length and no body', () => {
    const rig = new ClientRig();
    const told = rig.open({ method: field(':method', 'HEAD') });
    rig.say(
      headersFrame(
        1,
        block([
          [':status', '200'],
          ['content-length', '12'],
        ]),
      ),
    );
    assert.deepEqual([told.statuses, told.ended, told.resets], [[200], true, []]);
  });

  test('interim responses come before the final one', () => {
    const rig = new ClientRig();
    const told = rig.open();
    rig.say(headersFrame(1, block([[':status', '103']]), { end: false }), headersFrame(1, OK));
    assert.deepEqual(told.statuses, [103, 200]);
  });

  test('a lost connection resets every stream once, with a code that does not promise it was not processed', () => {
    const rig = new ClientRig();
    const told = rig.open();
    rig.connection.lost();
    rig.connection.lost();
    assert.deepEqual(told.resets, [CODE.internalError]);
    assert.equal(rig.connection.streams, 0);
    assert.equal(rig.events.closed.length, 1);
  });

  test('the code of the GOAWAY before a connection is lost is told', () => {
    const rig = new ClientRig();
    rig.open();
    rig.say(goAwayFrame(1, CODE.enhanceYourCalm));
    rig.connection.lost();
    assert.deepEqual(
      rig.events.closed.map(({ code }) => code),
      [CODE.enhanceYourCalm],
    );
  });

  test('a pushed stream ends the connection', () => {
    const rig = new ClientRig();
    rig.open();
    rig.say(
      frame(
        { type: FRAME.pushPromise, flags: FLAG.endHeaders, stream: 1 },
        Buffer.concat([Buffer.from([0, 0, 0, 2]), block(GET)]),
      ),
    );
    assert.equal(rig.events.closed[0]?.code, CODE.protocolError);
  });
});

/** Attacks by HTTP/2 frames that are each allowed, or nearly: catalogue rows C2 to C22, at their limits and beyond. */
import assert from 'node:assert/strict';

import { STRANGER_CONNECTION } from '../../gateway/http2/limits.ts';
import {
  type FloodOutcome,
  endsWith,
  flood,
  request,
  resetsOf,
  type Rig,
  underAttack,
} from '../support/http2-attack.ts';
import {
  CODE,
  continuationFrame,
  dataFrame,
  FRAME,
  frame,
  headersFrame,
  pingFrame,
  priorityFields,
  priorityFrame,
  pushPromiseFrame,
  rstFrame,
  SETTING,
  settingsFrame,
  windowUpdateFrame,
} from '../support/http2-frames.ts';
import { block, indexed, literal, LITERAL } from '../support/raw-hpack.ts';
import { type RawHttp2 } from '../support/raw-http2.ts';

const { streamsMax, resetsMax, glitchesMax, continuationsMax, settingsMax } = STRANGER_CONNECTION;
const { headerTimeoutMs, streamWindowBytes, connectionWindowBytes } = STRANGER_CONNECTION;
const WINDOW_MAX = 0x7fffffff;
const FLOOD = 10_000;
/** A flood is seen once per portion, and harmless oddities are free at first. */
const SLACK = 150;

const streamOf = (index: number): number => 2 * index + 1;

/** The flood was stopped soon after `budget` rounds, calmly. */
function stopped({ rounds, code, ended }: FloodOutcome, budget: number): void {
  assert.ok(rounds >= Math.min(budget, FLOOD) && rounds <= budget + SLACK, `stopped after ${rounds}, not ${budget}`);
  assert.ok(code === CODE.enhanceYourCalm || (code === undefined && ended), `ended with ${code}`);
}

/** Rapid reset, once. */
const rapidReset =
  ({ peer }: Rig) =>
  (index: number): Buffer =>
    Buffer.concat([request(peer, streamOf(index)), rstFrame(streamOf(index), CODE.cancel)]);

underAttack(`C2 rapid reset: ${resetsMax} resets pass, one more ends the connection`, async (rig) => {
  const { peer, application } = rig;
  const within = await flood(peer, resetsMax, rapidReset(rig));
  assert.deepEqual(within, { rounds: resetsMax, code: undefined, ended: false });
  assert.ok(await peer.alive());
  const reached = application.heads.length;
  peer.write(rapidReset(rig)(resetsMax));
  await endsWith(peer, CODE.enhanceYourCalm);
  assert.ok(application.heads.length >= reached);
});

underAttack('C2 rapid reset: resets of ten seconds ago do not count', async (rig) => {
  const { peer, clock } = rig;
  await flood(peer, resetsMax, rapidReset(rig));
  for (let second = 0; second < 12; second += 1) clock.advance(1_000);
  const again = await flood(peer, resetsMax, (index) => rapidReset(rig)(index + resetsMax));
  assert.deepEqual(again, { rounds: resetsMax, code: undefined, ended: false });
});

underAttack('C2 rapid reset in one write of ten thousand: upstream sees no more than the budget', async (rig) => {
  const { peer, application } = rig;
  const innocent = (): number => application.heads.filter(({ path }) => path.value === '/').length;
  peer.write(...Array.from({ length: FLOOD }, (_, index) => rapidReset(rig)(index)));
  await peer.ended();
  assert.ok(application.heads.length - innocent() <= resetsMax + streamsMax);
  assert.ok(application.activeMost <= streamsMax + 1);
});

/** The six ways to make a server reset a stream that it has begun to work on (CVE-2025-8671). */
const MADE_RESETS: Readonly<Record<string, (peer: RawHttp2, stream: number) => readonly Buffer[]>> = {
  'a window increment of 0': (peer, stream) => [request(peer, stream), windowUpdateFrame(stream, 0)],
  'a stream window above 2^31-1': (peer, stream) => [request(peer, stream), windowUpdateFrame(stream, WINDOW_MAX)],
  'PRIORITY of a wrong length': (peer, stream) => [
    request(peer, stream),
    frame({ type: FRAME.priority, stream }, Buffer.alloc(4)),
  ],
  'PRIORITY that depends on itself': (peer, stream) => [
    request(peer, stream),
    priorityFrame(stream, priorityFields(stream, 1)),
  ],
  'HEADERS after END_STREAM': (peer, stream) => [request(peer, stream), request(peer, stream)],
  'DATA after END_STREAM': (peer, stream) => [request(peer, stream), dataFrame(stream, true, 'x')],
};

for (const [name, frames] of Object.entries(MADE_RESETS))
  underAttack(
    `C3 made reset by ${name}: counted in the same budget, and the work is cancelled`,
    async ({ peer, application }) => {
      const outcome = await flood(peer, FLOOD, (index) => Buffer.concat(frames(peer, streamOf(index))));
      // What the engine takes as an error of the connection ends it at once, which bounds the attack better still.
      if (resetsOf(peer).size > 0) stopped(outcome, resetsMax);
      else assert.ok(outcome.ended || outcome.code !== undefined);
      await peer.ended();
      const held = application.heads.filter(({ path }) => path.value === '/hold').length;
      assert.ok(held <= resetsMax + SLACK, `${held} requests reached the service`);
      assert.ok(
        application.resets.length >= held,
        `${held} requests, ${application.resets.length} told of their reset`,
      );
    },
  );

underAttack('C3 resets of both kinds share one budget', async (rig) => {
  const { peer } = rig;
  const outcome = await flood(peer, FLOOD, (index) =>
    index % 2 === 0
      ? rapidReset(rig)(index)
      : Buffer.concat([request(peer, streamOf(index)), windowUpdateFrame(streamOf(index), 0)]),
  );
  stopped(outcome, resetsMax);
});

/** A request in HEADERS and `count` CONTINUATION frames of one byte, the last with END_HEADERS if `whole`. */
function continued(peer: RawHttp2, stream: number, count: number, whole: boolean): Buffer {
  const all = block(peer.request({ path: '/' }));
  const cut = all.length - count;
  const frames = Array.from({ length: count }, (_, index) =>
    continuationFrame(stream, whole && index === count - 1, all.subarray(cut + index, cut + index + 1)),
  );
  return Buffer.concat([headersFrame(stream, all.subarray(0, cut), { more: true }), ...frames]);
}

underAttack(`C4 CONTINUATION: ${continuationsMax} frames pass, one more ends the connection`, async ({ peer }) => {
  peer.write(continued(peer, 1, continuationsMax, true));
  assert.equal((await peer.response(1)).status, 200);
  peer.write(continued(peer, 3, continuationsMax + 1, true));
  await endsWith(peer, CODE.enhanceYourCalm);
});

underAttack('C4 CONTINUATION flood: ten thousand frames without END_HEADERS', async ({ peer, application }) => {
  const bytes = Buffer.alloc(1000, 'x');
  peer.write(headersFrame(1, block(peer.request()), { more: true }));
  peer.write(...Array.from({ length: FLOOD }, () => continuationFrame(1, false, bytes)));
  await peer.ended();
  assert.ok(application.heads.every(({ path }) => path.value === '/'));
});

underAttack('C5 empty CONTINUATION flood ends by count', async ({ peer }) => {
  peer.write(headersFrame(1, block(peer.request()), { more: true }));
  peer.write(...Array.from({ length: continuationsMax + 1 }, () => continuationFrame(1, false, Buffer.alloc(0))));
  await endsWith(peer, CODE.enhanceYourCalm);
});

underAttack('C5 a header block that stands still ends at its deadline, not before', async ({ peer, clock, target }) => {
  peer.write(headersFrame(1, block(peer.request()), { more: true }));
  await target.turn();
  for (let ms = 0; ms < headerTimeoutMs - 1_000; ms += 500) clock.advance(500);
  await target.turn();
  assert.equal(peer.closed, undefined);
  for (let ms = 0; ms < 3_000; ms += 500) clock.advance(500);
  await peer.ended();
});

underAttack('C5 a frame that stands still in its middle ends at its deadline', async ({ peer, clock, target }) => {
  peer.write(settingsFrame([[SETTING.enablePush, 0]]).subarray(0, 11));
  await target.turn();
  for (let ms = 0; ms < headerTimeoutMs + 2_000; ms += 500) clock.advance(500);
  await peer.ended();
});

/** A block of `fields` fields of 1 byte each after one that fills the table. */
function bomb(peer: RawHttp2, name: string, references: number): readonly Buffer[] {
  const head = Buffer.concat([block(peer.request()), literal(name, 'v'.repeat(4_000), LITERAL.indexed)]);
  const rest = Buffer.alloc(references, indexed(62));
  const frames = [headersFrame(1, head, { more: true })];
  for (let at = 0; at < references; at += 16_384) {
    const piece = rest.subarray(at, at + 16_384);
    frames.push(continuationFrame(1, at + 16_384 >= references, piece));
  }
  return frames;
}

for (const name of ['x-bomb', 'cookie'])
  underAttack(`C6 HPACK bomb of ${name}: 16,000 references to 4 KiB are refused before they are built`, async (rig) => {
    const { peer, application } = rig;
    const before = process.memoryUsage().heapUsed;
    peer.write(...bomb(peer, name, 16_000));
    const survived = await peer.alive();
    assert.ok(
      application.heads.every(({ path }) => path.value === '/'),
      'the bomb reached the service',
    );
    assert.ok(application.refused.length === 1 || !survived, 'refused');
    const grown = process.memoryUsage().heapUsed - before;
    assert.ok(grown < 32 * 1024 * 1024, `grew by ${grown} bytes`);
    if (survived) assert.equal((await peer.get(3)).status, 200);
  });

/** Fields beyond the four pseudo-header fields so that the block has `fields` in all. */
const fillers = (fields: number, value = ''): readonly (readonly [string, string])[] =>
  Array.from({ length: fields - 4 }, (_, index) => [`x-${index}`, value]);

underAttack(
  'C6 header fields: the limits pass, one more is refused, and the connection lives',
  async ({ peer, application }) => {
    const { headerFieldsMax, headerNameBytesMax, targetBytesMax } = STRANGER_CONNECTION;
    const ask = async (stream: number, path: string, more: readonly (readonly [string, string])[]): Promise<number> => {
      peer.write(headersFrame(stream, block(peer.request({ path }, more))));
      return (await peer.response(stream)).status;
    };
    assert.equal(await ask(1, '/', fillers(headerFieldsMax)), 200);
    assert.equal(await ask(3, '/', fillers(headerFieldsMax + 1)), 431);
    assert.equal(await ask(5, '/', [['n'.repeat(headerNameBytesMax), 'v']]), 200);
    assert.equal(await ask(7, '/', [['n'.repeat(headerNameBytesMax + 1), 'v']]), 431);
    assert.equal(await ask(9, `/${'p'.repeat(targetBytesMax - 1)}`, []), 200);
    assert.equal(await ask(11, `/${'p'.repeat(targetBytesMax)}`, []), 414);
    assert.deepEqual(application.refused, ['limit-header-fields', 'limit-header-bytes', 'limit-target']);
  },
);

underAttack('C6 header bytes: a block of exactly the limit passes, one byte more is refused', async ({ peer }) => {
  const pairs = peer.request({ path: '/' });
  const size = (list: readonly (readonly [string, string])[]): number =>
    list.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
  const room = STRANGER_CONNECTION.headerBytesMax - size([...pairs, ['x-a', ''], ['x-b', '']]);
  const half = Math.floor(room / 2);
  const ask = async (stream: number, extra: number): Promise<number> => {
    const more = block([...pairs, ['x-a', 'a'.repeat(half)], ['x-b', 'b'.repeat(room - half + extra)]]);
    peer.write(headersFrame(stream, more.subarray(0, 8_000), { more: true }));
    peer.write(continuationFrame(stream, true, more.subarray(8_000)));
    return (await peer.response(stream)).status;
  };
  assert.equal(await ask(1, 0), 200);
  assert.equal(await ask(3, 1), 431);
});

underAttack('C9 SETTINGS flood is stopped', async ({ peer }) => {
  stopped(await flood(peer, FLOOD, () => settingsFrame([[SETTING.initialWindowSize, 65_535]])), glitchesMax);
});

underAttack('C10 PING flood is stopped', async ({ peer }) => {
  stopped(await flood(peer, FLOOD, () => pingFrame('flood')), glitchesMax);
});

underAttack('C10 one PING a second for ten minutes is no flood', async ({ peer, clock }) => {
  for (let second = 0; second < 600; second += 1) {
    clock.advance(1_000);
    assert.ok(await peer.alive(`${second}`), peer.story());
  }
});

underAttack('C10 a reader that stands still cannot pile up answers', async ({ peer, target, clock }) => {
  peer.socket.pause();
  const pings = Buffer.concat(Array.from({ length: 1_000 }, () => pingFrame('flood')));
  for (let sent = 0; sent < 300 && target.connections() > 1; sent += 1) {
    peer.write(pings);
    await target.turn();
    clock.advance(500);
  }
  assert.ok(target.queuedMost() <= 1024 * 1024, `${target.queuedMost()} bytes queued`);
  // What it does not read has a moment to leave.
  clock.advance(2_000);
  await target.connectionsAre(1);
});

underAttack(`C11 SETTINGS: ${settingsMax} values in a frame pass, a thousand do not`, async ({ peer }) => {
  const value = [SETTING.initialWindowSize, 65_535] as const;
  peer.write(settingsFrame(Array.from({ length: settingsMax }, () => value)));
  assert.ok(await peer.alive());
  peer.write(settingsFrame(Array.from({ length: 1_000 }, () => value)));
  await endsWith(peer, CODE.enhanceYourCalm);
});

underAttack('C11 the window flips over a hundred streams and nothing is lost', async ({ peer }) => {
  peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]));
  const streams = Array.from({ length: streamsMax }, (_, index) => streamOf(index));
  peer.write(...streams.map((stream) => request(peer, stream, { path: '/bytes/1000' })));
  for (let flip = 0; flip < 40; flip += 1)
    peer.write(settingsFrame([[SETTING.initialWindowSize, flip % 2 === 0 ? 10 : 0]]));
  peer.write(settingsFrame([[SETTING.initialWindowSize, 65_535]]), windowUpdateFrame(0, 1_000_000));
  const bytes = new Map<number, number>();
  for (let ended = 0; ended < streams.length;) {
    const { type, flags, stream, payload } = await peer.find(({ type }) => type === FRAME.data, 'DATA');
    assert.equal(type, FRAME.data);
    bytes.set(stream, (bytes.get(stream) ?? 0) + payload.length);
    ended += flags & 1;
  }
  assert.deepEqual(
    [...bytes.values()],
    streams.map(() => 1_000),
  );
});

underAttack('C11 a header table of 2^32-1 costs nothing, and the answers can be read', async ({ peer }) => {
  peer.write(settingsFrame([[SETTING.headerTableSize, 0xffffffff]]));
  assert.equal((await peer.get(1)).status, 200);
  peer.write(settingsFrame([[SETTING.headerTableSize, 0]]));
  assert.equal((await peer.get(3)).status, 200);
  peer.write(settingsFrame([[SETTING.headerTableSize, 4096]]));
  assert.equal((await peer.get(5)).status, 200);
});

for (const [title, id, value, code] of [
  ['MAX_FRAME_SIZE 0', SETTING.maxFrameSize, 0, CODE.protocolError],
  ['MAX_FRAME_SIZE 2^32-1', SETTING.maxFrameSize, 0xffffffff, CODE.protocolError],
  ['INITIAL_WINDOW_SIZE 2^32-1', SETTING.initialWindowSize, 0xffffffff, CODE.flowControlError],
  ['ENABLE_PUSH 2^32-1', SETTING.enablePush, 0xffffffff, CODE.protocolError],
] as const)
  underAttack(`C11 ${title} ends the connection`, async ({ peer }) => {
    peer.write(settingsFrame([[id, value]]));
    await endsWith(peer, code);
  });

underAttack(
  'C12 a window of zero under a hundred large answers holds the watermark of each and no more',
  async (rig) => {
    const { peer, application, target } = rig;
    peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]));
    for (let index = 0; index < streamsMax; index += 1)
      peer.write(request(peer, streamOf(index), { path: '/bytes/100000000' }));
    assert.ok(await peer.alive());
    assert.ok(!peer.seen.some(({ type }) => type === FRAME.data));
    assert.ok(application.owedMost <= (streamsMax + 1) * (64 + 16) * 1024, `${application.owedMost} bytes owed`);
    assert.ok(target.queuedMost() < 1024 * 1024);
  },
);

underAttack('C12 a reader that takes nothing for the stall time is reset', async ({ peer, clock, application }) => {
  const { stallTimeoutMs = 0 } = STRANGER_CONNECTION;
  peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]), request(peer, 1, { path: '/bytes/1000000' }));
  assert.ok(await peer.alive());
  for (let ms = 0; ms < stallTimeoutMs - 5_000; ms += 1_000) clock.advance(1_000);
  assert.ok(await peer.alive('still'));
  assert.equal(resetsOf(peer).size, 0);
  // Nearly none counts as nothing: half a minute for the measure of it.
  for (let ms = 0; ms < 65_000; ms += 1_000) clock.advance(1_000);
  await peer.find(({ type }) => type === FRAME.rstStream || type === FRAME.goAway, 'a reset');
  assert.equal(application.resets.length, 1);
});

underAttack('C13 a window of one byte gets one byte at a time, and all of them', async ({ peer }) => {
  const bytes = 90;
  peer.write(settingsFrame([[SETTING.initialWindowSize, 1]]), request(peer, 1, { path: `/bytes/${bytes}` }));
  for (let got = 0; got < bytes; got += 1) {
    const { payload } = await peer.find(({ type }) => type === FRAME.data, 'DATA');
    assert.equal(payload.length, 1);
    peer.write(windowUpdateFrame(1, 1));
  }
});

underAttack('C13 the connection window holds for all streams together', async ({ peer }) => {
  peer.write(settingsFrame([[SETTING.initialWindowSize, WINDOW_MAX]]));
  for (let index = 0; index < 10; index += 1) peer.write(request(peer, streamOf(index), { path: '/bytes/100000' }));
  let got = 0;
  while (got < 65_535) got += (await peer.find(({ type }) => type === FRAME.data, 'DATA')).payload.length;
  assert.equal(got, 65_535);
  assert.ok(await peer.alive());
  assert.equal(
    peer.seen.filter(({ type }) => type === FRAME.data).reduce((sum, { payload }) => sum + payload.length, 0),
    got,
  );
});

underAttack('C13 a window that goes negative stays shut until it is positive again', async ({ peer }) => {
  peer.write(settingsFrame([[SETTING.initialWindowSize, 100]]), request(peer, 1, { path: '/bytes/1000' }));
  await peer.find(({ type, payload }) => type === FRAME.data && payload.length === 100, 'DATA of 100');
  peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]), windowUpdateFrame(1, 100));
  assert.ok(await peer.alive());
  assert.equal(peer.seen.filter(({ type }) => type === FRAME.data).length, 1);
  peer.write(windowUpdateFrame(1, 1));
  const { payload } = await peer.find(({ type }) => type === FRAME.data, 'DATA');
  assert.equal(payload.length, 1);
});

underAttack('C13 more than the window of a stream is an error of flow control', async ({ peer }) => {
  peer.write(request(peer, 1, { path: '/stuck', method: 'POST', end: false }));
  const window = peer.settings.get(SETTING.initialWindowSize) ?? 65_535;
  assert.equal(window, streamWindowBytes);
  const whole = Math.floor(window / 16_384);
  for (let sent = 0; sent < whole; sent += 1) peer.write(dataFrame(1, false, Buffer.alloc(16_384)));
  peer.write(dataFrame(1, false, Buffer.alloc(window - whole * 16_384)));
  assert.ok(await peer.alive());
  peer.write(dataFrame(1, false, 'x'));
  await peer.find(({ type }) => type === FRAME.rstStream || type === FRAME.goAway, 'an error');
  assert.equal([...resetsOf(peer).values()][0] ?? CODE.flowControlError, CODE.flowControlError);
});

underAttack('C13 uploads that nobody reads hold no more than the windows', async ({ peer, application }) => {
  const streams = 40;
  for (let index = 0; index < streams; index += 1) {
    peer.write(request(peer, streamOf(index), { path: '/stuck', method: 'POST', end: false }));
    for (let sent = 0; sent < 3; sent += 1) peer.write(dataFrame(streamOf(index), false, Buffer.alloc(16_384)));
  }
  await peer.alive();
  assert.ok(application.received <= connectionWindowBytes, `${application.received} bytes`);
  await peer.ended();
});

underAttack('C15 a flood of empty DATA is stopped', async ({ peer }) => {
  peer.write(request(peer, 1, { method: 'POST', end: false }));
  stopped(await flood(peer, FLOOD, () => dataFrame(1, false, '')), glitchesMax);
});

underAttack('C15 a flood of DATA that is all padding is stopped', async ({ peer }) => {
  peer.write(request(peer, 1, { method: 'POST', end: false }));
  const outcome = await flood(peer, FLOOD, () => dataFrame(1, false, '', 0));
  assert.ok(outcome.rounds <= glitchesMax + SLACK, `${outcome.rounds} rounds`);
});

underAttack('C15 padding is given back to both windows', async ({ peer, application }) => {
  peer.write(request(peer, 1, { path: '/sink', method: 'POST', end: false }));
  let stream = peer.settings.get(SETTING.initialWindowSize) ?? 65_535;
  let connection = 65_535;
  const count = (): void => {
    stream = peer.settings.get(SETTING.initialWindowSize) ?? 65_535;
    connection = 65_535;
    for (const { type, stream: id, payload } of peer.seen) {
      if (type !== FRAME.windowUpdate) continue;
      if (id === 0) connection += payload.readUInt32BE(0);
      else stream += payload.readUInt32BE(0);
    }
  };
  const frames = 1_000;
  for (let sent = 0; sent < frames; sent += 1) {
    count();
    while (Math.min(stream, connection) < (sent + 1) * 257) {
      await peer.find(({ type }) => type === FRAME.windowUpdate, 'a WINDOW_UPDATE');
      count();
    }
    peer.write(dataFrame(1, sent === frames - 1, 'x', 255));
  }
  assert.equal((await peer.response(1)).status, 200);
  assert.equal(application.received, frames);
});

underAttack(
  'C16 fields with empty names are malformed, and a flood of them is stopped',
  async ({ peer, application }) => {
    const outcome = await flood(peer, FLOOD, (index) =>
      headersFrame(streamOf(index), Buffer.concat([block(peer.request()), literal('', '')])),
    );
    stopped(outcome, resetsMax);
    assert.ok(application.heads.every(({ path, fields }) => path.value === '/' && fields.length === 0));
  },
);

underAttack('C17 PRIORITY churn is stopped', async ({ peer }) => {
  const outcome = await flood(peer, FLOOD, (index) => priorityFrame(streamOf(index), priorityFields(0, index % 256)));
  stopped(outcome, glitchesMax);
});

underAttack('C17 PRIORITY before each of a thousand requests, as browsers sent it, is no churn', async ({ peer }) => {
  for (let index = 0; index < 1_000; index += 1) {
    peer.write(priorityFrame(streamOf(index), priorityFields(0, 15)));
    assert.equal((await peer.get(streamOf(index))).status, 200);
  }
});

underAttack('C17 WINDOW_UPDATE of one byte, again and again, is stopped or costs nothing', async ({ peer, target }) => {
  peer.write(request(peer, 1));
  const outcome = await flood(peer, 2_000, () => windowUpdateFrame(1, 1));
  assert.ok(outcome.code === undefined || outcome.code === CODE.enhanceYourCalm);
  assert.ok(target.queuedMost() < 1024 * 1024);
});

underAttack('C17 unknown frames are ignored one by one and stopped in a flood', async ({ peer }) => {
  stopped(await flood(peer, FLOOD, () => frame({ type: 0xfa }, Buffer.alloc(20))), glitchesMax);
});

underAttack('C20 PUSH_PROMISE ends the connection', async ({ peer }) => {
  peer.write(request(peer, 1), pushPromiseFrame(1, 2, block(peer.request())));
  await endsWith(peer, CODE.protocolError);
});

underAttack(
  `C22 ${streamsMax} streams are served, the next is refused and can be sent again`,
  async ({ peer, application }) => {
    const held = Array.from({ length: streamsMax }, (_, index) => request(peer, streamOf(index)));
    peer.write(...held);
    assert.ok(await peer.alive());
    assert.equal(resetsOf(peer).size, 0);
    peer.write(request(peer, streamOf(streamsMax)));
    assert.ok(await peer.alive('more'));
    assert.deepEqual([...resetsOf(peer)], [[streamOf(streamsMax), CODE.refusedStream]]);
    assert.ok(application.activeMost <= streamsMax + 1);
    peer.write(rstFrame(1, CODE.cancel));
    assert.equal((await peer.get(streamOf(streamsMax + 1), '/')).status, 200);
  },
);

/** C19: what each frame must be, with the exact code. */
const WRONG_LENGTHS: readonly (readonly [string, (peer: RawHttp2) => Buffer])[] = [
  ['DATA above the maximum', () => dataFrame(1, false, Buffer.alloc(16_385))],
  ['HEADERS above the maximum', () => headersFrame(3, Buffer.alloc(16_385))],
  ['a header that claims 2^24-1 bytes', () => frame({ type: FRAME.data, stream: 1 }, Buffer.alloc(10), 0xffffff)],
  ['an unknown frame above the maximum', () => frame({ type: 0xfa }, Buffer.alloc(10), 16_385)],
  ['SETTINGS of 5', () => frame({ type: FRAME.settings }, Buffer.alloc(5))],
  ['SETTINGS with ACK of 6', () => frame({ type: FRAME.settings, flags: 1 }, Buffer.alloc(6))],
  ['PING of 7', () => frame({ type: FRAME.ping }, Buffer.alloc(7))],
  ['PING of 9', () => frame({ type: FRAME.ping }, Buffer.alloc(9))],
  ['GOAWAY of 7', () => frame({ type: FRAME.goAway }, Buffer.alloc(7))],
  ['WINDOW_UPDATE of 3 on the connection', () => frame({ type: FRAME.windowUpdate }, Buffer.alloc(3))],
  ['WINDOW_UPDATE of 5 on a stream', () => frame({ type: FRAME.windowUpdate, stream: 1 }, Buffer.alloc(5))],
  ['RST_STREAM of 3', () => frame({ type: FRAME.rstStream, stream: 1 }, Buffer.alloc(3))],
  ['RST_STREAM of 5', () => frame({ type: FRAME.rstStream, stream: 1 }, Buffer.alloc(5))],
];

for (const [name, bytes] of WRONG_LENGTHS)
  underAttack(`C19 ${name} is GOAWAY with FRAME_SIZE_ERROR, naming the last stream`, async ({ peer }) => {
    peer.write(request(peer, 1, { method: 'POST', end: false }), bytes(peer));
    const { code, lastStream } = await peer.goAway();
    assert.deepEqual({ code, lastStream }, { code: CODE.frameSizeError, lastStream: 1 });
    await peer.ended();
  });

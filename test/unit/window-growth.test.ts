/** Windows of streams grow to what a round trip brings, for receivers that keep up, within what a connection may hold. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import {
  CONNECTION_CREDIT_BYTES_MAX,
  type ConnectionLimits,
  LINK_CONNECTION,
  STRANGER_CONNECTION,
} from '../../gateway/http2/limits.ts';
import { Http2ServerConnection } from '../../gateway/http2/server-connection.ts';
import { type ServerStream, type StreamReceiver } from '../../gateway/message/stream.ts';
import {
  CODE,
  dataFrame,
  FLAG,
  FRAME,
  frame,
  FrameReader,
  headersFrame,
  PREFACE,
  type RawFrame,
  rstFrame,
  settingsAckFrame,
  settingsFrame,
} from '../support/http2-frames.ts';
import { MemoryOutlet, RecordedEvents } from '../support/http2-pair.ts';
import { block } from '../support/raw-hpack.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const WINDOW = LINK_CONNECTION.streamWindowBytes;
const FRAME_BYTES = 16 * KIB;
/** The smallest sample that shows a window of 64 KiB to be too small: two thirds of it. */
const ENOUGH = 43_691;
/** Samples between two ticks that change nothing. */
const SAMPLES = 4;

const NO_MATTER: StreamReceiver = {
  onData: () => undefined,
  onTrailers: () => undefined,
  onReset: () => undefined,
  onSent: () => undefined,
};

const POST = block([
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a.test'],
]);

/** A server that uploads come to, frame by frame. */
class Uploads {
  readonly events = new RecordedEvents();
  readonly #streams = new Map<number, ServerStream>();
  readonly #outlet = new MemoryOutlet();
  readonly #connection: Http2ServerConnection;
  readonly #reader = new FrameReader();
  /** PINGs without an answer. */
  #pings: RawFrame[] = [];
  /** Bytes permitted since the last look, by stream. */
  #permitted = new Map<number, number>();
  #lastId = -1;

  constructor(limits: Partial<ConnectionLimits> = {}) {
    this.#connection = new Http2ServerConnection({
      outlet: this.#outlet,
      events: this.events,
      limits: { ...LINK_CONNECTION, ...limits },
      scheme: 'https',
      listener: {
        onRequest: (stream) => {
          this.#streams.set(this.#lastId, stream);
          return NO_MATTER;
        },
        onRefused: (reason) => assert.fail(reason),
      },
    });
    this.say(PREFACE, settingsFrame([]), settingsAckFrame());
    this.#permitted.clear();
  }

  /** PINGs that are out. */
  get pings(): number {
    return this.#pings.length;
  }

  say(...frames: readonly Buffer[]): void {
    for (const each of frames) this.#connection.receive(each);
    this.#hear();
  }

  open(): number {
    this.#lastId += 2;
    this.say(headersFrame(this.#lastId, POST, { end: false }));
    return this.#lastId;
  }

  data(id: number, bytes: number, end = false): void {
    for (let left = bytes; left > 0; left -= FRAME_BYTES) {
      const count = Math.min(left, FRAME_BYTES);
      this.say(dataFrame(id, end && count === left, Buffer.alloc(count)));
    }
  }

  credit(id: number, bytes: number): void {
    this.#streams.get(id)?.credit(bytes);
    this.#hear();
  }

  /** Ends the request and the answer to it. */
  answer(id: number): void {
    this.#streams.get(id)?.respond({ status: 200, fields: [] }, true);
    this.#hear();
  }

  /** Sends and takes so much. */
  flow(id: number, bytes: number): void {
    this.data(id, bytes);
    this.credit(id, bytes);
  }

  pong(): void {
    const pings = this.#pings;
    this.#pings = [];
    for (const { payload } of pings) this.say(frame({ type: FRAME.ping, flags: FLAG.ack }, payload));
  }

  tick(): void {
    this.#connection.tick(0);
  }

  /** What has been permitted on a stream since the last look. */
  permitted(id: number): number {
    const bytes = this.#permitted.get(id) ?? 0;
    this.#permitted.delete(id);
    return bytes;
  }

  /** A round trip that fills the window, which is `window` large, and shows it to be too small. Returns its growth. */
  grow(id: number, window = WINDOW): number {
    this.flow(id, window);
    this.permitted(id);
    this.pong();
    return this.permitted(id);
  }

  #hear(): void {
    this.#connection.turnEnd();
    for (const each of this.#reader.push(this.#outlet.take())) {
      if (each.type === FRAME.ping && (each.flags & FLAG.ack) === 0) this.#pings.push(each);
      if (each.type !== FRAME.windowUpdate) continue;
      const bytes = each.payload.readUInt32BE(0);
      this.#permitted.set(each.stream, (this.#permitted.get(each.stream) ?? 0) + bytes);
    }
  }
}

suite('the window of a stream', () => {
  test('nearly doubles with each round trip that fills it', () => {
    const uploads = new Uploads();
    const id = uploads.open();
    for (let window = WINDOW; window < 8 * MIB;) {
      const growth = uploads.grow(id, window);
      // What came before the sample began is not in it.
      assert.ok(growth <= window && growth >= 0.9 * window, `${growth} of ${window}`);
      window += growth;
    }
  });

  test('stays where less than two thirds of it came', () => {
    const uploads = new Uploads();
    const [slow, fast] = [uploads.open(), uploads.open()];
    uploads.flow(slow, ENOUGH - 1);
    uploads.flow(fast, ENOUGH);
    const credit = [uploads.permitted(slow), uploads.permitted(fast)];
    uploads.pong();
    assert.deepEqual([uploads.permitted(slow), uploads.permitted(fast)], [0, 2 * ENOUGH - WINDOW]);
    assert.ok(credit.every((bytes) => bytes > 0));
  });

  test('stays while more than half of it is not taken at the end of the round trip', () => {
    for (const [taken, growth] of [
      [ENOUGH - WINDOW / 2 - 1, 0],
      [ENOUGH - WINDOW / 2, 2 * ENOUGH - WINDOW],
    ] as const) {
      const uploads = new Uploads();
      const id = uploads.open();
      uploads.data(id, ENOUGH);
      uploads.credit(id, taken);
      uploads.pong();
      const more = uploads.permitted(id) - (growth === 0 ? 0 : taken);
      assert.equal(more, growth);
    }
  });

  test('stays while its receiver never waits for more', () => {
    const behind = WINDOW / 4;
    for (const [left, grows] of [
      [behind + 1, false],
      [behind, true],
    ] as const) {
      const uploads = new Uploads();
      const id = uploads.open();
      uploads.data(id, behind + 1);
      uploads.pong();
      uploads.data(id, ENOUGH);
      uploads.credit(id, behind + 1 + ENOUGH - left);
      const credited = uploads.permitted(id);
      assert.equal(credited, behind + 1 + ENOUGH - left);
      uploads.pong();
      assert.equal(uploads.permitted(id) > 0, grows);
    }
  });

  test('grows to its limit and no further', () => {
    const uploads = new Uploads({ streamWindowBytesMax: 150_000 });
    const id = uploads.open();
    assert.equal(uploads.grow(id), WINDOW);
    assert.equal(uploads.grow(id, 2 * WINDOW), 150_000 - 2 * WINDOW);
    assert.equal(uploads.grow(id, 150_000), 0);
  });

  test('grows by an eighth of what the others have left, so that something is left for the next', () => {
    const uploads = new Uploads({ growthBytesMax: 80_000 });
    const [first, second, third] = [uploads.open(), uploads.open(), uploads.open()];
    assert.equal(uploads.grow(first), 10_000);
    assert.equal(uploads.grow(first, WINDOW + 10_000), 0);
    uploads.tick();
    assert.equal(uploads.grow(second), 8_750);
    assert.equal(uploads.grow(third), Math.floor((80_000 - 18_750) / 8));
  });

  test('never grows by more than all may together, however many grow', () => {
    const uploads = new Uploads({ growthBytesMax: 80_000 });
    const growth = Array.from({ length: 100 }, () => {
      uploads.tick();
      return uploads.grow(uploads.open());
    });
    const sum = growth.reduce((bytes, more) => bytes + more, 0);
    assert.ok(sum > 79_000 && sum <= 80_000, String(sum));
    assert.ok(growth.slice(0, 40).every((bytes) => bytes > 0));
  });

  test('takes nothing for a stream that is gone, or has sent all, when the answer to the PING comes', () => {
    const uploads = new Uploads({ growthBytesMax: 80_000 });
    const [gone, ended, open] = [uploads.open(), uploads.open(), uploads.open()];
    uploads.flow(gone, ENOUGH);
    uploads.data(ended, ENOUGH, true);
    uploads.credit(ended, ENOUGH);
    uploads.say(rstFrame(gone, CODE.cancel));
    uploads.pong();
    assert.equal(uploads.grow(open), 10_000);
  });

  test('is opened again at half, and at a quarter once it has grown', () => {
    const uploads = new Uploads();
    const id = uploads.open();
    for (const [window, part] of [
      [WINDOW, 2],
      [2 * WINDOW, 4],
    ] as const) {
      uploads.permitted(id);
      uploads.flow(id, window / part - 1);
      assert.equal(uploads.permitted(id), 0);
      uploads.flow(id, 1);
      assert.equal(uploads.permitted(id), window / part);
      uploads.pong();
      if (window === WINDOW) assert.equal(uploads.grow(id), WINDOW);
    }
  });

  test('returns its growth when the stream is reset, or has ended and all is taken', () => {
    const uploads = new Uploads({ growthBytesMax: 80_000 });
    const first = uploads.open();
    assert.equal(uploads.grow(first), 10_000);
    uploads.data(first, 5_000);
    uploads.say(rstFrame(first, CODE.cancel));
    const second = uploads.open();
    assert.equal(uploads.grow(second), 10_000);
    uploads.data(second, 5_000, true);
    uploads.answer(second);
    uploads.tick();
    const third = uploads.open();
    assert.equal(uploads.grow(third), 8_750, 'the receiver of the second still holds bytes');
    uploads.credit(second, 4_999);
    const fourth = uploads.open();
    assert.equal(uploads.grow(fourth), Math.floor((80_000 - 18_750) / 8));
    uploads.credit(second, 1);
    uploads.tick();
    const fifth = uploads.open();
    assert.equal(uploads.grow(fifth), Math.floor((80_000 - 8_750 - 7_656) / 8));
  });

  test('returns growth that a receiver forgets behind the end, some minutes later', () => {
    const uploads = new Uploads({ growthBytesMax: 80_000 });
    const first = uploads.open();
    uploads.grow(first);
    uploads.data(first, 5_000, true);
    uploads.answer(first);
    for (let seconds = 0; seconds < 359; seconds += 1) uploads.tick();
    const second = uploads.open();
    assert.equal(uploads.grow(second), 8_750);
    uploads.say(rstFrame(second, CODE.cancel));
    uploads.tick();
    assert.equal(uploads.grow(uploads.open()), 10_000);
  });
});

suite('PINGs that measure', () => {
  test('go to no stranger', () => {
    const uploads = new Uploads(STRANGER_CONNECTION);
    const id = uploads.open();
    for (let count = 0; count < 20; count += 1) uploads.flow(id, WINDOW);
    assert.equal(uploads.pings, 0);
  });

  test('are not sent for small bodies, however many', () => {
    const uploads = new Uploads();
    for (let count = 0; count < 100; count += 1) uploads.flow(uploads.open(), WINDOW / 8 - 1);
    assert.equal(uploads.pings, 0);
    uploads.flow(uploads.open(), WINDOW / 8);
    assert.equal(uploads.pings, 1);
  });

  test('go one at a time, and a few between ticks if nothing grows', () => {
    const uploads = new Uploads();
    const id = uploads.open();
    for (let count = 0; count < 20; count += 1) uploads.flow(id, WINDOW);
    assert.equal(uploads.pings, 1);
    const quiet = new Uploads();
    const other = quiet.open();
    let pings = 0;
    for (let count = 0; count < 20; count += 1) {
      quiet.flow(other, WINDOW / 4);
      pings += quiet.pings;
      quiet.pong();
    }
    assert.equal(pings, SAMPLES);
    quiet.tick();
    quiet.flow(other, WINDOW / 4);
    assert.equal(quiet.pings, 1);
  });

  test('of the other end are nothing that a link is closed for', () => {
    const link = new Uploads();
    for (let count = 0; count < 10_000; count += 1) link.say(frame({ type: FRAME.ping }, Buffer.alloc(8)));
    assert.deepEqual(link.events.closed, []);
    const stranger = new Uploads(STRANGER_CONNECTION);
    // Without a stream it would be over at GOAWAY, before the rest of what is borne.
    stranger.open();
    for (let count = 0; count < 10_000; count += 1) stranger.say(frame({ type: FRAME.ping }, Buffer.alloc(8)));
    assert.equal(stranger.events.closed[0]?.code, CODE.enhanceYourCalm);
  });
});

suite("a link's window", () => {
  test('is larger than all that streams which stand still can hold, by more than one stream of 1 Gbit/s needs', () => {
    const { streamsMax, streamWindowBytes, growthBytesMax, connectionWindowBytes } = LINK_CONNECTION;
    const heldMax = streamsMax * streamWindowBytes + growthBytesMax + CONNECTION_CREDIT_BYTES_MAX;
    assert.ok(connectionWindowBytes - heldMax >= 64 * MIB);
    // What one stream can grow to when no other has.
    assert.ok(growthBytesMax / 8 + streamWindowBytes >= LINK_CONNECTION.streamWindowBytesMax);
    assert.ok(LINK_CONNECTION.streamWindowBytesMax >= 2 ** 24);
  });

  test('is opened again long before it is half used', () => {
    const uploads = new Uploads();
    const id = uploads.open();
    uploads.permitted(0);
    for (let bytes = 0; bytes < CONNECTION_CREDIT_BYTES_MAX - WINDOW; bytes += WINDOW) uploads.flow(id, WINDOW);
    assert.equal(uploads.permitted(0), 0);
    uploads.flow(id, WINDOW);
    assert.equal(uploads.permitted(0), CONNECTION_CREDIT_BYTES_MAX);
  });
});

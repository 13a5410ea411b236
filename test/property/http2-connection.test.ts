/** Whatever the pieces in which bytes arrive and credit is given, both ends of an HTTP/2 connection see the same bodies. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import fc from 'fast-check';

import { LINK_CONNECTION, type ConnectionLimits } from '../../gateway/http2/limits.ts';
import { type Field } from '../../gateway/message/field.ts';
import { field } from '../../gateway/message/names.ts';
import {
  type RequestListener,
  type ResponseReceiver,
  type StreamReceiver,
  type StreamSender,
} from '../../gateway/message/stream.ts';
import { Http2Pair } from '../support/http2-pair.ts';

interface Call {
  readonly up: readonly number[];
  readonly down: readonly number[];
  readonly trailers: boolean;
  /** Reset by the client after so many steps; beyond the end it is not. */
  readonly resetAt: number;
}

const sizes = fc.array(fc.oneof(fc.nat(200), fc.nat(40_000)), { maxLength: 5 });
const call: fc.Arbitrary<Call> = fc.record({
  up: sizes,
  down: sizes,
  trailers: fc.boolean(),
  resetAt: fc.oneof({ weight: 5, arbitrary: fc.constant(Infinity) }, fc.nat(40)),
});

/** A generator of small numbers, the same for the same seed. */
class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 1;
  }
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }
}

/** One end of one exchange: writes its pieces, keeps what came, gives credit when it likes. */
class End implements ResponseReceiver {
  readonly received: Buffer[] = [];
  ended = false;
  resets = 0;
  trailers: readonly Field[] | undefined;
  written = 0;
  sent = 0;
  owed = 0;
  stream: StreamSender | undefined;
  readonly #toWrite: Buffer[];
  readonly #withTrailers: boolean;
  #finished = false;

  constructor(pieces: readonly number[], withTrailers: boolean, seed: number) {
    this.#toWrite = pieces.map((size, index) => Buffer.alloc(size, `${seed}.${index},`));
    this.#withTrailers = withTrailers;
  }

  get body(): Buffer {
    return Buffer.concat(this.received);
  }

  /** Writes the next piece, or the end. */
  advance(): void {
    if (this.#finished || this.stream === undefined) return;
    const piece = this.#toWrite.shift();
    const isLast = this.#toWrite.length === 0 && !this.#withTrailers;
    if (piece !== undefined) {
      this.written += piece.length;
      this.#finished = isLast;
      this.stream.write(piece, isLast);
    } else {
      this.#finished = true;
      this.stream.finish(this.#withTrailers ? [field('x-sum', '1')] : []);
    }
  }

  credit(bytes: number): void {
    const count = Math.min(bytes, this.owed);
    this.owed -= count;
    if (count > 0) this.stream?.credit(count);
  }

  onInterim(): void {}
  onResponse(_head: unknown, end: boolean): void {
    if (end) this.ended = true;
  }
  onData(bytes: Uint8Array, end: boolean): void {
    assert.ok(!this.ended && this.resets === 0, 'data after the end');
    this.received.push(Buffer.from(bytes));
    this.owed += bytes.length;
    if (end) this.ended = true;
  }
  onTrailers(trailers: readonly Field[]): void {
    assert.ok(!this.ended && this.resets === 0, 'trailers after the end');
    this.trailers = trailers;
    this.ended = true;
  }
  onReset(): void {
    this.resets += 1;
  }
  onSent(bytes: number): void {
    this.sent += bytes;
    assert.ok(this.sent <= this.written, 'more sent than written');
  }
}

const head = {
  method: field(':method', 'POST'),
  path: field(':path', '/'),
  authority: field(':authority', 'a.test'),
  scheme: field(':scheme', 'http'),
  protocol: undefined,
};

/** Plays `calls` and compares. */
function play(calls: readonly Call[], limits: ConnectionLimits, seed: number): void {
  const random = new Random(seed);
  const servers = new Map<number, End>();
  const listener: RequestListener = {
    onRequest(stream, { fields }): StreamReceiver {
      const number = Number(fields[0]?.value);
      const end = new End(calls[number]?.down ?? [], calls[number]?.trailers ?? false, seed + number);
      servers.set(number, end);
      end.stream = stream;
      stream.respond({ status: 200, fields: [] }, false);
      return end;
    },
    onRefused: (reason) => assert.fail(reason),
  };
  const pair = new Http2Pair(listener, limits);
  pair.settle();
  const clients = calls.map((each, number) => {
    const end = new End(each.up, each.trailers, seed ^ number);
    end.stream = pair.client.open({ ...head, fields: [field('x-number', String(number))] }, false, end);
    assert.ok(end.stream !== undefined);
    return end;
  });
  const reset = new Set<number>();
  const wires = { up: Buffer.alloc(0), down: Buffer.alloc(0) };
  const move = (): void => {
    pair.client.turnEnd();
    wires.up = Buffer.concat([wires.up, pair.clientOutlet.take()]);
    pair.server.turnEnd();
    wires.down = Buffer.concat([wires.down, pair.serverOutlet.take()]);
    const up = random.below(Math.min(wires.up.length, 30_000) + 1);
    pair.server.receive(Buffer.from(wires.up.subarray(0, up)));
    wires.up = wires.up.subarray(up);
    const down = random.below(Math.min(wires.down.length, 30_000) + 1);
    pair.client.receive(Buffer.from(wires.down.subarray(0, down)));
    wires.down = wires.down.subarray(down);
  };
  const isDone = (): boolean =>
    calls.every(
      (_, number) => reset.has(number) || (clients[number]?.ended === true && servers.get(number)?.ended === true),
    );
  for (let step = 0; !isDone(); step += 1) {
    assert.ok(step < 20_000, 'the calls never end');
    pair.clientOutlet.writable = random.below(4) > 0;
    pair.serverOutlet.writable = random.below(4) > 0;
    calls.forEach((each, number) => {
      const client = clients[number];
      if (client === undefined || reset.has(number)) return;
      if (step >= each.resetAt && !client.ended) {
        reset.add(number);
        client.stream?.reset(8);
        return;
      }
      const one = random.below(2) === 0 ? client : servers.get(number);
      if (random.below(3) === 0) one?.advance();
      if (random.below(2) === 0) one?.credit(random.below(50_000));
    });
    move();
  }
  pair.clientOutlet.writable = true;
  pair.serverOutlet.writable = true;
  while (wires.up.length > 0 || wires.down.length > 0 || pair.clientOutlet.scheduled || pair.serverOutlet.scheduled)
    move();
  pair.settle();
  assert.deepEqual([pair.client.streams, pair.server.streams], [0, 0]);
  assert.deepEqual([pair.client.queuedBytes, pair.server.queuedBytes], [0, 0]);
  assert.deepEqual([pair.clientEvents.closed, pair.serverEvents.closed], [[], []]);
  calls.forEach((each, number) => {
    const client = clients[number];
    const server = servers.get(number);
    if (reset.has(number)) {
      assert.equal(client?.resets, 0, 'who resets is told nothing');
      return;
    }
    assert.ok(client !== undefined && server !== undefined);
    assert.equal(client.resets + server.resets, 0);
    assert.ok(
      server.body.equals(Buffer.concat(each.up.map((size, index) => Buffer.alloc(size, `${seed ^ number}.${index},`)))),
    );
    assert.ok(
      client.body.equals(
        Buffer.concat(each.down.map((size, index) => Buffer.alloc(size, `${seed + number}.${index},`))),
      ),
    );
    assert.deepEqual([client.sent, server.sent], [client.written, server.written]);
    assert.equal(client.trailers?.[0]?.name.text, each.trailers ? 'x-sum' : undefined);
    assert.equal(server.trailers?.[0]?.name.text, each.trailers ? 'x-sum' : undefined);
  });
  // No credit has been lost on the way: both connection windows open again to what they were, but for what is below half.
  assert.ok(pair.client.send.window * 2 > limits.connectionWindowBytes);
  assert.ok(pair.server.send.window * 2 > limits.connectionWindowBytes);
}

const windows = fc.record({
  streamWindowBytes: fc.constantFrom(1, 100, 16_384, 65_535, 300_000),
  connectionWindowBytes: fc.constantFrom(65_535, 70_000, 1_000_000),
  streamWindowBytesMax: fc.constantFrom(1, 20_000, 32 * 1024 * 1024),
  growthBytesMax: fc.constantFrom(0, 30_000, 256 * 1024 * 1024),
});

suite('HTTP/2 connections', () => {
  test('carry bodies, trailers and resets whole, and forget them', () => {
    fc.assert(
      fc.property(
        fc.array(call, { minLength: 1, maxLength: 8 }),
        windows,
        fc.integer({ min: 1 }),
        (calls, sizes, seed) => {
          // One byte at a time is right and slow: small bodies will do.
          const small = sizes.streamWindowBytes < 1_000;
          const cut = (list: readonly number[]): number[] => list.map((size) => (small ? size % 40 : size));
          play(
            calls.map((each) => ({ ...each, up: cut(each.up), down: cut(each.down) })),
            { ...LINK_CONNECTION, ...sizes },
            seed,
          );
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** How the windows of streams grow to what path and receiver take, measured by PINGs: without a clock, as gRPC does it. */
import { type ConnectionLimits } from './limits.ts';
import { type Pings } from './pings.ts';
import { type Stream } from './stream.ts';

/** A sample begins only with a stream that has used this much of its window's start, so small calls cause no PINGs. */
const SAMPLE_SHARE = 1 / 8;

/** A window is too small if a round trip brought this much of it; less, and something else was slower. */
const LIMITED_SHARE = 2 / 3;

/** At this much of its window or less, a stream's receiver waits for bytes and not they for it. */
const DRY_SHARE = 1 / 4;

/** With more than this much of its window outstanding at the end of a sample, a receiver has stopped. */
const STALLED_SHARE = 1 / 2;

/** A window becomes this many times what a round trip brought. */
const GROWTH_FACTOR = 2;

/** Of the growth that others have left a stream takes an eighth at most: whatever stalls, something is left for the next. */
const GROWTH_SHARE = 1 / 8;

/** Growth below this share of a window is no reason to measure again at once. */
const STEP_SHARE = 1 / 4;

/** Samples between two ticks that change nothing: a PING for each round trip of a loopback link would be thousands. */
const SAMPLES_PER_TICK = 4;

/** Streams that one sample can find too small; others wait for the next one, should a PING never be answered. */
const CANDIDATES_MAX = 1_024;

/** Growth that a receiver holds behind the end of its stream counts for so many ticks: callers that take nothing are cut by then. */
const HELD_TICKS_MAX = 360;

/** What growth needs of the flow that it is part of. */
export interface GrowthOwner {
  /** Where the windows of streams start. */
  readonly streamWindowBytes: number;
  /** Announces more room on a stream. */
  widen(stream: Stream, bytes: number): void;
}

/**
 * The samples of one connection. What arrives on a stream between a PING and its answer is what a round trip brings:
 *
 *     resting --DATA of a stream that uses its window, PING--> sampling --PONG: windows that were too small grow--> resting
 */
export class WindowGrowth {
  readonly #owner: GrowthOwner;
  readonly #limits: ConnectionLimits;
  readonly #pings: Pings;
  #sampling = false;
  /** Of the sample under way, or the last one. */
  #number = 0;
  #samplesLeft = SAMPLES_PER_TICK;
  #candidates: Stream[] = [];
  /** By which the windows of all streams together are larger than at their start. */
  #grownBytes = 0;
  #ticks = 0;
  /** Closed streams whose receivers hold some of what came, oldest first, and the tick at which that no longer counts. */
  readonly #held = new Map<Stream, number>();

  constructor(owner: GrowthOwner, limits: ConnectionLimits, pings: Pings) {
    this.#owner = owner;
    this.#limits = limits;
    this.#pings = pings;
  }

  /** DATA of a stream came in and has been charged to it. */
  received(stream: Stream, bytes: number): void {
    const start = this.#owner.streamWindowBytes;
    const window = start + stream.growth;
    if (!this.#sampling && (window - stream.receiveWindow < start * SAMPLE_SHARE || !this.#begin())) return;
    if (stream.sample !== this.#number) {
      stream.sample = this.#number;
      stream.sampleBytes = 0;
      stream.ranDry = stream.outstanding - bytes <= window * DRY_SHARE;
    }
    const before = stream.sampleBytes;
    stream.sampleBytes += bytes;
    const enough = window * LIMITED_SHARE;
    if (before >= enough || stream.sampleBytes < enough || this.#candidates.length >= CANDIDATES_MAX) return;
    this.#candidates.push(stream);
  }

  /** A receiver has dealt with bytes of a stream. */
  credited(stream: Stream): void {
    const window = this.#owner.streamWindowBytes + stream.growth;
    if (stream.outstanding <= window * DRY_SHARE) stream.ranDry = true;
  }

  /** A stream is closed, or the receiver of a closed one has dealt with more: what it has grown by returns when nothing is held. */
  settle(stream: Stream): void {
    if (stream.outstanding > 0) {
      if (!this.#held.has(stream)) this.#held.set(stream, this.#ticks + HELD_TICKS_MAX);
      return;
    }
    this.#held.delete(stream);
    this.#grownBytes -= stream.growth;
    stream.growth = 0;
  }

  /** Time passes; about once a second. */
  tick(): void {
    this.#samplesLeft = SAMPLES_PER_TICK;
    this.#ticks += 1;
    for (const [stream, untilTick] of this.#held) {
      if (untilTick > this.#ticks) return;
      stream.outstanding = 0;
      this.settle(stream);
    }
  }

  #begin(): boolean {
    if (this.#samplesLeft === 0 || !this.#pings.send(this.#end)) return false;
    this.#samplesLeft -= 1;
    this.#sampling = true;
    this.#number += 1;
    return true;
  }

  readonly #end = (): void => {
    this.#sampling = false;
    const candidates = this.#candidates;
    this.#candidates = [];
    let grew = false;
    for (const stream of candidates) grew = this.#grow(stream) || grew;
    // The next round trip, or the one behind it which will see the larger windows, may bring twice as much.
    if (grew) this.#samplesLeft = SAMPLES_PER_TICK;
  };

  /** Whether the stream's window is now larger by a good deal. */
  #grow(stream: Stream): boolean {
    if (stream.closed || !stream.remoteOpen) return false;
    const window = this.#owner.streamWindowBytes + stream.growth;
    if (!stream.ranDry || stream.outstanding > window * STALLED_SHARE) return false;
    const { streamWindowBytesMax, growthBytesMax } = this.#limits;
    const wanted = Math.min(GROWTH_FACTOR * stream.sampleBytes, streamWindowBytesMax) - window;
    const others = this.#grownBytes - stream.growth;
    const share = Math.floor((growthBytesMax - others) * GROWTH_SHARE) - stream.growth;
    const bytes = Math.min(wanted, share);
    if (bytes <= 0) return false;
    stream.growth += bytes;
    this.#grownBytes += bytes;
    this.#owner.widen(stream, bytes);
    return bytes >= window * STEP_SHARE;
  }
}

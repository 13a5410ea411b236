/** DATA on its way out: flow control (RFC 9113 §5.2, §6.9), and turns taken among the streams that could send. */
import { type Outlet } from '../message/output.ts';
import { writeData } from './frame/data.ts';
import { FRAME_BYTES_DEFAULT, INT31_MAX } from './frame/frame-type.ts';
import { WINDOW_BYTES_DEFAULT } from './settings.ts';
import { type Stream } from './stream.ts';

/** A longer frame would hold the other streams up and gains nothing: four TLS records. */
const FRAME_BYTES_MAX = 64 * 1024;

/** A queued slice of a read that is more than this many times as long is copied, so that it does not hold all of it. */
const PINNED_SHARE = 4;

/** Below this a window that opens only so far while more waits is of no use to an honest reader. */
const TINY_UPDATE_BYTES = 256;

/** What the flow needs of its connection. */
export interface SendFlowOwner {
  /** All of the stream has been written, END_STREAM included. */
  localEnded(stream: Stream): void;
  /** All data of the stream has been written, the trailers are due. */
  writeTrailers(stream: Stream): void;
}

/** The sending direction of a connection. */
export class SendFlow {
  /** What the connection may still send. */
  window = WINDOW_BYTES_DEFAULT;
  /** Of a DATA frame. */
  frameBytesMax = FRAME_BYTES_DEFAULT;
  /** Bytes that wait on all streams. */
  queuedBytes = 0;
  readonly #outlet: Outlet;
  readonly #owner: SendFlowOwner;
  #round: Stream[] = [];
  #roundHead = 0;

  constructor(outlet: Outlet, owner: SendFlowOwner) {
    this.#outlet = outlet;
    this.#owner = owner;
  }

  /** Takes the peer's MAX_FRAME_SIZE. */
  limitFrames(bytes: number): void {
    this.frameBytesMax = Math.min(bytes, FRAME_BYTES_MAX);
  }

  /** Sends bytes of an open stream now if nothing else is before them, else in its turn. */
  write(stream: Stream, bytes: Uint8Array, end: boolean): void {
    const count = bytes.length;
    if (count === 0 && !end) return;
    if (stream.queuedBytes === 0 && this.#isFree(stream, count)) {
      this.#emit(stream, bytes, end);
      return;
    }
    stream.ending = end;
    if (count > 0) this.#enqueue(stream, bytes);
  }

  /** Whether bytes wait in front of the end of this stream. */
  hasQueued(stream: Stream): boolean {
    return stream.queuedBytes > 0;
  }

  /** Forgets what waits on a stream that is closed. */
  drop(stream: Stream): void {
    this.queuedBytes -= stream.queuedBytes;
    stream.queuedBytes = 0;
    stream.queue = undefined;
  }

  /** The other end permits more on a stream. False if that is beyond what a window can be. */
  grantStream(stream: Stream, bytes: number): boolean {
    stream.sendWindow += bytes;
    if (stream.sendWindow > INT31_MAX) return false;
    this.#join(stream);
    return true;
  }

  /** The same for the connection. */
  grant(bytes: number): boolean {
    this.window += bytes;
    if (this.window > INT31_MAX) return false;
    if (this.#roundHead < this.#round.length) this.#outlet.schedule();
    return true;
  }

  /** Whether an update opens a closed window by next to nothing (CVE-2019-9511's dribble). */
  isTiny(stream: Stream | undefined, bytes: number): boolean {
    if (bytes >= TINY_UPDATE_BYTES) return false;
    if (stream === undefined) return this.window <= 0 && this.queuedBytes > TINY_UPDATE_BYTES;
    return stream.sendWindow <= 0 && stream.queuedBytes > TINY_UPDATE_BYTES;
  }

  /** Writes what waits, a frame of each stream in turn, as far as windows and socket allow. */
  pump(): void {
    while (this.#roundHead < this.#round.length && this.window > 0 && this.#outlet.writable) {
      const stream = this.#round[this.#roundHead];
      this.#roundHead += 1;
      if (stream === undefined) continue;
      stream.inRound = false;
      if (stream.closed || stream.queuedBytes === 0 || stream.sendWindow <= 0) continue;
      this.#sendPiece(stream);
      this.#join(stream);
    }
    this.#shorten();
  }

  #isFree(stream: Stream, count: number): boolean {
    if (count === 0) return true;
    return (
      count <= stream.sendWindow &&
      count <= this.window &&
      count <= this.frameBytesMax &&
      this.#roundHead === this.#round.length &&
      this.#outlet.writable
    );
  }

  #emit(stream: Stream, bytes: Uint8Array, end: boolean): void {
    const count = bytes.length;
    this.window -= count;
    stream.sendWindow -= count;
    if (end) {
      stream.ending = true;
      stream.localOpen = false;
    }
    writeData(this.#outlet.output, stream.id, bytes, end);
    this.#outlet.schedule();
    if (count > 0) stream.sent(count);
    if (end && !stream.closed) this.#owner.localEnded(stream);
  }

  #enqueue(stream: Stream, bytes: Uint8Array): void {
    const isPinning = bytes.buffer.byteLength > PINNED_SHARE * bytes.length;
    const kept = isPinning ? Buffer.from(bytes) : bytes;
    if (stream.queue === undefined) {
      stream.queue = [kept];
      stream.queueHead = 0;
      stream.queueOffset = 0;
    } else stream.queue.push(kept);
    stream.queuedBytes += kept.length;
    this.queuedBytes += kept.length;
    this.#join(stream);
  }

  #join(stream: Stream): void {
    if (stream.inRound || stream.closed || stream.queuedBytes === 0 || stream.sendWindow <= 0) return;
    stream.inRound = true;
    this.#round.push(stream);
    this.#outlet.schedule();
  }

  #sendPiece(stream: Stream): void {
    const { queue } = stream;
    const chunk = queue?.[stream.queueHead];
    if (queue === undefined || chunk === undefined) return;
    const from = stream.queueOffset;
    const count = Math.min(chunk.length - from, stream.sendWindow, this.window, this.frameBytesMax);
    const piece = count === chunk.length ? chunk : chunk.subarray(from, from + count);
    stream.queueOffset = from + count;
    if (stream.queueOffset === chunk.length) {
      stream.queueOffset = 0;
      stream.queueHead += 1;
      if (stream.queueHead === queue.length) stream.queue = undefined;
      else if (stream.queueHead >= HEAD_MAX) {
        stream.queue = queue.slice(stream.queueHead);
        stream.queueHead = 0;
      }
    }
    stream.queuedBytes -= count;
    this.queuedBytes -= count;
    const done = stream.queuedBytes === 0 && stream.ending;
    const hasTrailers = stream.trailers !== undefined;
    this.#emit(stream, piece, done && !hasTrailers);
    if (done && hasTrailers && !stream.closed) this.#owner.writeTrailers(stream);
  }

  #shorten(): void {
    if (this.#roundHead === this.#round.length) {
      if (this.#roundHead > 0) this.#round = [];
      this.#roundHead = 0;
    } else if (this.#roundHead >= HEAD_MAX) {
      this.#round = this.#round.slice(this.#roundHead);
      this.#roundHead = 0;
    }
  }
}

/** How many taken elements stay at the front of a list before it is made anew. */
const HEAD_MAX = 64;

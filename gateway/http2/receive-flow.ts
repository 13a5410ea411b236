/** Credit for DATA that came in (RFC 9113 §5.2, §6.9): announced in good time, at the end of a turn. */
import { type Outlet } from '../message/output.ts';
import { writeWindowUpdate } from './frame/window-update.ts';
import { CONNECTION_CREDIT_BYTES_MAX, type ConnectionLimits } from './limits.ts';
import { type Pings } from './pings.ts';
import { WINDOW_BYTES_DEFAULT } from './settings.ts';
import { type Stream } from './stream.ts';
import { type GrowthOwner, WindowGrowth } from './window-growth.ts';

/** The receiving direction of a connection. */
export class ReceiveFlow implements GrowthOwner {
  /** Where the windows of new streams start: the default until our settings are acknowledged. */
  streamWindowBytes = WINDOW_BYTES_DEFAULT;
  readonly #outlet: Outlet;
  readonly #connectionWindowBytes: number;
  /** Credit of the connection is announced when there is so much of it. */
  readonly #creditBytes: number;
  readonly #growth: WindowGrowth | undefined;
  /** What the other end may still send on the connection. */
  #window = WINDOW_BYTES_DEFAULT;
  #owed = 0;
  #announcing: Stream[] = [];

  constructor(outlet: Outlet, limits: ConnectionLimits, pings: Pings) {
    this.#outlet = outlet;
    this.#connectionWindowBytes = limits.connectionWindowBytes;
    this.#creditBytes = Math.min(limits.connectionWindowBytes / 2, CONNECTION_CREDIT_BYTES_MAX);
    this.#growth = limits.growthBytesMax > 0 ? new WindowGrowth(this, limits, pings) : undefined;
  }

  /** Opens the connection's window to its size. */
  start(): void {
    const increment = this.#connectionWindowBytes - WINDOW_BYTES_DEFAULT;
    if (increment <= 0) return;
    this.#window += increment;
    writeWindowUpdate(this.#outlet.output, 0, increment);
  }

  /** Time passes; about once a second. */
  tick(): void {
    this.#growth?.tick();
  }

  /** DATA came in. False if it is beyond the connection's window. */
  charge(bytes: number): boolean {
    this.#window -= bytes;
    return this.#window >= 0;
  }

  /** The same for a stream's window; the bytes are outstanding until credited. */
  chargeStream(stream: Stream, bytes: number): boolean {
    stream.outstanding += bytes;
    stream.receiveWindow -= bytes;
    if (stream.receiveWindow < 0) return false;
    this.#growth?.received(stream, bytes);
    return true;
  }

  /** Bytes that no stream holds any more. */
  credit(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed >= this.#creditBytes) this.#outlet.schedule();
  }

  /** Bytes of a stream that have been dealt with. */
  creditStream(stream: Stream, bytes: number): void {
    const count = Math.min(bytes, stream.outstanding);
    if (count <= 0) return;
    stream.outstanding -= count;
    if (stream.closed) {
      this.#growth?.settle(stream);
      return;
    }
    stream.owed += count;
    this.credit(count);
    this.#growth?.credited(stream);
    const { growth } = stream;
    // A window that has grown is long under way: at half of it the sender could run dry.
    const parts = growth > 0 ? 4 : 2;
    if (stream.owed * parts >= this.streamWindowBytes + growth) this.#announceSoon(stream);
  }

  widen(stream: Stream, bytes: number): void {
    stream.owed += bytes;
    this.#announceSoon(stream);
  }

  /**
   * The stream is closed: whatever it holds is no concern of the connection's. Only what it has grown by is, if all has
   * come (`whole`) and its receiver still holds some of it: else a caller could have windows grow, and hold them, without end.
   */
  release(stream: Stream, whole: boolean): void {
    if (stream.outstanding > 0) this.credit(stream.outstanding);
    if (!whole) stream.outstanding = 0;
    if (stream.growth > 0) this.#growth?.settle(stream);
  }

  /** Writes the updates that are due. */
  announce(): void {
    if (this.#owed >= this.#creditBytes) {
      writeWindowUpdate(this.#outlet.output, 0, this.#owed);
      this.#window += this.#owed;
      this.#owed = 0;
    }
    if (this.#announcing.length === 0) return;
    for (const stream of this.#announcing) {
      stream.announcing = false;
      if (stream.closed || !stream.remoteOpen) continue;
      writeWindowUpdate(this.#outlet.output, stream.id, stream.owed);
      stream.receiveWindow += stream.owed;
      stream.owed = 0;
    }
    this.#announcing = [];
  }

  #announceSoon(stream: Stream): void {
    if (stream.announcing || !stream.remoteOpen) return;
    stream.announcing = true;
    this.#announcing.push(stream);
    this.#outlet.schedule();
  }
}

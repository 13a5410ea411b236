/** Credit for DATA that came in (RFC 9113 §5.2, §6.9): announced at half a window, at the end of a turn. */
import { type Outlet } from '../message/output.ts';
import { writeWindowUpdate } from './frame/window-update.ts';
import { WINDOW_BYTES_DEFAULT } from './settings.ts';
import { type Stream } from './stream.ts';

/** The receiving direction of a connection. */
export class ReceiveFlow {
  /** Where the windows of new streams start: the default until our settings are acknowledged. */
  streamWindowBytes = WINDOW_BYTES_DEFAULT;
  readonly #outlet: Outlet;
  readonly #connectionWindowBytes: number;
  /** What the other end may still send on the connection. */
  #window = WINDOW_BYTES_DEFAULT;
  #owed = 0;
  #announcing: Stream[] = [];

  constructor(outlet: Outlet, connectionWindowBytes: number) {
    this.#outlet = outlet;
    this.#connectionWindowBytes = connectionWindowBytes;
  }

  /** Opens the connection's window to its size. */
  start(): void {
    const increment = this.#connectionWindowBytes - WINDOW_BYTES_DEFAULT;
    if (increment <= 0) return;
    this.#window += increment;
    writeWindowUpdate(this.#outlet.output, 0, increment);
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
    return stream.receiveWindow >= 0;
  }

  /** Bytes that no stream holds any more. */
  credit(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed * 2 >= this.#connectionWindowBytes) this.#outlet.schedule();
  }

  /** Bytes of a stream that have been dealt with. */
  creditStream(stream: Stream, bytes: number): void {
    const count = Math.min(bytes, stream.outstanding);
    if (count <= 0) return;
    stream.outstanding -= count;
    stream.owed += count;
    this.credit(count);
    if (stream.announcing || !stream.remoteOpen || stream.owed * 2 < this.streamWindowBytes) return;
    stream.announcing = true;
    this.#announcing.push(stream);
    this.#outlet.schedule();
  }

  /** The stream is closed: whatever it holds is no concern of the connection's. */
  release(stream: Stream): void {
    if (stream.outstanding > 0) this.credit(stream.outstanding);
    stream.outstanding = 0;
  }

  /** Writes the updates that are due. */
  announce(): void {
    if (this.#owed * 2 >= this.#connectionWindowBytes) {
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
}

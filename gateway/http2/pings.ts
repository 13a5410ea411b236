/** PINGs that wait for their answers (RFC 9113 §6.7). */
import { type Outlet } from '../message/output.ts';
import { readUint32, writeUint32 } from './frame/frame-type.ts';
import { PING_BYTES, writePing } from './frame/ping.ts';

/** Unanswered at once. */
const PINGS_MAX = 10;

/** The pings of one connection. */
export class Pings {
  readonly #outlet: Outlet;
  readonly #waiting = new Map<number, () => void>();
  #last = 0;

  constructor(outlet: Outlet) {
    this.#outlet = outlet;
  }

  /** Sends one. False if too many are unanswered. */
  send(onPong: () => void): boolean {
    if (this.#waiting.size >= PINGS_MAX) return false;
    this.#last += 1;
    this.#waiting.set(this.#last, onPong);
    const payload = Buffer.alloc(PING_BYTES);
    writeUint32(payload, PING_BYTES - 4, this.#last);
    writePing(this.#outlet.output, payload, false);
    this.#outlet.schedule();
    return true;
  }

  /** An answer came in; false if it answers nothing. */
  answered(bytes: Buffer, at: number): boolean {
    const number = readUint32(bytes, at + PING_BYTES - 4);
    const onPong = this.#waiting.get(number);
    if (onPong === undefined || readUint32(bytes, at) !== 0) return false;
    this.#waiting.delete(number);
    onPong();
    return true;
  }
}

/** How streams ended that are gone, so that frames in flight are told from violations (RFC 9113 §5.1). */

/** How a stream ended. `unknown`: too long ago, or never opened. */
export const CLOSED = { unknown: 0, ended: 1, resetHere: 2, resetThere: 3 } as const;

/** A bounded memory: of two streams whose ids collide the one that ended later is known. */
export class ClosedStreams {
  readonly #mask: number;
  readonly #capacity: number;
  #ids: Uint32Array = new Uint32Array(0);
  #how: Uint8Array = new Uint8Array(0);

  /** `streamsMax` at once: the memory is at least twice that. */
  constructor(streamsMax: number) {
    let capacity = 64;
    while (capacity < 2 * streamsMax && capacity < CAPACITY_MAX) capacity *= 2;
    this.#capacity = capacity;
    this.#mask = capacity - 1;
  }

  remember(id: number, how: number): void {
    if (this.#ids.length === 0) {
      this.#ids = new Uint32Array(this.#capacity);
      this.#how = new Uint8Array(this.#capacity);
    }
    const slot = (id >>> 1) & this.#mask;
    this.#ids[slot] = id;
    this.#how[slot] = how;
  }

  /** One of `CLOSED`. */
  how(id: number): number {
    const slot = (id >>> 1) & this.#mask;
    return this.#ids[slot] === id ? (this.#how[slot] ?? CLOSED.unknown) : CLOSED.unknown;
  }
}

/** 160 KiB of memory at most. */
const CAPACITY_MAX = 32_768;

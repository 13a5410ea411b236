/** The body of a call so far, kept while it may have to be sent, or sent again. */

/** More is not kept once it was sent: such a call is not sent again. */
const KEPT_BYTES_MAX = 64 * 1024;

/** Slices of foreign read buffers that are kept as they are: each may hold 64 KiB alive, so more are copied together. */
const SLICES_MAX = 2;

/** Where copying together begins. */
const COPY_BYTES_MIN = 4 * 1024;

/** See the head of this file. Bounded, before anything was sent, by the window that its sender has. */
export class HeldBody {
  /** False when something that was sent is not kept any more. */
  isWhole = true;
  #slices: Uint8Array[] = [];
  #own: Buffer | undefined = undefined;
  #bytes = 0;
  #sent = false;

  /** All there was, in order, if it {@link isWhole}. */
  get chunks(): readonly Uint8Array[] {
    return this.#own === undefined ? this.#slices : [this.#own.subarray(0, this.#bytes)];
  }

  /** Takes the next bytes. */
  add(bytes: Uint8Array): void {
    if (!this.isWhole || bytes.length === 0) return;
    const before = this.#bytes;
    this.#bytes += bytes.length;
    if (this.#isTooMuch()) return;
    if (this.#own !== undefined || this.#slices.length >= SLICES_MAX) this.#copy(bytes, before);
    else this.#slices.push(bytes);
  }

  /** What was added has gone to a destination, and so does what will be. */
  sent(): void {
    this.#sent = true;
    this.#isTooMuch();
  }

  #isTooMuch(): boolean {
    if (!this.#sent || this.#bytes <= KEPT_BYTES_MAX) return false;
    this.isWhole = false;
    this.#slices = [];
    this.#own = undefined;
    return true;
  }

  #copy(bytes: Uint8Array, before: number): void {
    let own = this.#own;
    if (own === undefined || own.length < this.#bytes) {
      const larger = Buffer.allocUnsafeSlow(Math.max(COPY_BYTES_MIN, this.#bytes * 2));
      let at = 0;
      for (const chunk of own === undefined ? this.#slices : [own.subarray(0, before)]) {
        larger.set(chunk, at);
        at += chunk.length;
      }
      own = larger;
      this.#own = larger;
      this.#slices = [];
    }
    own.set(bytes, before);
  }
}

/** What the heads of one server's responses were read to, whichever connection they came on: a server repeats itself. */
import { type FieldLine, parseFieldLine } from './field-line.ts';
import { LineCache } from './line-cache.ts';
import { type ReadResponse } from './response-head.ts';

/** A head up to this size is remembered, for the next response to be compared with. */
const MEMO_BYTES_MAX = 2 * 1024;

/** The latest small head, and the lines of those before. */
export class ResponseHeads {
  readonly lines = new LineCache<FieldLine>(parseFieldLine);
  #text = '';
  #method = '';
  #response: ReadResponse | undefined;

  /** Bytes of the head that is remembered. */
  get bytes(): number {
    return this.#text.length;
  }

  /** The response to a request of `method` whose head stands at `from`, if it is the one that is remembered. */
  recall(bytes: Buffer, from: number, method: string): ReadResponse | undefined {
    const end = from + this.#text.length;
    if (this.#response === undefined || this.#method !== method || end > bytes.length) return undefined;
    return bytes.toString('latin1', from, end) === this.#text ? this.#response : undefined;
  }

  /** Remembers the whole head of a final response, from its first byte to behind its empty line. */
  remember(bytes: Buffer, { from, to, method }: ReadAt, response: ReadResponse): void {
    if (to - from > MEMO_BYTES_MAX) return;
    this.#text = bytes.toString('latin1', from, to);
    this.#method = method;
    this.#response = response;
  }
}

/** Where a head stands in bytes, and the method of its request. */
export interface ReadAt {
  readonly from: number;
  readonly to: number;
  readonly method: string;
}

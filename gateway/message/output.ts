/** Bytes on their way out of one connection, gathered until the end of the turn so that they leave in one write. */

/** One pooled buffer: holds what a busy connection writes in a turn, four TLS records. */
const POOLED_BYTES = 64 * 1024;

/** Buffers kept for reuse, 16 MiB: what a burst needs beyond that is garbage collected. */
const POOLED_BUFFERS_MAX = 256;

/** Holds what a quiet connection writes in a turn, a head and a short body: a hundred of them fit in a processor's cache. */
const SMALL_BYTES = 2 * 1024;

/** Small buffers kept for reuse, 8 MiB. */
const SMALL_BUFFERS_MAX = 4_096;

/** What is handed over as it is: copying fewer bytes costs less than one more segment in a system call. */
const COPIED_BYTES_MAX = 4 * 1024;

/**
 * Bytes in and out after which what was read is collected. Each read of Node's is memory outside of V8's heap, which V8
 * counts, and at 64 MiB it begins a full collection; with bodies that was 40 % of all processor time. A young one, early
 * enough, frees the same for next to nothing.
 */
const MOVED_BYTES_MAX = 32 * 1024 * 1024;

/** Buffers for output, shared by the connections of a process, so that no flush allocates; and a count of what they move. */
export class BufferPool {
  readonly #collect: (() => void) | undefined;
  #movedBytes = 0;
  readonly #free: Buffer[] = [];
  readonly #freeSmall: Buffer[] = [];

  /** `collect` frees the buffers of reads that nobody holds any more. */
  constructor(collect?: () => void) {
    this.#collect = collect;
  }

  /** A connection has read or written so many bytes. */
  moved(bytes: number): void {
    this.#movedBytes += bytes;
    if (this.#movedBytes < MOVED_BYTES_MAX) return;
    this.#movedBytes = 0;
    this.#collect?.();
  }

  /** A buffer of `POOLED_BYTES`, whose content is arbitrary. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(POOLED_BYTES);
  }

  /** The same of `SMALL_BYTES`. */
  takeSmall(): Buffer {
    return this.#freeSmall.pop() ?? Buffer.allocUnsafeSlow(SMALL_BYTES);
  }

  /** Gives back a buffer that came from here and that nobody refers to any more. */
  give(buffer: Buffer): void {
    if (buffer.length === SMALL_BYTES) {
      if (this.#freeSmall.length < SMALL_BUFFERS_MAX) this.#freeSmall.push(buffer);
    } else if (this.#free.length < POOLED_BUFFERS_MAX) {
      this.#free.push(buffer);
    }
  }
}

/** What `Output.take` hands over: the bytes in order, and the pooled buffers under them, to be given back when they are written. */
export interface OutputBatch {
  readonly segments: readonly Uint8Array[];
  readonly pooled: readonly Buffer[];
  readonly bytes: number;
}

/**
 * The bytes of one connection since its last flush. Small things are written in place:
 *
 *     const into = output.reserve(9);
 *     output.end = writeSomething(into, output.end);
 */
export class Output {
  /** Where the next byte goes in the buffer that `reserve` returned. The writer of bytes moves it. */
  end = 0;
  readonly #pool: BufferPool;
  #buffer: Buffer | undefined;
  /** Where the bytes begin that are not in a segment yet. */
  #begin = 0;
  #segments: Uint8Array[] = [];
  #segmentBytes = 0;
  #pooled: Buffer[] = [];
  /** Whether the last batch would have fitted in a small buffer, as the next one then is expected to. */
  #isQuiet = true;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** Bytes gathered. */
  get size(): number {
    return this.#segmentBytes + this.end - this.#begin;
  }

  /** A buffer with room for `bytes` at `end`, which stands until the next call of any other method. */
  reserve(bytes: number): Buffer {
    const buffer = this.#buffer;
    if (buffer !== undefined && this.end + bytes <= buffer.length) return buffer;
    return this.#renew(bytes);
  }

  /** Adds bytes: few are copied, many are kept as they are until written, so nobody may change them. */
  append(bytes: Uint8Array): void {
    const count = bytes.length;
    if (count <= COPIED_BYTES_MAX) {
      const into = this.reserve(count);
      into.set(bytes, this.end);
      this.end += count;
      return;
    }
    this.#cut();
    this.#segments.push(bytes);
    this.#segmentBytes += count;
  }

  /** Hands over what was gathered and starts afresh. */
  take(): OutputBatch {
    this.#cut();
    const batch = { segments: this.#segments, pooled: this.#pooled, bytes: this.#segmentBytes };
    this.#isQuiet = batch.bytes <= SMALL_BYTES;
    this.#pool.moved(batch.bytes);
    this.#segments = [];
    this.#pooled = [];
    this.#segmentBytes = 0;
    this.#buffer = undefined;
    this.#begin = 0;
    this.end = 0;
    return batch;
  }

  /** Gives back the buffers of a batch whose bytes have been written, or never will be. */
  release(batch: OutputBatch): void {
    for (const buffer of batch.pooled) this.#pool.give(buffer);
  }

  #renew(bytes: number): Buffer {
    this.#cut();
    const buffer = this.#bufferOf(bytes);
    this.#buffer = buffer;
    this.#begin = 0;
    this.end = 0;
    return buffer;
  }

  #bufferOf(bytes: number): Buffer {
    if (bytes > POOLED_BYTES) return Buffer.allocUnsafeSlow(bytes);
    const isSmall = this.#isQuiet && this.#pooled.length === 0 && bytes <= SMALL_BYTES;
    const buffer = isSmall ? this.#pool.takeSmall() : this.#pool.take();
    this.#pooled.push(buffer);
    return buffer;
  }

  /** Only what was written becomes a segment: the rest of a buffer holds bytes of other connections. */
  #cut(): void {
    const buffer = this.#buffer;
    if (buffer === undefined || this.end === this.#begin) return;
    this.#segments.push(buffer.subarray(this.#begin, this.end));
    this.#segmentBytes += this.end - this.#begin;
    this.#begin = this.end;
  }
}

/** The way out of a connection, as the protocol engines know it. */
export interface Outlet {
  readonly output: Output;
  /** False while the socket lags: only what cannot wait may then be added to `output`. `onWritable` follows. */
  readonly writable: boolean;
  /** Sees to it that the output leaves at the end of this turn. Cheap to call again. */
  schedule(): void;
}

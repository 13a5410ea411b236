/** Lines to a file or stream, written in batches behind the calls' back, never in their way. */
import { open, type FileHandle } from 'node:fs/promises';
import { type Writable } from 'node:stream';

import { type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';

/** Where lines go. The stream (standard output) is never ended here; a shared one has other processes writing to it. */
export type LineTarget =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'stream'; readonly stream: Writable; readonly shared?: boolean };

/** What a log of lines needs. */
export interface LineLogOptions {
  readonly target: LineTarget;
  readonly log: Logger;
  readonly clock: Clock;
  /** Lines waiting to be written; default {@link QUEUE_LINES_MAX}. Beyond it lines are dropped and counted. */
  readonly queueLinesMax?: number;
  /** UTF-16 units waiting to be written; default {@link QUEUE_CHARS_MAX}. */
  readonly queueCharsMax?: number;
}

/** At 20,000 calls a second this is three seconds of a stalled disk. */
const QUEUE_LINES_MAX = 65_536;
/** About 1 KiB a line; a caller who sends 8 KiB of what must be escaped in each field does not make it more. */
const QUEUE_CHARS_MAX = 64 * 1024 * 1024;
/** One write: large enough to make system calls rare, small enough to be one slice of memory. */
const BATCH_LINES_MAX = 2048;
const BATCH_CHARS_MAX = 512 * 1024;
/** A batch ends with the line that fills it: room for all but the longest, of ASCII, which nearly all are. */
const BATCH_BYTES_MAX = BATCH_CHARS_MAX + 16 * 1024;
/** V8 joins up to 128 KiB in its young space; beyond, each batch would be memory of its own, mapped and unmapped. */
const PART_CHARS_MAX = 48 * 1024;
/** Between writes that are not full: a write costs as much as dozens of lines, and nobody reads a log faster. */
const GATHER_MS = 20;
/** A reader that has stopped reading must not keep the process from ending. */
const CLOSE_MS_MAX = 5000;
/** PIPE_BUF of Linux: what several processes write to one pipe in pieces no larger than this is not mixed. */
const SHARED_PIECE_BYTES_MAX = 4096;
/** Readable by the owner and a log shipper's group: the lines name identities. */
const FILE_MODE = 0o640;

/** Opens the log. Throws the system's error if the file cannot be opened. */
export async function openLineLog(options: LineLogOptions): Promise<LineLog> {
  const sink = options.target.kind === 'file' ? await fileSink(options.target.path) : streamSink(options.target);
  return new LineLog(sink, options);
}

interface LineSink {
  write(batch: Batch): Promise<void>;
  reopen(): Promise<void>;
  close(): Promise<void>;
}

interface Batch {
  readonly parts: readonly string[];
  readonly lines: number;
  /** UTF-16 units, and bytes in UTF-8. */
  readonly chars: number;
  readonly bytes: number;
}

/**
 * A running log. Disposal writes what is queued (for 5 s at most), then closes the file.
 *
 *     idle --add--> gathering --end of turn, or 20 ms after the write before, or full, or flush--> writing
 *     writing --lines came--> gathering          writing --none came--> idle
 */
export class LineLog implements AsyncDisposable {
  readonly #sink: LineSink;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #queueLinesMax: number;
  readonly #queueCharsMax: number;
  #full: Batch[] = [];
  /** The batch that grows, and its part that grows. */
  #parts: string[] = [];
  #text = '';
  #lines = 0;
  #chars = 0;
  #bytes = 0;
  #queueLines = 0;
  #queueChars = 0;
  #added = 0;
  /** Lines of those added that are written or dropped. */
  #settled = 0;
  #dropped = 0;
  #round: Promise<void> | undefined;
  #wroteAtMs = Number.NEGATIVE_INFINITY;
  #flushes = 0;
  #hurry: (() => void) | undefined;
  #failing = false;
  #closed: Promise<void> | undefined;

  /** Use {@link openLineLog}. */
  constructor(sink: LineSink, options: LineLogOptions) {
    this.#sink = sink;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#queueLinesMax = options.queueLinesMax ?? QUEUE_LINES_MAX;
    this.#queueCharsMax = options.queueCharsMax ?? QUEUE_CHARS_MAX;
  }

  /** Lines lost since the start: queue full, log closed, or the disk refused them. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Whether a line would be dropped now: saves making it. */
  get full(): boolean {
    return (
      this.#closed !== undefined || this.#queueLines >= this.#queueLinesMax || this.#queueChars >= this.#queueCharsMax
    );
  }

  /** Counts a line that was not made because the log is {@link full}. */
  drop(): void {
    this.#dropped += 1;
  }

  /** Queues a line, which ends with a newline, or drops it when the log is {@link full}. */
  add(line: string): void {
    if (this.full) {
      this.#dropped += 1;
      return;
    }
    this.#text += line;
    this.#lines += 1;
    this.#chars += line.length;
    this.#queueLines += 1;
    this.#queueChars += line.length;
    this.#added += 1;
    if (this.#text.length >= PART_CHARS_MAX) this.#endPart();
    if (this.#lines >= BATCH_LINES_MAX || this.#chars >= BATCH_CHARS_MAX) this.#endBatch();
    this.#round ??= this.#write();
  }

  /** Resolves when everything added so far is written or dropped. */
  async flush(): Promise<void> {
    const target = this.#added;
    this.#flushes += 1;
    while (this.#settled < target && this.#round !== undefined) {
      this.#hurry?.();
      await this.#round;
    }
    this.#flushes -= 1;
  }

  /** Opens the file anew after what is queued now: for log rotation (SIGHUP). Nothing happens for a stream. */
  async reopen(): Promise<void> {
    await this.flush();
    await this.#sink.reopen();
  }

  /** See {@link LineLog}. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const stalled = new Promise<'stalled'>((resolve) => {
      const timer = this.#clock.after(CLOSE_MS_MAX, () => resolve('stalled'));
      void this.flush().then(() => timer[Symbol.dispose]());
    });
    if ((await Promise.race([this.flush(), stalled])) === 'stalled') {
      this.#dropped += this.#queueLines;
      this.#settled += this.#queueLines;
      this.#log.warn('access log stalls, lines are dropped', { dropped: this.#dropped });
      this.#full = [];
      this.#parts = [];
      this.#text = '';
      this.#lines = this.#chars = this.#bytes = this.#queueLines = this.#queueChars = 0;
    }
    await this.#sink.close();
  }

  #endPart(): void {
    this.#parts.push(this.#text);
    // Measuring also makes one string in memory of what concatenation left as a tree.
    this.#bytes += Buffer.byteLength(this.#text);
    this.#text = '';
  }

  #endBatch(): void {
    this.#endPart();
    this.#full.push({ parts: this.#parts, lines: this.#lines, chars: this.#chars, bytes: this.#bytes });
    this.#parts = [];
    this.#lines = this.#chars = this.#bytes = 0;
    this.#hurry?.();
  }

  /** Writes one batch; goes on if there are more lines by then. */
  async #write(): Promise<void> {
    await this.#gather();
    if (this.#full.length === 0 && this.#lines > 0) this.#endBatch();
    const batch = this.#full.shift();
    if (batch !== undefined) {
      this.#queueLines -= batch.lines;
      this.#queueChars -= batch.chars;
      await this.#hand(batch);
      this.#settled += batch.lines;
      this.#wroteAtMs = this.#clock.monotonic();
    }
    this.#round = this.#queueLines > 0 ? this.#write() : undefined;
  }

  async #gather(): Promise<void> {
    // Even alone, the calls of this turn go together.
    await new Promise((resolve) => setImmediate(resolve));
    const waitMs = this.#wroteAtMs + GATHER_MS - this.#clock.monotonic();
    if (waitMs <= 0 || this.#flushes > 0 || this.#full.length > 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.after(waitMs, resolve);
      this.#hurry = (): void => {
        timer[Symbol.dispose]();
        resolve();
      };
    });
    this.#hurry = undefined;
  }

  async #hand(batch: Batch): Promise<void> {
    try {
      await this.#sink.write(batch);
      if (this.#failing) this.#log.info('access log is written again', { dropped: this.#dropped });
      this.#failing = false;
    } catch (error) {
      this.#dropped += batch.lines;
      // Once per outage: a full disk must not fill the operational log as well.
      if (!this.#failing)
        this.#log.error('access log cannot be written, lines are dropped', { error: messageOf(error) });
      this.#failing = true;
    }
  }
}

async function fileSink(path: string): Promise<LineSink> {
  let file: FileHandle = await open(path, 'a', FILE_MODE);
  // One for all batches, as they are written one after another: a new one each would cost more than its lines.
  const bytes = Buffer.allocUnsafeSlow(BATCH_BYTES_MAX);
  return {
    write: async (batch) => {
      if (batch.bytes > bytes.length) return writeWhole(file, Buffer.from(batch.parts.join('')));
      let end = 0;
      for (const part of batch.parts) end += bytes.write(part, end, 'utf8');
      await writeWhole(file, bytes.subarray(0, end));
    },
    reopen: async () => {
      const next = await open(path, 'a', FILE_MODE);
      const previous = file;
      file = next;
      await previous.close();
    },
    close: () => file.close(),
  };
}

/** In one system call, so that the lines of several processes in one file stay whole (O_APPEND); more only on a full disk. */
async function writeWhole(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0;) {
    const { bytesWritten } = await file.write(rest);
    rest = rest.subarray(bytesWritten);
  }
}

function streamSink({ stream, shared = false }: Extract<LineTarget, { kind: 'stream' }>): LineSink {
  // A broken pipe also raises 'error'; the callback below tells of it already.
  const onError = (): void => undefined;
  stream.on('error', onError);
  return {
    write: ({ parts }) =>
      new Promise((resolve, reject) => {
        // An errored stream takes the text and never calls back.
        if (stream.errored !== null || stream.destroyed) {
          reject(stream.errored ?? new Error('the stream is closed'));
          return;
        }
        const settle = (error: Error | null | undefined): void => {
          if (error) reject(error);
          else resolve();
        };
        const texts = shared ? piecesOf(parts.join('')) : [parts.join('')];
        // Written in order, so the last is written last.
        for (const [index, text] of texts.entries())
          stream.write(text, index === texts.length - 1 ? settle : undefined);
      }),
    reopen: async () => undefined,
    close: async () => {
      stream.off('error', onError);
    },
  };
}

/** Whole lines in pieces of at most a shared write; a longer line is a piece of its own. */
function piecesOf(text: string): readonly string[] {
  const pieces: string[] = [];
  let piece = '';
  let bytes = 0;
  for (const line of text.split(/(?<=\n)/)) {
    const lineBytes = Buffer.byteLength(line);
    if (bytes > 0 && bytes + lineBytes > SHARED_PIECE_BYTES_MAX) {
      pieces.push(piece);
      piece = '';
      bytes = 0;
    }
    piece += line;
    bytes += lineBytes;
  }
  return [...pieces, piece];
}

/** The access log: one JSON line per call, written in batches behind the calls' back, never in their way. */
import { open, type FileHandle } from 'node:fs/promises';
import { type Writable } from 'node:stream';

import { type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type CallRecord, type CallSink } from './call-record.ts';

/** Where lines go. The stream (standard output) is never ended here. */
export type AccessLogTarget =
  { readonly kind: 'file'; readonly path: string } | { readonly kind: 'stream'; readonly stream: Writable };

/** What an access log needs. */
export interface AccessLogOptions {
  readonly target: AccessLogTarget;
  readonly log: Logger;
  readonly clock: Clock;
  /** Lines waiting to be written; default {@link QUEUE_LINES_MAX}. Beyond it lines are dropped and counted. */
  readonly queueLinesMax?: number;
}

/** A running access log. Disposal writes what is queued (for 5 s at most), then closes the file. */
export interface AccessLog extends CallSink, AsyncDisposable {
  /** Lines lost since the start: queue full, or the disk refused them. */
  readonly dropped: number;
  /** Opens the file anew after what is queued now: for log rotation (SIGHUP). Nothing happens for a stream. */
  reopen(): Promise<void>;
  /** Resolves when everything recorded so far is written or dropped. */
  flush(): Promise<void>;
}

/** At 20,000 calls a second this is three seconds of a stalled disk, at about 1 KiB a line 64 MiB at most. */
const QUEUE_LINES_MAX = 65_536;
/** One write: large enough to make system calls rare, small enough to be one slice of memory. */
const BATCH_LINES_MAX = 2048;
/** A path may have 8 KiB; nothing in a line needs more. */
const FIELD_CHARS_MAX = 8192;
/** A reader that has stopped reading must not keep the process from ending. */
const CLOSE_MS_MAX = 5000;
/** Readable by the owner and a log shipper's group: the lines name identities. */
const FILE_MODE = 0o640;
/**
 * JSON escapes only C0: DEL, C1, line separators and bidirectional controls also steer terminals and log viewers.
 */
const UNSAFE = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Opens the log. Throws the system's error if the file cannot be opened. */
export async function openAccessLog(options: AccessLogOptions): Promise<AccessLog> {
  const sink = options.target.kind === 'file' ? await fileSink(options.target.path) : streamSink(options.target.stream);
  return new BatchedLog(sink, options);
}

/** The line of one call, with its newline. */
export function formatCall(record: CallRecord): string {
  const line = {
    time: new Date(record.startedAtMs).toISOString(),
    ...record,
    startedAtMs: undefined,
    durationMs: Math.round(record.durationMs * 1000) / 1000,
  };
  const json = JSON.stringify(line, (_key, value: unknown) => {
    if (typeof value === 'bigint') return String(value);
    return typeof value === 'string' && value.length > FIELD_CHARS_MAX ? `${value.slice(0, FIELD_CHARS_MAX)}…` : value;
  });
  return `${json.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`;
}

interface LineSink {
  write(text: string): Promise<void>;
  reopen(): Promise<void>;
  close(): Promise<void>;
}

class BatchedLog implements AccessLog {
  readonly #sink: LineSink;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #queueLinesMax: number;
  #queue: string[] = [];
  #writer: Promise<void> | undefined;
  #dropped = 0;
  #failing = false;
  #closed: Promise<void> | undefined;

  constructor(sink: LineSink, options: AccessLogOptions) {
    this.#sink = sink;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#queueLinesMax = options.queueLinesMax ?? QUEUE_LINES_MAX;
  }

  get dropped(): number {
    return this.#dropped;
  }

  record(record: CallRecord): void {
    if (this.#closed !== undefined || this.#queue.length >= this.#queueLinesMax) {
      this.#dropped += 1;
      return;
    }
    this.#queue.push(formatCall(record));
    this.#start();
  }

  async flush(): Promise<void> {
    while (this.#writer !== undefined) await this.#writer;
  }

  async reopen(): Promise<void> {
    await this.flush();
    await this.#sink.reopen();
  }

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
      this.#dropped += this.#queue.length;
      this.#log.warn('access log stalls, lines are dropped', { dropped: this.#dropped });
      this.#queue = [];
    }
    await this.#sink.close();
  }

  #start(): void {
    if (this.#writer !== undefined) return;
    this.#writer = this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    // Let the calls of this turn gather, so that a busy gateway writes per turn and not per call.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, BATCH_LINES_MAX);
      this.#queue = this.#queue.slice(BATCH_LINES_MAX);
      await this.#write(batch);
    }
    this.#writer = undefined;
  }

  async #write(batch: readonly string[]): Promise<void> {
    try {
      await this.#sink.write(batch.join(''));
      if (this.#failing) this.#log.info('access log is written again', { dropped: this.#dropped });
      this.#failing = false;
    } catch (error) {
      this.#dropped += batch.length;
      // Once per outage: a full disk must not fill the operational log as well.
      if (!this.#failing)
        this.#log.error('access log cannot be written, lines are dropped', { error: messageOf(error) });
      this.#failing = true;
    }
  }
}

async function fileSink(path: string): Promise<LineSink> {
  let file: FileHandle = await open(path, 'a', FILE_MODE);
  return {
    write: async (text) => {
      await file.appendFile(text);
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

function streamSink(stream: Writable): LineSink {
  // A broken pipe also raises 'error'; the callback below tells of it already.
  const onError = (): void => undefined;
  stream.on('error', onError);
  return {
    write: (text) =>
      new Promise((resolve, reject) => {
        // An errored stream takes the text and never calls back.
        if (stream.errored !== null || stream.destroyed) reject(stream.errored ?? new Error('the stream is closed'));
        else
          stream.write(text, (error) => {
            if (error) reject(error);
            else resolve();
          });
      }),
    reopen: async () => undefined,
    close: async () => {
      stream.off('error', onError);
    },
  };
}

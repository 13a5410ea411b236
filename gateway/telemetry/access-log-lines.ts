/** The access log for the hot path: each call that ended becomes one line of a {@link LineLog}. */
import { AccessLineFormat } from './access-line.ts';
import { type EndedCall, type EndedCalls } from './call-subject.ts';
import { type LineLog, type LineLogOptions, openLineLog } from './line-log.ts';

/** A running access log. Disposal writes what is queued (for 5 s at most), then closes the file. */
export class AccessLogLines implements EndedCalls, AsyncDisposable {
  readonly #lines: LineLog;
  readonly #format = new AccessLineFormat();

  /** Use {@link openAccessLogLines}. */
  constructor(lines: LineLog) {
    this.#lines = lines;
  }

  /** Lines lost since the start: queue full, log closed, or the disk refused them. */
  get dropped(): number {
    return this.#lines.dropped;
  }

  /** See {@link EndedCalls}. */
  record(call: EndedCall): void {
    if (this.#lines.full) this.#lines.drop();
    else this.#lines.add(this.#format.format(call));
  }

  /** Opens the file anew after what is queued now: for log rotation (SIGHUP). Nothing happens for a stream. */
  reopen(): Promise<void> {
    return this.#lines.reopen();
  }

  /** Resolves when everything recorded so far is written or dropped. */
  flush(): Promise<void> {
    return this.#lines.flush();
  }

  /** See {@link AccessLogLines}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#lines[Symbol.asyncDispose]();
  }
}

/** Opens the log. Throws the system's error if the file cannot be opened. */
export async function openAccessLogLines(options: LineLogOptions): Promise<AccessLogLines> {
  return new AccessLogLines(await openLineLog(options));
}

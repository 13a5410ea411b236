/** What stands behind the engine in its tests: answers by path, and counts what reached it and what it is owed. */
import { field } from '../../gateway/message/names.ts';
import { type RequestHead } from '../../gateway/message/head.ts';
import {
  type EarlyReason,
  type RequestListener,
  type ServerStream,
  type StreamReceiver,
} from '../../gateway/message/stream.ts';

/** The body of `/`. */
export const BODY = 'what the service answered\n';

/** What the application hands to the engine before it waits for `onSent`, as a pump would. */
const WATERMARK_BYTES = 64 * 1024;

const STATUS: Readonly<Record<string, number>> = {
  'limit-header-bytes': 431,
  'limit-header-fields': 431,
  'limit-target': 414,
  'headers-timeout': 408,
};

/**
 * Paths: `/` and everything unknown answers `BODY` when the request has ended; `/hold` never answers; `/bytes/N` answers
 * N bytes; `/echo` sends back what comes; `/stuck` gives no credit for what comes.
 */
export class TestApplication implements RequestListener {
  /** Requests told of. */
  readonly heads: RequestHead[] = [];
  readonly refused: EarlyReason[] = [];
  /** Codes of `onReset`. */
  readonly resets: number[] = [];
  /** Exchanges neither ended nor reset. */
  active = 0;
  activeMost = 0;
  /** Bytes of bodies told of. */
  received = 0;
  /** Bytes given to the engine that have not left, now and at most. */
  owed = 0;
  owedMost = 0;

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamReceiver {
    this.heads.push(head);
    this.active += 1;
    this.activeMost = Math.max(this.activeMost, this.active);
    const exchange = new Exchange(this, stream, head.path.value);
    if (end) exchange.onEnd();
    return exchange;
  }

  onRefused(reason: EarlyReason, _head: Partial<RequestHead>, stream: ServerStream | undefined): void {
    this.refused.push(reason);
    stream?.respond({ status: STATUS[reason] ?? 400, fields: [] }, true);
  }
}

/** `done` when its answer has left, or it was reset. */
class Exchange implements StreamReceiver {
  readonly #application: TestApplication;
  readonly #stream: ServerStream;
  readonly #path: string;
  /** Of `/bytes/N`, not written yet. */
  #left = 0;
  /** Written, not sent. */
  #outstanding = 0;
  #finished = false;
  #done = false;

  constructor(application: TestApplication, stream: ServerStream, path: string) {
    this.#application = application;
    this.#stream = stream;
    this.#path = path;
    if (path === '/echo') this.#respond();
  }

  onData(bytes: Uint8Array, end: boolean): void {
    this.#application.received += bytes.length;
    if (this.#path === '/echo') this.#write(bytes, false);
    else if (this.#path !== '/stuck') this.#stream.credit(bytes.length);
    if (end) this.onEnd();
  }

  onTrailers(): void {
    this.onEnd();
  }

  /** The request has ended. */
  onEnd(): void {
    if (this.#path === '/hold' || this.#path === '/stuck') return;
    if (this.#path === '/echo') {
      this.#finish(() => this.#stream.finish([]));
      return;
    }
    this.#respond();
    const wanted = /^\/bytes\/(\d+)$/.exec(this.#path)?.[1];
    this.#left = wanted === undefined ? 0 : Number(wanted);
    if (wanted === undefined) this.#write(Buffer.from(BODY), true);
    else this.#fill();
  }

  onReset(code: number): void {
    this.#application.resets.push(code);
    this.#application.owed -= this.#outstanding;
    this.#outstanding = 0;
    this.#finished = true;
    this.#settle();
  }

  onSent(bytes: number): void {
    this.#outstanding -= bytes;
    this.#application.owed -= bytes;
    if (this.#path === '/echo') this.#stream.credit(bytes);
    else this.#fill();
    this.#settle();
  }

  #respond(): void {
    this.#stream.respond({ status: 200, fields: [field('content-type', 'text/plain')] }, false);
  }

  #fill(): void {
    while (this.#left > 0 && this.#outstanding < WATERMARK_BYTES) {
      const bytes = Math.min(this.#left, WATERMARK_BYTES / 4);
      this.#left -= bytes;
      this.#write(Buffer.alloc(bytes, 'x'), this.#left === 0);
    }
  }

  #write(bytes: Uint8Array, end: boolean): void {
    this.#outstanding += bytes.length;
    this.#application.owed += bytes.length;
    this.#application.owedMost = Math.max(this.#application.owedMost, this.#application.owed);
    this.#finished ||= end;
    this.#stream.write(bytes, end);
  }

  #finish(end: () => void): void {
    this.#finished = true;
    end();
    this.#settle();
  }

  #settle(): void {
    if (this.#done || !this.#finished || this.#outstanding > 0) return;
    this.#done = true;
    this.#application.active -= 1;
  }
}

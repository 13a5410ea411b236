/** Our own caller: what h2load cannot do, that is headers that differ in each call, a given pace, and uploads. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import { sleep, systemClock } from '../../../base/clock.ts';
import { quantile } from '../measure/quantile.ts';
import { RawHttp2 } from './raw-http2.ts';

/** Who calls, and with what. */
export interface RawCallsOptions {
  readonly port: number;
  readonly connections: number;
  /** A maker of header blocks for each connection. */
  readonly blocks: () => (id: number) => Buffer;
  /** Bytes of each request's body; 0 is none. */
  readonly bodyBytes: number;
}

/** How calls went. */
export interface RawResult {
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Bytes of bodies received. */
  readonly bytes: number;
}

interface Line {
  readonly http2: RawHttp2;
  readonly block: (id: number) => Buffer;
  /** When each open call was sent, in monotonic milliseconds. */
  readonly open: Map<number, number>;
  next: number;
}

/** Open connections that make calls. Any call that fails, or that is not answered with 200, fails the run. */
export class RawCalls implements Disposable {
  readonly #options: RawCallsOptions;
  readonly #sockets: Socket[] = [];
  readonly #lines: Line[] = [];
  readonly #times: number[] = [];
  #bytes = 0;
  #sent = 0;
  #wanted = 0;
  #closed = false;
  /** Whether the end of a call starts the next one on its connection. */
  #keepsBusy = false;
  #settle: { resolve: () => void; reject: (error: Error) => void } | undefined;

  private constructor(options: RawCallsOptions) {
    this.#options = options;
  }

  static async open(options: RawCallsOptions): Promise<RawCalls> {
    const calls = new RawCalls(options);
    for (let index = 0; index < options.connections; index += 1) await calls.#connect();
    return calls;
  }

  async #connect(): Promise<void> {
    const socket = connect({ host: '127.0.0.1', port: this.#options.port });
    this.#sockets.push(socket);
    await once(socket, 'connect');
    const open = new Map<number, number>();
    const http2 = new RawHttp2(socket, 'client', {
      headers: (stream, ok, end) => {
        if (end) this.#ended(line, stream);
        else if (!ok) this.#fail(`stream ${stream} was not answered with 200`);
      },
      data: (stream, length, end) => {
        this.#bytes += length;
        if (end) this.#ended(line, stream);
      },
      failed: (stream, why) => this.#fail(`stream ${stream} ${why}`),
    });
    const line: Line = { http2, block: this.#options.blocks(), open, next: 1 };
    this.#lines.push(line);
  }

  /** Makes `count` calls, `streams` at a time on each connection. */
  async busy(count: number, streams: number): Promise<RawResult> {
    this.#keepsBusy = true;
    return this.#run(count, async () => {
      for (const line of this.#lines) {
        for (let index = 0; index < streams; index += 1) this.#call(line);
      }
    });
  }

  /** Makes `count` calls, `perSecond` of them each second, over the connections in turn. */
  async paced(count: number, perSecond: number): Promise<RawResult> {
    this.#keepsBusy = false;
    return this.#run(count, async () => {
      const startedMs = systemClock.monotonic();
      const never = new AbortController().signal;
      while (this.#sent < count && this.#settle !== undefined) {
        const due = Math.min(count, ((systemClock.monotonic() - startedMs) * perSecond) / 1000);
        while (this.#sent < due) {
          const line = this.#lines[this.#sent % this.#lines.length];
          if (line !== undefined) this.#call(line);
        }
        await sleep(systemClock, 1, never);
      }
    });
  }

  async #run(count: number, begin: () => Promise<void>): Promise<RawResult> {
    this.#times.length = 0;
    this.#bytes = 0;
    this.#sent = 0;
    this.#wanted = count;
    const startedMs = systemClock.monotonic();
    const ended = new Promise<void>((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    await Promise.all([begin(), ended]);
    const seconds = (systemClock.monotonic() - startedMs) / 1000;
    const sorted = Float64Array.from(this.#times).sort();
    return { seconds, p50Us: quantile(sorted, 0.5) * 1000, p99Us: quantile(sorted, 0.99) * 1000, bytes: this.#bytes };
  }

  #call(line: Line): void {
    if (this.#sent >= this.#wanted) return;
    const { bodyBytes } = this.#options;
    const stream = line.next;
    line.next += 2;
    this.#sent += 1;
    line.open.set(stream, systemClock.monotonic());
    line.http2.headers(stream, line.block(this.#sent), bodyBytes === 0);
    if (bodyBytes > 0) line.http2.body(stream, bodyBytes);
  }

  #ended(line: Line, stream: number): void {
    const sentMs = line.open.get(stream);
    if (sentMs === undefined) return;
    line.open.delete(stream);
    this.#times.push(systemClock.monotonic() - sentMs);
    if (this.#times.length === this.#wanted) this.#settle?.resolve();
    else if (this.#keepsBusy) this.#call(line);
  }

  /** Throws when a connection has ended that nobody closed. */
  check(): void {
    if (this.#sockets.some((socket) => socket.closed)) throw new Error('an idle connection was closed');
  }

  #fail(why: string): void {
    if (this.#closed) return;
    this.#settle?.reject(new Error(why));
    this.#settle = undefined;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const socket of this.#sockets) socket.destroy();
  }
}

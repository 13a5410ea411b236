/** Our own HTTP/1.1 caller: h2load counts an answer without a reason phrase, as HAProxy sends it, as a failure. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import { systemClock } from '../../../base/clock.ts';
import { quantile } from '../measure/quantile.ts';
import { type RawResult } from './raw-calls.ts';

const ANSWER_BYTES = 12;
const BLANK_LINE = '\r\n\r\n';

interface Line {
  readonly socket: Socket;
  rest: string;
  sentMs: number;
}

/** Kept connections with one call at a time each. An answer other than 200 with 12 bytes of content fails the run. */
export class RawHttp1Calls implements Disposable {
  readonly #lines: Line[] = [];
  readonly #request: Buffer;
  readonly #times: number[] = [];
  #sent = 0;
  #wanted = 0;
  #settle: { resolve: () => void; reject: (error: Error) => void } | undefined;

  private constructor(host: string) {
    this.#request = Buffer.from(`GET / HTTP/1.1\r\nhost: ${host}\r\nuser-agent: bench/1.0\r\naccept: */*\r\n\r\n`);
  }

  static async open(port: number, host: string, connections: number): Promise<RawHttp1Calls> {
    const calls = new RawHttp1Calls(host);
    for (let index = 0; index < connections; index += 1) await calls.#connect(port);
    return calls;
  }

  async #connect(port: number): Promise<void> {
    const socket = connect({ host: '127.0.0.1', port });
    await once(socket, 'connect');
    socket.setNoDelay(true);
    const line: Line = { socket, rest: '', sentMs: 0 };
    socket.on('data', (chunk: Buffer) => this.#read(line, chunk));
    socket.on('error', (error) => this.#fail(error.message));
    socket.on('close', () => this.#fail('the gateway closed a kept connection'));
    this.#lines.push(line);
  }

  /** Makes `count` calls. */
  async busy(count: number): Promise<Omit<RawResult, 'bytes'>> {
    this.#times.length = 0;
    this.#sent = 0;
    this.#wanted = count;
    const startedMs = systemClock.monotonic();
    const ended = new Promise<void>((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    for (const line of this.#lines) this.#call(line);
    await ended;
    const seconds = (systemClock.monotonic() - startedMs) / 1000;
    const sorted = Float64Array.from(this.#times).sort();
    return { seconds, p50Us: quantile(sorted, 0.5) * 1000, p99Us: quantile(sorted, 0.99) * 1000 };
  }

  #call(line: Line): void {
    if (this.#sent >= this.#wanted) return;
    this.#sent += 1;
    line.sentMs = systemClock.monotonic();
    line.socket.write(this.#request);
  }

  #read(line: Line, chunk: Buffer): void {
    line.rest += chunk.toString('latin1');
    const end = line.rest.indexOf(BLANK_LINE);
    if (end < 0 || line.rest.length < end + BLANK_LINE.length + ANSWER_BYTES) return;
    const sound = line.rest.startsWith('HTTP/1.1 200') && /\r\ncontent-length: 12\r\n/i.test(line.rest);
    if (!sound || line.rest.length > end + BLANK_LINE.length + ANSWER_BYTES) {
      this.#fail(`expected 200 with 12 bytes, found ${line.rest.slice(0, 200)}`);
      return;
    }
    line.rest = '';
    this.#times.push(systemClock.monotonic() - line.sentMs);
    if (this.#times.length === this.#wanted) this.#settle?.resolve();
    else this.#call(line);
  }

  #fail(why: string): void {
    this.#settle?.reject(new Error(why));
    this.#settle = undefined;
  }

  [Symbol.dispose](): void {
    this.#settle = undefined;
    for (const { socket } of this.#lines) socket.destroy();
  }
}

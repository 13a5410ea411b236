/** Callers that call one after the other until told to stop, and how their calls ended. */
import { Agent } from 'node:http';

import { sleep, systemClock } from '../../base/clock.ts';
import { until } from './gateway-process.ts';
import { call } from './sample-services.ts';

/** How the callers call. */
export interface SteadyCallsOptions {
  readonly listener: string;
  readonly host: string;
  /** Default 4. */
  readonly atOnce?: number;
  /** Each caller keeps its connection and thinks up to so long between two calls; by default each call has its own. */
  readonly thinkMs?: number;
}

/** Calls, several at a time; counts how they ended. */
export class SteadyCalls implements AsyncDisposable {
  readonly ends = new Map<string, number>();
  readonly #options: SteadyCallsOptions;
  readonly #running: Promise<unknown>;
  #stopping = false;

  constructor(options: SteadyCallsOptions) {
    this.#options = options;
    this.#running = Promise.all(Array.from({ length: options.atOnce ?? 4 }, (_, index) => this.#run(index)));
  }

  /** Waits for so many more calls that ended like that. */
  async more(count: number, end = '200'): Promise<void> {
    const before = this.ends.get(end) ?? 0;
    const seen = (): string => JSON.stringify([...this.ends]);
    await until(`${count} more ${end}`, () => (this.ends.get(end) ?? 0) >= before + count, seen);
  }

  async stop(): Promise<Readonly<Record<string, number>>> {
    this.#stopping = true;
    await this.#running;
    return Object.fromEntries(this.ends);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #run(caller: number): Promise<void> {
    const { host, listener, thinkMs } = this.#options;
    const agent = thinkMs === undefined ? false : new Agent({ keepAlive: true, maxSockets: 1 });
    for (let made = caller; !this.#stopping; made += 1) {
      const end = await call(listener, host, { agent }).then(
        ({ status, reason }) => (reason === undefined ? String(status) : `${status} ${reason}`),
        () => 'lost',
      );
      this.ends.set(end, (this.ends.get(end) ?? 0) + 1);
      // Spread over the whole time, so that there is always somebody whose next call is about to leave.
      if (thinkMs !== undefined) await sleep(systemClock, ((made * 37) % 100) * (thinkMs / 100), NEVER);
    }
    if (agent !== false) agent.destroy();
  }
}

const NEVER = new AbortController().signal;

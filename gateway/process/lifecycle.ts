/** Readiness as a set of named tasks that are still pending, and the way from serving to stopped. */
import { type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';

/**
 * ```
 * starting ──last task done──> ready ──shutdown──> draining ──all drained, or deadline──> stopped
 *    └──────────────────────────shutdown────────────┘
 * ```
 * A task begun while ready leads back to starting: readiness is the absence of pending tasks, nothing else.
 */
export type LifecycleState = 'starting' | 'ready' | 'draining' | 'stopped';

/** Something that serves: the three verbs of stopping, called in this order. */
export interface Drainable {
  /** Takes nothing new (and says so, with GOAWAY where the protocol has it); what is in flight goes on. */
  stopAccepting(): Promise<void>;
  /** Resolves when nothing is in flight. The signal aborts at the deadline: then it need not resolve any more. */
  drain(signal: AbortSignal): Promise<void>;
  /** Cuts what is left. */
  destroy(): Promise<void> | void;
}

/** What was told to stop and did not in time. */
export interface DrainResult {
  readonly forced: readonly string[];
}

/** What a lifecycle needs. */
export interface LifecycleOptions {
  readonly clock: Clock;
  readonly log: Logger;
}

/** The state of one gateway process. Readiness never depends on a peer, Redis or DNS: begin no task that waits for one. */
export class Lifecycle {
  readonly #clock: Clock;
  readonly #log: Logger;
  /** Names may repeat (several listeners), so tasks are kept by identity. */
  readonly #tasks = new Map<symbol, string>();
  readonly #drainables = new Map<symbol, readonly [name: string, drainable: Drainable]>();
  readonly #listeners = new Set<(state: LifecycleState) => void>();
  #phase: 'serving' | 'draining' | 'stopped' = 'serving';
  #shutdown: Promise<DrainResult> | undefined;
  #told: LifecycleState = 'ready';

  constructor(options: LifecycleOptions) {
    this.#clock = options.clock;
    this.#log = options.log;
  }

  get state(): LifecycleState {
    if (this.#phase !== 'serving') return this.#phase;
    return this.#tasks.size === 0 ? 'ready' : 'starting';
  }

  /** Names of what is pending, in the order begun. */
  get pending(): readonly string[] {
    return [...this.#tasks.values()];
  }

  /** Not ready until the task is disposed of. Begin every task of the start before the first one ends. */
  begin(name: string): Disposable {
    const key = Symbol(name);
    this.#tasks.set(key, name);
    this.#tell();
    return {
      [Symbol.dispose]: () => {
        if (this.#tasks.delete(key)) this.#tell();
      },
    };
  }

  /** `drainable` takes part in {@link shutdown} until disposed of; one that comes too late is told to stop at once. */
  register(name: string, drainable: Drainable): Disposable {
    const key = Symbol(name);
    this.#drainables.set(key, [name, drainable]);
    if (this.#phase !== 'serving') void this.#attempt(name, 'stopAccepting', () => drainable.stopAccepting());
    return {
      [Symbol.dispose]: () => {
        this.#drainables.delete(key);
      },
    };
  }

  /** Calls `listener` at each change of state, until disposed of. */
  watch(listener: (state: LifecycleState) => void): Disposable {
    this.#listeners.add(listener);
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener);
      },
    };
  }

  /**
   * Readiness off, then nothing new, then up to `deadlineMs` for what is in flight, then cut. Never rejects; calling it
   * again returns the first call's result. `graceMs` (default 0) passes between readiness off and the closed door, for
   * load balancers that need to notice first.
   */
  shutdown(options: { readonly deadlineMs: number; readonly graceMs?: number }): Promise<DrainResult> {
    this.#shutdown ??= this.#drainAll(options.deadlineMs, options.graceMs ?? 0);
    return this.#shutdown;
  }

  async #drainAll(deadlineMs: number, graceMs: number): Promise<DrainResult> {
    this.#phase = 'draining';
    this.#tell();
    if (graceMs > 0) await new Promise<void>((resolve) => this.#clock.after(graceMs, resolve));
    const deadline = new AbortController();
    const timer = this.#clock.after(deadlineMs, () => {
      deadline.abort(new Error(`not drained within ${deadlineMs} ms`));
    });
    const members = [...this.#drainables.values()];
    const forced = await Promise.all(members.map((member) => this.#drainOne(member, deadline.signal)));
    timer[Symbol.dispose]();
    this.#phase = 'stopped';
    this.#tell();
    return { forced: forced.filter((name) => name !== undefined) };
  }

  /** The name if it had to be cut. */
  async #drainOne([name, drainable]: readonly [string, Drainable], deadline: AbortSignal): Promise<string | undefined> {
    const expired = new Promise<'expired'>((resolve) => {
      if (deadline.aborted) resolve('expired');
      deadline.addEventListener('abort', () => resolve('expired'), { once: true });
    });
    const drained = (async (): Promise<'drained' | 'failed'> => {
      const stopped = await this.#attempt(name, 'stopAccepting', () => drainable.stopAccepting());
      const done = await this.#attempt(name, 'drain', () => drainable.drain(deadline));
      return stopped && done ? 'drained' : 'failed';
    })();
    const outcome = await Promise.race([drained, expired]);
    await this.#attempt(name, 'destroy', async () => drainable.destroy());
    if (outcome === 'drained' && !deadline.aborted) return undefined;
    this.#log.warn('not drained in time', { part: name });
    return name;
  }

  async #attempt(name: string, verb: string, action: () => Promise<void>): Promise<boolean> {
    try {
      await action();
      return true;
    } catch (error) {
      this.#log.warn('stopping failed', { part: name, verb, error: messageOf(error) });
      return false;
    }
  }

  #tell(): void {
    const { state } = this;
    if (state === this.#told) return;
    this.#told = state;
    for (const listener of this.#listeners) listener(state);
  }
}

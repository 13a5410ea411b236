/** How much one socket takes at once: calls under way, and calls begun per second. */
import { type Clock } from '../../../base/clock.ts';

/** What a socket takes. */
export interface AdmissionLimits {
  /** Calls under way, streams included. */
  readonly streamsMax: number;
  /** Calls begun, and further questions within them; twice as many in one burst. */
  readonly requestsPerSecondMax: number;
}

const BURST_SECONDS = 2;

/** Counts calls in and out. */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #clock: Clock;
  #open = 0;
  #tokens: number;
  #filledAtMs: number;
  #emptied: PromiseWithResolvers<void> | undefined;

  constructor(limits: AdmissionLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#tokens = limits.requestsPerSecondMax * BURST_SECONDS;
    this.#filledAtMs = clock.monotonic();
  }

  /** Calls under way. */
  get open(): number {
    return this.#open;
  }

  /** Lets a call in, to be disposed of at its end, or says which limit it meets. */
  enter(): Disposable | 'streams' | 'requests' {
    if (!this.ask()) return 'requests';
    if (this.#open >= this.#limits.streamsMax) return 'streams';
    this.#open += 1;
    let left = false;
    return {
      [Symbol.dispose]: () => {
        if (!left) this.#open -= 1;
        left = true;
        if (this.#open === 0) this.#emptied?.resolve();
      },
    };
  }

  /** Whether one question more is within the rate: a call that goes on asking costs as much as many calls. */
  ask(): boolean {
    this.#fill();
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Resolves when no call is under way. */
  async emptied(): Promise<void> {
    this.#emptied = Promise.withResolvers();
    if (this.#open > 0) await this.#emptied.promise;
  }

  #fill(): void {
    const nowMs = this.#clock.monotonic();
    const perSecond = this.#limits.requestsPerSecondMax;
    const earned = ((nowMs - this.#filledAtMs) / 1000) * perSecond;
    this.#tokens = Math.min(perSecond * BURST_SECONDS, this.#tokens + earned);
    this.#filledAtMs = nowMs;
  }
}

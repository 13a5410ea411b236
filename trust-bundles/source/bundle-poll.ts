/** Keeps the peers' bundles fresh: fetches each on its own schedule, sooner when nudged, and offers what came to the set. */
import { type Clock } from '../../base/clock.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { Lifetime } from '../../base/lifetime.ts';
import { type Logger } from '../../base/log.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { type FetchedBundle } from './bundle-endpoint.ts';
import { type BundleSet } from './bundle-set.ts';

/** A nudge adds no trust, so it may cost little: at most one fetch in this time and domain (federation rule 8). */
const NUDGE_INTERVAL_MS_MIN = 5_000;

/** How the bundle of one domain is fetched; throws when it cannot be. */
export type FetchBundle = (trustDomain: TrustDomain, signal: AbortSignal) => Promise<FetchedBundle>;

/** What the last fetch of a domain's bundle came to. */
export interface PollState {
  readonly lastSuccessMs: number | undefined;
  /** Why the last fetch failed; `undefined` when it did not. */
  readonly problem: string | undefined;
  /** When the next fetch is due, milliseconds since 1970. */
  readonly nextMs: number | undefined;
  /** Keys of the last document that were passed over: of unknown type or use, or malformed. */
  readonly ignored: number;
  /** Fetches since the start that brought a bundle which is believed, and those that did not. */
  readonly succeeded: number;
  readonly failed: number;
}

/** What a {@link BundlePoll} is made of. */
export interface BundlePollOptions {
  readonly set: BundleSet;
  readonly fetch: FetchBundle;
  /** Milliseconds until the next fetch, by the refresh hint of the newest bundle. */
  readonly intervalMs: (refreshHintSeconds: number | undefined) => number;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Target {
  readonly lifetime: Lifetime;
  state: PollState;
  lastFetchMs: number;
  /** A nudge came while a fetch was under way, which may have read what was there before. */
  nudged: boolean;
  wake: () => void;
}

/** Polls a changing set of trust domains. */
export class BundlePoll implements AsyncDisposable {
  readonly #options: BundlePollOptions;
  readonly #targets = new Map<TrustDomain, Target>();

  constructor(options: BundlePollOptions) {
    this.#options = options;
  }

  /** Makes `domains` the ones that are polled; a new one is fetched at once. */
  async follow(domains: ReadonlySet<TrustDomain>): Promise<void> {
    for (const domain of domains) if (!this.#targets.has(domain)) this.#start(domain);
    const ended = [...this.#targets].filter(([domain]) => !domains.has(domain));
    for (const [domain] of ended) this.#targets.delete(domain);
    await Promise.all(ended.map(([, target]) => target.lifetime[Symbol.asyncDispose]()));
  }

  /** Asks for a fetch now, or as soon as the last one is long enough ago. */
  nudge(domain: TrustDomain): void {
    const target = this.#targets.get(domain);
    if (target === undefined) return;
    target.nudged = true;
    target.wake();
  }

  /** How a domain's last fetch ended; `undefined` for one that is not polled. */
  state(domain: TrustDomain): PollState | undefined {
    return this.#targets.get(domain)?.state;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.follow(new Set());
  }

  #start(domain: TrustDomain): void {
    const lifetime = new Lifetime((task, error) =>
      this.#options.log.error('bundle polling stopped', { task, error: messageOf(error) }),
    );
    const target: Target = {
      lifetime,
      state: { lastSuccessMs: undefined, problem: undefined, nextMs: undefined, ignored: 0, succeeded: 0, failed: 0 },
      lastFetchMs: -Infinity,
      nudged: false,
      wake: () => undefined,
    };
    this.#targets.set(domain, target);
    lifetime.run(`bundle of ${domain}`, async (signal) => {
      while (!signal.aborted) {
        target.nudged = false;
        target.lastFetchMs = this.#options.clock.monotonic();
        target.state = await this.#fetch(domain, target.state, signal);
        await this.#pause(domain, target, signal);
      }
    });
  }

  async #fetch(domain: TrustDomain, before: PollState, signal: AbortSignal): Promise<PollState> {
    const { clock, fetch, log, set } = this.#options;
    try {
      const { bundle, ignored } = await fetch(domain, signal);
      const offer = await set.offer(bundle, { fetched: true });
      if (offer.kind === 'refused') throw new JumpgateError(offer.code, offer.message, { source: 'peer' });
      log.info('bundle fetched', { trustDomain: domain, outcome: offer.kind, sequence: bundle.sequence, ignored });
      const succeeded = before.succeeded + 1;
      return { ...before, lastSuccessMs: clock.now(), problem: undefined, nextMs: undefined, ignored, succeeded };
    } catch (error) {
      if (!signal.aborted) log.warn('bundle not fetched', { trustDomain: domain, error: messageOf(error) });
      return { ...before, problem: messageOf(error), nextMs: undefined, failed: before.failed + 1 };
    }
  }

  /** Waits for the next interval whether the fetch failed or not (Federation §6.2), or for a nudge. */
  #pause(domain: TrustDomain, target: Target, signal: AbortSignal): Promise<void> {
    const { clock, intervalMs, set } = this.#options;
    const delayMs = intervalMs(set.get(domain)?.refreshHintSeconds);
    target.state = { ...target.state, nextMs: clock.now() + delayMs };
    return new Promise((resolve) => {
      let timer = clock.after(delayMs, () => done());
      const done = (): void => {
        timer[Symbol.dispose]();
        signal.removeEventListener('abort', done);
        target.wake = () => undefined;
        resolve();
      };
      target.wake = () => {
        timer[Symbol.dispose]();
        timer = clock.after(Math.max(0, target.lastFetchMs + NUDGE_INTERVAL_MS_MIN - clock.monotonic()), done);
        target.wake = () => undefined;
      };
      signal.addEventListener('abort', done, { once: true });
      if (target.nudged) target.wake();
      if (signal.aborted) done();
    });
  }
}

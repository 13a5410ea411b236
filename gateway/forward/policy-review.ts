/** What a change of policy does to calls under way: those that it does not admit any more are cut soon, and distrust cuts at once. */
import { isDeepStrictEqual } from 'node:util';

import { type Clock } from '../../base/clock.ts';
import { type Logger } from '../../base/log.ts';
import { type Snapshot, type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type Distrust } from '../../trust-bundles/distrust/distrust.ts';
import { type LiveCalls } from './live-calls.ts';
import { type Views } from './view.ts';

/**
 * From the change to the cut. Ordinary calls end by their old verdict meanwhile, so that a reload loses none of them; what
 * lasts (tunnels, WebSockets, streams) is gone well within the 5 s in which distrust takes effect.
 */
const GRACE_MS = 2_000;

/** What a review needs. */
export interface PolicyReviewOptions {
  readonly snapshots: SnapshotSource;
  readonly views: Views;
  readonly live: LiveCalls;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Follows the snapshots. Each change of policy, and of who is quarantined, walks the calls under way once; other changes
 * (trust closes links) none.
 */
export class PolicyReview implements Disposable {
  readonly #options: PolicyReviewOptions;
  readonly #follow: Disposable;
  /** As many as changes in the time of one grace, which configuration that has to be still for a moment bounds. */
  readonly #timers = new Set<Disposable>();
  #policy: number;
  #trust: number;
  #distrust: Distrust;

  constructor(options: PolicyReviewOptions) {
    const { snapshots } = options;
    this.#options = options;
    const { distrust, generations } = snapshots.current();
    this.#policy = generations.policy;
    this.#trust = generations.trust;
    this.#distrust = distrust;
    this.#follow = snapshots.watch((snapshot) => this.#changed(snapshot));
  }

  [Symbol.dispose](): void {
    this.#follow[Symbol.dispose]();
    for (const timer of this.#timers) timer[Symbol.dispose]();
    this.#timers.clear();
  }

  #changed(snapshot: Snapshot): void {
    this.#distrustChanged(snapshot);
    const { generations } = snapshot;
    if (generations.policy === this.#policy) return;
    this.#policy = generations.policy;
    const timer = this.#options.clock.after(GRACE_MS, () => {
      this.#timers.delete(timer);
      this.#review();
    });
    this.#timers.add(timer);
  }

  /** What is quarantined is not waited for. It is compared only when trust changed at all, since it can be long. */
  #distrustChanged({ distrust, generations }: Snapshot): void {
    if (generations.trust === this.#trust) return;
    this.#trust = generations.trust;
    if (isDeepStrictEqual(distrust, this.#distrust)) return;
    this.#distrust = distrust;
    const { live, log, views } = this.#options;
    const cut = live.review(views.current(), 'quarantined');
    if (cut > 0) log.info('calls cut that are quarantined', { calls: cut });
  }

  #review(): void {
    const { live, log, views } = this.#options;
    // What is in force now: a change that was taken back meanwhile cuts nothing.
    const cut = live.review(views.current());
    if (cut > 0) log.info('calls cut that policy does not admit any more', { calls: cut });
  }
}

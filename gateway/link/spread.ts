/** Spreads our links over the workers of each instance of a peer: one that shares its worker while others have none is dialled anew. */
import { type Clock } from '../../base/clock.ts';
import { backoffMs, type BackoffOptions } from '../../base/backoff.ts';
import { type DialledLink } from './dialled-link.ts';
import { type LinkPool } from './pool.ts';

/** A worker that crashed is back in seconds; an address that always leads to one worker costs a handshake a minute. */
const TRY: BackoffOptions = { minMs: 500, maxMs: 60_000 };

/** What spreading needs. */
export interface LinkSpreadOptions {
  readonly pool: LinkPool;
  /** Dials another link in place of this one, which takes no new calls from when that is up. */
  readonly replace: (link: DialledLink) => void;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Where the next look at a peer stands. */
interface Look {
  readonly timer: Disposable;
  readonly tried: number;
}

/** Follows the pool until disposed of. */
export class LinkSpread implements Disposable {
  readonly #options: LinkSpreadOptions;
  readonly #looks = new Map<string, Look>();
  readonly #watch: Disposable;

  constructor(options: LinkSpreadOptions) {
    this.#options = options;
    this.#watch = options.pool.watch((peer) => {
      if (!this.#looks.has(peer) && this.#crowded(peer) !== undefined) this.#lookLater(peer, 0);
    });
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    for (const { timer } of this.#looks.values()) timer[Symbol.dispose]();
    this.#looks.clear();
  }

  #lookLater(peer: string, tried: number): void {
    const { clock, random } = this.#options;
    const timer = clock.after(backoffMs(tried, TRY, random), () => this.#look(peer));
    this.#looks.set(peer, { timer, tried });
  }

  #look(peer: string): void {
    const tried = this.#looks.get(peer)?.tried ?? 0;
    const link = this.#crowded(peer);
    if (link === undefined) {
      this.#looks.delete(peer);
      return;
    }
    // Who accepts gives each connection to its worker with the fewest: most often one attempt is enough.
    this.#lookLater(peer, tried + 1);
    this.#options.replace(link);
  }

  #crowded(peer: string): DialledLink | undefined {
    return crowdedLink(this.#options.pool.all().filter((link) => link.peer === peer));
  }
}

/**
 * The link with the fewest calls on a worker that has at least two links more than another worker of its instance;
 * `undefined` when the links of every instance are even to within one.
 */
export function crowdedLink(links: readonly DialledLink[]): DialledLink | undefined {
  const instances = Map.groupBy(
    links.filter((link) => !link.leaving),
    ({ instance, epoch }) => `${instance} ${epoch}`,
  );
  for (const together of instances.values()) {
    const byWorker = Map.groupBy(together, ({ worker }) => worker);
    // Its workers are as many as each of its hellos says.
    const workers = Math.max(...together.map((link) => link.workers));
    const counts = [...byWorker.values()].map(({ length }) => length);
    const [most, fewest] = [Math.max(...counts), byWorker.size < workers ? 0 : Math.min(...counts)];
    if (most - fewest < 2) continue;
    return [...byWorker.values()]
      .filter(({ length }) => length === most)
      .flat()
      .reduce((best, each) => (each.streams < best.streams ? each : best));
  }
  return undefined;
}

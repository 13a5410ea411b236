/** The links that this gateway has dialled, and which of them takes the next call to a peer. */
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { type DialledLink } from './dialled-link.ts';
import { verifyGatewayOf } from './gateway-identity.ts';

/** Links by peer. */
export class LinkPool {
  readonly #links = new Map<string, Set<DialledLink>>();
  readonly #listeners = new Set<(peer: string) => void>();
  #turn = 0;

  /** Puts a link in that is up; it leaves by itself when it has closed. */
  add(link: DialledLink): void {
    const links = this.#links.get(link.peer) ?? new Set();
    links.add(link);
    this.#links.set(link.peer, links);
    void link.closed.then(() => {
      links.delete(link);
      if (links.size === 0 && this.#links.get(link.peer) === links) this.#links.delete(link.peer);
      this.#tell(link.peer);
    });
    this.#tell(link.peer);
  }

  /** The usable link to `peer` (to one instance of it, if given) with the fewest calls; equals take turns. */
  pick(peer: string, instance?: string): DialledLink | undefined {
    const usable = [...(this.#links.get(peer) ?? [])].filter(
      (link) => link.usable && (instance === undefined || link.instance === instance),
    );
    if (usable.length === 0) return undefined;
    this.#turn = (this.#turn + 1) % usable.length;
    const inTurn = [...usable.slice(this.#turn), ...usable.slice(0, this.#turn)];
    return inTurn.reduce((best, link) => (link.calls < best.calls ? link : best));
  }

  /** Instances of `peer` that a usable link reaches. */
  instancesOf(peer: string): readonly string[] {
    const usable = [...(this.#links.get(peer) ?? [])].filter((link) => link.usable);
    return [...new Set(usable.map((link) => link.instance))];
  }

  /** Every link that has not closed. */
  all(): readonly DialledLink[] {
    return [...this.#links.values()].flatMap((links) => [...links]);
  }

  /** Verifies every link again, and closes at once what no longer holds. Returns how many it closed. */
  reverify(snapshot: Snapshot, nowMs: number): number {
    let closed = 0;
    for (const link of this.all()) {
      const presented = { chain: link.identity.chain, role: 'server', nowMs } as const;
      if (verifyGatewayOf(snapshot, link.peer, presented).kind === 'verified') continue;
      link.destroy();
      closed += 1;
    }
    return closed;
  }

  /** Calls `listener` with the peer's name whenever a link came or went. */
  watch(listener: (peer: string) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #tell(peer: string): void {
    for (const listener of [...this.#listeners]) listener(peer);
  }
}

/** The links that this gateway has dialled, and which of them takes the next call to a peer. */
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { type ClientConnection } from '../message/stream.ts';
import { type DialledLink } from './dialled-link.ts';
import { verifyGatewayOf } from './gateway-identity.ts';

/** By so many calls a link may be ahead of the one with the fewest and still be given the others of its turn: few writes, even links. */
const TURN_LEAD_MAX = 256;

/** The links to one peer, and where the next look at them begins. */
interface PeerGroup {
  links: readonly DialledLink[];
  turn: number;
}

/** Links by peer. */
export class LinkPool {
  readonly #groups = new Map<string, PeerGroup>();
  readonly #listeners = new Set<(peer: string) => void>();

  /** Puts a link in that is up; it leaves by itself when it has closed. */
  add(link: DialledLink): void {
    const group = this.#groups.get(link.peer) ?? { links: [], turn: 0 };
    group.links = [...group.links, link];
    this.#groups.set(link.peer, group);
    void link.closed.then(() => {
      group.links = group.links.filter((each) => each !== link);
      if (group.links.length === 0) this.#groups.delete(link.peer);
      this.#tell(link.peer);
    });
    this.#tell(link.peer);
  }

  /**
   * The link to `peer` (to one instance of it, if given) that takes a call and is none of `tried`. The first call of a turn
   * goes where the fewest are, equals taking turns; those that follow in the same turn leave with it. Asked for each call:
   * nothing is allocated.
   */
  pick(peer: string, tried: readonly ClientConnection[], instance?: string): DialledLink | undefined {
    const group = this.#groups.get(peer);
    if (group === undefined) return undefined;
    const { links } = group;
    const count = links.length;
    let at = group.turn + 1 < count ? group.turn + 1 : 0;
    group.turn = at;
    let best: DialledLink | undefined;
    let fewest = Infinity;
    let soon: DialledLink | undefined;
    for (let left = count; left > 0; left -= 1) {
      const link = links[at];
      at = at + 1 < count ? at + 1 : 0;
      if (link === undefined || !link.usable) continue;
      if (instance !== undefined && link.instance !== instance) continue;
      if (tried.length > 0 && tried.includes(link)) continue;
      if (link.leavesSoon && (soon === undefined || link.streams < soon.streams)) soon = link;
      if (link.streams >= fewest) continue;
      best = link;
      fewest = link.streams;
    }
    return soon !== undefined && soon.streams - fewest < TURN_LEAD_MAX ? soon : best;
  }

  /** Instances of `peer` that a link reaches which is not going away, however full it is. */
  instancesOf(peer: string): readonly string[] {
    const lasting = (this.#groups.get(peer)?.links ?? []).filter((link) => !link.leaving);
    return [...new Set(lasting.map((link) => link.instance))];
  }

  /** Every link that has not closed. */
  all(): readonly DialledLink[] {
    return [...this.#groups.values()].flatMap(({ links }) => links);
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

/** The links of all workers of this gateway as one: a worker that has none to a peer hands the call to one that has. */
import { connect } from 'node:net';

import { type Clock } from '../../base/clock.ts';
import { TOKEN_FIELD } from '../../federation/peering/service.ts';
import { type PeerLinks } from '../forward/peer-destination.ts';
import { type ConnectionLimits } from '../http2/limits.ts';
import { type Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { field } from '../message/names.ts';
import { type ClientConnection, type ResponseReceiver, type StreamSender } from '../message/stream.ts';
import { type ConnectedHttp2, connectHttp2 } from '../socket/http2-socket.ts';
import { SIBLING_PEER_FIELD } from './peering-bridge.ts';
import { type LinkPool } from './pool.ts';

/** What the links of siblings need. */
export interface SiblingLinksOptions {
  readonly pool: LinkPool;
  /** Where the worker with an index serves. */
  readonly socketOf: (worker: number) => string;
  readonly token: string;
  /** Of links. */
  readonly limits: ConnectionLimits;
  readonly clock: Clock;
}

/** A sibling, and the ways that lead through it. */
interface Sibling {
  readonly connection: ConnectedHttp2;
  readonly ways: Map<string, SiblingWay>;
}

/** Policy, deadline and access line stay here: a sibling only carries, over a link of its own, and never hands on. */
export class SiblingLinks implements PeerLinks {
  readonly #options: SiblingLinksOptions;
  readonly #siblings = new Map<number, Sibling>();
  #holders: ReadonlyMap<string, readonly number[]> = new Map();

  constructor(options: SiblingLinksOptions) {
    this.#options = options;
  }

  /** Which other workers have a link to which peer. */
  replaceHolders(holders: ReadonlyMap<string, readonly number[]>): void {
    this.#holders = holders;
  }

  pick(peer: string, tried: readonly ClientConnection[]): ClientConnection | undefined {
    return this.#options.pool.pick(peer, tried) ?? this.#sibling(peer, tried);
  }

  #sibling(peer: string, tried: readonly ClientConnection[]): ClientConnection | undefined {
    for (const worker of this.#holders.get(peer) ?? []) {
      const way = this.#way(worker, peer);
      if (way.usable && !tried.includes(way)) return way;
    }
    return undefined;
  }

  #way(worker: number, peer: string): SiblingWay {
    const sibling = this.#siblings.get(worker) ?? this.#connect(worker);
    let way = sibling.ways.get(peer);
    if (way === undefined) {
      way = new SiblingWay(sibling.connection, [
        field(SIBLING_PEER_FIELD, peer),
        field(TOKEN_FIELD, this.#options.token, true),
      ]);
      sibling.ways.set(peer, way);
    }
    return way;
  }

  /** It takes requests at once: they leave when the socket is connected, or are reset. */
  #connect(worker: number): Sibling {
    const { clock, limits, socketOf } = this.#options;
    const connection = connectHttp2(connect(socketOf(worker)), { clock, limits });
    const sibling = { connection, ways: new Map<string, SiblingWay>() };
    this.#siblings.set(worker, sibling);
    // Not first when it has closed: one call that lives long would keep all others from a sibling that drains.
    void connection.going.then(() => {
      if (this.#siblings.get(worker) === sibling) this.#siblings.delete(worker);
    });
    return sibling;
  }
}

/** A link of a sibling as a connection of ours. */
class SiblingWay implements ClientConnection {
  readonly #connection: ConnectedHttp2;
  readonly #added: readonly Field[];

  constructor(connection: ConnectedHttp2, added: readonly Field[]) {
    this.#connection = connection;
    this.#added = added;
  }

  get usable(): boolean {
    return this.#connection.usable;
  }

  get streams(): number {
    return this.#connection.streams;
  }

  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): StreamSender | undefined {
    return this.#connection.open({ ...head, fields: [...head.fields, ...this.#added] }, end, receiver);
  }
}

/** Gives each accepted connection to the process that has fewest, and gives it again when that one dies before taking it. */
import { type Socket } from 'node:net';

import { type ConnectionRoom } from './descriptors.ts';
import { type ProcessId, type ToChild } from './channel.ts';

/** Somebody who takes connections. */
export interface Taker {
  readonly id: ProcessId;
  /** Sends, or drops the message when the process has gone: its end is told by {@link Handover.remove}. */
  send(message: ToChild, socket?: Socket): void;
}

/** An accepted connection and where it came in. */
export interface Accepted {
  readonly socket: Socket;
  readonly listener: string;
  readonly to: 'workers' | 'control';
  readonly forCalls: boolean;
}

/** Where connections wait that nobody was offered. */
type Waiting = 'workers' | 'calls' | 'control';

interface Offered extends Accepted {
  /** How many have been offered it. */
  attempts: number;
}

interface Taking {
  readonly taker: Taker;
  /** Offered and taken, by listener. */
  readonly counts: Map<string, number>;
  readonly pending: Map<number, Offered>;
  total: number;
  retired: boolean;
}

/** One that was offered to so many which died or gave it back is let go: the fourth would fare no better. */
const ATTEMPTS_MAX = 4;

/**
 * ```
 *            ┌───────── no process has room, or held back ─────────┐
 *            v                                                     │
 * accepted ──> waiting ──somebody has room──> offered ──taken──> forgotten (our copy of the descriptor is closed)
 *                ^                               │
 *                └──────── returned, or died ────┘  (ATTEMPTS_MAX times, then closed)
 * ```
 * The primary keeps its copy of the descriptor until `taken`, so the death of the taker costs the connection nothing.
 */
export class Handover {
  readonly #room: ConnectionRoom;
  readonly #onChange: () => void;
  readonly #takers: Taking[] = [];
  readonly #waiting = { workers: Array<Offered>(), calls: Array<Offered>(), control: Array<Offered>() } as const;
  readonly #heldBack = new Set<Waiting>();
  #pending = 0;
  #nextId = 0;
  #turn = 0;

  /** `onChange` is called when there may be room again, or nothing is held any more. */
  constructor(room: ConnectionRoom, onChange: () => void) {
    this.#room = room;
    this.#onChange = onChange;
  }

  /** Connections that nobody has taken yet. */
  get held(): number {
    const { workers, calls, control } = this.#waiting;
    return workers.length + calls.length + control.length + this.#pending;
  }

  /** Connections that `id` holds or was offered. */
  connectionsOf(id: ProcessId): number {
    return this.#find(id)?.total ?? 0;
  }

  /** Whether one more may be accepted. While nobody is there to take them they are held, as far as descriptors go. */
  hasRoom(to: Accepted['to']): boolean {
    if (this.held >= this.#room.heldMax) return false;
    const takers = this.#takersOf(to);
    return takers.length === 0 || takers.some((each) => each.total < this.#room.perWorkerMax);
  }

  /** Whether accepting may go on after a pause: not for each single one that is no longer held. */
  mayResume(to: Accepted['to']): boolean {
    return this.held <= this.#room.heldMax / 2 && this.hasRoom(to);
  }

  /** Offers nobody the connections of that kind until {@link release}. */
  hold(kind: Exclude<Waiting, 'control'>): void {
    this.#heldBack.add(kind);
  }

  /** Goes on to offer them. */
  release(kind: Exclude<Waiting, 'control'>): void {
    if (!this.#heldBack.delete(kind)) return;
    this.#flush();
    this.#onChange();
  }

  /** A process takes connections from now on. False when it does already. */
  add(taker: Taker): boolean {
    if (this.#find(taker.id) !== undefined) return false;
    this.#takers.push({ taker, counts: new Map(), pending: new Map(), total: 0, retired: false });
    this.#flush();
    this.#onChange();
    return true;
  }

  /** A process that drains is offered nothing more; what it was offered it takes or returns. */
  retire(id: ProcessId): void {
    const taking = this.#find(id);
    if (taking !== undefined) taking.retired = true;
  }

  /** A process has ended: what it has not taken goes to others. Only now, or two would serve one connection. */
  remove(id: ProcessId): void {
    const at = this.#takers.findIndex(({ taker }) => taker.id === id);
    const [gone] = at < 0 ? [] : this.#takers.splice(at, 1);
    if (gone === undefined) return;
    this.#pending -= gone.pending.size;
    for (const offered of gone.pending.values()) this.#again(offered);
    this.#flush();
    this.#onChange();
  }

  /** Gives an accepted connection away, at once if somebody has room. */
  offer(accepted: Accepted): void {
    this.#waitingOf(accepted).push({ ...accepted, attempts: 0 });
    this.#flush();
  }

  /** `id` has taken it. False when it was never offered that. */
  taken(id: ProcessId, connection: number): boolean {
    const offered = this.#settle(id, connection);
    offered?.socket.destroy();
    if (offered !== undefined) this.#onChange();
    return offered !== undefined;
  }

  /** `id` gives it back (it drains). False when it was never offered that. */
  returned(id: ProcessId, connection: number): boolean {
    const offered = this.#settle(id, connection);
    if (offered === undefined) return false;
    this.#count(id, offered.listener, -1);
    this.#again(offered);
    this.#flush();
    this.#onChange();
    return true;
  }

  /** `count` connections of `id` have closed. False when it did not have as many. */
  closed(id: ProcessId, listener: string, count: number): boolean {
    if ((this.#find(id)?.counts.get(listener) ?? 0) < count) return false;
    this.#count(id, listener, -count);
    this.#flush();
    this.#onChange();
    return true;
  }

  /** Closes what nobody has taken. */
  destroy(): void {
    for (const waiting of Object.values(this.#waiting)) for (const { socket } of waiting.splice(0)) socket.destroy();
    for (const { pending } of this.#takers) {
      for (const { socket } of pending.values()) socket.destroy();
      pending.clear();
    }
    this.#pending = 0;
  }

  #find(id: ProcessId): Taking | undefined {
    return this.#takers.find(({ taker }) => taker.id === id);
  }

  #takersOf(to: Accepted['to']): readonly Taking[] {
    return this.#takers.filter(({ taker, retired }) => !retired && (taker.id === 'control') === (to === 'control'));
  }

  #settle(id: ProcessId, connection: number): Offered | undefined {
    const pending = this.#find(id)?.pending;
    const offered = pending?.get(connection);
    if (pending?.delete(connection) === true) this.#pending -= 1;
    return offered;
  }

  #count(id: ProcessId, listener: string, by: number): void {
    const taking = this.#find(id);
    if (taking === undefined) return;
    taking.total += by;
    const next = (taking.counts.get(listener) ?? 0) + by;
    if (next === 0) taking.counts.delete(listener);
    else taking.counts.set(listener, next);
  }

  #again(offered: Offered): void {
    if (offered.attempts < ATTEMPTS_MAX) this.#waitingOf(offered).push(offered);
    else offered.socket.destroy();
  }

  #waitingOf({ to, forCalls }: Accepted): Offered[] {
    return this.#waiting[to === 'workers' && forCalls ? 'calls' : to];
  }

  #flush(): void {
    for (const kind of ['workers', 'calls', 'control'] as const) {
      if (this.#heldBack.has(kind)) continue;
      const waiting = this.#waiting[kind];
      for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
        const taking = this.#pick(next);
        if (taking === undefined) break;
        waiting.shift();
        this.#give(next, taking);
      }
    }
  }

  /** Fewest of this listener, then fewest of all, then in turn: a listener's connections stay even to within one. */
  #pick({ listener, to }: Offered): Taking | undefined {
    const takers = this.#takersOf(to).filter(({ total }) => total < this.#room.perWorkerMax);
    if (takers.length === 0) return undefined;
    this.#turn = (this.#turn + 1) % takers.length;
    const inTurn = [...takers.slice(this.#turn), ...takers.slice(0, this.#turn)];
    const load = (taking: Taking): number => taking.counts.get(listener) ?? 0;
    return inTurn.reduce((best, each) => {
      const difference = load(each) - load(best);
      return difference < 0 || (difference === 0 && each.total < best.total) ? each : best;
    });
  }

  #give(offered: Offered, { taker, pending }: Taking): void {
    const id = this.#nextId;
    this.#nextId += 1;
    offered.attempts += 1;
    pending.set(id, offered);
    this.#pending += 1;
    this.#count(taker.id, offered.listener, 1);
    taker.send({ kind: 'connection', id, listener: offered.listener }, offered.socket);
  }
}

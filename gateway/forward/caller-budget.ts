/**
 * What one caller may cost the links to one peer: calls at once, and calls that it opens and gives up. A link is shared
 * fate, so whoever floods is refused at its own gateway, and at the peer's by the name on the stream; the link stays.
 */
import { type ReasonCode } from '../refusal/reason.ts';

/** Half of what is counted: counts cover the last 5 to 10 s. */
const HALF_WINDOW_MS = 5_000;

/** A call that lived so long wasted nothing by its end, however many end together: a process with its WebSockets. */
const WASTED_MS_MAX = 2 * HALF_WINDOW_MS;

/** How long a caller that floods is refused, and a flood is not told of again. */
const REFUSED_MS = 10_000;

/** Of one peer: the workloads of a mesh that call at one time. Those beyond share one budget. */
const CALLERS_MAX = 10_000;

/** Looking for budgets that nobody needs any more costs as much as there are. */
const SWEEP_EVERY_MS = 1_000;

/** How a call ended, as a budget sees it. `lost`: with the connection that brought it. */
export type CallEnd = 'done' | 'given-up' | 'lost';

/** By which two gateways' views of one deadline differ. */
const LATE_MS = 50;

/**
 * How a call ended that was reset by whoever brought it. `leftMs` is what was left of a deadline that is not the caller's:
 * a gateway that resets then gives nothing up, the service was slow.
 */
export function endOfReset(stream: { readonly isLost?: boolean }, leftMs: number): CallEnd {
  if (stream.isLost === true) return 'lost';
  return leftMs <= LATE_MS ? 'done' : 'given-up';
}

/** What a caller may cost. */
export interface BudgetLimits {
  /** Calls and tunnels at once. */
  readonly streamsMax: number;
  /** Calls given up in a window: below this a share says nothing. */
  readonly resetsMax: number;
  /** The share of the calls begun in the same time above which it is a flood. */
  readonly resetShareMax: number;
}

/** What budgets are made of. */
export interface CallerBudgetsOptions {
  /** Asked at each call, since configuration changes. */
  readonly limits: () => BudgetLimits;
  /** Whether calls that are lost with their connection were given up: a caller's own connection is its own doing, a link's is not. */
  readonly lostIsGivenUp: boolean;
  /** Whether many are behind one name: then one of them must not be able to have all refused, and floods are only told of. */
  readonly isShared: (caller: string) => boolean;
  /** A caller floods: it is refused from now on, for a while, unless it is shared. */
  readonly onFlood: (budget: CallerBudget) => void;
}

/** Those of both directions, apart: a peer that names many callers takes no room from ours. */
export interface CallBudgets {
  readonly outbound: CallerBudgets;
  readonly inbound: CallerBudgets;
}

/** The budgets of one process (each worker has links of its own), by peer and caller. Bounded, and forgotten when idle. */
export class CallerBudgets {
  readonly options: CallerBudgetsOptions;
  readonly #peers = new Map<string, PeerBudgets>();

  constructor(options: CallerBudgetsOptions) {
    this.options = options;
  }

  /** Budgets held. */
  get size(): number {
    let size = 0;
    for (const { byCaller } of this.#peers.values()) size += byCaller.size;
    return size;
  }

  /** The budget of `caller` on the links to or from `peer`. It may be forgotten later: see {@link BudgetHandle}. */
  of(peer: string, caller: string, nowMs: number): CallerBudget {
    let of = this.#peers.get(peer);
    if (of === undefined) {
      of = { byCaller: new Map(), others: new CallerBudget(this, peer, 'others'), sweptAtMs: -Infinity };
      this.#peers.set(peer, of);
    }
    const known = of.byCaller.get(caller);
    if (known !== undefined) return known;
    if (of.byCaller.size >= CALLERS_MAX) sweep(of, nowMs);
    if (of.byCaller.size >= CALLERS_MAX) return of.others;
    const made = new CallerBudget(this, peer, caller);
    of.byCaller.set(caller, made);
    return made;
  }

  /** Forgets peers that are gone. */
  keep(peers: ReadonlyMap<string, unknown>): void {
    for (const [name, { byCaller }] of this.#peers) {
      if (peers.has(name)) continue;
      for (const budget of byCaller.values()) budget.forget();
      this.#peers.delete(name);
    }
  }
}

interface PeerBudgets {
  readonly byCaller: Map<string, CallerBudget>;
  readonly others: CallerBudget;
  sweptAtMs: number;
}

function sweep(of: PeerBudgets, nowMs: number): void {
  if (nowMs - of.sweptAtMs < SWEEP_EVERY_MS) return;
  of.sweptAtMs = nowMs;
  for (const [caller, budget] of of.byCaller) {
    if (!budget.isIdle(nowMs)) continue;
    budget.forget();
    of.byCaller.delete(caller);
  }
}

/** What a plan keeps, so that its calls look nothing up: the way to one caller's budget. */
export class BudgetHandle {
  readonly #budgets: CallerBudgets;
  readonly #peer: string;
  readonly #caller: string;
  #budget: CallerBudget | undefined;

  constructor(budgets: CallerBudgets, peer: string, caller: string) {
    this.#budgets = budgets;
    this.#peer = peer;
    this.#caller = caller;
  }

  /** The budget as it stands. */
  at(nowMs: number): CallerBudget {
    let budget = this.#budget;
    if (budget === undefined || budget.isForgotten) {
      budget = this.#budgets.of(this.#peer, this.#caller, nowMs);
      this.#budget = budget;
    }
    return budget;
  }
}

/** One caller's budget. Times are the clock's monotonic milliseconds. */
export class CallerBudget {
  readonly peer: string;
  readonly caller: string;
  readonly #owner: CallerBudgets;
  readonly #isShared: boolean;
  #streams = 0;
  #half = -1;
  #opened = 0;
  #openedBefore = 0;
  #wasted = 0;
  #wastedBefore = 0;
  #floodedUntilMs = -Infinity;
  #isForgotten = false;

  constructor(owner: CallerBudgets, peer: string, caller: string) {
    this.#owner = owner;
    this.peer = peer;
    this.caller = caller;
    this.#isShared = owner.options.isShared(caller);
  }

  /** It was idle, and another will stand in its place. */
  get isForgotten(): boolean {
    return this.#isForgotten;
  }

  /** A call begins, or is refused: then it must not be left. */
  enter(nowMs: number): ReasonCode | undefined {
    if (nowMs < this.#floodedUntilMs && !this.#isShared) return 'limit-caller-resets';
    if (this.#streams >= this.#owner.options.limits().streamsMax) return 'limit-caller-streams';
    this.#turn(nowMs);
    this.#streams += 1;
    this.#opened += 1;
    return undefined;
  }

  /** A call that began at `beganAtMs` has ended. */
  leave(nowMs: number, beganAtMs: number, end: CallEnd): void {
    this.#streams -= 1;
    if (end === 'done' || nowMs - beganAtMs >= WASTED_MS_MAX) return;
    const { limits, lostIsGivenUp, onFlood } = this.#owner.options;
    if (end === 'lost' && !lostIsGivenUp) return;
    this.#turn(nowMs);
    this.#wasted += 1;
    const wasted = this.#wasted + this.#wastedBefore;
    const { resetsMax, resetShareMax } = limits();
    if (wasted <= resetsMax || wasted <= resetShareMax * (this.#opened + this.#openedBefore)) return;
    if (nowMs < this.#floodedUntilMs) return;
    this.#floodedUntilMs = nowMs + REFUSED_MS;
    onFlood(this);
  }

  /** Whether nothing would be lost if it were forgotten. */
  isIdle(nowMs: number): boolean {
    this.#turn(nowMs);
    return this.#streams === 0 && this.#opened + this.#openedBefore === 0 && nowMs >= this.#floodedUntilMs;
  }

  /** See {@link isForgotten}. */
  forget(): void {
    this.#isForgotten = true;
  }

  #turn(nowMs: number): void {
    const half = Math.floor(nowMs / HALF_WINDOW_MS);
    if (half === this.#half) return;
    const isNext = half === this.#half + 1;
    this.#openedBefore = isNext ? this.#opened : 0;
    this.#wastedBefore = isNext ? this.#wasted : 0;
    this.#opened = 0;
    this.#wasted = 0;
    this.#half = half;
  }
}

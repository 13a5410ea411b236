/** One call between a recorded caller and a recorded destination, on a clock of its own. */
import assert from 'node:assert/strict';

import { type CallHost } from '../../gateway/forward/call-host.ts';
import { type CallLimits } from '../../gateway/forward/call-limits.ts';
import { Call } from '../../gateway/forward/call.ts';
import { BudgetHandle, type CallerBudgets } from '../../gateway/forward/caller-budget.ts';
import { Deadlines } from '../../gateway/forward/deadlines.ts';
import { type Destination, type Outgoing, type Taken, type Waiter } from '../../gateway/forward/destination.ts';
import { LiveCalls } from '../../gateway/forward/live-calls.ts';
import { readRequestFields } from '../../gateway/headers/request-fields.ts';
import { type RequestHead } from '../../gateway/message/head.ts';
import { field } from '../../gateway/message/names.ts';
import { type ClientConnection } from '../../gateway/message/stream.ts';
import { type Audience } from '../../gateway/refusal/refuse.ts';
import { type EndedCall, type EndedCalls } from '../../gateway/telemetry/call-subject.ts';
import { testBudgets } from './caller-budgets.ts';
import { headOf, type HeadFacts, type Texts } from './call-heads.ts';
import { subjectOf } from './ended-calls.ts';
import { type FakeAttempt, FakeConnection, FakeServerStream } from './fake-streams.ts';
import { ManualClock } from './manual-clock.ts';

/** A place with the connections that it is given. */
export class FakeDestination implements Destination {
  readonly broken = 'service-failed';
  readonly malformed = 'service-malformed';
  readonly refused = 'service-unavailable';
  readonly unreachable = 'peer-unavailable';
  gateway = false;
  budget: BudgetHandle | undefined = undefined;
  connections: FakeConnection[] = [];
  /** Whether calls may wait. */
  waits = false;
  waiters: readonly Waiter[] = [];
  /** What calls had left when their head was made, in milliseconds. */
  readonly leftMs: number[] = [];

  take(tried: readonly ClientConnection[]): Taken | undefined {
    const connection = this.connections.find((each) => !tried.includes(each));
    return connection && { connection, authority: field(':authority', 'service'), scheme: field(':scheme', 'http') };
  }

  wait(waiter: Waiter): boolean {
    if (this.waits) this.waiters = [...this.waiters, waiter];
    return this.waits;
  }

  leave(waiter: Waiter): void {
    this.waiters = this.waiters.filter((each) => each !== waiter);
  }

  requestHead(call: Outgoing, { authority }: Pick<Taken, 'authority'>): RequestHead {
    this.leftMs.push(call.leftMs());
    return { ...call.head, authority };
  }
}

/** What of a call was recorded: a copy, since a call is valid only while it is recorded. */
export type Recorded = Pick<
  EndedCall,
  'status' | 'grpcStatus' | 'verdict' | 'reason' | 'bytesIn' | 'bytesOut' | 'durationMs'
>;

class Records implements EndedCalls {
  readonly all: Recorded[] = [];

  record({ status, grpcStatus, verdict, reason, bytesIn, bytesOut, durationMs }: EndedCall): void {
    this.all.push({ status, grpcStatus, verdict, reason, bytesIn, bytesOut, durationMs });
  }
}

/** What the call says of itself. */
export interface RigOptions extends HeadFacts {
  readonly fields?: Texts;
  /** The request has no body. */
  readonly end?: boolean;
  readonly audience?: Audience;
  readonly limitMs?: number;
  readonly limits?: Partial<CallLimits>;
  /** How many connections the destination has; 1. */
  readonly connections?: number;
  readonly gateway?: boolean;
  readonly waits?: boolean;
  /** Those of the destination; without them it has none. */
  readonly budgets?: CallerBudgets;
}

/** See the head of this file. */
export class CallRig {
  readonly clock = new ManualClock();
  readonly live = new LiveCalls();
  readonly stream = new FakeServerStream();
  readonly destination = new FakeDestination();
  readonly call: Call;
  readonly #records = new Records();
  readonly #limitMs: number;
  readonly #limits: CallLimits;

  constructor(options: RigOptions = {}) {
    const { fields = [], end = true, audience = 'trusted', limitMs = Infinity, connections = 1 } = options;
    const { clock, live } = this;
    const { budgets = testBudgets().budgets } = options;
    const both = { outbound: budgets, inbound: budgets };
    const host: CallHost = { clock, live, budgets: both, deadlines: new Deadlines(clock), sink: this.#records };
    if (options.budgets !== undefined) this.destination.budget = new BudgetHandle(budgets, 'eu', 'caller');
    const head = headOf(fields, options);
    this.#limitMs = limitMs;
    this.#limits = { responseMs: 0, bodyBytes: 0, bodyStallMs: 30_000, tunnelIdleMs: 0, ...options.limits };
    this.destination.gateway = options.gateway ?? false;
    this.destination.waits = options.waits ?? false;
    this.destination.connections = Array.from({ length: connections }, () => new FakeConnection());
    this.call = new Call(
      host,
      { stream: this.stream, head, read: readRequestFields(head), end, audience },
      subjectOf(),
    );
  }

  /** What was recorded so far. */
  get recorded(): readonly Recorded[] {
    return this.#records.all;
  }

  /** Every request that was sent on any connection. */
  get attempts(): readonly FakeAttempt[] {
    return this.destination.connections.flatMap(({ attempts }) => attempts);
  }

  /** The latest request on the connection of this place. */
  attempt(place = 0): FakeAttempt {
    const attempt = this.destination.connections[place]?.attempts.at(-1);
    if (attempt === undefined) throw new Error(`no request was sent on connection ${place}`);
    return attempt;
  }

  /** Sends the call. */
  send(): this {
    this.call.send(this.destination, this.#limitMs, { limits: this.#limits, refusedUnder: () => undefined });
    return this;
  }
}

/** The one record that there must be. */
export function recordOf(rig: CallRig): Recorded {
  assert.equal(rig.recorded.length, 1, 'recorded once');
  assert.equal(rig.live.size, 0, 'not under way any more');
  rig.clock.advance(100);
  assert.equal(rig.clock.pending, 0, 'no deadline is left');
  const [record] = rig.recorded;
  if (record === undefined) throw new Error('nothing was recorded');
  return record;
}

/** Status, verdict and reason. */
export function outcomeOf(rig: CallRig): readonly unknown[] {
  const { status, verdict, reason } = recordOf(rig);
  return [status, verdict, reason];
}

/** What operators and metrics see of one peering. */
import { diffCatalogues } from '../catalogue/diff.ts';
import { type Exporting } from './exporting.ts';
import { type Rejection } from './frame.ts';
import { type Session, type SessionEnd } from './session.ts';

/** `connecting`: no stream, or not opened yet. `terminated`: the peer has removed us. The others are the session's phases. */
export type PeeringState = 'connecting' | 'syncing' | 'active' | 'degraded' | 'terminated';

/** The state of one peering, over its best stream. */
export interface PeeringStatus {
  readonly state: PeeringState;
  readonly instance: string | undefined;
  /** Age of the peer's last heartbeat, milliseconds; `undefined` before the first. */
  readonly lastHeartbeatMs: number | undefined;
  /** Of our catalogue: the version last sent, and the last that the peer applied; 0 for none. */
  readonly ourVersion: bigint;
  readonly theirAppliedVersion: bigint;
  /** How long the version under way has been waiting for the peer's answer, milliseconds; 0 when nothing is. */
  readonly unansweredMs: number;
  /** Entries of our catalogue that differ from what was sent, and wait for that answer. */
  readonly waiting: number;
  /** Of the peer's catalogue: the last version applied here. */
  readonly appliedVersion: bigint;
  readonly theyHoldOurBundleSequence: bigint | undefined;
  /** Exports of ours that the peer will not use. */
  readonly refusedByPeer: readonly Rejection[];
  /** Exports of the peer that we will not use. */
  readonly quarantined: readonly Rejection[];
  /** Why the stream before this ended. */
  readonly lastEnd: SessionEnd | undefined;
}

/** A peering without any stream. */
export const NO_STREAM: PeeringStatus = {
  state: 'connecting',
  instance: undefined,
  lastHeartbeatMs: undefined,
  ourVersion: 0n,
  theirAppliedVersion: 0n,
  unansweredMs: 0,
  waiting: 0,
  appliedVersion: 0n,
  theyHoldOurBundleSequence: undefined,
  refusedByPeer: [],
  quarantined: [],
  lastEnd: undefined,
};

/** The status over one session. */
export function statusOf(session: Session, nowMonotonicMs: number): PeeringStatus {
  const { phase, exporting, importing } = session;
  return {
    state: phase === 'opening' || phase === 'closed' ? 'connecting' : phase,
    instance: session.expected.instance,
    lastHeartbeatMs: session.heartbeatReceived ? nowMonotonicMs - session.heardAtMs : undefined,
    ourVersion: exporting.version,
    theirAppliedVersion: exporting.appliedVersion,
    unansweredMs: exporting.unansweredSinceMs === undefined ? 0 : nowMonotonicMs - exporting.unansweredSinceMs,
    waiting: waitingOf(exporting),
    appliedVersion: importing.appliedVersion,
    theyHoldOurBundleSequence: session.theyHoldOurBundleSequence,
    refusedByPeer: exporting.rejections,
    quarantined: importing.held?.catalogue.problems ?? [],
    lastEnd: session.end,
  };
}

function waitingOf({ newest, sent }: Exporting): number {
  if (newest === undefined || newest === sent) return 0;
  const { added, changed, removed } = diffCatalogues(sent ?? [], newest);
  return added.length + changed.length + removed.length;
}

const BEST_FIRST: readonly PeeringState[] = ['active', 'syncing', 'degraded', 'connecting', 'terminated'];

/** The best of several; `undefined` for none. */
export function bestStatus(statuses: readonly PeeringStatus[]): PeeringStatus | undefined {
  return [...statuses].sort((a, b) => BEST_FIRST.indexOf(a.state) - BEST_FIRST.indexOf(b.state))[0];
}

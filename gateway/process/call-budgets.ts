/** The budgets of callers on links, of this process: what they are, and what becomes of a caller that floods. */
import { type Logger } from '../../base/log.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { isReserved, trySpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type CallBudgets, type CallerBudget, CallerBudgets } from '../forward/caller-budget.ts';
import { type LiveCalls } from '../forward/live-calls.ts';
import { LINK_CONNECTION } from '../http2/limits.ts';
import { type CallSubject } from '../telemetry/call-subject.ts';

/**
 * Of the calls that one link carries, those of one caller. There are at least two links to a peer, and while one of them
 * is being replaced the other still has as much room for everybody else as one caller may ever take.
 */
const STREAM_SHARE = 0.5;

/** What budgets need. */
export interface CallBudgetsOptions {
  readonly snapshots: SnapshotSource;
  readonly live: LiveCalls;
  readonly log: Logger;
}

/** The budgets; dispose of them to follow the snapshots no more. */
export function createCallBudgets({ snapshots, live, log }: CallBudgetsOptions): CallBudgets & Disposable {
  const { resetsMax, resetShare } = LINK_CONNECTION;
  const resets = { resetsMax, resetShareMax: resetShare?.max ?? 1 };
  // How many calls a caller has at once is its own gateway's to say: several workers of it may meet in one of ours.
  const inboundLimits = { ...resets, streamsMax: Infinity };
  let outboundLimits = { ...resets, streamsMax: streamsMax(snapshots) };
  const flooded =
    (direction: 'outbound' | 'inbound') =>
    ({ caller, peer }: CallerBudget): void => {
      const meant = ({ facts }: CallSubject): boolean =>
        facts.caller === caller && facts.peer === peer && facts.direction === direction;
      const facts = { peer, caller, direction };
      if (isShared(caller)) {
        log.warn('callers from outside give up more calls than callers have reason to', facts);
        return;
      }
      const cut = live.cut(meant, 'limit-caller-resets');
      log.warn('caller refused for a while: it gives up more calls than callers have reason to', { ...facts, cut });
    };
  const outbound = new CallerBudgets({
    limits: () => outboundLimits,
    lostIsGivenUp: true,
    isShared,
    onFlood: flooded('outbound'),
  });
  const inbound = new CallerBudgets({
    limits: () => inboundLimits,
    lostIsGivenUp: false,
    isShared,
    onFlood: flooded('inbound'),
  });
  const follow = snapshots.watch(({ peers }) => {
    outboundLimits = { ...resets, streamsMax: streamsMax(snapshots) };
    outbound.keep(peers);
    inbound.keep(peers);
  });
  return { outbound, inbound, [Symbol.dispose]: () => follow[Symbol.dispose]() };
}

/** Everybody outside calls under the identity of an edge. What one of them may waste is held per connection and address. */
function isShared(caller: string): boolean {
  const id = trySpiffeId(caller);
  return id !== undefined && isReserved(id);
}

function streamsMax(snapshots: SnapshotSource): number {
  return Math.max(1, Math.floor(STREAM_SHARE * snapshots.current().limits.linkStreams));
}

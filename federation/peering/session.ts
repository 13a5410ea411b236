/**
 * One control stream as a pure state machine: (session, event) -> (session, effects).
 *
 *              both sides send open when the stream starts
 *
 *   opening ── open with a common version ──▶ syncing        catalogue sent, or the one held by the peer confirmed
 *   syncing ── theirs applied here, ours applied there ──▶ active
 *   active  ── no heartbeat, or no answer to a version, for degradedAfterMs ──▶ degraded
 *   degraded ── heartbeats and answers are back ──▶ active
 *   any ── no heartbeat for closedAfterMs, terminated, stream ended, unexpected frame ──▶ closed     (final)
 *
 * That the stream's TCP connection is open proves nothing: only heartbeats and answers do (federation.md, rule 2).
 */
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type CatalogueEntry } from '../catalogue/service.ts';
import {
  acknowledged,
  beginExporting,
  newestDigest,
  NOTHING_EXPORTED,
  offerExports,
  refused,
  type Exporting,
  type ExportFacts,
  type ExportStep,
} from './exporting.ts';
import { PEERING_VERSIONS, type Frame, type HeartbeatFrame, type OpenFrame } from './frame.ts';
import {
  applied,
  deltaReceived,
  digestHeard,
  nothingImported,
  snapshotReceived,
  type HeldCatalogue,
  type Importing,
  type ImportStep,
} from './importing.ts';

/** See the diagram above. */
export type SessionPhase = 'opening' | 'syncing' | 'active' | 'degraded' | 'closed';

/** Durations of a session, milliseconds. */
export interface SessionTiming {
  readonly heartbeatMs: number;
  readonly degradedAfterMs: number;
  readonly closedAfterMs: number;
}

/** Three missed heartbeats degrade: one lost to a busy moment does not. Ten close, and a fresh link gets its chance. */
export const SESSION_TIMING: SessionTiming = { heartbeatMs: 2_000, degradedAfterMs: 6_000, closedAfterMs: 20_000 };

/** Who speaks. `epoch` is the instance's stored boot counter. */
export interface SessionParty {
  readonly trustDomain: TrustDomain;
  readonly instance: string;
  readonly epoch: bigint;
}

/** Bundle sequences as they are here: of ours, and of the peer's that we hold. */
export interface BundleSequences {
  readonly ours: bigint | undefined;
  readonly theirs: bigint | undefined;
}

/** Why a session ended. */
export interface SessionEnd {
  readonly code:
    | 'version'
    | 'identity'
    | 'unexpected-frame'
    | 'silent'
    | 'terminated'
    | 'ended'
    | 'fenced'
    | 'apply-failed'
    | 'overflow'
    | 'stopped';
  readonly message: string;
}

/** A session; immutable. */
export interface Session {
  readonly phase: SessionPhase;
  readonly self: SessionParty;
  /** Whom the link proved: an open that says otherwise ends the session. */
  readonly expected: { readonly trustDomain: TrustDomain; readonly instance: string };
  readonly timing: SessionTiming;
  /** The peering version that both sides speak; `undefined` before the peer has opened. */
  readonly version: number | undefined;
  readonly peerEpoch: bigint | undefined;
  readonly exporting: Exporting;
  readonly importing: Importing;
  readonly bundles: BundleSequences;
  /** The sequence of our bundle that the peer holds, as its last heartbeat said. */
  readonly theyHoldOurBundleSequence: bigint | undefined;
  /** When the last heartbeat came; before the first, when the stream started. */
  readonly heardAtMs: number;
  readonly heartbeatReceived: boolean;
  readonly beatAtMs: number;
  readonly end: SessionEnd | undefined;
}

/** The first version whose entries have server names. */
const SERVER_NAMES_VERSION = 2;

/** What can happen to a session. Times are monotonic milliseconds, `wallMs` milliseconds since 1970. */
export type SessionEvent =
  | { readonly kind: 'started' }
  | { readonly kind: 'frame'; readonly frame: Frame }
  | { readonly kind: 'exports'; readonly entries: readonly CatalogueEntry[] }
  | { readonly kind: 'bundles'; readonly bundles: BundleSequences }
  | { readonly kind: 'applied'; readonly version: bigint }
  | { readonly kind: 'tick' }
  | { readonly kind: 'terminate'; readonly tombstone: string }
  | { readonly kind: 'stop'; readonly end: SessionEnd };

/** When an event happens. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** What the owner of a session has to do, in order. */
export type SessionEffect =
  | { readonly kind: 'send'; readonly frame: Frame }
  | { readonly kind: 'opened'; readonly epoch: bigint }
  | { readonly kind: 'apply'; readonly received: HeldCatalogue }
  | { readonly kind: 'fetch-bundle'; readonly sequence: bigint | undefined }
  | { readonly kind: 'terminated'; readonly tombstone: string }
  | { readonly kind: 'close'; readonly end: SessionEnd };

/** A new session and what to do. */
export interface SessionStep {
  readonly session: Session;
  readonly effects: readonly SessionEffect[];
}

/** What a session starts from. `held` is the catalogue that an earlier stream of this peer left. */
export interface SessionStart {
  readonly self: SessionParty;
  readonly expected: Session['expected'];
  readonly timing: SessionTiming;
  readonly entries: readonly CatalogueEntry[];
  readonly held: HeldCatalogue | undefined;
  readonly bundles: BundleSequences;
  readonly at: Moment;
}

/** A session in phase `opening`, to be given `started` first. */
export function newSession(start: SessionStart): Session {
  return {
    phase: 'opening',
    self: start.self,
    expected: start.expected,
    timing: start.timing,
    version: undefined,
    peerEpoch: undefined,
    exporting: { ...NOTHING_EXPORTED, newest: start.entries },
    importing: nothingImported(start.held),
    bundles: start.bundles,
    theyHoldOurBundleSequence: undefined,
    heardAtMs: start.at.monotonicMs,
    heartbeatReceived: false,
    beatAtMs: start.at.monotonicMs,
    end: undefined,
  };
}

/** The transition function. Events after the end change nothing. */
export function transition(session: Session, event: SessionEvent, at: Moment): SessionStep {
  if (session.phase === 'closed') return { session, effects: [] };
  return settle(react(session, event, at), at);
}

function react(session: Session, event: SessionEvent, at: Moment): SessionStep {
  switch (event.kind) {
    case 'started':
      return { session, effects: [{ kind: 'send', frame: openFrame(session) }] };
    case 'frame':
      return frameReceived(session, event.frame, at);
    case 'exports':
      return exported(session, offerExports(session.exporting, sendable(session, event.entries), facts(session, at)));
    case 'bundles':
      return bundlesChanged(session, event.bundles);
    case 'applied':
      return imported(session, applied(session.importing, event.version));
    case 'tick':
      return ticked(session, at);
    case 'terminate':
      return terminate(session, event.tombstone);
    case 'stop':
      return close(session, event.end);
    default:
      return event satisfies never;
  }
}

/** The phase follows from the facts, whatever the event was. */
function settle(step: SessionStep, at: Moment): SessionStep {
  const { session } = step;
  if (session.phase === 'opening' || session.phase === 'closed') return step;
  const { degradedAfterMs } = session.timing;
  const { unansweredSinceMs } = session.exporting;
  const silent = at.monotonicMs - session.heardAtMs > degradedAfterMs;
  const lagging = unansweredSinceMs !== undefined && at.monotonicMs - unansweredSinceMs > degradedAfterMs;
  const synced = session.exporting.appliedVersion > 0n && session.importing.appliedVersion > 0n;
  let phase: SessionPhase = synced ? 'active' : 'syncing';
  if (silent || lagging) phase = 'degraded';
  return phase === session.phase ? step : { session: { ...session, phase }, effects: step.effects };
}

function frameReceived(session: Session, frame: Frame, at: Moment): SessionStep {
  if (frame.kind === 'terminated') {
    const end = close(session, { code: 'terminated', message: 'the peer has removed this mesh' });
    return { session: end.session, effects: [{ kind: 'terminated', tombstone: frame.tombstone }, ...end.effects] };
  }
  if (session.phase === 'opening') {
    if (frame.kind === 'open') return opened(session, frame, at);
    return unexpected(session, `expected open first, found ${frame.kind}`);
  }
  switch (frame.kind) {
    case 'open':
      return unexpected(session, 'expected one open, found a second');
    case 'snapshot':
      return imported(session, snapshotReceived(session.importing, frame, at.wallMs));
    case 'delta':
      return imported(session, deltaReceived(session.importing, frame, at.wallMs));
    case 'ack':
      return exported(session, acknowledged(session.exporting, frame.version, facts(session, at)));
    case 'nack':
      return exported(session, refused(session.exporting, frame, facts(session, at)));
    case 'heartbeat':
      return heartbeat(session, frame, at);
    case 'bundle-nudge':
      return { session, effects: [{ kind: 'fetch-bundle', sequence: frame.sequence }] };
    default:
      return frame satisfies never;
  }
}

function opened(session: Session, frame: OpenFrame, at: Moment): SessionStep {
  const { expected } = session;
  const low = Math.max(frame.versionMin, PEERING_VERSIONS.min);
  const version = Math.min(frame.versionMax, PEERING_VERSIONS.max);
  if (low > version) {
    const ours = `${PEERING_VERSIONS.min} to ${PEERING_VERSIONS.max}`;
    const message = `expected a peering version of ${ours}, found ${frame.versionMin} to ${frame.versionMax}: one side needs an upgrade`;
    return close(session, { code: 'version', message });
  }
  if (frame.trustDomain !== expected.trustDomain || frame.instance !== expected.instance) {
    const message = `expected ${expected.trustDomain} instance ${expected.instance}, as the link proved, found other names`;
    return close(session, { code: 'identity', message });
  }
  const agreed: Session = { ...session, phase: 'syncing', version, peerEpoch: frame.epoch, heardAtMs: at.monotonicMs };
  const newest = sendable(agreed, session.exporting.newest ?? []);
  const open: Session = { ...agreed, exporting: { ...session.exporting, newest } };
  // Before the catalogue, so that the next heartbeat, which confirms it (rule 5), is a whole interval after it.
  const beating = beat(open, at);
  const step = exported(beating.session, beginExporting(open.exporting, frame.heldDigest, facts(open, at)));
  return {
    session: step.session,
    effects: [{ kind: 'opened', epoch: frame.epoch }, ...beating.effects, ...step.effects],
  };
}

/** What the peer's version has words for: a gateway of version 1 would compute another digest than ours. */
function sendable({ version }: Session, entries: readonly CatalogueEntry[]): readonly CatalogueEntry[] {
  if (version === undefined || version >= SERVER_NAMES_VERSION) return entries;
  return entries.filter((entry) => entry.serverNames === undefined);
}

function heartbeat(session: Session, frame: HeartbeatFrame, at: Moment): SessionStep {
  const heard: Session = {
    ...session,
    heardAtMs: at.monotonicMs,
    heartbeatReceived: true,
    theyHoldOurBundleSequence: frame.heldBundleSequence,
  };
  const step = imported(heard, digestHeard(heard.importing, frame.catalogueDigest));
  const { bundleSequence } = frame;
  const behind = bundleSequence !== undefined && bundleSequence > (session.bundles.theirs ?? -1n);
  if (!behind) return step;
  return { session: step.session, effects: [...step.effects, { kind: 'fetch-bundle', sequence: bundleSequence }] };
}

function bundlesChanged(session: Session, bundles: BundleSequences): SessionStep {
  const next = { ...session, bundles };
  if (session.phase === 'opening' || bundles.ours === session.bundles.ours) return { session: next, effects: [] };
  return { session: next, effects: [{ kind: 'send', frame: { kind: 'bundle-nudge', sequence: bundles.ours } }] };
}

function ticked(session: Session, at: Moment): SessionStep {
  const silentMs = at.monotonicMs - session.heardAtMs;
  if (silentMs > session.timing.closedAfterMs) {
    const message = `expected a heartbeat every ${session.timing.heartbeatMs} ms, found none for ${Math.round(silentMs)} ms`;
    return close(session, { code: 'silent', message });
  }
  if (session.phase === 'opening' || at.monotonicMs - session.beatAtMs < session.timing.heartbeatMs) {
    return { session, effects: [] };
  }
  return beat(session, at);
}

function beat(session: Session, at: Moment): SessionStep {
  const frame: Frame = {
    kind: 'heartbeat',
    appliedVersion: session.importing.appliedVersion,
    bundleSequence: session.bundles.ours,
    heldBundleSequence: session.bundles.theirs,
    catalogueVersion: session.exporting.version,
    catalogueDigest: newestDigest(session.exporting),
  };
  return { session: { ...session, beatAtMs: at.monotonicMs }, effects: [{ kind: 'send', frame }] };
}

function terminate(session: Session, tombstone: string): SessionStep {
  const end = close(session, { code: 'terminated', message: 'this mesh has removed the peer' });
  const frame: Frame = { kind: 'terminated', tombstone };
  return { session: end.session, effects: [{ kind: 'send', frame }, ...end.effects] };
}

function exported(session: Session, step: ExportStep): SessionStep {
  const next = { ...session, exporting: step.exporting };
  if (step.problem !== undefined) return unexpected(next, step.problem);
  return { session: next, effects: step.frames.map((frame) => ({ kind: 'send', frame })) };
}

function imported(session: Session, step: ImportStep): SessionStep {
  const next = { ...session, importing: step.importing };
  if (step.problem !== undefined) return unexpected(next, step.problem);
  const effects: SessionEffect[] = step.frames.map((frame) => ({ kind: 'send', frame }));
  if (step.apply !== undefined) effects.push({ kind: 'apply', received: step.apply });
  return { session: next, effects };
}

function unexpected(session: Session, message: string): SessionStep {
  return close(session, { code: 'unexpected-frame', message });
}

function close(session: Session, end: SessionEnd): SessionStep {
  return { session: { ...session, phase: 'closed', end }, effects: [{ kind: 'close', end }] };
}

function facts(session: Session, at: Moment): ExportFacts {
  return { monotonicMs: at.monotonicMs, wallMs: at.wallMs, bundleSequence: session.bundles.ours };
}

function openFrame(session: Session): OpenFrame {
  const { trustDomain, instance, epoch } = session.self;
  const versions = { versionMin: PEERING_VERSIONS.min, versionMax: PEERING_VERSIONS.max };
  return { kind: 'open', ...versions, trustDomain, instance, epoch, heldDigest: session.importing.held?.digest ?? '' };
}

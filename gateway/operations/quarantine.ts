/** What the admin API can ask and tell of the quarantine: the target is named as people name it, and looked up here. */
import { JumpgateError } from '../../base/errors.ts';
import { type Clock } from '../../base/clock.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { type DistrustSet } from '../../trust-bundles/distrust/distrust-set.ts';
import { type DistrustEntry } from '../../trust-bundles/distrust/record.ts';
import { type DistrustTarget, distrustKindOf, parseTarget } from '../../trust-bundles/distrust/target.ts';
import { keyFingerprintOf, readCertificate } from '../../trust-bundles/x509/certificate.ts';
import {
  type Condition,
  type GatewayOperations,
  type QuarantineStatus,
  type QuarantineTarget,
} from '../admin/operations.ts';
import { type Control } from '../process/control.ts';
import { type DataSide } from '../process/data-side.ts';

/** The parts that the quarantine needs of a running gateway. */
export interface QuarantineParts {
  readonly distrust: DistrustSet;
  readonly control: Control;
  readonly data: DataSide;
  readonly clock: Clock;
}

/** Makes the operations. */
export function quarantineOperations(
  parts: QuarantineParts,
): Pick<GatewayOperations, 'quarantine' | 'addQuarantine' | 'removeQuarantine'> {
  const { distrust, control, data, clock } = parts;
  return {
    quarantine: async () => distrust.entries().map(statusOf),
    addQuarantine: async (request, by) => {
      const snapshot = control.snapshots.current();
      const { target, message } = lookUp(request, snapshot);
      refuseOwn(target, snapshot);
      const { forSeconds, reason = '' } = request;
      const untilMs = forSeconds === undefined ? undefined : clock.now() + forSeconds * 1000;
      const kept = await distrust.add({ ...target, untilMs, reason, by });
      await data.settled();
      const entry = distrust.entries().find(({ kind, name }) => kind === target.kind && name === target.name);
      const status = statusOf(entry ?? { ...target, untilMs, reason, by, sinceMs: clock.now() });
      return { ...status, stored: kept === 'stored', message };
    },
    removeQuarantine: async (request, by) => {
      const { target } = lookUp(request, control.snapshots.current());
      // Of a key that was looked up when it was added the certificate may be gone meanwhile.
      if (!(await distrust.lift(target, by))) throw unknown(target);
      await data.settled();
      return target;
    },
  };
}

/** `Quarantined` while anything is distrusted, so that nobody looks elsewhere for the cause; and what is wrong with it. */
export function quarantineConditions(distrust: DistrustSet): readonly Condition[] {
  const counts = [...quarantineCounts(distrust)].map(([kind, count]) => `${count} of kind ${kind}`);
  const message = `calls and links are refused by hand, see jumpgate quarantine: ${counts.join(', ')}`;
  const inForce: Condition = { type: 'Quarantined', severity: 'warning', subject: 'Quarantine', message };
  const alarms = distrust
    .alarms()
    .map((alarm) => ({ type: 'QuarantineDamaged', severity: 'error' as const, subject: 'Quarantine', message: alarm }));
  return [...(counts.length === 0 ? [] : [inForce]), ...alarms];
}

/** How many there are of each kind. */
export function quarantineCounts(distrust: DistrustSet): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { kind } of distrust.entries()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

interface Found {
  readonly target: DistrustTarget;
  /** What to know of it; `null` for nothing. */
  readonly message: string | null;
}

/** A fingerprint as our tools show it is a certificate's, and stands for its key. */
function lookUp({ kind: written, name }: QuarantineTarget, snapshot: Snapshot): Found {
  const kind = distrustKindOf(written);
  if (kind === undefined) throw new JumpgateError('distrust-malformed', 'expected a known kind', { source: 'caller' });
  const target = parseTarget(kind, name);
  switch (kind) {
    case 'key':
      return keyOf(target, snapshot);
    case 'peer':
      return { target, message: snapshot.peers.has(target.name) ? null : `no peer ${target.name} is registered (yet)` };
    case 'export':
      return { target, message: snapshot.exports.has(target.name) ? null : `there is no export ${target.name} (yet)` };
    case 'spiffe':
    case 'domain':
      return { target, message: null };
    default:
      return kind satisfies never;
  }
}

/** What a root of ours that goes at once costs. */
const OWN_ROOT =
  'it is withdrawn and what it signed is issued anew; peers that hold our next root (jumpgate rotate) learn at once; others that fetch our bundle over the link do too, and over https_spiffe they cannot: until our new bundle is given to them they believe the old root, and refuse new links';

function keyOf(target: DistrustTarget, { bundles, trustDomain: own }: Snapshot): Found {
  for (const { trustDomain, x509Authorities } of bundles.values()) {
    for (const { der, fingerprint } of x509Authorities) {
      const key = keyFingerprintOf(readCertificate(der));
      if (key !== target.name && fingerprint !== target.name) continue;
      const what = `the key of root ${fingerprint} of ${trustDomain}`;
      return { target: { kind: 'key', name: key }, message: trustDomain === own ? `${what}: ${OWN_ROOT}` : what };
    }
  }
  const message = 'no certificate here has this fingerprint: taken for the SHA-256 of a SubjectPublicKeyInfo';
  return { target, message };
}

/** Distrusting oneself would only stop this gateway; who is not to call is named more narrowly. */
function refuseOwn({ kind, name }: DistrustTarget, { trustDomain, gatewayId }: Snapshot): void {
  const isOwn = (kind === 'domain' && name === trustDomain) || (kind === 'spiffe' && name === gatewayId);
  if (!isOwn) return;
  const message = `${name} is this gateway's own: quarantine the workloads, the key or the export that is meant`;
  throw new JumpgateError('distrust-own', message, { source: 'caller' });
}

function statusOf({ kind, name, sinceMs, untilMs, reason, by }: DistrustEntry): QuarantineStatus {
  const until = untilMs === undefined ? null : new Date(untilMs).toISOString();
  return { kind, name, since: new Date(sinceMs).toISOString(), until, reason, by };
}

function unknown({ kind, name }: DistrustTarget): JumpgateError {
  return new JumpgateError('not-found', `${kind} ${name} is not quarantined here`, { source: 'caller' });
}

/** What status, conditions and metrics tell of the gateway's own identity. */
import { type IdentitySource } from '../../trust-bundles/source/identity-source.ts';
import { type Condition } from '../admin/operations.ts';
import { type OwnIdentityStatus } from '../admin/operations-identity.ts';
import { type GatewaySample } from '../telemetry/sample.ts';

type Told = Pick<IdentitySource, 'svid' | 'status'>;

/** For `jumpgate status`. */
export function identityStatus(identity: Told): OwnIdentityStatus {
  const { from, kind, problem, upstream } = identity.status();
  const held = identity.svid.current();
  return {
    source: kind,
    from,
    upstream: upstream ? { from: upstream.from, expiresAt: new Date(upstream.notAfterMs).toISOString() } : null,
    expiresAt: held === undefined ? null : new Date(held.notAfterMs).toISOString(),
    message: problem === undefined ? null : `${problem.code}: ${problem.message}`,
  };
}

/** `IdentityMissing` without an SVID, `IdentityNotRenewed` while an older one is in use. */
export function identityConditions(identity: Told, mesh: string): readonly Condition[] {
  const { from, problem } = identity.status();
  const isHeld = identity.svid.current() !== undefined;
  if (isHeld && problem === undefined) return [];
  const type = isHeld ? 'IdentityNotRenewed' : 'IdentityMissing';
  const since = problem === undefined ? '' : ` since ${new Date(problem.sinceMs).toISOString()}`;
  const why = problem === undefined ? 'nothing has come yet' : `${problem.code}: ${problem.message}`;
  return [{ type, severity: 'error', subject: `Mesh/${mesh}`, message: `${from}${since}: ${why}` }];
}

/** For metrics. */
export function identitySample(
  identity: Told,
  nowMs: number,
): Pick<GatewaySample, 'svidNotAfterSeconds' | 'identityFailing'> {
  const held = identity.svid.current();
  return {
    svidNotAfterSeconds: held && (held.notAfterMs - nowMs) / 1000,
    identityFailing: identity.status().problem !== undefined,
  };
}

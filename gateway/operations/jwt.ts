/** JWT-SVIDs by hand: issued by the embedded CA, validated against what this gateway believes, their key rotated. */
import { asList, asRecord } from '../../base/brand.ts';
import { type Clock } from '../../base/clock.ts';
import { invariant } from '../../base/errors.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { distrustsId } from '../../trust-bundles/distrust/distrust.ts';
import { trustDomainOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { validateJwtSvid } from '../../trust-bundles/jwt/jwt-svid.ts';
import { HINTS_BEFORE_USE } from '../../trust-bundles/rotation/phase.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import {
  type IssuedJwtSvid,
  type JwtOperations,
  type JwtRotationStatus,
  type JwtSvidRequest,
  type JwtSvidValidation,
  type JwtSvidVerdict,
} from '../admin/operations-jwt.ts';
import { embeddedOnly } from './embedded.ts';
import { workloadId } from './workload-svid.ts';

/** Makes the operations over the CA, if there is one, and the trust of the moment. */
export function jwtOperations(parts: {
  readonly ca: EmbeddedCa | undefined;
  readonly snapshot: () => Snapshot;
  readonly clock: Clock;
}): JwtOperations {
  const { ca, clock, snapshot } = parts;
  return {
    issueJwtSvid: async (request) => issued(embeddedOnly(ca, 'issues JWT-SVIDs'), request),
    validateJwtSvid: async (request) => verdictOn(request, snapshot(), clock.now()),
    rotateJwtKey: () => rotated(embeddedOnly(ca, 'has a JWT key to rotate')),
  };
}

function issued(ca: EmbeddedCa, { audience, id: text, ttlSeconds }: JwtSvidRequest): IssuedJwtSvid {
  const id = workloadId(text, ca.bundle().trustDomain);
  const { expiresAtMs, token } = ca.issueJwt(id, audience, ttlSeconds === undefined ? undefined : ttlSeconds * 1000);
  return { id, token, expiresAt: new Date(expiresAtMs).toISOString() };
}

function verdictOn({ audience, token }: JwtSvidValidation, snapshot: Snapshot, nowMs: number): JwtSvidVerdict {
  const outcome = validateJwtSvid({ token, audience, trust: snapshot, nowMs });
  if (outcome.kind === 'rejected') return { verdict: 'refused', code: outcome.code, message: outcome.message };
  const domain = trustDomainOf(outcome.id);
  const isPeerDistrusted = [...snapshot.peers.values()].some(
    ({ name, trustDomain }) => trustDomain === domain && snapshot.distrust.peers.has(name),
  );
  if (isPeerDistrusted || distrustsId(snapshot.distrust, outcome.id))
    return { verdict: 'refused', code: 'quarantined', message: `${outcome.id} is quarantined here` };
  return {
    verdict: 'valid',
    id: outcome.id,
    audience: outcome.audience,
    expiresAt: new Date(outcome.expiresAtMs).toISOString(),
    keyFingerprint: outcome.keyFingerprint,
    claims: jsonMembers(outcome.claims),
  };
}

async function rotated(ca: EmbeddedCa): Promise<JwtRotationStatus> {
  await ca.prepareJwtKey();
  const keys = ca.jwtKeys();
  const active = keys.find(({ phase }) => phase === 'active');
  const next = keys.find(({ phase }) => phase === 'prepared');
  invariant(active !== undefined, 'an open CA has an active JWT key');
  const { refreshHintSeconds = 0, sequence = 0n } = ca.bundle();
  return {
    activeKeyId: active.fingerprint,
    nextKeyId: next?.fingerprint ?? null,
    nextSignsAt:
      next === undefined
        ? null
        : new Date(next.phaseSinceMs + HINTS_BEFORE_USE * refreshHintSeconds * 1000).toISOString(),
    sequence: String(sequence),
  };
}

/** JSON.stringify knows no integers beyond 2^53; the depth is bounded by the reader of tokens. */
function jsonValue(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  const list = asList(value);
  if (list !== undefined) return list.map(jsonValue);
  const record = asRecord(value);
  return record === undefined ? value : jsonMembers(record);
}

function jsonMembers(record: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, jsonValue(value)]));
}

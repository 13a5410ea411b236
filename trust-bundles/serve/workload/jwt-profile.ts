/** The JWT-SVID profile (SPIFFE Workload API §6): tokens for the workload, JWK Sets of whom it may know, and validation for it. */
import { asList, asRecord } from '../../../base/brand.ts';
import { type Clock } from '../../../base/clock.ts';
import { parseJson } from '../../../base/json.ts';
import { type Bundle } from '../../bundle/bundle.ts';
import { trySpiffeId } from '../../identity/spiffe-id.ts';
import { type IssuedJwt } from '../../jwt/issue.ts';
import { validateJwtSvid } from '../../jwt/jwt-svid.ts';
import { FETCH_JWT_BUNDLES, FETCH_JWT_SVID, VALIDATE_JWT_SVID } from '../../workload-api-proto/methods.ts';
import { feedOf, remembered } from './feed.ts';
import { failureOf, refused, type Refused, type Rpc, stream, unary } from './rpc.ts';
import { bundleKey, refusalOf, type Workload } from './workload.ts';

/** Mints tokens for the workload; throws as `JwtIssuer` does. */
export type MintJwt = (audience: readonly string[]) => IssuedJwt;

type JwtRequest = ReturnType<typeof FETCH_JWT_SVID.requestDeserialize>;
type ValidationRequest = ReturnType<typeof VALIDATE_JWT_SVID.requestDeserialize>;
type Claims = NonNullable<ReturnType<typeof VALIDATE_JWT_SVID.responseDeserialize>['claims']>;
type ClaimValue = Claims[string];

/** Serves the profile to one workload. */
export function jwtRpcs(workload: Workload, mint: MintJwt, clock: Clock): readonly Rpc[] {
  const { trust } = workload;
  const encode = remembered<Bundle, Uint8Array>((bundles) =>
    FETCH_JWT_BUNDLES.responseSerialize({
      bundles: Object.fromEntries(bundles.map((bundle) => [bundleKey(bundle.trustDomain), jwkSet(bundle)])),
    }),
  );
  const bundles = feedOf(() => {
    const refusal = refusalOf(workload);
    return refusal ?? { kind: 'message', bytes: encode([trust.own(), ...trust.federated()]) };
  }, trust);
  return [
    unary(FETCH_JWT_SVID, (request) => issued(workload, mint, request)),
    stream(FETCH_JWT_BUNDLES, () => bundles),
    unary(VALIDATE_JWT_SVID, (request) => validated(workload, request, clock.now())),
  ];
}

function issued(
  workload: Workload,
  mint: MintJwt,
  { audience, spiffeId }: JwtRequest,
): Refused | { readonly svids: { spiffeId: string; svid: string; hint: string }[] } {
  const { id, hint } = workload;
  if (audience.length === 0 || audience.includes(''))
    return refused('invalid-argument', 'expected at least one audience, and none that is empty');
  if (spiffeId !== '' && trySpiffeId(spiffeId) === undefined)
    return refused('invalid-argument', 'expected spiffe_id to be empty or a SPIFFE ID');
  const refusal = refusalOf(workload);
  if (refusal !== undefined) return refusal;
  // One identity a socket: without a spiffe_id, it is all of them (§6.2.1).
  if (spiffeId !== '' && spiffeId !== id) return refused('permission-denied', `this socket is for ${id} only`);
  try {
    return { svids: [{ spiffeId: id, svid: mint(audience).token, hint: hint ?? '' }] };
  } catch (error) {
    return failureOf(error);
  }
}

function validated(
  workload: Workload,
  { audience, svid }: ValidationRequest,
  nowMs: number,
): Refused | { readonly spiffeId: string; readonly claims: Claims } {
  if (audience === '') return refused('invalid-argument', 'expected an audience');
  if (svid === '') return refused('invalid-argument', 'expected a token in svid');
  const refusal = refusalOf(workload);
  if (refusal !== undefined) return refusal;
  const { federated, own, tainted, refusal: whyNot } = workload.trust;
  const bundles = new Map([own(), ...federated()].map((bundle) => [bundle.trustDomain, bundle]));
  const outcome = validateJwtSvid({ token: svid, audience, trust: { bundles, tainted: tainted() }, nowMs });
  if (outcome.kind === 'rejected') return refused('invalid-argument', `${outcome.code}: ${outcome.message}`);
  const distrusted = whyNot(outcome.id);
  if (distrusted !== undefined) return refused('invalid-argument', `expected a token of ${outcome.id}: ${distrusted}`);
  return { spiffeId: outcome.id, claims: claimsOf(outcome.claims) };
}

/**
 * A plain JWK Set (RFC 7517) of the keys that sign JWT-SVIDs, and no others. Without `use`: its value in bundles is
 * SPIFFE's own, and validators that know JWK Sets alone pass over keys that are not for `sig`.
 */
function jwkSet({ jwtAuthorities }: Bundle): Uint8Array {
  const keys = jwtAuthorities.map(({ keyId, jwk }) => ({ ...asRecord(parseJson(jwk)), kid: keyId }));
  return new Uint8Array(Buffer.from(JSON.stringify({ keys })));
}

function claimsOf(claims: Readonly<Record<string, unknown>>): Claims {
  return Object.fromEntries(Object.entries(claims).map(([name, value]) => [name, claimValue(value)]));
}

/** google.protobuf.Value knows numbers as doubles only. */
function claimValue(value: unknown): ClaimValue {
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  const list = asList(value);
  if (list !== undefined) return list.map(claimValue);
  const record = asRecord(value);
  return record === undefined ? null : claimsOf(record);
}

/** The claims of a JWT-SVID (JWT-SVID §3, RFC 7519 §4.1): for whom, by whom, until when. */
import { asList } from '../../base/brand.ts';
import { pathOf, type SpiffeId, trySpiffeId } from '../identity/spiffe-id.ts';
import { readObject } from './part.ts';
import { type JwtRejection, rejected, shown } from './rejection.ts';

/** What the claims say, none of it proved yet. */
export interface JwtClaims {
  readonly kind: 'claims';
  readonly id: SpiffeId;
  readonly audience: readonly string[];
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
  /** All of them; integers beyond 2^53 are bigints. */
  readonly claims: Readonly<Record<string, unknown>>;
}

const AUDIENCES_MAX = 64;
const AUDIENCE_CHARS_MAX = 2048;
/** The rule of {@link readAudience}, for messages. */
export const EXPECTED_AUDIENCE = `one audience or a list of 1 to ${AUDIENCES_MAX}, each of 1 to ${AUDIENCE_CHARS_MAX} characters`;
/** As for certificates: a peer's clock may be ahead when it signs; nothing is valid past its end (spiffe.md section 3, 12). */
const CLOCK_SKEW_MS = 60_000;
/** 9999-12-31T23:59:59Z, the last second that RFC 3339 can write. */
const SECONDS_MAX = 253_402_300_799;

/** Reads the second part of a token, for the validator whose name is `own`, at `nowMs`. */
export function readClaims(
  text: string,
  { own, nowMs }: { readonly own: string; readonly nowMs: number },
): JwtClaims | JwtRejection {
  const claims = readObject(text);
  if (claims === undefined) {
    return rejected('token-malformed', 'expected the claims to be a JSON object in base64url without padding');
  }
  const { sub, aud, exp } = claims;
  const id = typeof sub === 'string' ? trySpiffeId(sub) : undefined;
  if (id === undefined || pathOf(id) === '') {
    return rejected('subject-malformed', `expected sub to be the SPIFFE ID of a workload, found ${shown(sub)}`);
  }
  const audience = readAudience(aud);
  if (audience === undefined) return rejected('audience-missing', `expected aud to be ${EXPECTED_AUDIENCE}`);
  if (own === '' || !audience.includes(own)) {
    return rejected('audience-mismatch', `expected ${shown(own)} among the audiences, found ${shown(audience[0])}`);
  }
  if (!isSeconds(exp)) return rejected('expiry-missing', `expected exp to be whole seconds, found ${shown(exp)}`);
  if (exp * 1000 <= nowMs) return rejected('expired', `expected a token that is valid now, found one until ${exp}`);
  for (const name of ['nbf', 'iat']) {
    const time = claims[name];
    if (time === undefined) continue;
    if (!isSeconds(time))
      return rejected('token-malformed', `expected ${name} to be whole seconds, found ${shown(time)}`);
    if (time * 1000 > nowMs + CLOCK_SKEW_MS) {
      return rejected('not-yet-valid', `expected ${name} to be no more than a minute ahead, found ${time}`);
    }
  }
  return { kind: 'claims', id, audience, expiresAtMs: exp * 1000, claims };
}

/** The audiences that `aud` names (RFC 7519 §4.1.3); `undefined` when it breaks {@link EXPECTED_AUDIENCE}. */
export function readAudience(aud: unknown): readonly string[] | undefined {
  const list = typeof aud === 'string' ? [aud] : (asList(aud) ?? []);
  if (list.length === 0 || list.length > AUDIENCES_MAX) return undefined;
  return list.every(isAudience) ? list : undefined;
}

function isAudience(name: unknown): name is string {
  return typeof name === 'string' && name !== '' && name.length <= AUDIENCE_CHARS_MAX;
}

/** Fractions have no use here, and what no date can hold is no time. */
function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= SECONDS_MAX;
}

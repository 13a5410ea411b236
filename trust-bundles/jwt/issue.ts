/** Issue of JWT-SVIDs (JWT-SVID §2, §3). */
import { type KeyObject } from 'node:crypto';

import { JumpgateError } from '../../base/errors.ts';
import { type SpiffeId } from '../identity/spiffe-id.ts';
import { signWith } from './algorithm.ts';
import { EXPECTED_AUDIENCE, readAudience } from './claims.ts';
import { TOKEN_CHARS_MAX, writeObject } from './part.ts';

/** What mints JWT-SVIDs; the embedded CA is one. */
export interface JwtIssuer {
  /**
   * A token for `id` and its `audience` (a list of 1 to 64). `ttlMs` by default five minutes. Throws
   * `jwt-audience`, `jwt-ttl`, `svid-id-reserved`, `svid-id-foreign` and `svid-id-without-path` (source caller).
   */
  issueJwt(id: SpiffeId, audience: readonly string[], ttlMs?: number): IssuedJwt;
}

/** A fresh token. A bearer secret: never logged. */
export interface IssuedJwt {
  readonly token: string;
  /** Milliseconds since 1970, a whole second. */
  readonly expiresAtMs: number;
}

/**
 * Mints a token signed by an ECDSA P-256 `key`, valid from now for `ttlMs` in whole seconds. Throws `jwt-audience` (source
 * caller) for audiences that no validator would accept.
 */
export function issueJwtSvid(options: {
  readonly key: KeyObject;
  readonly keyId: string;
  readonly id: SpiffeId;
  readonly audience: readonly string[];
  readonly nowMs: number;
  readonly ttlMs: number;
}): IssuedJwt {
  const { audience, id, key, keyId } = options;
  if (readAudience(audience) === undefined) throw audienceRefused(`found ${audience.length}`);
  const issuedAt = Math.floor(options.nowMs / 1000);
  const expiry = Math.floor((options.nowMs + options.ttlMs) / 1000);
  const header = writeObject({ alg: 'ES256', kid: keyId, typ: 'JWT' });
  // One audience as a list too: every library reads that, as RFC 7519 §4.1.3 makes it the general case.
  const payload = writeObject({ sub: id, aud: audience, exp: expiry, iat: issuedAt });
  const input = `${header}.${payload}`;
  const signature = signWith(key, 'ES256', Buffer.from(input, 'latin1')).toString('base64url');
  const token = `${input}.${signature}`;
  if (token.length > TOKEN_CHARS_MAX) throw audienceRefused(`found so many that the token has ${token.length}`);
  return { token, expiresAtMs: expiry * 1000 };
}

function audienceRefused(found: string): JumpgateError {
  const message = `expected ${EXPECTED_AUDIENCE}, in a token of at most ${TOKEN_CHARS_MAX} characters, ${found}`;
  return new JumpgateError('jwt-audience', message, { source: 'caller' });
}

/** Trust domain names (SPIFFE-ID §2.1). */
import { type Brand, branded } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';

/** A parsed trust domain name such as `us-east.example.org`: 1 to 255 octets of `[a-z0-9.-_]`. */
export type TrustDomain = Brand<string, 'TrustDomain'>;

/** SPIFFE-ID §2.1 and §2.3; names that look like IP addresses or DNS names are strings like all others (§2.1). */
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;

/** The trust domain called `text`. Throws `trust-domain-malformed` (source config). */
export function parseTrustDomain(text: string): TrustDomain {
  const parsed = tryTrustDomain(text);
  if (parsed === undefined) {
    const problem = `expected a trust domain of 1 to 255 of a-z 0-9 . - _, found ${JSON.stringify(text.slice(0, 256))}`;
    throw new JumpgateError('trust-domain-malformed', problem, { source: 'config' });
  }
  return parsed;
}

/** The trust domain called `text`, or `undefined` when it is no legal name. */
export function tryTrustDomain(text: string): TrustDomain | undefined {
  return TRUST_DOMAIN.test(text) ? branded<string, 'TrustDomain'>(text) : undefined;
}

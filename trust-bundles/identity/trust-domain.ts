/** Trust domain names (SPIFFE-ID §2.1). */
import { type Brand } from '../../base/brand.ts';

/** A parsed trust domain name such as `us-east.example.org`: 1 to 255 octets of `[a-z0-9.-_]`. */
export type TrustDomain = Brand<string, 'TrustDomain'>;

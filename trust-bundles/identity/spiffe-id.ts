/** SPIFFE IDs (SPIFFE-ID §2). */
import { type Brand } from '../../base/brand.ts';

/** A parsed SPIFFE ID such as `spiffe://us-east.example.org/ns/shop/sa/web`, at most 2,048 octets. */
export type SpiffeId = Brand<string, 'SpiffeId'>;

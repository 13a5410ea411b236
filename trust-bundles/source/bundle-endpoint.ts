/** The client of a peer's bundle endpoint, profile https_spiffe (SPIFFE Federation §5.2.2). */
import { type Clock } from '../../base/clock.ts';
import { invariant } from '../../base/errors.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { readBundleDocument } from '../bundle/document.ts';
import { type SpiffeId, trustDomainOf } from '../identity/spiffe-id.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { type Lookup } from '../tls/dial.ts';
import { fetchOverTls } from '../tls/fetch.ts';
import { type TrustStore } from '../verify/trust-store.ts';
import { type Verification } from '../verify/verified-identity.ts';
import { verifySvid } from '../verify/verify.ts';

/** Which endpoint, for which trust domain; nothing is inferred from anything else (SPIFFE Federation §5.1). */
export interface BundleEndpointOptions {
  readonly url: string;
  /** The identity that the endpoint must prove. */
  readonly spiffeId: SpiffeId;
  /** Whose bundle the document is. */
  readonly trustDomain: TrustDomain;
  /** What is believed now, asked for at every fetch: the newest stored bundle of the endpoint's own domain authenticates it. */
  readonly trust: () => TrustStore;
  readonly clock: Clock;
  readonly lookup?: Lookup;
  /** Default 10 s. */
  readonly timeoutMs?: number;
}

/** What a fetch brought. */
export interface FetchedBundle {
  readonly bundle: Bundle;
  /** Keys of unknown type or use, left out as the specification asks. */
  readonly ignored: number;
}

/** Fetches one bundle again and again. */
export interface BundleEndpoint {
  /**
   * One GET, conditional on what the last one brought: if nothing changed, that comes back again. Throws as
   * `fetchOverTls` (`untrusted` when the server is not the configured identity), and `bundle-malformed`.
   */
  fetch(signal: AbortSignal): Promise<FetchedBundle>;
}

/** A client of the endpoint. */
export function bundleEndpoint(options: BundleEndpointOptions): BundleEndpoint {
  let last: { readonly etag: string | undefined; readonly fetched: FetchedBundle } | undefined;
  return {
    fetch: async (signal) => {
      const fetched = await fetchOverTls({
        url: options.url,
        verify: (chain) => verifyEndpoint(options, chain),
        signal,
        clock: options.clock,
        etag: last?.etag,
        lookup: options.lookup,
        timeoutMs: options.timeoutMs,
      });
      if (fetched.kind === 'document') {
        const { bundle, ignored } = readBundleDocument(fetched.body, options.trustDomain);
        last = { etag: fetched.etag, fetched: { bundle, ignored } };
      }
      invariant(last !== undefined, 'only a conditional request is answered by not-modified');
      return last.fetched;
    },
  };
}

/** A valid SVID of exactly the configured ID, by the newest bundle of that ID's trust domain; the host name plays no part. */
function verifyEndpoint(options: BundleEndpointOptions, chain: readonly Uint8Array[]): Verification {
  const verdict = verifySvid({ chain, trust: options.trust(), role: 'server', nowMs: options.clock.now() });
  if (verdict.kind === 'rejected' || verdict.id === options.spiffeId) return verdict;
  const message = `expected ${options.spiffeId} of ${trustDomainOf(options.spiffeId)}, found ${verdict.id}`;
  return { kind: 'rejected', code: 'wrong-identity', message };
}

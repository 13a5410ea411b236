/** The client of a peer's bundle endpoint, profiles https_web and https_spiffe (SPIFFE Federation §5.2). */
import { readFile } from 'node:fs/promises';

import { type Clock } from '../../base/clock.ts';
import { invariant, JumpgateError, messageOf } from '../../base/errors.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { readBundleDocument } from '../bundle/document.ts';
import { type SpiffeId, trustDomainOf } from '../identity/spiffe-id.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { type Lookup } from '../tls/dial.ts';
import { type Redirects } from '../tls/endpoint-url.ts';
import { type FetchOptions, fetchOverTls, type ServerProof } from '../tls/fetch.ts';
import { type TrustStore } from '../verify/trust-store.ts';
import { type Verification } from '../verify/verified-identity.ts';
import { verifySvid } from '../verify/verify.ts';

/** How an endpoint proves itself. The one that is configured counts, and no other is tried when it fails (SPIFFE Federation §7.2). */
export type EndpointProfile =
  | {
      readonly kind: 'https_spiffe';
      /** The identity that it must prove, of the trust domain of its document or of another one. */
      readonly spiffeId: SpiffeId;
    }
  | {
      readonly kind: 'https_web';
      /** PEM file with the CAs that may vouch for its host, read at every fetch; default the CAs of this machine. */
      readonly caFile: string | undefined;
    };

/** Which endpoint, for which trust domain; nothing is inferred from anything else (SPIFFE Federation §5.1). */
export interface BundleEndpointOptions {
  readonly url: string;
  readonly profile: EndpointProfile;
  /** Default `same-host`. */
  readonly redirects?: Redirects | undefined;
  /** Whose bundle the document is. */
  readonly trustDomain: TrustDomain;
  /** What is believed now, asked for at every fetch: the newest stored bundle of a SPIFFE ID's own domain authenticates it. */
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
   * `fetchOverTls` (`untrusted` when the server is not who it should be), `bundle-malformed`, and `ca-file`.
   */
  fetch(signal: AbortSignal): Promise<FetchedBundle>;
}

/** A client of the endpoint. */
export function bundleEndpoint(options: BundleEndpointOptions): BundleEndpoint {
  let last: { readonly known: FetchOptions['known']; readonly fetched: FetchedBundle } | undefined;
  return {
    fetch: async (signal) => {
      const fetched = await fetchOverTls({
        url: options.url,
        proof: await proofOf(options),
        redirects: options.redirects,
        signal,
        clock: options.clock,
        known: last?.known,
        lookup: options.lookup,
        timeoutMs: options.timeoutMs,
      });
      if (fetched.kind === 'document') {
        const { bundle, ignored } = readBundleDocument(fetched.body, options.trustDomain);
        last = { known: fetched.known, fetched: { bundle, ignored } };
      }
      invariant(last !== undefined, 'only a conditional request is answered by not-modified');
      return last.fetched;
    },
  };
}

async function proofOf(options: BundleEndpointOptions): Promise<ServerProof> {
  const { profile } = options;
  switch (profile.kind) {
    case 'https_spiffe':
      return { kind: 'verified', verify: (chain) => verifyEndpoint(options, profile.spiffeId, chain) };
    case 'https_web':
      return {
        kind: 'web',
        authorities: profile.caFile === undefined ? undefined : [await readAuthorities(profile.caFile)],
      };
    default:
      return profile satisfies never;
  }
}

async function readAuthorities(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const message = `expected the CAs of a bundle endpoint in ${path}: ${messageOf(cause)}`;
    throw new JumpgateError('ca-file', message, { source: 'config', cause });
  }
}

/** A valid SVID of exactly the configured ID, by the newest bundle of that ID's trust domain; the host name plays no part. */
function verifyEndpoint(
  options: BundleEndpointOptions,
  spiffeId: SpiffeId,
  chain: readonly Uint8Array[],
): Verification {
  const verdict = verifySvid({ chain, trust: options.trust(), role: 'server', nowMs: options.clock.now() });
  if (verdict.kind === 'rejected' || verdict.id === spiffeId) return verdict;
  const message = `expected ${spiffeId} of ${trustDomainOf(spiffeId)}, found ${verdict.id}`;
  return { kind: 'rejected', code: 'wrong-identity', message };
}

/** Fetches a peer's bundle in the way that its peer says: from its bundle endpoint, or over a link. */
import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { type PeerSpec } from '../../federation/resources/values.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { readBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { bundleEndpoint, type BundleEndpoint, type FetchedBundle } from '../../trust-bundles/source/bundle-endpoint.ts';
import { type FetchBundle } from '../../trust-bundles/source/bundle-poll.ts';
import { type TrustStore } from '../../trust-bundles/verify/trust-store.ts';
import { type DataSide, unavailable } from './data-side.ts';

/** As for bundle endpoints (security.md §3). */
const BUNDLE_BYTES_MAX = 1024 * 1024;
const FETCH_MS_MAX = 10_000;

/** What fetching needs. */
export interface BundleFetchOptions {
  readonly endpointOf: (trustDomain: TrustDomain) => PeerSpec['bundleEndpoint'];
  /** What authenticates endpoints: the bundles of our own domain and of every peer, stale ones too. */
  readonly trust: () => TrustStore;
  readonly snapshots: SnapshotSource;
  readonly data: Pick<DataSide, 'readBundle'>;
  readonly clock: Clock;
}

/** Makes the fetch function; it remembers what each endpoint said last, to ask conditionally. */
export function bundleFetch(options: BundleFetchOptions): FetchBundle {
  const endpoints = new Map<TrustDomain, { readonly key: string; readonly endpoint: BundleEndpoint }>();
  return async (trustDomain, signal) => {
    const from = options.endpointOf(trustDomain);
    if (from.kind === 'link') return fetchOverLink(options, trustDomain, signal);
    const key = JSON.stringify(from);
    let known = endpoints.get(trustDomain);
    if (known?.key !== key) {
      const { clock, trust } = options;
      const { url, redirects } = from;
      const profile = from.kind === 'https_web' ? { kind: from.kind, caFile: from.caFile } : from;
      known = { key, endpoint: bundleEndpoint({ url, profile, redirects, trustDomain, trust, clock }) };
      endpoints.set(trustDomain, known);
    }
    return known.endpoint.fetch(signal);
  };
}

/** The link proves the peer's gateway ID, which is the endpoint's identity under the https_spiffe rules (wire.md). */
async function fetchOverLink(
  options: BundleFetchOptions,
  trustDomain: TrustDomain,
  signal: AbortSignal,
): Promise<FetchedBundle> {
  const peer = [...options.snapshots.current().peers.values()].find((each) => each.trustDomain === trustDomain);
  if (peer === undefined) throw unavailable();
  const deadline = new AbortController();
  using timers = new DisposableStack();
  timers.use(options.clock.after(FETCH_MS_MAX, () => deadline.abort()));
  const either = AbortSignal.any([signal, deadline.signal]);
  const limits = { bytesMax: BUNDLE_BYTES_MAX, signal: either };
  const { status, body } = await options.data.readBundle(peer.name, limits);
  if (status !== 200) {
    throw new JumpgateError('bundle-unavailable', `expected status 200 of the peer's bundle, found ${status}`, {
      source: 'peer',
      retry: 'later',
    });
  }
  return readBundleDocument(body, trustDomain);
}

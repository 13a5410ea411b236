/** What an operator decides about a peer's bundle by hand: the ways back from a roll-back, a loss or a long silence, each logged. */
import { asRecord } from '../../base/brand.ts';
import { JumpgateError } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type Logger } from '../../base/log.ts';
import { SELF_PEER } from '../../federation/policy/rule.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { readBundleDocument, writeBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { readBundleMap, writeBundleMap } from '../../trust-bundles/bundle/map.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type FetchBundle } from '../../trust-bundles/source/bundle-poll.ts';
import { type BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { type BundleChange, type BundleSummary } from '../admin/operations-bundles.ts';

/** What the changes need. */
export interface BundleChangeParts {
  readonly snapshot: () => Snapshot;
  readonly bundles: BundleSet;
  readonly fetch: FetchBundle;
  readonly stopped: AbortSignal;
  readonly log: Logger;
}

/**
 * Fetches a peer's bundle now and believes it whatever its sequence, if its roots are exactly those with the
 * `fingerprints` that somebody compared. Throws `fingerprint-mismatch`, `peer-unknown`, what fetching throws, and what
 * was refused, by its code: a key of another domain is refused by hand too.
 */
export async function acceptBundle(
  parts: BundleChangeParts,
  peer: string,
  fingerprints: readonly string[],
): Promise<BundleChange> {
  const domain = domainOf(parts.snapshot(), peer);
  const { bundle } = await parts.fetch(domain, parts.stopped);
  requireRoots(bundle, fingerprints);
  return replace(parts, { peer, bundle, action: 'accept' });
}

/** Believes the bundle in `document` (a SPIFFE bundle, or a bundle map that holds the peer's domain). Throws as {@link acceptBundle}. */
export async function importBundle(
  parts: BundleChangeParts,
  peer: string,
  { document, fingerprints }: { readonly document: string; readonly fingerprints: readonly string[] | undefined },
): Promise<BundleChange> {
  const bundle = bundleIn(document, domainOf(parts.snapshot(), peer));
  if (fingerprints !== undefined) requireRoots(bundle, fingerprints);
  return replace(parts, { peer, bundle, action: 'import' });
}

/** The document of one peer's bundle, or of ours for `self`; the map of all without a name. Throws `peer-unknown` or `bundle-unknown`. */
export function bundleText(parts: Pick<BundleChangeParts, 'snapshot' | 'bundles'>, peer: string | undefined): string {
  const { trustDomain, peers, bundles: believed } = parts.snapshot();
  const known = (domain: TrustDomain): Bundle | undefined => parts.bundles.get(domain) ?? believed.get(domain);
  if (peer === undefined) {
    const domains = [trustDomain, ...[...peers.values()].map((each) => each.trustDomain)];
    const found = domains.flatMap((domain) => known(domain) ?? []);
    return writeBundleMap(new Map(found.map((bundle) => [bundle.trustDomain, bundle])));
  }
  const bundle = known(peer === SELF_PEER ? trustDomain : domainOf(parts.snapshot(), peer));
  if (bundle !== undefined) return writeBundleDocument(bundle);
  throw new JumpgateError('bundle-unknown', `no bundle of peer ${peer} is known`, { source: 'caller' });
}

async function replace(
  { bundles, log }: BundleChangeParts,
  change: { readonly peer: string; readonly bundle: Bundle; readonly action: BundleChange['action'] },
): Promise<BundleChange> {
  const { peer, bundle, action } = change;
  const { trustDomain } = bundle;
  const before = bundles.get(trustDomain);
  const offer = await bundles.offer(bundle, { replace: true, fetched: true });
  if (offer.kind === 'refused') throw new JumpgateError(offer.code, offer.message, { source: 'peer' });
  const result = { peer, trustDomain, action, before: before ? summaryOf(before) : null, after: summaryOf(bundle) };
  log.warn('a bundle was taken by hand', { ...result });
  return result;
}

function requireRoots(bundle: Bundle, expected: readonly string[]): void {
  const offered = bundle.x509Authorities.map(({ fingerprint }) => fingerprint);
  const same = offered.length === new Set(expected).size && offered.every((each) => expected.includes(each));
  if (same) return;
  const message = `expected the bundle of ${bundle.trustDomain} to hold exactly the named roots, found ${offered.join(', ') || 'none'} (sequence ${bundle.sequence ?? 'none'}): compare them with its owner`;
  throw new JumpgateError('fingerprint-mismatch', message, { source: 'peer' });
}

function bundleIn(text: string, trustDomain: TrustDomain): Bundle {
  if (asRecord(parseJson(text))?.['trust_domains'] === undefined) return readBundleDocument(text, trustDomain).bundle;
  const found = readBundleMap(text).get(trustDomain);
  if (found !== undefined) return found;
  throw new JumpgateError('bundle-unknown', `expected ${trustDomain} in the bundle map, found other domains only`, {
    source: 'caller',
  });
}

function domainOf(snapshot: Snapshot, peer: string): TrustDomain {
  const found = snapshot.peers.get(peer);
  if (found !== undefined) return found.trustDomain;
  throw new JumpgateError('peer-unknown', `no peer ${peer} is registered here`, { source: 'caller' });
}

function summaryOf({ sequence, x509Authorities }: Bundle): BundleSummary {
  return {
    sequence: sequence === undefined ? null : String(sequence),
    fingerprints: x509Authorities.map(({ fingerprint }) => fingerprint),
  };
}

/** SPIFFE bundle maps (Trust Domain and Bundle §5): the bundles of several trust domains in one document. */
import { asRecord } from '../../base/brand.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type TrustDomain, tryTrustDomain } from '../identity/trust-domain.ts';
import { type Bundle } from './bundle.ts';
import { readBundleValue, writeBundleDocument } from './document.ts';

/** Of bundles of 1 MiB each a few; what is larger is no file that somebody hands over. */
const MAP_OCTETS_MAX = 4 * 1024 * 1024;
const DOMAINS_MAX = 1_000;

/**
 * Reads a map, whole or not at all: one bad bundle refuses it, as do names that stand twice (§5.1.1, §6.3). Refresh hints
 * inside do not count. Throws `bundle-map-malformed` (source peer).
 */
export function readBundleMap(text: string | Uint8Array): ReadonlyMap<TrustDomain, Bundle> {
  try {
    const domains = asRecord(asRecord(parseJson(text, { maxBytes: MAP_OCTETS_MAX }))?.['trust_domains']);
    if (domains === undefined) throw malformed('expected an object with an object called trust_domains, found none');
    const entries = Object.entries(domains);
    if (entries.length > DOMAINS_MAX) throw malformed(`expected at most ${DOMAINS_MAX} trust domains, found more`);
    return new Map(entries.map(([name, document]) => readEntry(name, document)));
  } catch (cause) {
    if (!(cause instanceof JumpgateError) || cause.code === 'bundle-map-malformed') throw cause;
    throw malformed(messageOf(cause), cause);
  }
}

/** The map of these bundles, without refresh hints inside (§5.1.1). */
export function writeBundleMap(bundles: ReadonlyMap<TrustDomain, Bundle>): string {
  const members = [...bundles].map(([name, bundle]) => {
    return `${JSON.stringify(name)}:${writeBundleDocument({ ...bundle, refreshHintSeconds: undefined })}`;
  });
  return `{"trust_domains":{${members.join(',')}}}`;
}

function readEntry(name: string, value: unknown): readonly [TrustDomain, Bundle] {
  const trustDomain = tryTrustDomain(name);
  if (trustDomain === undefined) throw malformed(`expected the name of a trust domain, found ${shown(name)}`);
  const { bundle } = readBundleValue(value, trustDomain);
  return [trustDomain, { ...bundle, refreshHintSeconds: undefined }];
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}

function malformed(problem: string, cause?: unknown): JumpgateError {
  return new JumpgateError('bundle-map-malformed', `malformed bundle map: ${problem}`, { source: 'peer', cause });
}

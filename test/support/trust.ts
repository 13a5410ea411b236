/** Trust domains made for a test: a root, its bundle, and SVIDs of any path. */
import { X509Certificate } from 'node:crypto';

import { systemClock } from '../../base/clock.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { parseTrustDomain, type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type TrustStore } from '../../trust-bundles/verify/trust-store.ts';
import { createRoot, issueSvid, type Root } from '../../trust-bundles/x509/issue.ts';
import { type SvidSource, type X509Svid } from '../../trust-bundles/x509/svid.ts';

const HOUR_MS = 60 * 60 * 1000;

/** One trust domain with one root. */
export interface TestDomain {
  readonly trustDomain: TrustDomain;
  readonly root: Root;
  readonly bundle: Bundle;
  /** An SVID of this domain, such as `svid('/w')`. */
  svid(path: string): X509Svid;
}

/** Makes a trust domain; everything is valid now, for an hour. */
export function testDomain(name: string, nowMs = systemClock.now()): TestDomain {
  const trustDomain = parseTrustDomain(name);
  const root = createRoot({ trustDomain, nowMs, ttlMs: HOUR_MS });
  return {
    trustDomain,
    root,
    bundle: bundleOf(trustDomain, [root]),
    svid: (path) => issueSvid({ root, id: parseSpiffeId(`spiffe://${name}${path}`), nowMs, ttlMs: HOUR_MS / 2 }),
  };
}

/** A trust domain whose bundle holds one more root, made to vouch for the ids of `victim`, with an SVID of such an id. */
export function forgingDomain(
  name: string,
  victim: string,
): { readonly domain: TestDomain; readonly root: Root; svid(path: string): X509Svid } {
  const honest = testDomain(name);
  const evil = testDomain(victim);
  const bundle = bundleOf(honest.trustDomain, [honest.root, evil.root]);
  return { domain: { ...honest, bundle }, root: evil.root, svid: (path) => evil.svid(path) };
}

/** The bundle with these roots. */
export function bundleOf(trustDomain: TrustDomain, roots: readonly Root[], sequence = 1n): Bundle {
  const x509Authorities = roots.map((root) => ({ der: root.certificate, fingerprint: root.fingerprint }));
  return { trustDomain, x509Authorities, jwtAuthorities: [], sequence, refreshHintSeconds: 300 };
}

/** The bundles by trust domain. */
export function bundleMap(...domains: readonly TestDomain[]): ReadonlyMap<TrustDomain, Bundle> {
  return new Map(domains.map((domain) => [domain.trustDomain, domain.bundle]));
}

/** Trust in these domains, with no key tainted. */
export function trustIn(...domains: readonly TestDomain[]): TrustStore {
  return { bundles: bundleMap(...domains), tainted: new Set() };
}

/** An {@link SvidSource} that rotates when told, also to none. */
export interface TestSvidSource extends SvidSource {
  rotate(svid: X509Svid | undefined): void;
}

/** A source of `svid`. */
export function svidSource(svid?: X509Svid): TestSvidSource {
  const listeners = new Set<(svid: X509Svid | undefined) => void>();
  let current = svid;
  return {
    current: () => current,
    watch: (listener) => {
      listeners.add(listener);
      return {
        [Symbol.dispose]: () => {
          listeners.delete(listener);
        },
      };
    },
    rotate: (next) => {
      current = next;
      for (const listener of listeners) listener(next);
    },
  };
}

/** What an edge is given. */
export function pem(svid: X509Svid): { cert: string; key: string } {
  return {
    cert: svid.chain.map((der) => new X509Certificate(der).toString()).join(''),
    key: svid.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

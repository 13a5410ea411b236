/** Peer: another mesh, where its gateways are and how its bundle comes here. */
import { defaulted, notEnforced, object, optional, required } from '../../base/config/object.ts';
import { duration } from '../../base/config/duration.ts';
import { choice, type Decoded, list, parsed, type Reading, type Schema } from '../../base/config/schema.ts';
import { gatewayIdOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { type Redirects } from '../../trust-bundles/tls/endpoint-url.ts';
import { dialAddress, filePath, foreignIdProblem, httpsUrl, spiffeId, trustDomain } from './fields.ts';
import { type BundleEndpointSpec, type PeerSpec, STALE_AFTER_MS } from './values.ts';

const endpointFields = object('where the bundle is fetched: url and profile, or link: {}', {
  url: optional(httpsUrl),
  profile: optional(choice(['https_spiffe', 'https_web'])),
  spiffeId: optional(spiffeId),
  caFile: optional(filePath('the path of a PEM file with the CAs of the endpoint')),
  redirects: optional(choice(['forbid', 'same-host', 'any-host'])),
  link: optional(object('an empty mapping {}', {})),
});

type Endpoint = typeof endpointFields extends Schema<infer T> ? T : never;

const endpoint = parsed(endpointFields, (written, { problem }): Decoded<BundleEndpointSpec> => {
  const { link, url, profile, ...more } = written;
  if (link !== undefined) {
    const others = [url, profile, ...Object.values(more)];
    if (others.some((value) => value !== undefined))
      return problem('expected either link or url with profile, found both');
    return { value: { kind: 'link' } };
  }
  if (url === undefined || profile === undefined) return problem('expected url and profile together, or link: {}');
  const at = { url, ...(more.redirects === undefined ? {} : { redirects: more.redirects }) };
  return profile === 'https_spiffe' ? spiffeEndpoint(at, written, problem) : webEndpoint(at, written, problem);
});

/** The parameters of one profile only: nothing may look as if the other one were tried too (SPIFFE Federation §7.2). */
function spiffeEndpoint(
  at: { readonly url: string; readonly redirects?: Redirects },
  { spiffeId: id, caFile }: Endpoint,
  problem: (message: string) => null,
): Decoded<BundleEndpointSpec> {
  if (caFile !== undefined)
    return problem('expected no caFile with profile https_spiffe, which is authenticated by a trust bundle');
  if (id === undefined) return problem('expected spiffeId with profile https_spiffe');
  return { value: { kind: 'https_spiffe', ...at, spiffeId: id } };
}

function webEndpoint(
  at: { readonly url: string; readonly redirects?: Redirects },
  { spiffeId: id, caFile }: Endpoint,
  problem: (message: string) => null,
): Decoded<BundleEndpointSpec> {
  if (id !== undefined)
    return problem('expected no spiffeId with profile https_web, which is authenticated by its host');
  return { value: { kind: 'https_web', ...at, ...(caFile === undefined ? {} : { caFile }) } };
}

const bundleFile = parsed(filePath('the path of a bundle'), (path, { origin }) => ({ value: { path, origin } }));

/** Within what can be asked for: more often than hints let us poll is stale between two polls. */
const staleLimit = object('after and then', {
  after: defaulted(duration('1h', '30d'), STALE_AFTER_MS),
  then: defaulted(choice(['keep', 'refuse']), 'keep'),
});

const fields = object('the spec of a Peer', {
  trustDomain: required(trustDomain),
  gatewayId: optional(spiffeId),
  gateways: defaulted(list(dialAddress), []),
  bundle: optional(object('file and stale', { file: optional(bundleFile), stale: optional(staleLimit) })),
  bundleEndpoint: defaulted(endpoint, { kind: 'link' }),
  listen: notEnforced,
  transit: notEnforced,
  limits: notEnforced,
});

/** `spec` of a Peer. */
export const peerSchema: Schema<PeerSpec> = parsed(fields, (spec, reading: Reading): Decoded<PeerSpec> => {
  const gatewayId = spec.gatewayId ?? gatewayIdOf(spec.trustDomain);
  // The ID of the endpoint may be of another trust domain, whose own bundle then authenticates it (SPIFFE Federation §5.2.2.4).
  const found = foreignIdProblem(gatewayId, spec.trustDomain, true);
  if (found !== undefined) return reading.problem(found);
  const { trustDomain: domain, gateways, bundleEndpoint } = spec;
  const limit = spec.bundle?.stale;
  const stale = limit === undefined ? {} : { stale: { afterMs: limit.after, refuse: limit.then === 'refuse' } };
  const facts = { trustDomain: domain, gatewayId, gateways, bundleEndpoint, ...stale };
  const file = spec.bundle?.file;
  if (file === undefined) return { value: { ...facts, bundleFile: undefined } };
  return { value: { ...facts, bundleFile: file.path, bundleFileOrigin: file.origin } };
});

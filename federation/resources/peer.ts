/** Peer: another mesh, where its gateways are and how its bundle comes here. */
import { defaulted, notEnforced, object, optional, required } from '../../base/config/object.ts';
import { choice, type Decoded, list, parsed, type Reading, type Schema } from '../../base/config/schema.ts';
import { gatewayIdOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { dialAddress, filePath, foreignIdProblem, httpsUrl, spiffeId, trustDomain } from './fields.ts';
import { type PeerSpec } from './values.ts';

const endpoint = parsed(
  object('where the bundle is fetched: url, profile and spiffeId, or link: {}', {
    url: optional(httpsUrl),
    profile: optional(choice(['https_spiffe'], ['https_web'])),
    spiffeId: optional(spiffeId),
    link: optional(object('an empty mapping {}', {})),
  }),
  ({ url, profile, spiffeId: id, link }, { problem }): Decoded<PeerSpec['bundleEndpoint']> => {
    if (link !== undefined) {
      if (url !== undefined || profile !== undefined || id !== undefined)
        return problem('expected either link or url with profile and spiffeId, found both');
      return { value: { kind: 'link' } };
    }
    if (url === undefined || profile === undefined || id === undefined)
      return problem('expected url, profile and spiffeId together, or link: {}');
    return { value: { kind: 'https_spiffe', url, spiffeId: id } };
  },
);

const bundleFile = parsed(filePath('the path of a bundle'), (path, { origin }) => ({ value: { path, origin } }));

const fields = object('the spec of a Peer', {
  trustDomain: required(trustDomain),
  gatewayId: optional(spiffeId),
  gateways: defaulted(list(dialAddress), []),
  bundle: optional(object('the bootstrap bundle as file: PATH', { file: required(bundleFile) })),
  bundleEndpoint: defaulted(endpoint, { kind: 'link' }),
  listen: notEnforced,
  transit: notEnforced,
  limits: notEnforced,
});

/** `spec` of a Peer. */
export const peerSchema: Schema<PeerSpec> = parsed(fields, (spec, reading: Reading): Decoded<PeerSpec> => {
  const gatewayId = spec.gatewayId ?? gatewayIdOf(spec.trustDomain);
  const ids = [gatewayId, ...(spec.bundleEndpoint.kind === 'link' ? [] : [spec.bundleEndpoint.spiffeId])];
  for (const id of ids) {
    const found = foreignIdProblem(id, spec.trustDomain, true);
    if (found !== undefined) return reading.problem(found);
  }
  const { trustDomain: domain, gateways, bundleEndpoint } = spec;
  const facts = { trustDomain: domain, gatewayId, gateways, bundleEndpoint };
  const file = spec.bundle?.file;
  if (file === undefined) return { value: { ...facts, bundleFile: undefined } };
  return { value: { ...facts, bundleFile: file.path, bundleFileOrigin: file.origin } };
});

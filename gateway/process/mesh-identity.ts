/** How this mesh describes itself to another: what stands in its invites, and in its requests to join. */
import { hostname } from 'node:os';

import { type MeshIdentity } from '../../federation/peering/invite.ts';
import {
  type BindAddress,
  type BundleEndpointSpec,
  type HostPort,
  type MeshSpec,
} from '../../federation/resources/values.ts';
import { type Bundle, type X509Authority } from '../../trust-bundles/bundle/bundle.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { formatHostPort } from '../operations/peers.ts';

/** Where the listeners are bound. */
export interface BoundListeners {
  readonly jump: BindAddress;
  readonly bundle: BindAddress;
}

/** The bundle with the root that signs now first: that is the fingerprint which people compare. */
export function activeFirst(bundle: Bundle, activeFingerprint: string | undefined): Bundle {
  const isActive = ({ fingerprint }: X509Authority): boolean => fingerprint === activeFingerprint;
  const others = bundle.x509Authorities.filter((authority) => !isActive(authority));
  return { ...bundle, x509Authorities: [...bundle.x509Authorities.filter(isActive), ...others] };
}

/** The description, with the addresses that the Mesh document advertises, else those that are bound. */
export function meshIdentity(spec: MeshSpec, bound: BoundListeners, bundle: Bundle): MeshIdentity {
  const { trustDomain, gatewayId, listeners } = spec;
  const addresses = listeners.jump.advertise.length > 0 ? listeners.jump.advertise : reachable(bound.jump);
  const [endpoint] = reachable(bound.bundle);
  const url = listeners.bundle.advertise ?? (endpoint && `https://${formatHostPort(endpoint)}/`);
  const bundleEndpoint = endpointOf(url, listeners.bundle.web === undefined ? gatewayId : undefined);
  return { trustDomain, gatewayId, addresses, bundleEndpoint, bundle };
}

/** Without an ID the endpoint is a web server. */
function endpointOf(url: string | undefined, spiffeId: SpiffeId | undefined): BundleEndpointSpec {
  if (url === undefined) return { kind: 'link' };
  return spiffeId === undefined ? { kind: 'https_web', url } : { kind: 'https_spiffe', url, spiffeId };
}

/** A wildcard address says nothing to others; this machine's name is the best guess where nothing is advertised. */
function reachable(address: BindAddress): readonly HostPort[] {
  if (address.kind === 'unix') return [];
  const wildcard = address.host === '0.0.0.0' || address.host === '::';
  return [{ host: wildcard ? hostname() : address.host, port: address.port }];
}

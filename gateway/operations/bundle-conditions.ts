/** What an operator should know about the bundles of peers beyond their age: refused offers, sudden changes, chains of endpoints. */
import { type Clock } from '../../base/clock.ts';
import { type BundleEndpointSpec } from '../../federation/resources/values.ts';
import { type Snapshot, type SnapshotPeer } from '../../federation/snapshot/snapshot.ts';
import { trustDomainOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { type Condition } from '../admin/operations.ts';

/** How long a change of most roots at once stays in sight: somebody looks once a day. */
const TURNOVER_SHOWN_MS = 24 * 60 * 60 * 1000;

/** What the conditions are made of. */
export interface BundleConditionParts {
  readonly snapshot: Snapshot;
  readonly bundles: BundleSet;
  readonly endpointOf: (trustDomain: TrustDomain) => BundleEndpointSpec;
  readonly clock: Clock;
}

/** Those of every peer. */
export function bundleConditions(parts: BundleConditionParts): readonly Condition[] {
  return [...parts.snapshot.peers.values()].flatMap((peer) => [
    ...offerConditions(peer, parts),
    ...endpointConditions(peer, parts),
  ]);
}

/** The trust domain whose bundle authenticates an endpoint; `undefined` where the web's CAs do. */
export function authenticatingDomain(endpoint: BundleEndpointSpec, trustDomain: TrustDomain): TrustDomain | undefined {
  if (endpoint.kind === 'https_web') return undefined;
  return endpoint.kind === 'link' ? trustDomain : trustDomainOf(endpoint.spiffeId);
}

function offerConditions({ name, trustDomain }: SnapshotPeer, parts: BundleConditionParts): readonly Condition[] {
  const { bundles, clock } = parts;
  const subject = `Peer/${name}`;
  const conditions: Condition[] = [];
  const refused = bundles.refusedOffer(trustDomain);
  if (refused !== undefined) {
    const roots = refused.bundle.x509Authorities.map(({ fingerprint }) => fingerprint).join(',');
    const remedy = `if its owner confirms the roots, run "jumpgate bundles accept ${name} --fingerprint ${roots}"`;
    const message = `${refused.code}: ${refused.message}; ${remedy}`;
    conditions.push({ type: 'BundleRefused', severity: 'error', subject, message });
  }
  const turnover = bundles.turnover(trustDomain);
  if (turnover !== undefined && clock.now() - turnover.atMs < TURNOVER_SHOWN_MS) {
    const at = new Date(turnover.atMs).toISOString();
    const message = `${turnover.gone} of its ${turnover.of} roots went at once at ${at}: compare the new ones with its owner`;
    conditions.push({ type: 'BundleTurnover', severity: 'error', subject, message });
  }
  return conditions;
}

/** SPIFFE Federation §7.6: a chain of endpoints, each authenticated by the bundle that the one before brought, is only as good as its first. */
function endpointConditions(peer: SnapshotPeer, parts: BundleConditionParts): readonly Condition[] {
  const { snapshot, bundles, endpointOf } = parts;
  const by = authenticatingDomain(endpointOf(peer.trustDomain), peer.trustDomain);
  if (by === undefined || by === peer.trustDomain || by === snapshot.trustDomain) return [];
  const subject = `Peer/${peer.name}`;
  const isPeer = [...snapshot.peers.values()].some(({ trustDomain }) => trustDomain === by);
  if (!isPeer || bundles.get(by) === undefined) {
    const message = `its bundle endpoint has an ID of ${by}, of which no bundle is known: make it a Peer too`;
    return [{ type: 'EndpointUnverifiable', severity: 'warning', subject, message }];
  }
  const next = authenticatingDomain(endpointOf(by), by);
  if (next === undefined || next === by) return [];
  const message = `its bundle endpoint is authenticated by ${by}, whose own endpoint is authenticated by ${next}: such chains are discouraged (SPIFFE Federation §7.6)`;
  return [{ type: 'ChainedBundle', severity: 'warning', subject, message }];
}

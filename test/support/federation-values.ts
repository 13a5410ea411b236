/** Small valid values of federation for tests: two meshes, us-east (ours) and eu-west. */
import { createHash } from 'node:crypto';

import { type Origin } from '../../base/origin.ts';
import { type ImportedCatalogue } from '../../federation/catalogue/imported.ts';
import { type AllowRule } from '../../federation/policy/rule.ts';
import { DEFAULT_LIMITS } from '../../federation/resources/limits.ts';
import { type StoredPeer } from '../../federation/resources/stored-peer.ts';
import {
  type Export,
  type ExportSpec,
  type Import,
  type ImportSpec,
  type Mesh,
  type Peer,
  type PeerSpec,
  type ResourceSet,
} from '../../federation/resources/values.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { gatewayIdOf, parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { parseTrustDomain, type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';

export const US = parseTrustDomain('us-east.example.org');
export const EU = parseTrustDomain('eu-west.example.org');
export const AP = parseTrustDomain('ap-south.example.org');
export const US_WEB = parseSpiffeId('spiffe://us-east.example.org/ns/shop/sa/web');
export const EU_WEB = parseSpiffeId('spiffe://eu-west.example.org/ns/shop/sa/web');

/** A place in a file, told apart by its line. */
export function at(line: number): Origin {
  return { file: 'mesh.yaml', line, column: 1 };
}

/** A rule that stands at line 1 unless said otherwise. */
export function rule(parts: Partial<AllowRule>): AllowRule {
  return { origin: at(1), ...parts };
}

/** An HTTP export with the given rules. */
export function exportOf(name: string, allow: readonly AllowRule[], spec: Partial<ExportSpec> = {}): Export {
  const backends = [{ host: '127.0.0.1', port: 9000 }];
  const whole: ExportSpec = { protocol: 'http1', backends, authority: undefined, serverNames: [], allow, ...spec };
  return { kind: 'Export', name, origin: at(10), spec: whole };
}

/** An import of `orders` from eu-west for all of our workloads. */
export function importOf(name: string, spec: Partial<ImportSpec> = {}): Import {
  const who = ['spiffe://us-east.example.org/**'];
  const whole: ImportSpec = { peer: 'eu-west', export: 'orders', alias: undefined, who, listen: undefined, ...spec };
  return { kind: 'Import', name, origin: at(20), spec: whole };
}

/** A peer document. */
export function peerOf(name: string, trustDomain: TrustDomain, spec: Partial<PeerSpec> = {}): Peer {
  const whole: PeerSpec = {
    trustDomain,
    gatewayId: gatewayIdOf(trustDomain),
    gateways: [{ host: `gw.${trustDomain}`, port: 15443 }],
    bundleFile: undefined,
    bundleEndpoint: { kind: 'link' },
    ...spec,
  };
  return { kind: 'Peer', name, origin: at(30), spec: whole };
}

/** A joined peer as stored. */
export function storedPeer(name: string, trustDomain: TrustDomain, parts: Partial<StoredPeer> = {}): StoredPeer {
  return {
    name,
    trustDomain,
    gatewayId: gatewayIdOf(trustDomain),
    gateways: [{ host: `joined.${trustDomain}`, port: 15443 }],
    bundleEndpoint: { kind: 'link' },
    joinedAtMs: 1_000,
    source: 'join',
    ...parts,
  };
}

/** A bundle whose one authority is no real certificate: nothing in federation reads it. */
export function bundleOf(trustDomain: TrustDomain, sequence = 1n): Bundle {
  const der = new TextEncoder().encode(`${trustDomain} ${sequence}`);
  const fingerprint = createHash('sha256').update(der).digest('hex');
  const x509Authorities = [{ der, fingerprint }];
  return { trustDomain, x509Authorities, jwtAuthorities: [], sequence, refreshHintSeconds: 300 };
}

/** A whole catalogue, confirmed at `lastHeardMs`. */
export function catalogueOf(services: Readonly<Record<string, string>>, lastHeardMs: number): ImportedCatalogue {
  const entries = new Map(Object.entries(services).map(([name, protocol]) => [name, { name, protocol }]));
  return { version: 1n, entries, problems: [], complete: true, lastHeardMs };
}

/** The documents of us-east. */
export function resourceSet(parts: Partial<ResourceSet> = {}): ResourceSet {
  return { mesh: MESH, peers: [], exports: [], imports: [], edges: [], routes: [], ...parts };
}

const LOOPBACK = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;

const MESH: Mesh = {
  kind: 'Mesh',
  name: 'us-east',
  origin: at(1),
  spec: {
    trustDomain: US,
    gatewayId: gatewayIdOf(US),
    identity: {
      kind: 'embedded',
      directory: '/state',
      svidTtlMs: 3_600_000,
      rootTtlMs: 86_400_000,
      upstream: undefined,
    },
    listeners: {
      jump: { address: LOOPBACK, advertise: [] },
      bundle: { address: LOOPBACK, web: undefined, advertise: undefined, refreshHintSeconds: 300 },
      outbound: [],
      status: LOOPBACK,
      admin: { address: LOOPBACK, tokenFile: undefined },
      workloadApi: [],
    },
    store: { kind: 'files', directory: '/state' },
    linksPerPeer: 2,
    linkMaxAgeMs: undefined,
    workers: 'auto',
    accessLogFile: undefined,
    logLevel: 'info',
    drainMs: 1_000,
    limits: DEFAULT_LIMITS,
  },
};

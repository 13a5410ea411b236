/** The snapshots of two gateways, one of which imports what the other exports. */
import { type BackendTlsSpec, type HeaderSpelling } from '../../federation/resources/values.ts';
import { type ExportProtocol } from '../../federation/policy/protocol.ts';
import { DEFAULT_LIMITS, type ExportLimits } from '../../federation/resources/limits.ts';
import {
  type Snapshot,
  type SnapshotExport,
  type SnapshotImport,
  type SnapshotPeer,
} from '../../federation/snapshot/snapshot.ts';
import { NO_DISTRUST } from '../../trust-bundles/distrust/distrust.ts';
import { gatewayIdOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';

export const US = parseTrustDomain('us.test');
export const EU = parseTrustDomain('eu.test');
const ORIGIN = { file: 'rig.yaml', line: 1, column: 1 };

/** A service by the name of its export. */
export interface RigService {
  readonly name: string;
  readonly protocol: ExportProtocol;
  readonly port: number;
  /** Peers that may call it; by default `us`. */
  readonly peers?: readonly string[];
  readonly headerSpelling?: HeaderSpelling;
  readonly limits?: ExportLimits;
  /** Of its backend. */
  readonly tls?: BackendTlsSpec;
}

/** A peer without gateways to dial. */
export function peerOf(name: string, trustDomain: typeof US): SnapshotPeer {
  return { name, trustDomain, gatewayId: gatewayIdOf(trustDomain), gateways: [] };
}

function base(mesh: string, trustDomain: typeof US): Snapshot {
  return {
    mesh,
    trustDomain,
    gatewayId: gatewayIdOf(trustDomain),
    generations: { trust: 1, policy: 1, imports: new Map() },
    limits: DEFAULT_LIMITS,
    linkMaxAgeMs: undefined,
    bundles: new Map(),
    tainted: new Set(),
    distrust: NO_DISTRUST,
    peers: new Map(),
    exports: new Map(),
    imports: new Map(),
    routes: [],
  };
}

/** The exporting mesh: an export and a route of the edge `front` for each service. */
export function euSnapshot(services: readonly RigService[]): Snapshot {
  const exports = services.map((each): [string, SnapshotExport] => [
    each.name,
    {
      name: each.name,
      protocol: each.protocol,
      backends: [{ host: '127.0.0.1', port: each.port, ...(each.tls === undefined ? {} : { tls: each.tls }) }],
      authority: undefined,
      serverNames: [],
      limits: each.limits ?? {},
      ...(each.headerSpelling === undefined ? {} : { headerSpelling: each.headerSpelling }),
      allow: [{ peers: each.peers ?? ['us', 'self'], origin: ORIGIN }],
      origin: ORIGIN,
    },
  ]);
  const routes = services.map((each) => ({
    name: each.name,
    edge: 'front',
    hosts: [`${each.name}.example.com`],
    path: '/**',
    to: { kind: 'export' as const, name: each.name },
    origin: ORIGIN,
  }));
  return { ...base('eu', EU), peers: new Map([['us', peerOf('us', US)]]), exports: new Map(exports), routes };
}

/** The importing mesh: an import of each service, with a route of the edge `front`; one that is denied, one whose peer is down. */
export function usSnapshot(services: readonly RigService[]): Snapshot {
  const names = [...services.map((each) => each.name), 'missing'];
  const imports = names.map((name): [string, SnapshotImport] => [
    name,
    {
      name,
      peer: 'eu',
      peerTrustDomain: EU,
      export: name,
      hosts: [`${name}.eu.mesh.internal`],
      protocol: undefined,
      serverNames: [],
      listen: undefined,
      who: ['spiffe://us.test/**', 'spiffe://us.test/jumpgate/edge/front'],
      state: 'active',
      origin: ORIGIN,
    },
  ]);
  const denied: SnapshotImport = { ...imports[0]![1], name: 'denied', hosts: ['denied.eu.mesh.internal'], who: [] };
  const down: SnapshotImport = { ...imports[0]![1], name: 'down', peer: 'gone', hosts: ['down.gone.mesh.internal'] };
  const routes = services.map((each) => ({
    name: each.name,
    edge: 'front',
    hosts: [`${each.name}.outside.example.com`],
    path: '/**',
    to: { kind: 'import' as const, name: each.name },
    origin: ORIGIN,
  }));
  return {
    ...base('us', US),
    routes,
    peers: new Map([
      ['eu', peerOf('eu', EU)],
      ['gone', peerOf('gone', EU)],
    ]),
    imports: new Map([...imports, ['denied', denied], ['down', down]]),
  };
}

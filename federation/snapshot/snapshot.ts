/** What the data plane reads: one immutable value of plain data (it survives `structuredClone`), swapped whole. */
import { type Distrust } from '../../trust-bundles/distrust/distrust.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type TrustStore } from '../../trust-bundles/verify/trust-store.ts';
import { type AllowRule, type PathPattern, type IdPattern } from '../policy/rule.ts';
import { type ExportProtocol } from '../policy/protocol.ts';
import { type ExportLimits, type Limits } from '../resources/limits.ts';
import {
  type BackendSpec,
  type HeaderSpelling,
  type HostPort,
  type OutboundListenerSpec,
} from '../resources/values.ts';
import { type Origin } from '../../base/origin.ts';

/** Counters that go up when their part changes, so that one part's change makes nobody redo work for another. */
export interface Generations {
  readonly trust: number;
  readonly policy: number;
  /** By peer name. */
  readonly imports: ReadonlyMap<string, number>;
}

/** A registered peer. */
export interface SnapshotPeer {
  readonly name: string;
  readonly trustDomain: TrustDomain;
  readonly gatewayId: SpiffeId;
  readonly gateways: readonly HostPort[];
}

/** An export of ours with its compiled policy. */
export interface SnapshotExport {
  readonly name: string;
  readonly protocol: ExportProtocol;
  readonly backends: readonly BackendSpec[];
  readonly authority: string | undefined;
  /** What a ClientHello may ask for (`policy/server-name`); empty unless `protocol` is tls. */
  readonly serverNames: readonly string[];
  /** Lower case unless given. */
  readonly headerSpelling?: HeaderSpelling;
  /** Where they differ from the mesh's. */
  readonly limits: ExportLimits;
  readonly allow: readonly AllowRule[];
  readonly origin: Origin;
}

/**
 * `active`: the peer exports it to us and the catalogue is fresh. `stale`: the peer's catalogue is not confirmed any more, calls are still tried.
 * `withdrawn`: the peer does not export it to us (any more, or yet). `awaiting`: nothing heard of this peer's catalogue yet.
 */
export type ImportState = 'active' | 'stale' | 'withdrawn' | 'awaiting';

/** An import: who here may call what there. */
export interface SnapshotImport {
  readonly name: string;
  readonly peer: string;
  readonly peerTrustDomain: TrustDomain | undefined;
  readonly export: string;
  /** Every host name that reaches it, lower-case, without port: `<export>.<peer>.mesh.internal` first, then the alias. */
  readonly hosts: readonly string[];
  /** As the peer announced it; `undefined` until then. */
  readonly protocol: ExportProtocol | undefined;
  /** As the peer announced them, for tls: what a ClientHello may ask for. */
  readonly serverNames: readonly string[];
  /** Where local workloads connect when the protocol is tcp or tls; not to be served while it is another. */
  readonly listen: OutboundListenerSpec | undefined;
  readonly who: readonly IdPattern[];
  readonly state: ImportState;
  readonly origin: Origin;
}

/** A route of an edge. */
export interface SnapshotRoute {
  readonly name: string;
  readonly edge: string;
  readonly hosts: readonly string[];
  readonly path: PathPattern;
  readonly to: { readonly kind: 'export'; readonly name: string } | { readonly kind: 'import'; readonly name: string };
  readonly origin: Origin;
}

/** Everything a call's path needs to know. Its bundles are our own and the peers'. */
export interface Snapshot extends TrustStore {
  readonly mesh: string;
  readonly trustDomain: TrustDomain;
  readonly gatewayId: SpiffeId;
  readonly generations: Generations;
  /** Who is quarantined, but for keys, which are `tainted`. */
  readonly distrust: Distrust;
  /** Those of the mesh; a listener's own words come before them (`limitsWith`). */
  readonly limits: Limits;
  /** No link is older; `undefined` for no such limit. */
  readonly linkMaxAgeMs: number | undefined;
  readonly peers: ReadonlyMap<string, SnapshotPeer>;
  readonly exports: ReadonlyMap<string, SnapshotExport>;
  readonly imports: ReadonlyMap<string, SnapshotImport>;
  readonly routes: readonly SnapshotRoute[];
}

/** Hands out the current snapshot and tells of changes. */
export interface SnapshotSource {
  current(): Snapshot;
  watch(listener: (snapshot: Snapshot) => void): Disposable;
}

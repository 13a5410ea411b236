/** The values that YAML documents become: readonly plain data, each with the place it was written. */
import { type Origin } from '../../base/origin.ts';
import { type LogLevel } from '../../base/log.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type Redirects } from '../../trust-bundles/tls/endpoint-url.ts';
import { type IdentityFiles } from '../../trust-bundles/source/files.ts';
import { type UpstreamFiles } from '../../trust-bundles/source/upstream.ts';
import { type ExportProtocol } from '../policy/protocol.ts';
import { type AllowRule, type IdPattern, type PathPattern } from '../policy/rule.ts';
import { type ExportLimits, type Limits, type ListenerLimits } from './limits.ts';

/** A TCP address to bind or dial; `host` is a name or an IP literal without brackets, port 0 (bind only) lets the system choose. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Where a listener binds: TCP, or a Unix socket by path. */
export type BindAddress = ({ readonly kind: 'tcp' } & HostPort) | { readonly kind: 'unix'; readonly path: string };

/** A listener for calls of local workloads; knows its caller from `as` or, with `mutualTls`, from the client SVID. */
export interface OutboundListenerSpec {
  readonly address: BindAddress;
  readonly caller: { readonly kind: 'as'; readonly id: SpiffeId } | { readonly kind: 'mutual-tls' };
  /** Where they differ from the mesh's. */
  readonly limits?: ListenerLimits;
}

/** The listener of one import, for connections; `origin` is where it is written. */
export interface ImportListenSpec extends OutboundListenerSpec {
  readonly origin: Origin;
}

/** Where this gateway's SVID and our bundle come from. `directory` holds what only this instance may know, whatever the store is. */
export type IdentitySpec =
  | {
      readonly kind: 'embedded';
      /** Root keys live here too. */
      readonly directory: string;
      readonly svidTtlMs: number;
      readonly rootTtlMs: number;
      /** The CA of somebody else's that issues ours; without one our roots are self-signed. */
      readonly upstream: UpstreamFiles | undefined;
    }
  | { readonly kind: 'files'; readonly directory: string; readonly files: IdentityFiles }
  | {
      readonly kind: 'workloadApi';
      readonly directory: string;
      /** `unix:///…` or `tcp://…`; `undefined` is SPIFFE_ENDPOINT_SOCKET. */
      readonly socket: string | undefined;
      /** Which SVID of several; without one that with the gateway ID. */
      readonly hint: string | undefined;
    };

/** A socket of the Workload API, and who whoever may open it is. */
export interface WorkloadApiSpec {
  /** Absolute. */
  readonly path: string;
  readonly identity: SpiffeId;
  readonly mode: 0o600 | 0o660;
  /** Names or numbers; `undefined` leaves the gateway's own user and group. */
  readonly owner: string | undefined;
  readonly group: string | undefined;
  readonly ttlMs: number;
  readonly hint: string | undefined;
  /** Names of the peers whose bundles the workload gets. */
  readonly federatesWith: 'all' | readonly string[];
  /** Life of a JWT-SVID; `undefined` switches the JWT profile off. */
  readonly jwtTtlMs: number | undefined;
  readonly limits: {
    readonly connectionsMax: number;
    readonly streamsMax: number;
    readonly requestsPerSecondMax: number;
  };
  readonly origin: Origin;
}

export interface MeshSpec {
  readonly trustDomain: TrustDomain;
  /** Default `spiffe://<trust domain>/jumpgate`. */
  readonly gatewayId: SpiffeId;
  readonly identity: IdentitySpec;
  readonly listeners: {
    readonly jump: { readonly address: BindAddress; readonly advertise: readonly HostPort[] };
    readonly bundle: {
      readonly address: BindAddress;
      /** The certificate of a web server's name, or `undefined` for our SVID (https_spiffe). */
      readonly web: { readonly certificateFile: string; readonly keyFile: string } | undefined;
      readonly advertise: string | undefined;
      readonly refreshHintSeconds: number;
    };
    readonly outbound: readonly OutboundListenerSpec[];
    readonly status: BindAddress;
    readonly admin: { readonly address: BindAddress; readonly tokenFile: string | undefined };
    readonly workloadApi: readonly WorkloadApiSpec[];
  };
  readonly store:
    | { readonly kind: 'files'; readonly directory: string }
    | {
        readonly kind: 'redis';
        readonly url: string;
        readonly passwordFile: string | undefined;
        readonly sealKeyFile: string;
      };
  readonly linksPerPeer: number;
  /** No link is older; `undefined` for no such limit. */
  readonly linkMaxAgeMs: number | undefined;
  /** Processes that carry calls: `auto` for one per processor, 0 for none beside the one that does everything. */
  readonly workers: number | 'auto';
  /** `undefined` is standard output. */
  readonly accessLogFile: string | undefined;
  readonly logLevel: LogLevel;
  readonly drainMs: number;
  readonly limits: Limits;
}

export interface PeerSpec {
  readonly trustDomain: TrustDomain;
  readonly gatewayId: SpiffeId;
  /** Addresses to dial; empty when only the peer dials us. */
  readonly gateways: readonly HostPort[];
  /** Absolute path of a bootstrap bundle; without one (and without a stored one) the peer is AwaitingBundle. */
  readonly bundleFile: string | undefined;
  /** Where `bundleFile` is written. */
  readonly bundleFileOrigin?: Origin;
  /** When the bundle is stale, and whether it is believed no longer then; default {@link STALE_AFTER_MS}, and it is still believed. */
  readonly stale?: { readonly afterMs: number; readonly refuse: boolean };
  readonly bundleEndpoint: BundleEndpointSpec;
}

/** federation.md, rule 16: a day in which a peer's bundle was not once obtained is no hiccup. */
export const STALE_AFTER_MS = 24 * 60 * 60 * 1000;

/** Where a peer's bundle is fetched. */
export type BundleEndpointSpec =
  | { readonly kind: 'link' }
  | (FetchedUrl & { readonly kind: 'https_spiffe'; readonly spiffeId: SpiffeId })
  | (FetchedUrl & {
      readonly kind: 'https_web';
      /** PEM file with the CAs of the endpoint; without one those of this machine. */
      readonly caFile?: string;
    });

interface FetchedUrl {
  readonly url: string;
  /** Default `same-host`. */
  readonly redirects?: Redirects;
}

/** How names of header fields are written to a backend over HTTP/1.1 that minds their case, against RFC 9110 §5.1. */
export interface HeaderSpelling {
  readonly case: 'lower' | 'title';
  /** Exceptions to it, as they are to be written (`SOAPAction`). */
  readonly names: readonly string[];
}

/** Whom a backend must prove to be. */
export type BackendTrust =
  /** Exactly this workload, by the bundle of its trust domain. */
  | { readonly kind: 'spiffe'; readonly id: SpiffeId }
  /** A server of the name that is dialled, by these anchors alone (PEM, each one certificate; read from `file`). */
  | { readonly kind: 'ca'; readonly file: string; readonly anchors: readonly string[] };

/** TLS towards a backend, in which we show our own SVID. */
export interface BackendTlsSpec {
  readonly trust: BackendTrust;
  /** The name sent by SNI, and under `ca` the name to be proved; by default the host of the address. */
  readonly sni: string | undefined;
}

/** Where a service listens; in the clear unless `tls` says otherwise. */
export interface BackendSpec extends HostPort {
  readonly tls?: BackendTlsSpec;
}

export interface ExportSpec {
  readonly protocol: ExportProtocol;
  readonly backends: readonly BackendSpec[];
  /** What the service receives as authority; by default the backend's address as written. */
  readonly authority: string | undefined;
  /** Names that a ClientHello may ask for, exact or with one leading `*.` label; empty for every protocol but `tls`. */
  readonly serverNames: readonly string[];
  /** Lower case unless given. */
  readonly headerSpelling?: HeaderSpelling;
  readonly allow: readonly AllowRule[];
  /** Where they differ from the mesh's. */
  readonly limits?: ExportLimits;
}

export interface ImportSpec {
  /** Name of a Peer. */
  readonly peer: string;
  /** Name of the export at that peer. */
  readonly export: string;
  /** Further host name, lower-case. */
  readonly alias: string | undefined;
  readonly who: readonly IdPattern[];
  /** Where local workloads connect, when the export is tcp or tls. */
  readonly listen: ImportListenSpec | undefined;
}

export interface EdgeSpec {
  readonly address: BindAddress;
  readonly tls: { readonly certificateFile: string; readonly keyFile: string };
  /** Where they differ from the mesh's. */
  readonly limits?: ListenerLimits;
}

/** Sends outside calls for `hosts` and `path` to an export of ours or to an import. */
export interface RouteSpec {
  /** Name of an Edge. */
  readonly edge: string;
  /** Exact lower-case host names. */
  readonly hosts: readonly string[];
  /** Defaults to `/**`. */
  readonly path: PathPattern;
  readonly to: { readonly kind: 'export'; readonly name: string } | { readonly kind: 'import'; readonly name: string };
}

/** A document: `metadata.name`, its spec, and where it stands. */
export interface Resource<Kind extends string, Spec> {
  readonly kind: Kind;
  readonly name: string;
  readonly spec: Spec;
  readonly origin: Origin;
}

export type Mesh = Resource<'Mesh', MeshSpec>;
export type Peer = Resource<'Peer', PeerSpec>;
export type Export = Resource<'Export', ExportSpec>;
export type Import = Resource<'Import', ImportSpec>;
export type Edge = Resource<'Edge', EdgeSpec>;
export type Route = Resource<'Route', RouteSpec>;

/** All documents of one directory, valid together. */
export interface ResourceSet {
  readonly mesh: Mesh;
  readonly peers: readonly Peer[];
  readonly exports: readonly Export[];
  readonly imports: readonly Import[];
  readonly edges: readonly Edge[];
  readonly routes: readonly Route[];
}

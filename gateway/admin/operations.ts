/** What the admin API serves: plain JSON values that the command line prints and the composition root supplies. */
import { type LogLevel } from '../../base/log.ts';
import { type OwnIdentityStatus } from './operations-identity.ts';
import { type JwtOperations } from './operations-jwt.ts';
import { type BundleChange, type BundleStatus } from './operations-bundles.ts';

/** Times are RFC 3339 strings, sequences decimal strings (they are 64-bit), and `null` stands for "not known (yet)". */
export interface VersionInfo {
  readonly version: string;
  readonly node: string;
}

/** Something that an operator should know, such as `AwaitingBundle` on a peer. */
export interface Condition {
  /** CamelCase and stable, to be matched by programs. */
  readonly type: string;
  readonly severity: 'info' | 'warning' | 'error';
  /** What it is about: `Peer/eu-west`, `Import/orders`, `Store`. */
  readonly subject: string;
  readonly message: string;
}

/** A listener as bound: `address` is `host:port` with the real port, or `unix:PATH`. */
export interface ListenerStatus {
  readonly name: string;
  readonly kind: 'jump' | 'bundle' | 'outbound' | 'import' | 'edge' | 'status' | 'admin' | 'workload-api';
  readonly address: string;
  /** Whose calls it takes: a SPIFFE ID, `mutual-tls`, or `null` where that does not apply. */
  readonly caller: string | null;
}

/** A peer: registered, awaiting approval, or gone and remembered. */
export interface PeerStatus {
  readonly name: string;
  readonly trustDomain: string;
  readonly gatewayId: string;
  /** Where it is declared: `yaml`, `joined` (in the store), `adopted` (both). */
  readonly origin: 'yaml' | 'joined' | 'adopted';
  readonly state: 'active' | 'degraded' | 'connecting' | 'awaiting-bundle' | 'awaiting-approval' | 'terminated';
  readonly gateways: readonly string[];
  readonly linksOutbound: number;
  readonly linksInbound: number;
  readonly bundleSequence: string | null;
  readonly heartbeatAgeSeconds: number | null;
  /** Why it is not active, as a sentence; `null` when it is. */
  readonly message: string | null;
}

/** An export of ours, and which of its problems the peers reported. */
export interface ExportStatus {
  readonly name: string;
  readonly protocol: string;
  readonly backends: readonly string[];
  /** Names of the peers that a rule names. */
  readonly peers: readonly string[];
  /** Peers that have applied it. */
  readonly acknowledgedBy: readonly string[];
  readonly origin: string;
}

/** An import of ours. */
export interface ImportStatus {
  readonly name: string;
  readonly peer: string;
  readonly export: string;
  readonly hosts: readonly string[];
  readonly protocol: string | null;
  readonly state: 'active' | 'stale' | 'withdrawn' | 'awaiting';
  readonly origin: string;
}

/** One link. */
export interface LinkStatus {
  readonly peer: string;
  readonly direction: 'outbound' | 'inbound';
  readonly instance: string | null;
  readonly address: string;
  readonly state: string;
  readonly since: string;
  readonly expiresAt: string;
  /** New SVIDs are proved on it in place: it need not be replaced when they rotate. */
  readonly reproves: boolean;
  readonly calls: number;
}

/** What a reload did. `problems` are lines `file:line:column: what`. */
export interface ReloadResult {
  readonly result: 'applied' | 'unchanged' | 'refused';
  readonly digest: string;
  readonly at: string;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  /** Paths of fields that changed and take effect only at the next start. */
  readonly needsRestart: readonly string[];
}

/** A process of the gateway: control, or a worker by its index. */
export interface GatewayProcessStatus {
  readonly id: 'control' | number;
  /** `null` while there is none. */
  readonly pid: number | null;
  readonly state: 'starting' | 'ready' | 'waiting' | 'crash-looping' | 'draining' | 'ended';
  readonly restarts: number;
  /** How the last one ended, as a phrase; `null` if none has. */
  readonly lastEnd: string | null;
  readonly connections: number;
}

/** The tree that `jumpgate status` prints. */
export interface GatewayStatus {
  readonly mesh: string;
  readonly trustDomain: string;
  readonly gatewayId: string;
  readonly identity: OwnIdentityStatus;
  readonly instance: string;
  readonly version: string;
  readonly startedAt: string;
  readonly state: string;
  /** Names of what is still to be done before the gateway is ready. */
  readonly pending: readonly string[];
  readonly listeners: readonly ListenerStatus[];
  /** Empty when all is one process. */
  readonly processes: readonly GatewayProcessStatus[];
  readonly peers: readonly PeerStatus[];
  readonly bundles: readonly BundleStatus[];
  readonly exports: readonly ExportStatus[];
  readonly imports: readonly ImportStatus[];
  readonly conditions: readonly Condition[];
  readonly config: { readonly directory: string; readonly digest: string; readonly lastReload: ReloadResult };
}

/** What to put into an invite. */
export interface InviteRequest {
  /** Name that the peer gets here. */
  readonly peer: string;
  /** The one trust domain that may redeem it. */
  readonly trustDomain: string;
  /** Default 900. */
  readonly ttlSeconds?: number;
  /** Hold the redeemed peer until `peers approve`. */
  readonly approve?: boolean;
}

/** An invite; the only value here that is a secret besides {@link IssuedSvid} and JWT-SVIDs. Never logged. */
export interface IssuedInvite {
  readonly id: string;
  readonly token: string;
  readonly peer: string;
  readonly trustDomain: string;
  /** Of our active root, lower-case hex. */
  readonly fingerprint: string;
  readonly addresses: readonly {
    readonly address: string;
    /** `unknown` where it cannot be tried from here. */
    readonly reachable: 'yes' | 'no' | 'unknown';
    readonly message: string;
  }[];
  readonly expiresAt: string;
}

/** How to redeem an invite. */
export interface JoinRequest {
  readonly token: string;
  /** Name that the inviting mesh gets here; default its mesh name, or the first label of its trust domain. */
  readonly name?: string;
  /** SHA-256 of the inviter's root, lower-case hex: refuse anything else. */
  readonly expectFingerprint?: string;
  /** Replace an existing peer of this name whose bundle differs. */
  readonly replace?: boolean;
}

/** Each step of joining that was tried, in order; the first failure is the last step. */
export interface JoinResult {
  readonly joined: boolean;
  readonly steps: readonly {
    readonly name: 'token' | 'dns' | 'tcp' | 'tls' | 'pin' | 'clock' | 'version' | 'preflight' | 'redeem' | 'store';
    readonly result: 'ok' | 'warning' | 'failed';
    readonly message: string;
  }[];
  /** `null` unless joined. */
  readonly peer: string | null;
  readonly trustDomain: string | null;
  readonly fingerprint: string | null;
  readonly ourFingerprint: string;
  /** The inviter holds the result until `peers approve` there. */
  readonly awaitingApproval: boolean;
}

/** What became of a removed peer. */
export interface PeerRemoval {
  readonly name: string;
  readonly trustDomain: string;
  readonly linksClosed: number;
}

/** Which SVID to issue. */
export interface SvidRequest {
  readonly id: string;
  /** Default 3,600. */
  readonly ttlSeconds?: number;
}

/** An SVID of the embedded CA for a workload: PEM texts, `bundle` holding the roots of our own domain. */
export interface IssuedSvid {
  readonly id: string;
  readonly certificates: string;
  readonly key: string;
  readonly bundle: string;
  readonly expiresAt: string;
}

/** Where a rotation of the root stands. */
export interface RotationStatus {
  /** `published`: the new root is in the bundle beside the old; `activated`: it signs; `idle`: there is none under way. */
  readonly phase: 'idle' | 'published' | 'activated';
  readonly activeFingerprint: string;
  readonly nextFingerprint: string | null;
  readonly sequence: string;
  /** Peers that do not hold the new root yet. */
  readonly waitingFor: readonly string[];
  readonly message: string;
}

/** What would break for one peer, or one link to it, if the next root signed now. */
export interface RotationFinding {
  readonly peer: string;
  /** Of the link; `null` where it is about the peer. */
  readonly address: string | null;
  readonly code: 'peer-silent' | 'bundle-unknown' | 'bundle-behind' | 'link-replaced';
  readonly message: string;
}

/** A rotation tried without changing anything. */
export interface RotationRehearsal {
  readonly activeFingerprint: string;
  /** The root that is published to sign next; `null` if there is none yet. */
  readonly nextFingerprint: string | null;
  readonly sequence: string;
  readonly findings: readonly RotationFinding[];
}

/** A call to be judged without making it. */
export interface ExplainRequest {
  /** SPIFFE ID of the caller. */
  readonly from: string;
  /** Name of an export of ours or of an import, or a host name that reaches an import. */
  readonly to: string;
  /** Where an export and an import share the name; default the export. */
  readonly direction?: 'export' | 'import';
  /** Default `GET`; for gRPC always `POST`. */
  readonly method?: string;
  /** Default `/`; for gRPC `/package.Service/Method`. */
  readonly path?: string;
  readonly grpc?: boolean;
}

/** The verdict that a real call gets here, and what the other side may still refuse. */
export interface Explanation {
  readonly verdict: 'permit' | 'denial';
  readonly side: 'export' | 'import';
  readonly from: string;
  readonly to: string;
  /** Peer name, or `self`. */
  readonly peer: string | null;
  /** Reason code of a denial. */
  readonly reason: string | null;
  readonly message: string;
  /** Such as `payments.allow[0]`. */
  readonly rule: string | null;
  /** `file:line:column` of the rule, or of the resource that has none that fits. */
  readonly origin: string | null;
  /** HTTP status that the caller gets; `null` for a permit. */
  readonly status: number | null;
  readonly otherSide: string;
}

/** Something that can be distrusted: `spiffe`, `key`, `peer`, `domain` or `export`, and its name. */
export interface QuarantineTarget {
  readonly kind: string;
  /** A fingerprint of a key is the certificate's, as bundles show it, or that of the SubjectPublicKeyInfo. */
  readonly name: string;
}

/** What to distrust. */
export interface QuarantineRequest extends QuarantineTarget {
  /** Default until it is removed. */
  readonly forSeconds?: number;
  readonly reason?: string;
}

/** Something that is distrusted. A key is named by the SHA-256 of its SubjectPublicKeyInfo. */
export interface QuarantineStatus extends QuarantineTarget {
  readonly since: string;
  readonly until: string | null;
  readonly reason: string;
  /** `unix`, or the address that said so over TCP. */
  readonly by: string;
}

/** What became of an addition, on all workers of this gateway. */
export interface QuarantineAdded extends QuarantineStatus {
  /** False while the store does not take it: then it holds here, over restarts too, and other replicas learn of it later. */
  readonly stored: boolean;
  /** What to know of its target. */
  readonly message: string | null;
}

/**
 * What a running gateway can be asked and told. Failures throw `JumpgateError`; its code crosses to the command line.
 * Codes with a meaning of their own: `peer-unknown`, `peer-declared` (YAML declares it; the message names the file).
 */
export interface GatewayOperations extends JwtOperations {
  version(): VersionInfo;
  status(): Promise<GatewayStatus>;
  peers(): Promise<readonly PeerStatus[]>;
  removePeer(name: string): Promise<PeerRemoval>;
  approvePeer(name: string): Promise<PeerStatus>;
  exports(): Promise<readonly ExportStatus[]>;
  imports(): Promise<readonly ImportStatus[]>;
  bundles(): Promise<readonly BundleStatus[]>;
  /** The SPIFFE bundle of a peer (`self`: ours), or the SPIFFE bundle map of all. Throws `peer-unknown`, `bundle-unknown`. */
  bundleDocument(peer: string | undefined): Promise<string>;
  /** Throws `fingerprint-mismatch`, and what fetching and offering a bundle throw. */
  acceptBundle(peer: string, fingerprints: readonly string[]): Promise<BundleChange>;
  importBundle(
    peer: string,
    file: { readonly document: string; readonly fingerprints: readonly string[] | undefined },
  ): Promise<BundleChange>;
  links(): Promise<readonly LinkStatus[]>;
  invite(request: InviteRequest): Promise<IssuedInvite>;
  join(request: JoinRequest): Promise<JoinResult>;
  reload(): Promise<ReloadResult>;
  svid(request: SvidRequest): Promise<IssuedSvid>;
  /** Begins or advances a rotation; `force` activates the new root although peers do not hold it yet. */
  rotate(options: { readonly force: boolean }): Promise<RotationStatus>;
  /** What would break if the next root signed now; changes nothing. */
  rehearseRotation(): Promise<RotationRehearsal>;
  explain(request: ExplainRequest): Promise<Explanation>;
  quarantine(): Promise<readonly QuarantineStatus[]>;
  addQuarantine(request: QuarantineRequest, by: string): Promise<QuarantineAdded>;
  /** Throws `not-found`. */
  removeQuarantine(target: QuarantineTarget, by: string): Promise<QuarantineTarget>;
  logLevel(): LogLevel;
  setLogLevel(level: LogLevel): void;
}

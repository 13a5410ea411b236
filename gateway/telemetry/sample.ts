/** What the metrics show besides calls: a plain picture of the gateway, taken at each scrape. */

/** One peer. Times in seconds, counters since the start; `undefined` is "not known (yet)" and shows no line. */
export interface PeerSample {
  readonly peer: string;
  /** One of {@link PEER_STATES}. */
  readonly state: string;
  readonly heartbeatAgeSeconds: number | undefined;
  readonly linksOutbound: number;
  readonly linksInbound: number;
  readonly bundleSequence: bigint | undefined;
  /** Until the earliest end of one of its authorities. */
  readonly bundleNotAfterSeconds: number | undefined;
  /** Since it was last obtained or confirmed. */
  readonly bundleAgeSeconds: number | undefined;
  /** Since the start, by `succeeded` and `failed`. */
  readonly bundleFetches: ReadonlyMap<string, number>;
  /** Keys of the last document that were passed over. */
  readonly bundleKeysIgnored: number | undefined;
  /** Whether it has yet to take our newest bundle. */
  readonly bundleBehind: boolean;
  /** Version of our catalogue that it has applied, and of its catalogue that we have. */
  readonly catalogVersionOurs: number | undefined;
  readonly catalogVersionTheirs: number | undefined;
  /** How long our newest catalogue has been waiting for its acknowledgement. */
  readonly catalogLagSeconds: number | undefined;
  readonly exportsOffered: number;
  readonly importsReceived: number;
  /** Active imports over all imports of this peer; `undefined` without any. */
  readonly importReadyRatio: number | undefined;
  readonly queueDepth: number | undefined;
  readonly acks: number | undefined;
  /** By code and by reason or kind: closed sets of ours. */
  readonly nacks: ReadonlyMap<string, number>;
  readonly reconnects: ReadonlyMap<string, number>;
  readonly resyncs: ReadonlyMap<string, number>;
}

/** The sockets of the Workload API; counters since the start. */
export interface WorkloadApiSample {
  readonly x509Issued: number;
  readonly jwtIssued: number;
  /** Calls under way. */
  readonly streams: number;
  /** Calls and connections that a limit turned away. */
  readonly turnedAway: number;
}

/** The gateway. */
export interface GatewaySample {
  readonly peers: readonly PeerSample[];
  /** Of our own bundle. */
  readonly bundleSequence: bigint | undefined;
  readonly bundleNotAfterSeconds: number | undefined;
  readonly accessLogDropped: number;
  readonly reloads: { readonly applied: number; readonly refused: number };
  /** Quarantines in force, by kind. */
  readonly quarantine: ReadonlyMap<string, number>;
  readonly ready: boolean;
  readonly storeAvailable: boolean;
  /** Rows that a shared store had lost or brought back, since the start; and those that only memory holds. */
  readonly storeMended: number;
  readonly storeUnsaved: number;
  /** Until our own SVID ends; `undefined` while there is none. */
  readonly svidNotAfterSeconds: number | undefined;
  /** Whether its source has something to complain of. */
  readonly identityFailing: boolean;
  readonly workloadApi: WorkloadApiSample;
}

/** States of `jumpgate_peer_state`: one line each, of which one is 1. */
export const PEER_STATES = [
  'active',
  'degraded',
  'connecting',
  'awaiting-bundle',
  'awaiting-approval',
  'terminated',
] as const;

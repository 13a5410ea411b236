/** Limits of listeners, links and backends as documents say them: defaults, the range of each, and what overrides what. */
import { type Field, object, optional } from '../../base/config/object.ts';
import { integer, parsed, type Reading, type Schema } from '../../base/config/schema.ts';

/**
 * Every limit of `Mesh.spec.limits`; units are in the names. Plain data. Workers count each for themselves: a limit on
 * connections holds for one of them.
 */
export interface Limits {
  /** From the connection to the end of its TLS handshake, and to the end of a ClientHello passed through. */
  readonly handshakeMs: number;
  /** Full handshakes begun in one turn of the event loop. */
  readonly handshakesPerTurn: number;
  /** Open connections of one listener; a TLS listener takes a quarter of them from one address (loopback: all). */
  readonly connectionsPerListener: number;
  /** Held of one caller's connection in each direction, besides what windows allow and one read of the socket. */
  readonly connectionBufferBytes: number;
  /** From the first byte of a header block to its last, and from a connection's start to its first block. */
  readonly headersMs: number;
  /** A header block, decoded: names and values and 4 bytes for each field. */
  readonly headerBytes: number;
  readonly headerFields: number;
  readonly headerNameBytes: number;
  readonly targetBytes: number;
  /** After one HEADERS frame. */
  readonly continuationFrames: number;
  readonly streamsPerConnection: number;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** Streams reset by either side, in any 10 s; then GOAWAY. */
  readonly resetsPer10s: number;
  /** Harmless oddities of one connection: GOAWAY at three quarters of it, closed at all of it. */
  readonly glitches: number;
  /** Answers to PING, SETTINGS and resets that the other end does not read. */
  readonly queuedControlFrames: number;
  /**
   * The least that the body of a request must bring while its sender is waited for, over `bodyStallMs`; 0 is no such
   * rule. Never for grpc and tunnels, and not once the response has begun: what streams may be silent.
   */
  readonly bodyBytesPerSecond: number;
  readonly bodyStallMs: number;
  /**
   * From the end of the request, or the last that the service took of it, to the head of the response, of a call without
   * a deadline of its own; 0 is none. Never for grpc.
   */
  readonly responseDeadlineMs: number;
  /** A connection of a caller without calls. */
  readonly idleKeepAliveMs: number;
  /** A pooled connection to a backend without calls, unless its `Keep-Alive: timeout` says less. */
  readonly backendIdleMs: number;
  /** A connection of tcp, tls or WebSocket on which nothing moves; 0 is no limit. */
  readonly tunnelIdleMs: number;
  /** Probes on idle sockets. */
  readonly keepAliveProbeMs: number;
  /** Calls and tunnels on one link, of those that the peer's gateway dialled. */
  readonly linkStreams: number;
  /** The most that a stream's window on a link grows to. */
  readonly linkStreamWindowBytes: number;
  readonly linkConnectionWindowBytes: number;
}

/** Where the window of a stream on a link starts, unless its ceiling is lower. */
export const LINK_STREAM_START_BYTES = 64 * 1024;

/** What a link's connection has announced or keeps for itself of its window at most (`gateway/http2/limits`). */
export const LINK_CREDIT_BYTES = 16 * 1024 * 1024;

/** The payload that every frame of HTTP/2 may have (RFC 9113 §4.2). */
const FRAME_BYTES = 16 * 1024;

/** One stream takes an eighth at most of what all windows of a link may grow by (`gateway/http2/window-growth`). */
const LINK_GROWTH_PARTS = 8;

/** What the documents leave out. */
export const DEFAULT_LIMITS: Limits = {
  /** Node's own 120 s lets 5,000 silent sockets live for two minutes. */
  handshakeMs: 10_000,
  /** As h2o does (h2o #2872): calls under way are not starved by newcomers. */
  handshakesPerTurn: 10,
  connectionsPerListener: 10_000,
  connectionBufferBytes: 32 * 1024,
  headersMs: 10_000,
  /** Like Envoy at an edge. */
  headerBytes: 16 * 1024,
  headerFields: 100,
  headerNameBytes: 256,
  targetBytes: 8 * 1024,
  /** 16 KiB in frames of 2 KiB. */
  continuationFrames: 8,
  streamsPerConnection: 100,
  streamWindowBytes: 64 * 1024,
  connectionWindowBytes: 1024 * 1024,
  /** CVE-2023-44487: browsers reset now and then, attackers all the time. */
  resetsPer10s: 100,
  glitches: 200,
  queuedControlFrames: 1_000,
  bodyBytesPerSecond: 500,
  bodyStallMs: 30_000,
  responseDeadlineMs: 15_000,
  idleKeepAliveMs: 300_000,
  /** Before the 5 s at which many services close: the keep-alive race is behind many 502s. */
  backendIdleMs: 4_000,
  /** Hidden idle deaths are the most reported fault of gateways. */
  tunnelIdleMs: 0,
  /** Load balancers forget flows at 350 s. */
  keepAliveProbeMs: 300_000,
  /** A database pool of 200 connections must fit many times. */
  linkStreams: 10_000,
  /** 1 Gbit/s at 150 ms is 18 MiB on the way. */
  linkStreamWindowBytes: 32 * 1024 * 1024,
  /** 127 MiB above what stalled readers may hold (see {@link limitsProblem}): less starves the innocent stream. */
  linkConnectionWindowBytes: 1024 * 1024 * 1024,
};

const WINDOW_BYTES_MAX = 2 ** 31 - 1;
const DAY_MS = 86_400_000;

const limit = (min: number, max: number): Field<number | undefined> => optional(integer(min, max));

/** A connection's window can be raised above its 65,535 octets, never lowered (RFC 9113 §6.9.2). */
const CONNECTION_WINDOW = limit(65_535, WINDOW_BYTES_MAX);

/** What the listener of an import may say otherwise than the mesh: it carries connections, and reads none of them. */
const TUNNEL_LISTENER_FIELDS = {
  handshakeMs: limit(100, 600_000),
  handshakesPerTurn: limit(1, 10_000),
  connectionsPerListener: limit(1, 1_000_000),
  responseDeadlineMs: limit(0, DAY_MS),
} as const;

/** What a listener of its own may say otherwise than the mesh. */
const LISTENER_FIELDS = {
  ...TUNNEL_LISTENER_FIELDS,
  connectionBufferBytes: limit(4_096, 16 * 1024 * 1024),
  headersMs: limit(100, 600_000),
  headerBytes: limit(1_024, 1024 * 1024),
  headerFields: limit(10, 10_000),
  headerNameBytes: limit(16, 16 * 1024),
  targetBytes: limit(64, 64 * 1024),
  continuationFrames: limit(0, 1_000),
  streamsPerConnection: limit(1, 100_000),
  streamWindowBytes: limit(1_024, WINDOW_BYTES_MAX),
  connectionWindowBytes: CONNECTION_WINDOW,
  resetsPer10s: limit(1, 1_000_000),
  glitches: limit(4, 1_000_000),
  queuedControlFrames: limit(10, 100_000),
  bodyBytesPerSecond: limit(0, 1_000_000_000),
  bodyStallMs: limit(1_000, DAY_MS),
  idleKeepAliveMs: limit(1_000, DAY_MS),
} as const;

const MESH_FIELDS = {
  ...LISTENER_FIELDS,
  backendIdleMs: limit(100, DAY_MS),
  tunnelIdleMs: limit(0, 30 * DAY_MS),
  // An hour of silence is longer than every load balancer remembers.
  keepAliveProbeMs: limit(1_000, 3_600_000),
  linkStreams: limit(1, 1_000_000),
  linkStreamWindowBytes: limit(65_535, WINDOW_BYTES_MAX),
  linkConnectionWindowBytes: CONNECTION_WINDOW,
} as const satisfies Readonly<Record<keyof Limits, Field<number | undefined>>>;

const EXPORT_FIELDS = {
  responseDeadlineMs: limit(0, DAY_MS),
  bodyBytesPerSecond: limit(0, 1_000_000_000),
  bodyStallMs: limit(1_000, DAY_MS),
  tunnelIdleMs: limit(0, 30 * DAY_MS),
  connectionsPerBackend: limit(1, 1_000_000),
  streamsPerBackendConnection: limit(1, 100_000),
} as const;

/** What one listener says otherwise than the mesh; absent means as the mesh. */
export type ListenerLimits = Partial<Pick<Limits, keyof typeof LISTENER_FIELDS>>;

/**
 * What one export says otherwise than the listener and the mesh, and about its backends: connections open to each (above
 * it a call waits for one, at most until its deadline, and a tunnel is refused), calls at a time on each HTTP/2 one.
 * Absent means as there, or no limit but the backend's own.
 */
export type ExportLimits = Readonly<Partial<Record<keyof typeof EXPORT_FIELDS, number>>>;

/** `limits` of a Mesh. */
export const meshLimits: Schema<Limits> = parsed(object('limits', MESH_FIELDS), (written, reading) => {
  const value = limitsWith(DEFAULT_LIMITS, present(written));
  return contradiction(value, reading) ? null : { value };
});

/** `limits` of a listener. What it leaves out may contradict it: see {@link limitsProblem}. */
export const listenerLimits: Schema<ListenerLimits> = parsed(
  object('the limits of a listener', LISTENER_FIELDS),
  (written) => ({ value: present(written) }),
);

/** `limits` of the listener of an import, which contradict nothing. */
export const tunnelListenerLimits: Schema<ListenerLimits> = parsed(
  object('the limits of the listener of an import', TUNNEL_LISTENER_FIELDS),
  (written) => ({ value: present(written) }),
);

/** `limits` of an export. */
export const exportLimits: Schema<ExportLimits> = parsed(
  object('the limits of an export', EXPORT_FIELDS),
  (written) => ({
    value: present(written),
  }),
);

/** The limits that hold at a listener: its own words, else the mesh's. */
export function limitsWith(mesh: Limits, own: ListenerLimits = {}): Limits {
  return { ...mesh, ...own };
}

/** What must not be larger than what. */
const WITHIN: readonly (readonly [small: keyof Limits, large: keyof Limits])[] = [
  ['headerNameBytes', 'headerBytes'],
  ['targetBytes', 'headerBytes'],
  ['streamWindowBytes', 'connectionWindowBytes'],
  ['linkStreamWindowBytes', 'linkConnectionWindowBytes'],
];

/** By how much the windows of all streams on a link may be larger than at their start: enough for one to reach its ceiling. */
export function linkGrowthBytes({ linkStreamWindowBytes }: Limits): number {
  return linkStreamWindowBytes > LINK_STREAM_START_BYTES ? LINK_GROWTH_PARTS * linkStreamWindowBytes : 0;
}

/**
 * Why limits contradict each other, or `undefined`. The window of a link must be larger than what stalled readers may
 * hold together: else they starve the innocent stream (security.md section 3).
 */
export function limitsProblem(limits: Limits): string | undefined {
  const found = WITHIN.find(([small, large]) => limits[small] > limits[large]);
  if (found !== undefined) {
    const [small, large] = found;
    return `expected ${small} to be at most ${large} (${limits[large]}), found ${limits[small]}`;
  }
  const { continuationFrames, headerBytes, linkStreams, linkStreamWindowBytes, linkConnectionWindowBytes } = limits;
  const blockBytes = (continuationFrames + 1) * FRAME_BYTES;
  if (headerBytes > blockBytes)
    return `expected headerBytes to be at most what a HEADERS frame and ${continuationFrames} continuationFrames carry (${blockBytes}), found ${headerBytes}`;
  const start = Math.min(LINK_STREAM_START_BYTES, linkStreamWindowBytes);
  const held = linkStreams * start + linkGrowthBytes(limits) + LINK_CREDIT_BYTES;
  if (held <= linkConnectionWindowBytes) return undefined;
  return `expected linkConnectionWindowBytes to be at least ${held}, what stalled readers may hold (${start} for each of linkStreams ${linkStreams}, ${LINK_GROWTH_PARTS} times linkStreamWindowBytes ${linkStreamWindowBytes} if windows grow, and ${LINK_CREDIT_BYTES}), found ${linkConnectionWindowBytes}: fewer streams, smaller windows, or a larger one of the connection`;
}

function contradiction(limits: Limits, { problem }: Reading): boolean {
  const found = limitsProblem(limits);
  if (found !== undefined) problem(found);
  return found !== undefined;
}

/** Only what was written. */
function present(written: Readonly<Record<string, number | undefined>>): Readonly<Record<string, number>> {
  const entries = Object.entries(written);
  return Object.fromEntries(entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])));
}

/** What one HTTP/2 connection may cost us, by who is at its other end: security.md section 3. */

/** When resets are too many although they are no flood, and what is done then. */
export interface ResetShare {
  /** Of the streams opened in the same time. */
  readonly max: number;
  /** `drain`: as without a share. `report`: the connection goes on, and whoever watches it is told. */
  readonly beyond: 'drain' | 'report';
}

/** Limits of a connection. Times are milliseconds, sizes bytes. */
export interface ConnectionLimits {
  /** Streams at once that the other end may open; more are refused with REFUSED_STREAM. */
  readonly streamsMax: number;
  /** What the other end may send on a stream before we give credit; 1 to 2^31-1. */
  readonly streamWindowBytes: number;
  /** The same on the connection; at least 65,535, where every connection starts. */
  readonly connectionWindowBytes: number;
  /** What a stream's window may grow to if its receiver keeps up and the window holds it back; `window-growth.ts`. */
  readonly streamWindowBytesMax: number;
  /** By which the windows of all streams together may be larger than `streamWindowBytes`; 0 for no growth and no PINGs. */
  readonly growthBytesMax: number;
  /** HPACK table that the other end may use, and the most that we use of its own. */
  readonly headerTableBytes: number;
  /** A header block, decoded, as `hpack/decoder` counts; its fields, and one name. */
  readonly headerBytesMax: number;
  readonly headerFieldsMax: number;
  readonly headerNameBytesMax: number;
  /** A request target. */
  readonly targetBytesMax: number;
  /** CONTINUATION frames of one block. */
  readonly continuationsMax: number;
  /** From the first to the last byte of a header block, of any other frame but DATA, and of the greeting. */
  readonly headerTimeoutMs: number;
  /** Until our SETTINGS are acknowledged. */
  readonly settingsTimeoutMs: number;
  /** Settings in one frame. */
  readonly settingsMax: number;
  /**
   * Answered streams whose request goes on that wait a moment to be reset; others are reset with the answer. Clients
   * built on older nghttp2 (curl 7.88) lose an answer that comes together with its RST_STREAM.
   */
  readonly lingeringMax: number;
  /**
   * Resets in 10 s, received or caused by what the other end did wrong. Above it no more streams are taken and those under
   * way finish: a connection is shared by callers who cancelled nothing. At twice as many the end: what was opened after
   * GOAWAY is never processed, and only an attacker goes on resetting it (CVE-2023-44487).
   */
  readonly resetsMax: number;
  /** Where there is one, resets above `resetsMax` are too many only if they are above it too. */
  readonly resetShare: ResetShare | undefined;
  /** What is allowed by the protocol and of no use to anybody: at 75 % of this GOAWAY, at 100 % the end. */
  readonly glitchesMax: number;
  /** Answers to PING, SETTINGS and errors that wait for a socket. */
  readonly controlFramesMax: number;
  /** After so long with bytes waiting on a stream and nearly none taken, and a tenth more, it is reset; `undefined` for never. */
  readonly stallTimeoutMs: number | undefined;
  /** After so long without a stream a server's end takes no more and closes; `undefined` for never. */
  readonly idleTimeoutMs: number | undefined;
}

/** Credit of a connection is announced at half its window, and at so much in any case: what is not announced nobody can use. */
export const CONNECTION_CREDIT_BYTES_MAX = 16 * 1024 * 1024;

/** For callers and services outside any link, where nothing else is configured. */
export const STRANGER_CONNECTION: ConnectionLimits = {
  streamsMax: 100,
  streamWindowBytes: 64 * 1024,
  connectionWindowBytes: 1024 * 1024,
  streamWindowBytesMax: 64 * 1024,
  growthBytesMax: 0,
  headerTableBytes: 4096,
  headerBytesMax: 16 * 1024,
  headerFieldsMax: 100,
  headerNameBytesMax: 256,
  targetBytesMax: 8 * 1024,
  continuationsMax: 8,
  headerTimeoutMs: 10_000,
  settingsTimeoutMs: 10_000,
  settingsMax: 32,
  lingeringMax: 100,
  resetsMax: 100,
  resetShare: undefined,
  glitchesMax: 200,
  controlFramesMax: 1_000,
  // A paused download is legitimate for minutes; what it holds is bounded by its window.
  stallTimeoutMs: 300_000,
  idleTimeoutMs: 300_000,
};

/** Of the streams opened (security.md section 3): callers with deadlines and hedged calls stay far below it, floods do not. */
const RESET_SHARE_MAX = 0.2;

/**
 * For workloads of our own mesh, proven by mutual TLS or the loopback address. One channel has all the calls of a workload,
 * and of 1,000 a second a hundred run into a deadline soon: an absolute number would end it again and again, while those
 * who flood reset nearly all that they open. What the gateway lets pass so is work for services that its policy permits.
 * Strangers at an edge keep the absolute number: four cheap calls would buy them a reset each.
 */
export const OWN_CALLER_CONNECTION: ConnectionLimits = {
  ...STRANGER_CONNECTION,
  resetShare: { max: RESET_SHARE_MAX, beyond: 'drain' },
};

/** For links: shared by a whole mesh, so abuse is reported and the caller at fault is cut at its own gateway, not the link. */
export const LINK_CONNECTION: ConnectionLimits = {
  ...STRANGER_CONNECTION,
  // A database pool of a whole mesh fits.
  streamsMax: 10_000,
  // Streams that stand still starve nobody, however many they are:
  // streamsMax * streamWindowBytes + growthBytesMax + CONNECTION_CREDIT_BYTES_MAX is 127 MiB below the connection's window.
  streamWindowBytes: 64 * 1024,
  connectionWindowBytes: 1024 * 1024 * 1024,
  // 1 Gbit/s at 150 ms is 18 MiB on the way.
  streamWindowBytesMax: 32 * 1024 * 1024,
  growthBytesMax: 256 * 1024 * 1024,
  headerTableBytes: 64 * 1024,
  // Gateways take an answer as it comes.
  lingeringMax: 0,
  // Below this many a share says nothing.
  resetsMax: 1_000,
  resetShare: { max: RESET_SHARE_MAX, beyond: 'report' },
  glitchesMax: Infinity,
  stallTimeoutMs: undefined,
  idleTimeoutMs: undefined,
};

/** What documents say of connections, as the engines take it: made once for each listener, pool or process. */
import { LINK_STREAM_START_BYTES, linkGrowthBytes, type Limits } from '../../federation/resources/limits.ts';
import { type Http1Limits, STRANGER_HTTP1 } from '../http1/limits.ts';
import { type ConnectionLimits, LINK_CONNECTION, OWN_CALLER_CONNECTION, STRANGER_CONNECTION } from '../http2/limits.ts';

/** Towards a service: it is near, so fixed windows do, and no PINGs that it may count. */
const SERVICE_STREAM_WINDOW_BYTES = 256 * 1024;

/** A service is trusted to answer, and not to be sane. */
const SERVICE_RESETS_MAX = 10_000;

/** What a gateway adds to the fields of a caller whose head was as large as it may be, and which must cross all the same. */
const GATEWAY_FIELDS_MAX = 16;
const GATEWAY_FIELD_BYTES_MAX = 8 * 1024;

/** What our own engine writes to a frame (RFC 9113 §6.5.2: everybody takes as much). */
const FRAME_BYTES = 16 * 1024;

/** A caller's connection over HTTP/1.1. */
export function callerHttp1(limits: Limits): Http1Limits {
  return {
    targetBytesMax: limits.targetBytes,
    headerBytesMax: limits.headerBytes,
    headerFieldsMax: limits.headerFields,
    headerNameBytesMax: limits.headerNameBytes,
    windowBytes: limits.streamWindowBytes,
    headersTimeoutMs: limits.headersMs,
    idleTimeoutMs: limits.idleKeepAliveMs,
  };
}

/** A caller's connection over HTTP/2. */
export function callerHttp2(limits: Limits): ConnectionLimits {
  return {
    ...STRANGER_CONNECTION,
    ...heads(limits),
    streamsMax: limits.streamsPerConnection,
    streamWindowBytes: limits.streamWindowBytes,
    streamWindowBytesMax: limits.streamWindowBytes,
    connectionWindowBytes: limits.connectionWindowBytes,
    resetsMax: limits.resetsPer10s,
    glitchesMax: limits.glitches,
    controlFramesMax: limits.queuedControlFrames,
    lingeringMax: limits.streamsPerConnection,
    idleTimeoutMs: limits.idleKeepAliveMs,
  };
}

/** The same for a workload of our own mesh, whose one connection many calls share. */
export function ownCallerHttp2(limits: Limits): ConnectionLimits {
  return { ...callerHttp2(limits), resetShare: OWN_CALLER_CONNECTION.resetShare };
}

/** A link, at both of its ends; resets and glitches are judged as a share of its streams whatever is configured. */
export function linkHttp2(limits: Limits): ConnectionLimits {
  // A target that came over HTTP/1.1 was counted apart.
  const headerBytesMax = limits.headerBytes + limits.targetBytes + GATEWAY_FIELD_BYTES_MAX;
  return {
    ...LINK_CONNECTION,
    ...heads(limits),
    headerBytesMax,
    headerFieldsMax: limits.headerFields + GATEWAY_FIELDS_MAX,
    continuationsMax: Math.max(limits.continuationFrames, Math.ceil(headerBytesMax / FRAME_BYTES)),
    streamsMax: limits.linkStreams,
    streamWindowBytes: Math.min(LINK_STREAM_START_BYTES, limits.linkStreamWindowBytes),
    streamWindowBytesMax: limits.linkStreamWindowBytes,
    growthBytesMax: linkGrowthBytes(limits),
    connectionWindowBytes: limits.linkConnectionWindowBytes,
    controlFramesMax: limits.queuedControlFrames,
  };
}

/** A service over HTTP/1.1. Its heads are held to what the mesh holds callers to: a mesh of large heads has them both ways. */
export function serviceHttp1(limits: Limits): Http1Limits {
  return { ...callerHttp1(limits), windowBytes: STRANGER_HTTP1.windowBytes };
}

/** A service over HTTP/2. */
export function serviceHttp2(limits: Limits): ConnectionLimits {
  return {
    ...LINK_CONNECTION,
    ...heads(limits),
    streamWindowBytes: SERVICE_STREAM_WINDOW_BYTES,
    growthBytesMax: 0,
    resetShare: undefined,
    resetsMax: SERVICE_RESETS_MAX,
  };
}

function heads(
  limits: Limits,
): Pick<
  ConnectionLimits,
  | 'headerBytesMax'
  | 'headerFieldsMax'
  | 'headerNameBytesMax'
  | 'targetBytesMax'
  | 'continuationsMax'
  | 'headerTimeoutMs'
> {
  return {
    headerBytesMax: limits.headerBytes,
    headerFieldsMax: limits.headerFields,
    headerNameBytesMax: limits.headerNameBytes,
    targetBytesMax: limits.targetBytes,
    continuationsMax: limits.continuationFrames,
    headerTimeoutMs: limits.headersMs,
  };
}

/** HTTP/2 on an accepted connection: each stream becomes an IncomingCall. Interim, over node:http2, until our own engine. */
import http2 from 'node:http2';
import { type Duplex } from 'node:stream';

import { codeOf } from '../../base/errors.ts';
import {
  type AbortCode,
  type EarlyRefusals,
  type HeaderField,
  type IncomingCall,
  type ResponseSink,
} from '../forward/exchange.ts';
import { neverIndexedOf, readBlock, trailerObject, writeBlock } from './fields.ts';
import { cutStalled, type StallLimit } from './stall.ts';
import { watchEnd } from './stream-end.ts';

/** What a connection is allowed, by who is at its other end. */
export interface Http2Limits {
  /** Streams at once; the rest is refused with REFUSED_STREAM. */
  readonly streamsMax: number;
  /** Flow-control window of a stream and of the connection, bytes. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** What node:http2 may hold for one session before it refuses streams, megabytes; its default of 10 is what few stalled streams fill. */
  readonly sessionMemoryMegabytes: number;
  /** HPACK table, bytes. */
  readonly headerTableBytes: number;
  /** Resets that may come in one burst, and how many per second after it, before the connection is ended (CVE-2023-44487). */
  readonly resetBurst: number;
  readonly resetsPerSecond: number;
}

/** For callers outside any link: the numbers of Envoy's edge page. */
export const STRANGER_LIMITS: Http2Limits = {
  streamsMax: 100,
  streamWindowBytes: 64 * 1024 - 1,
  connectionWindowBytes: 1024 * 1024,
  sessionMemoryMegabytes: 10,
  headerTableBytes: 4096,
  resetBurst: 100,
  resetsPerSecond: 10,
};

/** For links: a database pool of a whole mesh must fit, and one stalled reader must not hold the others up. */
export const LINK_LIMITS: Http2Limits = {
  streamsMax: 10_000,
  // A thousand stalled readers hold 256 MiB and still starve nobody.
  streamWindowBytes: 256 * 1024,
  connectionWindowBytes: 256 * 1024 * 1024,
  sessionMemoryMegabytes: 1_024,
  headerTableBytes: 64 * 1024,
  resetBurst: 10_000,
  resetsPerSecond: 2_000,
};

/** The decoded block that node lets through: above our own 16 KiB, so that the refusal is ours (431) and not a reset. */
const DECODED_BLOCK_BYTES_MAX = 64 * 1024;

/** Fields that node lets through, above our own 100 for the same reason. */
const FIELDS_MAX = 400;

/** END_STREAM on a HEADERS frame (RFC 9113 §6.2). */
const FLAG_END_STREAM = 0x1;

/** What a connection is served with. */
export interface Http2ServerOptions {
  readonly scheme: 'http' | 'https';
  readonly remoteAddress: string;
  readonly limits: Http2Limits;
  /** Takes each call; must not throw and answers or aborts every one. */
  readonly onCall: (call: IncomingCall) => void;
  /** Told when the connection breaks the protocol. Streams that node refuses by itself are not announced by it. */
  readonly refusals?: EarlyRefusals;
  /** For connections of strangers, which may stop half-way. */
  readonly stall?: StallLimit;
}

/** A connection being served. */
export interface ServedConnection {
  /** Resolves when it is over, for whatever reason. */
  readonly closed: Promise<void>;
  /** No new calls from now on (GOAWAY, `connection: close`); it closes when those under way are done. */
  finish(): void;
  /** Cuts everything at once. */
  destroy(): void;
  /** Round trip of a PING in milliseconds; rejects when the connection is over. */
  ping(): Promise<number>;
}

/** Serves HTTP/2 on `socket`, whose preface may already stand in its read buffer. */
export function serveHttp2(socket: Duplex, options: Http2ServerOptions): ServedConnection {
  const { limits } = options;
  const session = http2.performServerHandshake(socket, {
    maxDeflateDynamicTableSize: limits.headerTableBytes,
    maxOutstandingPings: 10,
    maxSettings: 32,
    maxSessionMemory: limits.sessionMemoryMegabytes,
    maxSessionInvalidFrames: 100,
    maxHeaderListPairs: FIELDS_MAX,
    streamResetBurst: limits.resetBurst,
    streamResetRate: limits.resetsPerSecond,
    settings: {
      enablePush: false,
      maxConcurrentStreams: limits.streamsMax,
      initialWindowSize: limits.streamWindowBytes,
      headerTableSize: limits.headerTableBytes,
      maxHeaderListSize: DECODED_BLOCK_BYTES_MAX,
    },
  });
  const closed = new Promise<void>((resolve) => {
    session.once('close', resolve);
  });
  // Every failure of the session also closes it, and its streams tell their calls.
  session.on('error', (error) => {
    // What node's parser finds wrong; a connection that broke has other codes.
    if (codeOf(error) !== 'ERR_HTTP2_ERROR') return;
    options.refusals?.record({ protocol: 'http2', reason: 'request-malformed', method: '', path: '', host: '' });
  });
  session.on('frameError', () => undefined);
  socket.on('error', () => undefined);
  session.setLocalWindowSize(limits.connectionWindowBytes);
  if (options.stall !== undefined) cutStalled(session, options.stall);
  session.on('stream', (stream, headers, flags, raw) => {
    // The handler is attached before anything else can make the stream fail.
    stream.on('error', () => undefined);
    stream.on('frameError', () => undefined);
    if (stream.destroyed) return;
    options.onCall(incomingCall(stream, { headers, flags, raw }, options));
  });
  return {
    closed,
    finish: () => {
      if (!session.closed && !session.destroyed) session.close();
    },
    destroy: () => {
      session.destroy();
      socket.destroy();
    },
    ping: () =>
      new Promise((resolve, reject) => {
        const refused = (): void => {
          reject(new Error('the connection is over'));
        };
        if (session.destroyed) {
          refused();
          return;
        }
        const sent = session.ping((error, durationMs) => {
          if (error) reject(error);
          else resolve(durationMs);
        });
        if (!sent) refused();
      }),
  };
}

/** RST_STREAM codes of RFC 9113 §7. */
export function resetCodeOf(code: AbortCode): number {
  switch (code) {
    case 'cancel':
      return http2.constants.NGHTTP2_CANCEL;
    case 'refused':
      return http2.constants.NGHTTP2_REFUSED_STREAM;
    case 'done':
      return http2.constants.NGHTTP2_NO_ERROR;
    case 'internal':
      return http2.constants.NGHTTP2_INTERNAL_ERROR;
    default:
      return code satisfies never;
  }
}

interface ReceivedHead {
  readonly headers: object;
  readonly flags: number;
  readonly raw: readonly string[];
}

function incomingCall(stream: http2.ServerHttp2Stream, head: ReceivedHead, options: Http2ServerOptions): IncomingCall {
  const { pseudo, fields } = readBlock(head.raw);
  let trailers: readonly HeaderField[] = [];
  stream.on('trailers', (_headers, _flags, raw) => {
    trailers = readBlock(raw).fields;
  });
  const hasBody = (head.flags & FLAG_END_STREAM) === 0;
  const ended = watchEnd(stream);
  const gone = new AbortController();
  stream.once('close', () => {
    if (!stream.writableFinished || stream.rstCode !== http2.constants.NGHTTP2_NO_ERROR) gone.abort();
  });
  return {
    protocol: 'http2',
    method: pseudo.get(':method') ?? '',
    path: pseudo.get(':path') ?? '',
    authority: pseudo.get(':authority') ?? fields.find(([name]) => name === 'host')?.[1] ?? '',
    scheme: options.scheme,
    headers: fields,
    neverIndexed: neverIndexedOf(head.headers),
    hasBody,
    body: stream,
    remoteAddress: options.remoteAddress,
    trailers: () => trailers,
    whole: () => ended() && stream.rstCode === http2.constants.NGHTTP2_NO_ERROR,
    respond: (status, headers, end) => respond(stream, { status, headers, end: end ?? false }),
    abort: (code) => {
      if (!stream.closed && !stream.destroyed) stream.close(resetCodeOf(code));
    },
    closed: gone.signal,
  };
}

interface Answer {
  readonly status: number;
  readonly headers: readonly HeaderField[];
  readonly end: boolean;
}

function respond(stream: http2.ServerHttp2Stream, answer: Answer): ResponseSink {
  let trailers: readonly HeaderField[] = [];
  stream.once('wantTrailers', () => {
    if (!stream.destroyed && !stream.closed) stream.sendTrailers(trailerObject(trailers));
  });
  if (!stream.destroyed && !stream.closed && !stream.headersSent) {
    // A variable, because the declared type lags behind the runtime, which knows `sendDate`.
    const options = { endStream: answer.end, waitForTrailers: !answer.end, sendDate: false };
    stream.respond(writeBlock([[':status', String(answer.status)]], answer.headers, []), options);
  }
  return {
    body: stream,
    setTrailers: (fields) => {
      trailers = fields;
    },
  };
}

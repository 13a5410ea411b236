/** HTTP/2 towards a peer or a service on a connection already made: an Upstream. Interim, over node:http2, until our own engine. */
import http2 from 'node:http2';
import { type Duplex } from 'node:stream';

import { JumpgateError } from '../../base/errors.ts';
import {
  type AbortCode,
  type HeaderField,
  type IncomingResponse,
  type OutgoingCall,
  type RequestHead,
  type Upstream,
} from '../forward/exchange.ts';
import { neverIndexedOf, readBlock, trailerObject, writeBlock } from './fields.ts';
import { resetCodeOf, type Http2Limits } from './server.ts';
import { watchEnd } from './stream-end.ts';

/** Fields and decoded bytes of a response that node lets through; counts beyond our own limits are refused by forwarding. */
const FIELDS_MAX = 400;
const DECODED_BLOCK_BYTES_MAX = 64 * 1024;

/** END_STREAM on a HEADERS frame (RFC 9113 §6.2). */
const FLAG_END_STREAM = 0x1;

/** An HTTP/2 connection of which we are the client. */
export interface Http2Connection extends Upstream {
  /** Resolves when the other side's SETTINGS are in; rejects when the connection ends before. */
  readonly ready: Promise<void>;
  /** Resolves when it is over. */
  readonly closed: Promise<void>;
  /** Whether `request` would be taken: false after GOAWAY, `finish` and the end. */
  readonly usable: boolean;
  /** Calls under way. */
  readonly streams: number;
  /** The other side's limit on calls at once. */
  readonly streamsMax: number;
  /** No new calls; closes when those under way are done. */
  finish(): void;
  destroy(): void;
  /** Round trip of a PING in milliseconds. */
  ping(): Promise<number>;
}

/** Becomes the HTTP/2 client on `socket`. `limits` are what we allow the other side. */
export function http2Client(socket: Duplex, limits: Http2Limits): Http2Connection {
  const session = http2.connect('http://upstream.invalid', {
    createConnection: () => socket,
    maxDeflateDynamicTableSize: limits.headerTableBytes,
    maxOutstandingPings: 10,
    maxSettings: 32,
    maxSessionMemory: limits.sessionMemoryMegabytes,
    maxHeaderListPairs: FIELDS_MAX,
    settings: {
      enablePush: false,
      initialWindowSize: limits.streamWindowBytes,
      headerTableSize: limits.headerTableBytes,
      maxHeaderListSize: DECODED_BLOCK_BYTES_MAX,
    },
  });
  const state = { streams: 0, going: false };
  session.on('error', () => undefined);
  session.on('frameError', () => undefined);
  socket.on('error', () => undefined);
  session.on('goaway', () => {
    state.going = true;
  });
  const closed = new Promise<void>((resolve) => {
    session.once('close', () => {
      state.going = true;
      resolve();
    });
  });
  const ready = readiness(session, limits);
  const usable = (): boolean => !state.going && !session.closed && !session.destroyed;
  return {
    ready,
    closed,
    get usable(): boolean {
      return usable();
    },
    get streams(): number {
      return state.streams;
    },
    get streamsMax(): number {
      return session.destroyed ? 0 : (session.remoteSettings.maxConcurrentStreams ?? Infinity);
    },
    request: (head, signal) => {
      if (!usable()) throw notSent();
      return outgoingCall(openStream(session, head), head, signal, state);
    },
    finish: () => {
      state.going = true;
      if (!session.closed && !session.destroyed) session.close();
    },
    destroy: () => {
      state.going = true;
      session.destroy();
      socket.destroy();
    },
    ping: () => pingOf(session),
  };
}

function readiness(session: http2.ClientHttp2Session, limits: Http2Limits): Promise<void> {
  const ready = new Promise<void>((resolve, reject) => {
    session.once('remoteSettings', () => {
      session.setLocalWindowSize(limits.connectionWindowBytes);
      resolve();
    });
    session.once('error', reject);
    session.once('close', () => {
      reject(new JumpgateError('tcp', 'the connection closed before HTTP/2 began', { source: 'peer', retry: 'later' }));
    });
  });
  // Whoever needs it awaits it; unawaited, its failure is also `closed`.
  ready.catch(() => undefined);
  return ready;
}

function pingOf(session: http2.ClientHttp2Session): Promise<number> {
  return new Promise((resolve, reject) => {
    const refused = new Error('the connection is over, or too many pings are unanswered');
    if (session.destroyed) {
      reject(refused);
      return;
    }
    const sent = session.ping((error, durationMs) => {
      if (error) reject(error);
      else resolve(durationMs);
    });
    if (!sent) reject(refused);
  });
}

function openStream(session: http2.ClientHttp2Session, head: RequestHead): http2.ClientHttp2Stream {
  const pseudo: readonly HeaderField[] = [
    [':method', head.method],
    [':scheme', head.scheme],
    [':authority', head.authority],
    [':path', head.path],
  ];
  try {
    return session.request(writeBlock(pseudo, head.headers, head.neverIndexed), {
      endStream: !head.hasBody,
      waitForTrailers: head.hasBody,
    });
  } catch (cause) {
    if (session.closed || session.destroyed) throw notSent(cause);
    throw new JumpgateError('upstream-malformed', 'the request cannot be written as HTTP/2', {
      source: 'caller',
      cause,
    });
  }
}

function notSent(cause?: unknown): JumpgateError {
  return new JumpgateError('not-sent', 'the connection takes no more requests', {
    source: 'peer',
    retry: 'fresh-connection',
    cause,
  });
}

function outgoingCall(
  stream: http2.ClientHttp2Stream,
  head: RequestHead,
  signal: AbortSignal,
  state: { streams: number },
): OutgoingCall {
  let trailers: readonly HeaderField[] = [];
  state.streams += 1;
  const abort = (code: AbortCode): void => {
    if (!stream.closed && !stream.destroyed) stream.close(resetCodeOf(code));
  };
  const onAbort = (): void => {
    abort('cancel');
  };
  signal.addEventListener('abort', onAbort, { once: true });
  stream.on('frameError', () => undefined);
  stream.once('close', () => {
    state.streams -= 1;
    signal.removeEventListener('abort', onAbort);
  });
  stream.once('wantTrailers', () => {
    if (!stream.destroyed && !stream.closed) stream.sendTrailers(trailerObject(trailers));
  });
  const response = responseOf(stream);
  if (signal.aborted) onAbort();
  if (!head.hasBody && !stream.writableEnded) stream.end();
  return {
    body: stream,
    setTrailers: (fields) => {
      trailers = fields;
    },
    response,
    abort,
  };
}

function responseOf(stream: http2.ClientHttp2Stream): Promise<IncomingResponse> {
  let trailers: readonly HeaderField[] = [];
  const ended = watchEnd(stream);
  stream.on('trailers', (_headers, _flags, raw: readonly string[]) => {
    trailers = readBlock(raw).fields;
  });
  const response = new Promise<IncomingResponse>((resolve, reject) => {
    let failure: unknown;
    stream.on('error', (error) => {
      failure = error;
    });
    stream.once('response', (headers, flags, raw) => {
      const { pseudo, fields } = readBlock(raw);
      resolve({
        status: Number(pseudo.get(':status')),
        headers: fields,
        neverIndexed: neverIndexedOf(headers),
        hasBody: (flags & FLAG_END_STREAM) === 0,
        body: stream,
        trailers: () => trailers,
        whole: () => ended() && stream.rstCode === http2.constants.NGHTTP2_NO_ERROR,
      });
    });
    stream.once('close', () => {
      reject(unanswered(stream, failure));
    });
  });
  response.catch(() => undefined);
  return response;
}

/** Streams above a GOAWAY's last one count as refused too (RFC 9113 §6.8), and one without a number has never left. */
function unanswered(stream: http2.ClientHttp2Stream, cause: unknown): JumpgateError {
  if (stream.pending || stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM) {
    const details = { source: 'peer', retry: 'fresh-connection', cause } as const;
    return new JumpgateError('refused-stream', 'the other side took nothing of the request', details);
  }
  const details = { source: 'peer', retry: 'later', cause } as const;
  return new JumpgateError('upstream-reset', 'the stream ended before a response came', details);
}

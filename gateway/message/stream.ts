/**
 * One exchange as an engine shows it, over HTTP/1.1 and HTTP/2 alike: a sender to write to, a receiver that is told.
 *
 *              server side                                   client side
 *   onRequest(stream, head, end) -> receiver      open(head, end, receiver) -> stream
 *   receiver.onData* [onTrailers]                 stream.write* [finish]
 *   stream.inform* respond write* [finish]        receiver.onInterim* onResponse onData* [onTrailers]
 *
 * Everything is synchronous and nothing is buffered beyond what flow control allowed: a receiver gives credit for bytes
 * when they have left on its other side, and a sender tells `onSent` when bytes given to it have left.
 */
import { type Field } from './field.ts';
import { type RequestHead, type ResponseHead } from './head.ts';

/** The sending half of an exchange, and the way to give it up. After an end or reset every method does nothing. */
export interface StreamSender {
  /**
   * Takes `bytes` (which the stream may keep, and nobody may change any more) and sends them as flow control allows;
   * `receiver.onSent` tells when they have left. With `end` they are the last. Empty without `end` does nothing.
   */
  write(bytes: Uint8Array, end: boolean): void;
  /** Ends the message with these trailers, or with none. Trailers are dropped where the protocol cannot carry them. */
  finish(trailers: readonly Field[]): void;
  /** Gives the exchange up: RST_STREAM on HTTP/2, a cut connection on HTTP/1.1. The receiver is told nothing more. */
  reset(code: number): void;
  /** Permits the other end to send so many more bytes: those of `onData` that have been dealt with. */
  credit(bytes: number): void;
}

/** Who is told what the other end sends. Must not throw. Nothing is told after an end-and-answered exchange, or a reset. */
export interface StreamReceiver {
  /** `bytes` may be kept, and nobody changes them. With `end` they are the last; they may then be empty. */
  onData(bytes: Uint8Array, end: boolean): void;
  /** The message ended with these trailers. */
  onTrailers(trailers: readonly Field[]): void;
  /**
   * The exchange broke: reset by the other end, its connection lost, or a violation of the protocol. Told at most once.
   * `violated`: by the other end, whose message this was; a code that it sent itself says what it thinks of ours.
   */
  onReset(code: number, violated?: boolean): void;
  /** So many bytes given to `write` have left for the socket. */
  onSent(bytes: number): void;
}

/** The server's end of an exchange: what answers a request. */
export interface ServerStream extends StreamSender {
  readonly protocol: 'http1' | 'http2';
  /** It ended because its connection did, which had other exchanges too; HTTP/1.1 does not say. */
  readonly isLost?: boolean;
  /** An interim response (1xx, never 101 on HTTP/2). */
  inform(head: ResponseHead): void;
  /**
   * The final response, once. With `end` it is complete with its head (HEAD, 204, 304, trailers-only). Status 200 to a
   * request with `protocol` switches to a tunnel of bytes both ways (101 on HTTP/1.1).
   */
  respond(head: ResponseHead, end: boolean): void;
  /**
   * What still comes of the request is not wanted: once the answer has left the stream is reset with NO_ERROR (RFC 9113
   * §8.1), or the HTTP/1.1 connection closed. The receiver is told nothing more, or what it is told is nobody's.
   */
  unwanted(): void;
}

/** Who is told of the response to a request. */
export interface ResponseReceiver extends StreamReceiver {
  onInterim(head: ResponseHead): void;
  /** The final response; with `end` it has no body. */
  onResponse(head: ResponseHead, end: boolean): void;
}

/** A connection on which requests can be sent. */
export interface ClientConnection {
  /** Whether `open` would take a request now: not closing, below the other end's stream limit. */
  readonly usable: boolean;
  /** Exchanges under way. */
  readonly streams: number;
  /** The connection had been used before, and ended under the last request without a byte of an answer (HTTP/1.1 keep-alive). */
  readonly staleReset?: boolean;
  /**
   * Sends a request head; with `end` it has no body. `undefined` when the connection takes none: nothing has left then.
   * Throws JumpgateError `header-malformed` for a head that its protocol cannot carry, and `protocol-mismatch` for one with
   * `protocol` where the other end does not do extended CONNECT: nothing has left then either.
   */
  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): StreamSender | undefined;
}

/** Why an engine could not make a call of what came in. Each is a code of `refusal/reason`. */
export type EarlyReason =
  | 'request-malformed'
  | 'header-malformed'
  | 'limit-header-bytes'
  | 'limit-header-fields'
  | 'limit-target'
  | 'headers-timeout'
  | 'target-malformed'
  | 'method-unsupported'
  | 'version-unsupported'
  | 'transfer-coding-unsupported'
  | 'expectation-unsupported';

/** Who serves the requests of a connection. */
export interface RequestListener {
  /** Whoever answers through `stream`, now or later, and is told what else comes of the request. */
  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamReceiver;
  /**
   * A request that cannot be read or is beyond a limit. Where `stream` is given it must be answered at once, complete
   * with its head and body; otherwise the engine has reset the stream or will close the connection. `head` is what could be read.
   */
  onRefused(reason: EarlyReason, head: Partial<RequestHead>, stream: ServerStream | undefined): void;
}

/** One call as every engine shows it: the interface over HTTP/1.1 and HTTP/2 behind which node:http and node:http2 are to be replaced. */
import { type Readable, type Writable } from 'node:stream';

import { type ReasonCode } from '../refusal/reason.ts';

/** A header or trailer field: name in lower case, without pseudo-headers, in the order of the wire; duplicates stay apart. */
export type HeaderField = readonly [name: string, value: string];

/** Why one side gives a stream up: the caller went away, we never started, something broke on the way, or the answer is complete and the rest of the request is not wanted. */
export type AbortCode = 'cancel' | 'refused' | 'internal' | 'done';

/** A request that came in. */
export interface IncomingCall {
  readonly protocol: 'http1' | 'http2';
  readonly method: string;
  /** The request target as received, query included; not yet checked. */
  readonly path: string;
  /** `:authority`, or the Host field where there is none; '' when the caller sent neither. */
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  readonly headers: readonly HeaderField[];
  /** Names (lower case) that came never-indexed (RFC 7541 §7.1) and must stay so. */
  readonly neverIndexed: readonly string[];
  /** False when the request is known to end with its headers. */
  readonly hasBody: boolean;
  readonly body: Readable;
  /** Address of the other end of the connection, '' on a Unix socket. */
  readonly remoteAddress: string;
  /** Complete once `body` has ended. */
  trailers(): readonly HeaderField[];
  /** After 'end' of `body`: whether its sender ended it, rather than a reset. */
  whole(): boolean;
  /** Answers. With `end` the response is complete with its headers (trailers-only, HEAD, 204, 304). At most once. */
  respond(status: number, headers: readonly HeaderField[], end?: boolean): ResponseSink;
  /** Gives the exchange up: a reset on HTTP/2, a cut connection on HTTP/1.1, never a clean end. */
  abort(code: AbortCode): void;
  /** Aborted when the caller goes away, or its stream breaks, before the response is complete. */
  readonly closed: AbortSignal;
}

/** A request that an engine refused before it was a call: it could not be read, or took too long. What is not known is ''. */
export interface EarlyRefusal {
  readonly protocol: 'http1' | 'http2';
  readonly reason: ReasonCode;
  readonly method: string;
  readonly path: string;
  readonly host: string;
}

/** Who learns of early refusals. */
export interface EarlyRefusals {
  /** Whether the other end may see the reason code, as callers on outbound listeners do. */
  readonly tellReason: boolean;
  /** Told of each; must not throw. */
  record(refusal: EarlyRefusal): void;
}

/** Where a response goes. */
export interface ResponseSink {
  readonly body: Writable;
  /** Sends these after the body; before `body.end()`. Dropped where the protocol cannot carry them (HTTP/1.1 with content-length). */
  setTrailers(trailers: readonly HeaderField[]): void;
}

/** The head of a request to send. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  readonly headers: readonly HeaderField[];
  readonly neverIndexed: readonly string[];
  readonly hasBody: boolean;
}

/** Something that takes requests: a link to a peer, or a connection to a service. */
export interface Upstream {
  /**
   * Starts a request; aborting `signal` cancels it. Throws a JumpgateError `not-sent` (retry `fresh-connection`) when the
   * connection takes no more requests, in which case nothing of this one has left.
   */
  request(head: RequestHead, signal: AbortSignal): OutgoingCall;
}

/** A request under way. */
export interface OutgoingCall {
  /** Already ended when the head said that there is no body. */
  readonly body: Writable;
  /** Sends these after the body; before `body.end()`. */
  setTrailers(trailers: readonly HeaderField[]): void;
  /**
   * The response head. Rejects with a JumpgateError: `stale-connection` (a kept-alive connection was closed under the
   * request), `refused-stream` (the other side has processed nothing of it), `upstream-reset`, `upstream-malformed`.
   */
  readonly response: Promise<IncomingResponse>;
  abort(code: AbortCode): void;
}

/** A response that came in. Interim (1xx) responses are swallowed by the engine. */
export interface IncomingResponse {
  readonly status: number;
  readonly headers: readonly HeaderField[];
  readonly neverIndexed: readonly string[];
  /** False when the response is known to end with its headers. */
  readonly hasBody: boolean;
  /** Ends only when the other side ended it; a break is an 'error' or a 'close' without 'end'. */
  readonly body: Readable;
  /** Complete once `body` has ended. */
  trailers(): readonly HeaderField[];
  /** After 'end' of `body`: whether its sender ended it, rather than a reset. */
  whole(): boolean;
}

/** The one value of `name`; `undefined` when it is absent or there are several. */
export function soleValue(headers: readonly HeaderField[], name: string): string | undefined {
  const values = headers.filter(([each]) => each === name);
  return values.length === 1 ? values[0]?.[1] : undefined;
}

/** Whether any field has this name. */
export function hasField(headers: readonly HeaderField[], name: string): boolean {
  return headers.some(([each]) => each === name);
}

/** Whether these headers are those of a gRPC call (content-type application/grpc, +suffix or ;parameters). */
export function isGrpc(headers: readonly HeaderField[]): boolean {
  return /^application\/grpc(?:$|[+;])/i.test(soleValue(headers, 'content-type') ?? '');
}

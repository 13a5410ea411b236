/** HTTP/1.1 connections without sockets: a wire that keeps what was sent, and parties that keep what they were told. */
import { Http1ClientConnection, type Http1ClientOptions } from '../../gateway/http1/client-connection.ts';
import { Http1ServerConnection, type Http1ServerOptions } from '../../gateway/http1/server-connection.ts';
import { type Wire } from '../../gateway/http1/wire.ts';
import { type Field } from '../../gateway/message/field.ts';
import { type RequestHead, type ResponseHead } from '../../gateway/message/head.ts';
import { field } from '../../gateway/message/names.ts';
import { BufferPool, Output } from '../../gateway/message/output.ts';
import {
  type EarlyReason,
  type RequestListener,
  type ResponseReceiver,
  type ServerStream,
  type StreamReceiver,
  type StreamSender,
} from '../../gateway/message/stream.ts';
import { entryOf } from '../../gateway/refusal/reason.ts';

const POOL = new BufferPool();

/** A wire to nowhere. */
export class MemoryWire implements Wire {
  readonly outlet = { output: new Output(POOL), writable: true, schedule: (): void => undefined };
  ended = false;
  closed = false;
  isCut = false;
  paused = false;

  end(): void {
    this.ended = true;
  }

  close(): void {
    this.closed = true;
  }

  cut(): void {
    this.isCut = true;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  /** What was sent since the last time, one character per byte. */
  take(): string {
    return this.takeBytes().toString('latin1');
  }

  takeBytes(): Buffer {
    const batch = this.outlet.output.take();
    const bytes = Buffer.concat(batch.segments);
    this.outlet.output.release(batch);
    return bytes;
  }
}

/** Latin1 text as bytes. */
export function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** Fields as pairs. */
export function pairs(fields: readonly Field[]): readonly (readonly [string, string])[] {
  return fields.map(({ name, value }) => [name.text, value]);
}

/** Fields from pairs. */
export function fieldsOf(list: readonly (readonly [string, string])[]): readonly Field[] {
  return list.map(([name, value]) => field(name, value));
}

/** What came of one request. */
export class RecordedRequest implements StreamReceiver {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  readonly chunks: Uint8Array[] = [];
  trailers: readonly Field[] | undefined;
  ended: boolean;
  resetCode: number | undefined;
  sent = 0;
  onEnd: (() => void) | undefined;
  onChunk: ((size: number) => void) | undefined;

  constructor(stream: ServerStream, head: RequestHead, end: boolean) {
    this.stream = stream;
    this.head = head;
    this.ended = end;
  }

  get body(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  onData(bytes: Uint8Array, end: boolean): void {
    this.chunks.push(bytes);
    this.onChunk?.(bytes.length);
    if (end) this.#end();
  }

  onTrailers(trailers: readonly Field[]): void {
    this.trailers = trailers;
    this.#end();
  }

  onReset(code: number): void {
    this.resetCode = code;
  }

  onSent(bytes: number): void {
    this.sent += bytes;
  }

  #end(): void {
    this.ended = true;
    this.onEnd?.();
  }
}

/** A listener that keeps every request, and answers refused ones as the gateway does. */
export class RecordingListener implements RequestListener {
  readonly requests: RecordedRequest[] = [];
  readonly refused: { readonly reason: EarlyReason; readonly head: Partial<RequestHead> }[] = [];
  /** Called with each request, before anything of its body. */
  onEach: ((request: RecordedRequest) => void) | undefined;

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamReceiver {
    const request = new RecordedRequest(stream, head, end);
    this.requests.push(request);
    this.onEach?.(request);
    return request;
  }

  onRefused(reason: EarlyReason, head: Partial<RequestHead>, stream: ServerStream | undefined): void {
    this.refused.push({ reason, head });
    stream?.respond({ status: entryOf(reason).status, fields: [] }, true);
  }

  /** The request at `index`. */
  at(index: number): RecordedRequest {
    const request = this.requests[index];
    if (request === undefined) throw new Error(`expected request ${index}, found ${this.requests.length}`);
    return request;
  }
}

/** A server's end over a wire to nowhere. */
export function serverOver(options: Partial<Http1ServerOptions> = {}): {
  readonly wire: MemoryWire;
  readonly listener: RecordingListener;
  readonly connection: Http1ServerConnection;
} {
  const wire = new MemoryWire();
  const listener = new RecordingListener();
  return { wire, listener, connection: new Http1ServerConnection(wire, listener, { scheme: 'http', ...options }) };
}

/** A client's end over a wire to nowhere. */
export function clientOver(options: Http1ClientOptions = {}): {
  readonly wire: MemoryWire;
  readonly connection: Http1ClientConnection;
} {
  const wire = new MemoryWire();
  return { wire, connection: new Http1ClientConnection(wire, options) };
}

/** What came of one response. */
export class RecordedResponse implements ResponseReceiver {
  readonly interims: ResponseHead[] = [];
  head: ResponseHead | undefined;
  readonly chunks: Uint8Array[] = [];
  trailers: readonly Field[] | undefined;
  ended = false;
  resetCode: number | undefined;
  sent = 0;
  onEnd: (() => void) | undefined;
  onHead: (() => void) | undefined;
  onChunk: (() => void) | undefined;

  get body(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  onInterim(head: ResponseHead): void {
    this.interims.push(head);
  }

  onResponse(head: ResponseHead, end: boolean): void {
    this.head = head;
    this.onHead?.();
    if (end) this.#end();
  }

  onData(bytes: Uint8Array, end: boolean): void {
    this.chunks.push(bytes);
    this.onChunk?.();
    if (end) this.#end();
  }

  onTrailers(trailers: readonly Field[]): void {
    this.trailers = trailers;
    this.#end();
  }

  onReset(code: number): void {
    this.resetCode = code;
    this.onEnd?.();
  }

  onSent(bytes: number): void {
    this.sent += bytes;
  }

  #end(): void {
    this.ended = true;
    this.onEnd?.();
  }
}

/** The head of a request. */
export function requestHead(
  method: string,
  path: string,
  more: {
    readonly authority?: string;
    readonly protocol?: string;
    readonly fields?: readonly (readonly [string, string])[];
  } = {},
): RequestHead {
  return {
    method: field(':method', method),
    path: field(':path', path),
    authority: field(':authority', more.authority ?? 'a'),
    scheme: field(':scheme', 'http'),
    protocol: more.protocol === undefined ? undefined : field(':protocol', more.protocol),
    fields: fieldsOf(more.fields ?? []),
  };
}

/** A request that was sent, and what came of it. */
export interface Sent {
  readonly wire: MemoryWire;
  readonly connection: Http1ClientConnection;
  readonly receiver: RecordedResponse;
  readonly stream: StreamSender;
  /** What went out with its head. */
  readonly text: string;
}

type SentRequest = Parameters<typeof requestHead>[2] & { readonly end?: boolean };

/** Sends a request for `/`, over a connection of its own unless one is given. */
export function send(method: string, more: SentRequest = {}, over: ReturnType<typeof clientOver> = clientOver()): Sent {
  const receiver = new RecordedResponse();
  const stream = over.connection.open(requestHead(method, '/', more), more.end ?? true, receiver);
  if (stream === undefined) throw new Error('the connection takes no request');
  const text = over.wire.take();
  over.connection.flushed();
  return { ...over, receiver, stream, text };
}

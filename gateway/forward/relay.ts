/** Carries one exchange from a stream to a connection and back, byte for byte and no faster than either end takes it. */
import { ERROR_CODE } from '../message/error-code.ts';
import { type Field } from '../message/field.ts';
import { type RequestHead, type ResponseHead } from '../message/head.ts';
import {
  type ClientConnection,
  type ResponseReceiver,
  type ServerStream,
  type StreamReceiver,
  type StreamSender,
} from '../message/stream.ts';

/** What is carried, and how. */
export interface RelayOptions {
  readonly stream: ServerStream;
  /** As it is to be sent. */
  readonly head: RequestHead;
  /** The request has no body. */
  readonly end: boolean;
  readonly connection: ClientConnection;
  /** Whether a field of the answer, or a trailer either way, crosses. */
  readonly passes: (field: Field) => boolean;
  /** Told once when the exchange is over; `whole` if it was answered to the end. */
  readonly onOver: (whole: boolean) => void;
}

/**
 * Starts to carry. Returns who is to be told what else comes of the request; `undefined` when the connection takes no
 * request: then nothing has left, `onOver` is not told, and the stream is still to be answered.
 */
export function relay(options: RelayOptions): StreamReceiver | undefined {
  const request = new RelayedRequest(options);
  const upstream = options.connection.open(options.head, options.end, new RelayedAnswer(options, request));
  if (upstream === undefined) return undefined;
  request.upstream = upstream;
  return request;
}

/** The way there. */
class RelayedRequest implements StreamReceiver {
  upstream: StreamSender | undefined;
  readonly #options: RelayOptions;
  #ended: boolean;
  #over = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#ended = options.end;
  }

  onData(bytes: Uint8Array, end: boolean): void {
    if (end) this.#ended = true;
    // An answer that is complete makes the rest of the request useless, and the caller may not know yet.
    if (this.#over) this.#options.stream.credit(bytes.length);
    else this.upstream?.write(bytes, end);
  }

  onTrailers(trailers: readonly Field[]): void {
    this.#ended = true;
    if (!this.#over) this.upstream?.finish(trailers.filter(this.#options.passes));
  }

  onReset(): void {
    if (this.#over) return;
    this.upstream?.reset(ERROR_CODE.cancel);
    this.#finish(false);
  }

  onSent(bytes: number): void {
    this.upstream?.credit(bytes);
  }

  /** The answer is complete. */
  answered(): void {
    if (this.#over) return;
    if (!this.#ended) this.upstream?.reset(ERROR_CODE.cancel);
    this.#finish(true);
  }

  /** The answer broke off: the caller must not take it for whole. */
  broken(code: number): void {
    if (this.#over) return;
    // What was refused has not been processed, and may be sent again elsewhere (RFC 9113 §8.7).
    const refused = code === ERROR_CODE.refusedStream;
    this.#options.stream.reset(refused ? code : ERROR_CODE.internalError);
    this.#finish(false);
  }

  #finish(whole: boolean): void {
    this.#over = true;
    this.#options.onOver(whole);
  }
}

/** The way back. */
class RelayedAnswer implements ResponseReceiver {
  readonly #options: RelayOptions;
  readonly #request: RelayedRequest;

  constructor(options: RelayOptions, request: RelayedRequest) {
    this.#options = options;
    this.#request = request;
  }

  onInterim(head: ResponseHead): void {
    const { stream, passes } = this.#options;
    stream.inform({ status: head.status, fields: head.fields.filter(passes) });
  }

  onResponse(head: ResponseHead, end: boolean): void {
    const { stream, passes } = this.#options;
    stream.respond({ status: head.status, fields: head.fields.filter(passes) }, end);
    if (end) this.#request.answered();
  }

  onData(bytes: Uint8Array, end: boolean): void {
    this.#options.stream.write(bytes, end);
    if (end) this.#request.answered();
  }

  onTrailers(trailers: readonly Field[]): void {
    const { stream, passes } = this.#options;
    stream.finish(trailers.filter(passes));
    this.#request.answered();
  }

  onReset(code: number): void {
    this.#request.broken(code);
  }

  onSent(bytes: number): void {
    this.#options.stream.credit(bytes);
  }
}

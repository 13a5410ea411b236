/** One stream (RFC 9113 §5): what is known of it, and the sender that its user holds. */
import { type Field } from '../message/field.ts';
import { type ResponseHead } from '../message/head.ts';
import { type ResponseReceiver, type ServerStream, type StreamReceiver } from '../message/stream.ts';

/** The connection, as its streams know it. */
export interface StreamOwner {
  /** It has ended. */
  readonly closed: boolean;
  sendHead(stream: Stream, head: ResponseHead, end: boolean): void;
  sendData(stream: Stream, bytes: Uint8Array, end: boolean): void;
  sendTrailers(stream: Stream, trailers: readonly Field[]): void;
  resetStream(stream: Stream, code: number): void;
  /** The answer is out, and what still comes of the request is not wanted. */
  lingerStream(stream: Stream): void;
  creditStream(stream: Stream, bytes: number): void;
}

/**
 * A stream that is not idle. Its state is two halves:
 *
 *                localOpen, remoteOpen
 *     END_STREAM sent |       | END_STREAM received
 *                     v       v
 *          remoteOpen only   localOpen only
 *                     |       |
 *                     +-> closed <-- RST_STREAM sent or received, or the connection lost (from anywhere)
 */
export class Stream implements ServerStream {
  readonly protocol = 'http2';
  readonly id: number;
  /** We may send. */
  localOpen = true;
  /** The other end may send. */
  remoteOpen = true;
  closed = false;
  /** Of those that share its place in the table of its connection. */
  nextInSlot: Stream | undefined = undefined;
  /** A final head has been sent (server) or received (client). */
  hasHead = false;
  /** Who is told; `undefined` while the listener is only being asked. */
  receiver: StreamReceiver | undefined;
  /** The same of a client's stream. */
  response: ResponseReceiver | undefined;

  /** What we may send; below zero after a change of settings (RFC 9113 §6.9.2). */
  sendWindow: number;
  /** Bytes to send that wait, and what follows them. */
  queue: Uint8Array[] | undefined;
  queueHead = 0;
  queueOffset = 0;
  queuedBytes = 0;
  /** An end was given: nothing more is taken. */
  ending = false;
  trailers: readonly Field[] | undefined;
  /** Whether it stands in the round of those that could send. */
  inRound = false;
  /** Bytes sent since the last look for stalled streams, and looks in a row that found bytes waiting. */
  sentSinceLook = 0;
  stalledLooks = 0;
  /** Bytes sent before there was a receiver to tell. */
  sentUntold = 0;

  /** What the other end may send. */
  receiveWindow: number;
  /** Received and not credited by the receiver yet. */
  outstanding = 0;
  /** Credited and not announced yet. */
  owed = 0;
  /** By which its window is larger than at its start. */
  growth = 0;
  /** The last sample in which it received, how much, and whether its receiver waited for more (`window-growth.ts`). */
  sample = 0;
  sampleBytes = 0;
  ranDry = false;
  /** Whether it stands in the list of those to be announced. */
  announcing = false;
  /** Content yet to come by Content-Length; -1 if nothing is said. */
  contentLeft = -1;
  /** The request was HEAD: the response has no content whatever its length says. */
  isHead = false;
  /** An answered CONNECT, which has neither content length nor trailers. */
  isTunnel = false;
  /** What still comes of the request is not wanted: reset when the answer is out. */
  isUnwanted = false;

  readonly #owner: StreamOwner;

  constructor(owner: StreamOwner, id: number, sendWindow: number, receiveWindow: number) {
    this.#owner = owner;
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  get isLost(): boolean {
    return this.#owner.closed;
  }

  inform(head: ResponseHead): void {
    // 101 has no meaning on HTTP/2 (RFC 9113 §8.6).
    if (head.status >= 200 || head.status === 101) return;
    if (!this.hasHead && this.localOpen && !this.ending) this.#owner.sendHead(this, head, false);
  }

  respond(head: ResponseHead, end: boolean): void {
    if (!this.hasHead && this.localOpen && !this.ending) this.#owner.sendHead(this, head, end);
  }

  write(bytes: Uint8Array, end: boolean): void {
    if (this.localOpen && !this.ending) this.#owner.sendData(this, bytes, end);
  }

  finish(trailers: readonly Field[]): void {
    if (this.localOpen && !this.ending) this.#owner.sendTrailers(this, trailers);
  }

  reset(code: number): void {
    if (!this.closed) this.#owner.resetStream(this, code);
  }

  unwanted(): void {
    this.isUnwanted = true;
    if (!this.closed && !this.localOpen) this.#owner.lingerStream(this);
  }

  credit(bytes: number): void {
    // What has grown counts until its receiver is done, also behind the end.
    if (!this.closed || this.growth > 0) this.#owner.creditStream(this, bytes);
  }

  /** Tells the receiver that bytes have left. */
  sent(bytes: number): void {
    this.sentSinceLook += bytes;
    if (this.receiver === undefined) this.sentUntold += bytes;
    else this.receiver.onSent(bytes);
  }
}

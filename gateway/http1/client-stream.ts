/** The sending of one request, and the taking of what answers it. */
import { ERROR_CODE } from '../message/error-code.ts';
import { type Field } from '../message/field.ts';
import { type ResponseReceiver, type StreamSender } from '../message/stream.ts';
import { type BodyWriter } from './body-writer.ts';
import { type Wire } from './wire.ts';

/** The connection as its stream knows it. */
export interface ClientStreamOwner {
  readonly wire: Wire;
  readonly body: BodyWriter;
  /** Our half of the exchange is complete. */
  requestEnded(stream: Http1ClientStream): void;
  /** The response is complete; told before the receiver is. */
  responseEnded(stream: Http1ClientStream, bytesBehind: number): void;
  /** The exchange is given up, and the connection with it. */
  gaveUp(stream: Http1ClientStream): void;
  credited(stream: Http1ClientStream, bytes: number): void;
}

/** What a request is. */
export interface ClientExchange {
  readonly method: string;
  /** What it asks to change to, else empty. */
  readonly upgrade: string;
  readonly webSocketKey: string;
  readonly receiver: ResponseReceiver;
}

/** See {@link StreamSender}. */
export class Http1ClientStream implements StreamSender {
  readonly exchange: ClientExchange;
  readonly receiver: ResponseReceiver;
  /** Nothing more may be written or told. */
  over = false;
  /** Our half is complete. */
  ended: boolean;
  /** Whether the connection has become a tunnel. */
  isTunnel = false;
  readonly #owner: ClientStreamOwner;
  #unsent = 0;
  /** What was written to a tunnel before the other end agreed to it; at most a window, since nothing of it is told as sent. */
  #early: Uint8Array[] = [];
  #earlyEnd = false;

  constructor(owner: ClientStreamOwner, exchange: ClientExchange, ended: boolean) {
    this.#owner = owner;
    this.exchange = exchange;
    this.receiver = exchange.receiver;
    this.ended = ended;
  }

  write(bytes: Uint8Array, end: boolean): void {
    if (this.over || this.ended || this.#earlyEnd) return;
    if (this.exchange.upgrade !== '' && !this.isTunnel) {
      this.#early.push(bytes);
      this.#earlyEnd = end;
      return;
    }
    this.#unsent += bytes.length;
    const fits = this.#owner.body.write(bytes, end);
    this.#wrote(fits, end);
  }

  finish(trailers: readonly Field[]): void {
    if (this.over || this.ended || this.#earlyEnd) return;
    if (this.exchange.upgrade !== '' && !this.isTunnel) {
      this.#earlyEnd = true;
      return;
    }
    this.#wrote(this.#owner.body.finish(trailers), true);
  }

  reset(): void {
    if (this.over) return;
    this.over = true;
    this.#owner.gaveUp(this);
  }

  credit(bytes: number): void {
    if (!this.over) this.#owner.credited(this, bytes);
  }

  /** The socket has taken what was written. */
  sent(): void {
    const bytes = this.#unsent;
    if (bytes === 0 || this.over) return;
    this.#unsent = 0;
    this.receiver.onSent(bytes);
  }

  /** The response is complete. */
  bodyEnded(bytesBehind: number): void {
    this.#owner.responseEnded(this, bytesBehind);
  }

  /** The other end has agreed to the tunnel. */
  openTunnel(): void {
    this.isTunnel = true;
    this.ended = false;
    const early = this.#early;
    const end = this.#earlyEnd;
    this.#early = [];
    this.#earlyEnd = false;
    for (const bytes of early) this.write(bytes, false);
    if (end) this.finish([]);
  }

  /** The exchange broke; `violated`: by an answer that is none. */
  broke(code: number, violated: boolean): void {
    if (this.over) return;
    this.over = true;
    this.receiver.onReset(code, violated);
  }

  #wrote(fits: boolean, end: boolean): void {
    this.#owner.wire.outlet.schedule();
    if (!fits) {
      this.over = true;
      this.#owner.gaveUp(this);
      this.receiver.onReset(ERROR_CODE.internalError);
    } else if (end) {
      this.ended = true;
      this.#owner.requestEnded(this);
    }
  }
}

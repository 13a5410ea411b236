/**
 * The answering of one request.
 *
 *     WAITING ──respond──▶ ANSWERING ──last byte──▶ OVER          WAITING, ANSWERING ──reset, or the connection breaks──▶ OVER
 *        └── respond 2xx to an Upgrade ──▶ TUNNEL ──our end──▶ HALF ──their end──▶ OVER
 */
import { ERROR_CODE } from '../message/error-code.ts';
import { type Field } from '../message/field.ts';
import { type ResponseHead } from '../message/head.ts';
import { type ServerStream, type StreamReceiver } from '../message/stream.ts';
import { type BodyWriter } from './body-writer.ts';
import { type ResponsePlan, UNWRITABLE, writeResponseHead } from './head-writer.ts';
import { type ReadRequest, UNTIL_CLOSE } from './request-head.ts';
import { type Wire } from './wire.ts';
import { webSocketAccept } from './web-socket.ts';

/** The connection as its stream knows it. */
export interface StreamOwner {
  readonly wire: Wire;
  readonly body: BodyWriter;
  /** Whether the connection ends with this response. */
  mustClose(): boolean;
  /** The response is complete. */
  answered(stream: Http1ServerStream): void;
  /** The stream has become a tunnel. */
  tunnelled(stream: Http1ServerStream): void;
  /** Our half of a tunnel has ended. */
  tunnelEnded(stream: Http1ServerStream): void;
  credited(bytes: number): void;
  /** The request is complete; told before its receiver is. */
  requestEnded(): void;
}

const WAITING = 0;
const ANSWERING = 1;
const TUNNEL = 2;
/** A tunnel whose half towards the client has ended. */
const HALF = 3;
const OVER = 4;

/** Stands for the response that could not be written. */
const BAD_GATEWAY: ResponseHead = { status: 502, fields: [] };

/** See {@link ServerStream}. */
export class Http1ServerStream implements ServerStream {
  readonly protocol = 'http1';
  readonly request: ReadRequest;
  receiver: StreamReceiver | undefined = undefined;
  /** The connection ends with the response. */
  closes: boolean;
  /** Whether the client still waits for 100 (Continue). */
  expects: boolean;
  readonly #owner: StreamOwner;
  #state = WAITING;
  #bodiless = false;
  /** Given to `write` and not told of yet. */
  #unsent = 0;

  constructor(owner: StreamOwner, request: ReadRequest) {
    this.#owner = owner;
    this.request = request;
    this.closes = !request.keepAlive;
    this.expects = request.expects && request.length !== 0;
  }

  /** Nothing more may be written or told. */
  get over(): boolean {
    return this.#state === OVER;
  }

  /** The head of the final response has been written. */
  get responded(): boolean {
    return this.#state !== WAITING;
  }

  inform(head: ResponseHead): void {
    if (this.#state !== WAITING || this.request.minor === 0) return;
    if (head.status < 100 || head.status > 199 || head.status === 101) return;
    if (head.status === 100) {
      if (!this.expects) return;
      this.expects = false;
    }
    const { outlet } = this.#owner.wire;
    if (writeResponseHead(outlet.output, this.#plan(head, true)) !== UNWRITABLE) outlet.schedule();
  }

  respond(head: ResponseHead, end: boolean): void {
    if (this.#state !== WAITING) return;
    const isTunnel = this.request.head.protocol !== undefined;
    if (isTunnel && head.status >= 200 && head.status < 300) {
      this.#switch(head);
      return;
    }
    // What stands behind a refused Upgrade may be its protocol's bytes, which must not become a request.
    if (isTunnel || this.#owner.mustClose()) this.closes = true;
    const { outlet } = this.#owner.wire;
    const plan = this.#plan(head, end);
    const isFinal = head.status >= 200 && head.status <= 599;
    const length = isFinal ? writeResponseHead(outlet.output, plan) : UNWRITABLE;
    if (length === UNWRITABLE) {
      this.#failed();
      return;
    }
    if (length === UNTIL_CLOSE) this.closes = true;
    this.#state = ANSWERING;
    this.#bodiless = plan.bodiless;
    this.#owner.body.begin(length);
    outlet.schedule();
    if (end) this.#answered();
  }

  write(bytes: Uint8Array, end: boolean): void {
    if (this.#state !== ANSWERING && this.#state !== TUNNEL) return;
    const { outlet } = this.#owner.wire;
    this.#unsent += bytes.length;
    const fits = this.#bodiless || this.#owner.body.write(bytes, end);
    outlet.schedule();
    if (!fits) this.#breakOff();
    else if (end) this.#ended();
  }

  finish(trailers: readonly Field[]): void {
    if (this.#state !== ANSWERING && this.#state !== TUNNEL) return;
    const fits = this.#bodiless || this.#owner.body.finish(trailers);
    this.#owner.wire.outlet.schedule();
    if (fits) this.#ended();
    else this.#breakOff();
  }

  reset(): void {
    if (this.#state === OVER) return;
    this.#state = OVER;
    this.#owner.wire.cut();
  }

  /** A request whose answer is complete before it is ends its connection anyway. */
  unwanted(): void {
    if (this.#state !== OVER) this.#owner.credited(0);
  }

  credit(bytes: number): void {
    if (this.#state === OVER) return;
    if (this.expects && this.#state === WAITING) this.inform({ status: 100, fields: [] });
    this.#owner.credited(bytes);
  }

  /** The socket has taken what was written. */
  sent(): void {
    const bytes = this.#unsent;
    if (bytes === 0 || this.#state === OVER) return;
    this.#unsent = 0;
    this.receiver?.onSent(bytes);
  }

  /** The request is complete. */
  bodyEnded(): void {
    this.#owner.requestEnded();
  }

  /** Ends the stream without a word to anybody. */
  abandon(): void {
    this.#state = OVER;
  }

  /** The exchange broke. */
  broke(code: number): void {
    if (this.#state === OVER) return;
    this.#state = OVER;
    this.receiver?.onReset(code);
  }

  #plan({ status, fields }: ResponseHead, end: boolean): ResponsePlan {
    const { method, minor } = this.request;
    return {
      status,
      fields,
      bodiless: method === 'HEAD' || status === 204 || status === 304 || status < 200,
      end,
      minor,
      close: this.closes,
      upgrade: '',
      webSocketAccept: '',
    };
  }

  #switch(head: ResponseHead): void {
    const { webSocketKey, head: request } = this.request;
    const { outlet } = this.#owner.wire;
    const upgrade = request.protocol?.value ?? '';
    const accept = webSocketKey === '' ? '' : webSocketAccept(webSocketKey);
    const plan = { ...this.#plan({ status: 101, fields: head.fields }, false), upgrade, webSocketAccept: accept };
    if (writeResponseHead(outlet.output, plan) === UNWRITABLE) {
      this.closes = true;
      this.#failed();
      return;
    }
    this.#state = TUNNEL;
    this.#owner.body.begin(UNTIL_CLOSE);
    outlet.schedule();
    this.#owner.tunnelled(this);
  }

  #ended(): void {
    if (this.#state === TUNNEL) {
      this.#state = HALF;
      this.#owner.tunnelEnded(this);
    } else {
      this.#answered();
    }
  }

  #answered(): void {
    this.#state = OVER;
    this.#owner.answered(this);
  }

  /** The response holds what no line may hold, so it must not be sent, and another is. */
  #failed(): void {
    const { outlet } = this.#owner.wire;
    writeResponseHead(outlet.output, this.#plan(BAD_GATEWAY, true));
    outlet.schedule();
    this.#answered();
    this.receiver?.onReset(ERROR_CODE.internalError);
  }

  /** The body is not as long as its head said: a reader must not take it for complete. */
  #breakOff(): void {
    this.#state = OVER;
    this.#owner.wire.cut();
    this.receiver?.onReset(ERROR_CODE.internalError);
  }
}

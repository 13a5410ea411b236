/**
 * The client's end of an HTTP/1.1 connection: one exchange at a time.
 *
 *     IDLE ──open──▶ HEAD ──final head──▶ BODY ──whole body──▶ IDLE, if both ends keep it and the request is complete
 *      │ any byte      │ 101               │ broken                 else CLOSED
 *      ▼               ▼                   ▼
 *    CLOSED ◀─────── TUNNEL            CLOSED
 */
import { JumpgateError } from '../../base/errors.ts';
import { ERROR_CODE } from '../message/error-code.ts';
import { type RequestHead } from '../message/head.ts';
import { type ClientConnection, type ResponseReceiver, type StreamSender } from '../message/stream.ts';
import { BodyReader } from './body-reader.ts';
import { NOTHING, readBody } from './body-sink.ts';
import { BodyWriter } from './body-writer.ts';
import { type ClientStreamOwner, Http1ClientStream } from './client-stream.ts';
import { HeadReader } from './head-reader.ts';
import { UNWRITABLE, writeRequestHead } from './head-writer.ts';
import { type Http1Limits, INTERIM_RESPONSES_MAX, STRANGER_HTTP1 } from './limits.ts';
import { UNTIL_CLOSE } from './request-head.ts';
import { isStatusLine, type ReadResponse, readResponseHead } from './response-head.ts';
import { ResponseHeads } from './response-heads.ts';
import { type Spelling } from './spelling.ts';
import { newWebSocketKey, webSocketAccept } from './web-socket.ts';
import { type Wire } from './wire.ts';

/** How requests are sent on a connection. */
export interface Http1ClientOptions {
  /** For a backend that minds the case of names; lower case if not given. */
  readonly spelling?: Spelling | undefined;
  /** Of responses; {@link STRANGER_HTTP1} if not given. */
  readonly limits?: Http1Limits;
  /** Told when the connection takes the next request. */
  readonly onIdle?: () => void;
  /** Of connections to the same server, which says the same on all of them; the connection's own if not given. */
  readonly heads?: ResponseHeads;
}

const IDLE = 0;
const HEAD = 1;
const BODY = 2;
const TUNNEL = 3;
const CLOSED = 4;

/** Sends requests on one connection. Bytes come in by `receive`. */
export class Http1ClientConnection implements ClientConnection, ClientStreamOwner {
  readonly wire: Wire;
  readonly body: BodyWriter;
  /** How long the server keeps an idle connection, as it last said; -1 if it has not. */
  keepAliveMs = -1;
  /**
   * Whether the last exchange broke because its kept-alive connection closed as the request was sent: no byte of a
   * response came. The server may have processed it all the same, so only an idempotent request may go again.
   */
  staleReset = false;
  readonly #options: Http1ClientOptions;
  readonly #heads: ResponseHeads;
  readonly #windowBytes: number;
  readonly #reader: HeadReader;
  readonly #bodyReader: BodyReader;
  #phase = IDLE;
  #stream: Http1ClientStream | undefined;
  #exchanges = 0;
  #interims = 0;
  /** Of the current exchange: some of the request may have left; some of a response has come. */
  #mayHaveLeft = false;
  #answering = false;
  #keep = false;
  #inEnded = false;
  #finishing = false;
  /** An exchange has ended and `onIdle` is still to be told. */
  #cameToRest = false;
  #uncredited = 0;
  #paused = false;

  constructor(wire: Wire, options: Http1ClientOptions) {
    this.wire = wire;
    this.body = new BodyWriter(wire.outlet.output);
    this.#options = options;
    const limits = options.limits ?? STRANGER_HTTP1;
    this.#windowBytes = limits.windowBytes;
    this.#heads = options.heads ?? new ResponseHeads();
    const { lines: cache } = this.#heads;
    this.#reader = new HeadReader({ part: 'response', cache, limits, isStart: isStatusLine });
    this.#bodyReader = new BodyReader(cache, limits);
  }

  get usable(): boolean {
    return this.#phase === IDLE;
  }

  get streams(): number {
    return this.#stream === undefined ? 0 : 1;
  }

  /** Throws `header-malformed` for a head that cannot be written as one (RFC 9112): nothing has left then, and the connection stands. */
  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): StreamSender | undefined {
    if (this.#phase !== IDLE) return undefined;
    const { outlet } = this.wire;
    const upgrade = head.protocol?.value ?? '';
    const webSocketKey = upgrade === 'websocket' ? newWebSocketKey() : '';
    const length = writeRequestHead(outlet.output, { head, end, webSocketKey, spelling: this.#options.spelling });
    if (length === UNWRITABLE) {
      throw new JumpgateError('header-malformed', 'expected a request that HTTP/1.1 can carry', { source: 'caller' });
    }
    const method = upgrade === '' ? head.method.value : 'GET';
    const stream = new Http1ClientStream(this, { method, upgrade, webSocketKey, receiver }, end && upgrade === '');
    this.body.begin(length);
    this.#stream = stream;
    this.#phase = HEAD;
    this.#exchanges += 1;
    this.#interims = 0;
    this.#mayHaveLeft = false;
    this.#answering = false;
    this.#uncredited = 0;
    outlet.schedule();
    return stream;
  }

  /** Bytes from the socket, which nobody changes any more. */
  receive(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && this.#phase !== CLOSED) {
      if (this.#phase === HEAD) at = this.#readHead(bytes, at);
      else if (this.#phase === BODY) at = this.#readBody(bytes, at);
      else if (this.#phase === TUNNEL) at = this.#tunnel(bytes, at);
      else this.#cut();
    }
    this.#pace();
    // Not as the answer ends, since its receiver is told of it behind that.
    if (!this.#cameToRest) return;
    this.#cameToRest = false;
    if (this.#phase === IDLE) this.#options.onIdle?.();
  }

  /** FIN from the socket. */
  receivedEnd(): void {
    this.#inEnded = true;
    const stream = this.#stream;
    if (this.#phase === TUNNEL) {
      if (stream?.over === false) stream.receiver.onData(NOTHING, true);
      if (stream?.ended === true) this.#closeTunnel(stream);
    } else if (this.#phase === BODY && stream !== undefined && this.#bodyReader.end()) {
      this.responseEnded(stream, 0);
      stream.receiver.onData(NOTHING, true);
    } else {
      this.#lost();
      this.wire.close();
    }
  }

  /** The socket is gone. */
  connectionLost(): void {
    this.#lost();
  }

  /** The turn ends, or the socket has caught up. */
  flushed(): void {
    this.#mayHaveLeft = true;
    if (this.#stream !== undefined && this.wire.outlet.writable) this.#stream.sent();
  }

  /** Closes the connection when it is idle; an exchange under way is the last. */
  finish(): void {
    this.#finishing = true;
    if (this.#phase === IDLE) this.#close();
  }

  requestEnded(stream: Http1ClientStream): void {
    if (!stream.isTunnel) return;
    this.wire.end();
    if (this.#inEnded) this.#closeTunnel(stream);
  }

  responseEnded(stream: Http1ClientStream, bytesBehind: number): void {
    this.#stream = undefined;
    this.#uncredited = 0;
    // After an answer to a request that is still being sent, what is left of it must not become another; and bytes
    // behind an answer would be taken for the next one (RFC 9112 §9.5, §11.2).
    const isComplete = stream.ended || stream.exchange.upgrade !== '';
    stream.ended = true;
    if (!this.#keep || !isComplete || bytesBehind > 0 || this.#inEnded || this.#finishing) {
      this.#close();
      return;
    }
    this.#phase = IDLE;
    this.#cameToRest = true;
  }

  gaveUp(stream: Http1ClientStream): void {
    if (stream !== this.#stream) return;
    this.#stream = undefined;
    this.#cut();
  }

  credited(stream: Http1ClientStream, bytes: number): void {
    if (stream !== this.#stream) return;
    this.#uncredited = Math.max(0, this.#uncredited - bytes);
    this.#pace();
  }

  #readHead(bytes: Buffer, from: number): number {
    const reader = this.#reader;
    const stream = this.#stream;
    if (stream === undefined) return bytes.length;
    this.#answering = true;
    const { method } = stream.exchange;
    const { fresh } = reader;
    const known = fresh ? this.#heads.recall(bytes, from, method) : undefined;
    if (known !== undefined) {
      const end = from + this.#heads.bytes;
      this.#respond(stream, known, bytes.length - end);
      return end;
    }
    const at = reader.read(bytes, from);
    if (reader.problem !== undefined) this.#broken();
    if (!reader.done) return at;
    const response = readResponseHead(reader.startLine, reader.lines, method);
    reader.reset();
    if (response === undefined) this.#broken();
    else if (response.head.status === 101) this.#switch(stream, response);
    else if (response.head.status < 200) this.#interim(stream, response);
    else {
      if (fresh) this.#heads.remember(bytes, { from, to: at, method }, response);
      this.#respond(stream, response, bytes.length - at);
    }
    return at;
  }

  #interim(stream: Http1ClientStream, response: ReadResponse): void {
    this.#interims += 1;
    if (this.#interims > INTERIM_RESPONSES_MAX) this.#broken();
    else stream.receiver.onInterim(response.head);
  }

  #respond(stream: Http1ClientStream, response: ReadResponse, bytesBehind: number): void {
    const { head, length } = response;
    if (response.keepAliveMs >= 0) this.keepAliveMs = response.keepAliveMs;
    // 2xx to an Upgrade passes it over; as an answer to a tunnel it would say that there is one (RFC 8441 §4).
    if (stream.exchange.upgrade !== '' && head.status < 300) {
      this.#broken();
      return;
    }
    this.#keep = response.keepAlive;
    this.#bodyReader.begin(length);
    const end = this.#bodyReader.done;
    this.#phase = BODY;
    if (end) this.responseEnded(stream, bytesBehind);
    stream.receiver.onResponse(head, end);
    if (end) stream.over = true;
  }

  #switch(stream: Http1ClientStream, response: ReadResponse): void {
    const { upgrade, webSocketKey } = stream.exchange;
    const isMeant = upgrade !== '' && response.upgrade === upgrade;
    if (!isMeant || (webSocketKey !== '' && response.webSocketAccept !== webSocketAccept(webSocketKey))) {
      this.#broken();
      return;
    }
    this.#phase = TUNNEL;
    this.body.begin(UNTIL_CLOSE);
    stream.receiver.onResponse({ status: 200, fields: response.head.fields }, false);
    stream.openTunnel();
  }

  #readBody(bytes: Buffer, from: number): number {
    const stream = this.#stream;
    if (stream === undefined) return bytes.length;
    const { at, size } = readBody(this.#bodyReader, bytes, from, stream);
    if (this.#stream === stream) this.#uncredited += size;
    if (this.#bodyReader.bad) this.#broken();
    return at;
  }

  #tunnel(bytes: Buffer, from: number): number {
    this.#uncredited += bytes.length - from;
    const stream = this.#stream;
    if (stream?.over === false) stream.receiver.onData(bytes.subarray(from), false);
    return bytes.length;
  }

  #pace(): void {
    const pause = this.#phase !== CLOSED && this.#uncredited > this.#windowBytes;
    if (pause === this.#paused) return;
    this.#paused = pause;
    if (pause) this.wire.pause();
    else this.wire.resume();
  }

  /** The server broke the protocol. */
  #broken(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#cut();
    stream?.broke(ERROR_CODE.protocolError, true);
  }

  #lost(): void {
    const stream = this.#stream;
    this.#phase = CLOSED;
    this.#stream = undefined;
    if (stream === undefined || stream.over) return;
    this.staleReset = this.#exchanges > 1 && !this.#answering;
    stream.broke(this.#mayHaveLeft ? ERROR_CODE.internalError : ERROR_CODE.refusedStream, false);
  }

  #closeTunnel(stream: Http1ClientStream): void {
    this.#stream = undefined;
    this.#phase = CLOSED;
    stream.over = true;
    this.wire.close();
  }

  #close(): void {
    this.#phase = CLOSED;
    this.#pace();
    this.wire.close();
  }

  #cut(): void {
    this.#phase = CLOSED;
    this.wire.cut();
  }
}

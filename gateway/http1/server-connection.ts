/**
 * The server's end of an HTTP/1.1 connection: one request at a time, in order, whatever the client sends ahead.
 *
 *     HEAD ──whole head──▶ BODY ──whole body──▶ WAIT ──whole response──▶ HEAD
 *      │                    │ whole response      │ 2xx to an Upgrade
 *      │ refused            ▼ (early)             ▼
 *      └────────────────▶ CLOSING ◀──last──── TUNNEL ──either end breaks──▶ CLOSED
 *
 * In WAIT nothing is parsed: bytes that came in are held, and no more are read.
 */
import { ERROR_CODE } from '../message/error-code.ts';
import { type RequestHead } from '../message/head.ts';
import { field } from '../message/names.ts';
import { type EarlyReason, type RequestListener } from '../message/stream.ts';
import { BodyReader } from './body-reader.ts';
import { NOTHING, readBody } from './body-sink.ts';
import { BodyWriter } from './body-writer.ts';
import { type FieldLine, parseFieldLine } from './field-line.ts';
import { HeadReader } from './head-reader.ts';
import { type Http1Limits, STRANGER_HTTP1 } from './limits.ts';
import { LineCache } from './line-cache.ts';
import { type ReadRequest, readRequestHead, type RequestHeadOptions, UNREAD_REQUEST } from './request-head.ts';
import { Http1ServerStream, type StreamOwner } from './server-stream.ts';
import { parseStartLine, type StartLine } from './start-line.ts';
import { type Wire } from './wire.ts';

/**
 * How long an idle connection is kept once no further request is wanted: the next one may be on its way, and FIN would
 * cross with it. Of a time that is looked at once a second, so that it is one second at least and two at most.
 */
const LAST_REQUEST_MS = 1_500;

/** Clients wait about a second for 100 (Continue); then it is sent even if nobody asked for the body yet. */
const CONTINUE_AFTER_MS = 1_000;

/** A head up to this size is remembered, for the next request to be compared with. */
const MEMO_BYTES_MAX = 2 * 1024;

/** How a connection is served; everything has a default but the scheme. */
export interface Http1ServerOptions {
  readonly scheme: 'http' | 'https';
  /** Take targets in absolute form, whose authority then counts and not Host's. Default: refused. */
  readonly allowAbsoluteForm?: boolean;
  readonly limits?: Http1Limits;
  /** The time of the first `tick`, milliseconds of a monotonic clock. */
  readonly nowMs?: number;
}

const HEAD = 0;
const BODY = 1;
const WAIT = 2;
const TUNNEL = 3;
const CLOSING = 4;
const CLOSED = 5;

/** Serves the requests of one connection. Bytes come in by `receive`, time by `tick`; answers leave through the wire. */
export class Http1ServerConnection implements StreamOwner {
  readonly wire: Wire;
  readonly body: BodyWriter;
  readonly #listener: RequestListener;
  readonly #limits: Http1Limits;
  readonly #headOptions: RequestHeadOptions;
  readonly #reader: HeadReader;
  readonly #bodyReader: BodyReader;
  readonly #startLines: LineCache<StartLine>;
  /** Of the head that is being read. */
  #start: StartLine | undefined;
  #phase = HEAD;
  #stream: Http1ServerStream | undefined;
  /** The latest small head and what it was read to: clients repeat themselves. */
  #memoText = '';
  #memo: ReadRequest | undefined;
  /** Bytes behind a request that is not answered yet. */
  #ahead: Buffer | undefined;
  #running = false;
  #finishing = false;
  #paused = false;
  #served = 0;
  #uncredited = 0;
  #outEnded = false;
  #inEnded = false;
  #nowMs: number;
  /** Start of the phase, or of the head's first byte. */
  #sinceMs: number;

  constructor(wire: Wire, listener: RequestListener, options: Http1ServerOptions) {
    this.wire = wire;
    this.body = new BodyWriter(wire.outlet.output);
    this.#listener = listener;
    const limits = options.limits ?? STRANGER_HTTP1;
    this.#limits = limits;
    this.#headOptions = {
      scheme: field(':scheme', options.scheme),
      allowAbsoluteForm: options.allowAbsoluteForm ?? false,
    };
    this.#startLines = new LineCache<StartLine>((line) => parseStartLine(line, limits.targetBytesMax));
    const cache = new LineCache<FieldLine>(parseFieldLine);
    const isStart = (line: string): boolean => {
      this.#start = this.#startLines.get(line);
      return this.#start !== undefined;
    };
    this.#reader = new HeadReader({ part: 'request', cache, limits, isStart });
    this.#bodyReader = new BodyReader(cache, limits);
    this.#nowMs = options.nowMs ?? 0;
    this.#sinceMs = this.#nowMs;
  }

  /** Requests under way: 0 or 1. */
  get streams(): number {
    return this.#stream === undefined ? 0 : 1;
  }

  /** Bytes from the socket, which nobody changes any more. */
  receive(bytes: Buffer): void {
    if (this.#phase >= CLOSING) return;
    if (!this.#running && this.#ahead === undefined) {
      this.#run(bytes);
      return;
    }
    this.#ahead = this.#ahead === undefined ? bytes : Buffer.concat([this.#ahead, bytes]);
  }

  /** FIN from the socket. Behind a request it is taken for the client's going away, as other servers do. */
  receivedEnd(): void {
    this.#inEnded = true;
    switch (this.#phase) {
      case HEAD:
        this.#close();
        break;
      case TUNNEL:
        this.#stream?.receiver?.onData(NOTHING, true);
        if (this.#outEnded) this.#lost(ERROR_CODE.noError);
        break;
      case BODY:
      case WAIT:
        this.#lost(ERROR_CODE.cancel);
        this.wire.cut();
        break;
      default:
        // Closing anyway.
        break;
    }
  }

  /** The socket is gone. */
  connectionLost(): void {
    this.#lost(ERROR_CODE.cancel);
  }

  /** The turn ends, or the socket has caught up. */
  flushed(): void {
    if (this.#stream !== undefined && this.wire.outlet.writable) this.#stream.sent();
  }

  /** The request under way is the last one, or the one that comes within a second or two; then the connection closes. */
  finish(): void {
    if (this.#finishing) return;
    this.#finishing = true;
    if (this.#phase === HEAD && this.#reader.fresh) this.#sinceMs = this.#nowMs;
  }

  /** Time goes on: called about once a second. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    const passedMs = nowMs - this.#sinceMs;
    if (this.#phase === HEAD) this.#tickHead(passedMs);
    else if (this.#phase === BODY) this.#tickBody(passedMs);
  }

  mustClose(): boolean {
    return this.#finishing || this.#phase !== WAIT;
  }

  answered(stream: Http1ServerStream): void {
    if (stream !== this.#stream || this.#phase >= CLOSING) return;
    this.#stream = undefined;
    this.#uncredited = 0;
    if (stream.closes || this.#phase !== WAIT) {
      this.#close();
      return;
    }
    this.#phase = HEAD;
    this.#sinceMs = this.#nowMs;
    this.#runAhead();
  }

  tunnelled(): void {
    this.#phase = TUNNEL;
    this.#runAhead();
  }

  tunnelEnded(): void {
    if (this.#outEnded) return;
    this.#outEnded = true;
    this.wire.end();
    if (this.#inEnded) this.#lost(ERROR_CODE.noError);
  }

  requestEnded(): void {
    if (this.#phase === BODY) this.#phase = WAIT;
  }

  credited(bytes: number): void {
    this.#uncredited = Math.max(0, this.#uncredited - bytes);
    this.#pace();
  }

  #run(bytes: Buffer): void {
    this.#running = true;
    let at = 0;
    while (at < bytes.length && this.#phase !== WAIT && this.#phase < CLOSING) {
      if (this.#phase === HEAD) at = this.#readHead(bytes, at);
      else if (this.#phase === BODY) at = this.#readBody(bytes, at);
      else at = this.#tunnel(bytes, at);
    }
    this.#running = false;
    if (at < bytes.length && this.#phase === WAIT) {
      const rest = bytes.subarray(at);
      this.#ahead = this.#ahead === undefined ? rest : Buffer.concat([rest, this.#ahead]);
    }
    this.#pace();
  }

  #runAhead(): void {
    while (!this.#running && this.#ahead !== undefined && this.#phase !== WAIT && this.#phase < CLOSING) {
      const bytes = this.#ahead;
      this.#ahead = undefined;
      this.#run(bytes);
    }
    this.#pace();
  }

  /** Reads from the socket only what can be dealt with. */
  #pace(): void {
    const pause = this.#phase < CLOSING && (this.#ahead !== undefined || this.#uncredited > this.#limits.windowBytes);
    if (pause === this.#paused) return;
    this.#paused = pause;
    if (pause) this.wire.pause();
    else this.wire.resume();
  }

  #readHead(bytes: Buffer, from: number): number {
    const reader = this.#reader;
    const { fresh } = reader;
    if (fresh) {
      this.#sinceMs = this.#nowMs;
      const memoEnd = from + this.#memoText.length;
      if (
        this.#memo !== undefined &&
        memoEnd <= bytes.length &&
        bytes.toString('latin1', from, memoEnd) === this.#memoText
      ) {
        this.#begin(this.#memo);
        return memoEnd;
      }
    }
    const at = reader.read(bytes, from);
    if (reader.problem !== undefined) this.#refuse(reader.problem, this.#readable());
    if (!reader.done) return at;
    const start = this.#start;
    const { lines } = reader;
    reader.reset();
    if (start === undefined) return bytes.length;
    const request = readRequestHead(start, lines, this.#headOptions);
    if ('reason' in request) {
      this.#refuse(request.reason, request.head);
      return bytes.length;
    }
    if (fresh && at - from <= MEMO_BYTES_MAX) {
      this.#memoText = bytes.toString('latin1', from, at);
      this.#memo = request;
    }
    this.#begin(request);
    return at;
  }

  #begin(request: ReadRequest): void {
    const stream = new Http1ServerStream(this, request);
    this.#bodyReader.begin(request.length);
    const isTunnel = request.head.protocol !== undefined;
    const end = this.#bodyReader.done;
    this.#stream = stream;
    this.#served += 1;
    this.#phase = end ? WAIT : BODY;
    this.#sinceMs = this.#nowMs;
    stream.receiver = this.#listener.onRequest(stream, request.head, end && !isTunnel);
  }

  #readBody(bytes: Buffer, from: number): number {
    const stream = this.#stream;
    if (stream === undefined) return bytes.length;
    stream.expects = false;
    const reader = this.#bodyReader;
    const { at, size } = readBody(reader, bytes, from, stream);
    this.#uncredited += size;
    if (reader.bad) this.#bodyBroken(stream);
    return at;
  }

  #tunnel(bytes: Buffer, from: number): number {
    this.#uncredited += bytes.length - from;
    if (this.#stream?.over === false) this.#stream.receiver?.onData(bytes.subarray(from), false);
    return bytes.length;
  }

  #bodyBroken(stream: Http1ServerStream): void {
    const { responded } = stream;
    stream.broke(ERROR_CODE.protocolError);
    if (responded) {
      this.#phase = CLOSED;
      this.wire.cut();
    } else {
      this.#refuse('request-malformed', stream.request.head);
    }
  }

  #refuse(reason: EarlyReason, head: Partial<RequestHead>): void {
    const stream = new Http1ServerStream(this, { ...UNREAD_REQUEST, method: head.method?.value ?? '' });
    this.#stream = stream;
    this.#phase = BODY;
    this.#listener.onRefused(reason, head, stream);
    if (!stream.over) stream.abandon();
    this.#close();
  }

  /** What is known of a request whose fields could not be read. */
  #readable(): Partial<RequestHead> {
    const start = this.#reader.startLine === '' ? undefined : this.#start;
    return start === undefined ? {} : { method: start.method, path: start.path };
  }

  #close(): void {
    if (this.#phase >= CLOSING) return;
    this.#phase = CLOSING;
    this.#stream = undefined;
    this.#ahead = undefined;
    this.#pace();
    this.wire.close();
  }

  #lost(code: number): void {
    const stream = this.#stream;
    this.#phase = CLOSED;
    this.#stream = undefined;
    this.#ahead = undefined;
    if (code === ERROR_CODE.noError) stream?.abandon();
    else stream?.broke(code);
  }

  #tickHead(passedMs: number): void {
    const { headersTimeoutMs, idleTimeoutMs } = this.#limits;
    if (!this.#reader.fresh) {
      if (passedMs >= headersTimeoutMs) this.#refuse('headers-timeout', this.#readable());
      return;
    }
    const idleMs = this.#served === 0 ? headersTimeoutMs : idleTimeoutMs;
    if (passedMs >= (this.#finishing ? Math.min(LAST_REQUEST_MS, idleMs) : idleMs)) this.#close();
  }

  #tickBody(passedMs: number): void {
    const stream = this.#stream;
    if (stream?.expects === true && passedMs >= CONTINUE_AFTER_MS) stream.inform({ status: 100, fields: [] });
  }
}

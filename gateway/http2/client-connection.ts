/** The client's end of an HTTP/2 connection (RFC 9113). */
import { JumpgateError } from '../../base/errors.ts';
import { ERROR_CODE } from '../message/error-code.ts';
import { Field } from '../message/field.ts';
import { type RequestHead, type ResponseHead } from '../message/head.ts';
import { fieldName } from '../message/names.ts';
import { type ClientConnection, type ResponseReceiver, type StreamSender } from '../message/stream.ts';
import { CLOSED } from './closed-streams.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { Deadlines } from './deadlines.ts';
import { areTrailersValid } from './field-rules.ts';
import { FrameDispatch } from './frame-dispatch.ts';
import { FRAME_BYTES_DEFAULT, INT31_MAX } from './frame/frame-type.ts';
import { PREFACE } from './preface.ts';
import { ResponseReader } from './response-head.ts';
import { Stream } from './stream.ts';

const METHOD = fieldName(':method');
const SCHEME = fieldName(':scheme');
const AUTHORITY = fieldName(':authority');
const PATH = fieldName(':path');
const PROTOCOL = fieldName(':protocol');

/** Sends requests. Begins by writing preface and SETTINGS. */
export class Http2ClientConnection extends Connection implements ClientConnection {
  readonly isServer = false;
  readonly #responses = new ResponseReader();
  readonly #dispatch = new FrameDispatch(this);
  readonly #deadlines = new Deadlines(this, this.#dispatch);
  #nextId = 1;

  constructor(options: ConnectionOptions) {
    super(options);
    this.outlet.output.append(PREFACE);
    this.greet();
  }

  get usable(): boolean {
    return !this.wantsClose && this.#nextId <= INT31_MAX && this.table.size < this.peer.streamsMax;
  }

  /** Also once the stream ids are used up. */
  override get wantsClose(): boolean {
    return super.wantsClose || this.#nextId > INT31_MAX;
  }

  /** The other end's SETTINGS are in. */
  get ready(): boolean {
    return this.#dispatch.greeted;
  }

  /** The other end's limit on streams at once. */
  get streamsMax(): number {
    return this.peer.streamsMax;
  }

  /** Whether requests with `protocol` can be sent (RFC 8441). */
  get connectProtocol(): boolean {
    return this.peer.connectProtocol;
  }

  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): StreamSender | undefined {
    return this.usable ? this.#begin(head, end, receiver) : undefined;
  }

  /** As `open`, also while nothing new is begun and the exchanges under way finish: for what is about the connection itself. */
  openLate(head: RequestHead, end: boolean, receiver: ResponseReceiver): StreamSender | undefined {
    const isOver = this.closed || this.peerGoing || this.#nextId > INT31_MAX || this.table.size >= this.peer.streamsMax;
    return isOver ? undefined : this.#begin(head, end, receiver);
  }

  #begin(head: RequestHead, end: boolean, receiver: ResponseReceiver): StreamSender | undefined {
    if (head.protocol !== undefined && !this.peer.connectProtocol) {
      // Until its SETTINGS are in nobody knows.
      if (!this.ready) return undefined;
      throw new JumpgateError('protocol-mismatch', 'expected extended CONNECT (RFC 8441), the other end has it not', {
        source: 'peer',
      });
    }
    const stream = new Stream(this, this.#nextId, this.peer.windowBytes, this.receiveFlow.streamWindowBytes);
    this.#nextId += 2;
    stream.receiver = receiver;
    stream.response = receiver;
    stream.isHead = head.method.value === 'HEAD';
    stream.isTunnel = head.method.value === 'CONNECT';
    if (end) {
      stream.localOpen = false;
      stream.ending = true;
    }
    this.table.add(stream);
    this.budget.opened();
    this.#writeRequest(stream.id, head, end);
    return stream;
  }

  /** Takes bytes of the socket, whose buffer nobody may change any more. */
  receive(bytes: Buffer): void {
    if (!this.closed) this.#dispatch.read(bytes, 0);
  }

  /** Time passes; about once a second. */
  tick(nowMs: number): void {
    if (this.closed) return;
    this.budget.tick(nowMs);
    this.receiveFlow.tick();
    const missed = this.#deadlines.check(nowMs);
    if (missed === undefined) return;
    const code = missed === 'headers' ? ERROR_CODE.protocolError : ERROR_CODE.settingsTimeout;
    this.fail(code, `${missed} did not come in time`);
  }

  /** Ids from here on; for tests of what happens at their end. */
  skipTo(streamId: number): void {
    this.#nextId = Math.max(this.#nextId, streamId | 1);
  }

  override isIdle(streamId: number): boolean {
    return (streamId & 1) === 0 || streamId >= this.#nextId;
  }

  /** What the other end has not processed can be sent again (RFC 9113 §6.8). */
  override onGoaway(lastStreamId: number): void {
    for (const stream of this.table.inOrder()) {
      if (stream.id <= lastStreamId || stream.closed) continue;
      this.closeStream(stream, CLOSED.resetHere);
      stream.receiver?.onReset(ERROR_CODE.refusedStream);
    }
  }

  override onBlock(streamId: number): void {
    const stream = this.table.get(streamId);
    if (stream === undefined) this.#onClosed(streamId);
    else if (!stream.remoteOpen) this.breakStream(stream, ERROR_CODE.streamClosed);
    else if (this.blocks.overrun !== undefined) this.breakStream(stream, ERROR_CODE.enhanceYourCalm);
    else if (stream.hasHead) this.#trailers(stream);
    else this.#response(stream);
  }

  protected override writeResponse(): void {
    // The streams of a client are handed out as senders, which cannot answer.
  }

  #writeRequest(streamId: number, head: RequestHead, end: boolean): void {
    const { writer, encoder } = this;
    const isTunnel = head.method.value === 'CONNECT' && head.protocol === undefined;
    const method = named(METHOD, head.method);
    const scheme = named(SCHEME, head.scheme);
    const path = named(PATH, head.path);
    const authority = named(AUTHORITY, head.authority);
    const protocol = head.protocol && named(PROTOCOL, head.protocol);
    let bytesMax = encoder.bytesMax(method) + encoder.bytesMax(scheme) + encoder.bytesMax(path);
    bytesMax += encoder.bytesMax(authority) + (protocol === undefined ? 0 : encoder.bytesMax(protocol));
    for (const field of head.fields) bytesMax += encoder.bytesMax(field);
    writer.open(bytesMax);
    writer.put(method);
    if (!isTunnel) {
      writer.put(scheme);
      writer.put(path);
    }
    if (authority.value !== '') writer.put(authority);
    if (protocol !== undefined) writer.put(protocol);
    for (const field of head.fields) writer.put(field);
    writer.close(streamId, end, FRAME_BYTES_DEFAULT);
    this.outlet.schedule();
  }

  #response(stream: Stream): void {
    const { blocks } = this;
    const responses = this.#responses;
    if (!responses.read(blocks.fields) || blocks.selfDependent) {
      this.breakStream(stream, ERROR_CODE.protocolError);
      return;
    }
    const { status, fields } = responses;
    if (status < 200) {
      this.#interim(stream, { status, fields });
      return;
    }
    if (stream.isTunnel && (status < 200 || status > 299)) stream.isTunnel = false;
    if (stream.isHead || status === 204 || status === 304) stream.contentLeft = 0;
    else if (!stream.isTunnel) stream.contentLeft = responses.contentLength;
    if (blocks.endStream && stream.contentLeft > 0) {
      this.breakStream(stream, ERROR_CODE.protocolError);
      return;
    }
    stream.hasHead = true;
    if (blocks.endStream) stream.remoteOpen = false;
    stream.response?.onResponse({ status, fields }, blocks.endStream);
    if (!stream.remoteOpen) this.remoteEnded(stream);
  }

  #interim(stream: Stream, head: ResponseHead): void {
    if (this.blocks.endStream) {
      this.breakStream(stream, ERROR_CODE.protocolError);
      return;
    }
    this.spend(this.budget.oddity());
    if (!stream.closed) stream.response?.onInterim(head);
  }

  #trailers(stream: Stream): void {
    const { blocks } = this;
    const isMalformed = !blocks.endStream || stream.contentLeft > 0 || stream.isTunnel;
    if (isMalformed || blocks.selfDependent || !areTrailersValid(blocks.fields)) {
      this.breakStream(stream, ERROR_CODE.protocolError);
      return;
    }
    stream.remoteOpen = false;
    stream.receiver?.onTrailers(blocks.fields);
    this.remoteEnded(stream);
  }

  #onClosed(streamId: number): void {
    if (this.isIdle(streamId)) {
      this.fail(ERROR_CODE.protocolError, 'HEADERS on a stream that was not opened');
      return;
    }
    // On its way when we reset the stream; a server that answers twice gets no second chance.
    if (this.closedStreams.how(streamId) === CLOSED.ended) {
      this.fail(ERROR_CODE.streamClosed, 'HEADERS after END_STREAM');
    }
  }
}

/** Heads that were made elsewhere may have other names on their fields. */
function named(name: typeof METHOD, field: Field): Field {
  return field.name.text === name.text ? field : new Field(name, field.value, field.sensitive);
}

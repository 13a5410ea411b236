/** The server's end of an HTTP/2 connection (RFC 9113). */
import { ERROR_CODE } from '../message/error-code.ts';
import { type ResponseHead } from '../message/head.ts';
import { field } from '../message/names.ts';
import { type EarlyReason, type RequestListener, type StreamReceiver } from '../message/stream.ts';
import { CLOSED } from './closed-streams.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { Deadlines } from './deadlines.ts';
import { areTrailersValid } from './field-rules.ts';
import { FrameDispatch } from './frame-dispatch.ts';
import { FRAME_BYTES_DEFAULT } from './frame/frame-type.ts';
import { PREFACE } from './preface.ts';
import { RequestReader } from './request-head.ts';
import { statusField } from './response-head.ts';
import { Stream } from './stream.ts';

/** What a server's connection is given. */
export interface Http2ServerOptions extends ConnectionOptions {
  readonly listener: RequestListener;
  /** Of every request: how the connection is made decides, not what the client says. */
  readonly scheme: 'http' | 'https';
}

/** Whoever was refused and answered is told nothing. */
const DEAF: StreamReceiver = {
  onData: () => undefined,
  onTrailers: () => undefined,
  onReset: () => undefined,
  onSent: () => undefined,
};

/** Serves requests. Begins by writing its SETTINGS. */
export class Http2ServerConnection extends Connection {
  readonly isServer = true;
  readonly #listener: RequestListener;
  readonly #requests: RequestReader;
  readonly #dispatch = new FrameDispatch(this);
  readonly #deadlines = new Deadlines(this, this.#dispatch);
  /** Bytes of the preface that are in. */
  #prefaceBytes = 0;
  /** The highest stream that has come, whether processed or not. */
  #lastSeenId = 0;
  /** Streams that came after GOAWAY. */
  #ignored = 0;

  constructor(options: Http2ServerOptions) {
    super(options);
    this.#listener = options.listener;
    this.#requests = new RequestReader({
      scheme: field(':scheme', options.scheme),
      targetBytesMax: options.limits.targetBytesMax,
    });
    this.greet();
  }

  /** Takes bytes of the socket, whose buffer nobody may change any more. */
  receive(bytes: Buffer): void {
    if (this.closed) return;
    let from = 0;
    while (this.#prefaceBytes < PREFACE.length && from < bytes.length) {
      if (bytes[from] !== PREFACE[this.#prefaceBytes]) {
        this.fail(ERROR_CODE.protocolError, 'not the preface of HTTP/2');
        return;
      }
      from += 1;
      this.#prefaceBytes += 1;
    }
    this.#dispatch.read(bytes, from);
  }

  /** Time passes; about once a second. */
  tick(nowMs: number): void {
    if (this.closed) return;
    this.budget.tick(nowMs);
    this.receiveFlow.tick();
    this.tickLingering();
    const missed = this.#deadlines.check(nowMs);
    if (missed === undefined) return;
    if (missed === 'settings') {
      this.fail(ERROR_CODE.settingsTimeout, 'SETTINGS were not acknowledged in time');
      return;
    }
    this.#listener.onRefused('headers-timeout', {}, undefined);
    this.fail(ERROR_CODE.enhanceYourCalm, `${missed} did not come in time`);
  }

  override isIdle(streamId: number): boolean {
    return (streamId & 1) === 0 || streamId > this.#lastSeenId;
  }

  override onGoaway(): void {
    // A client's last id counts pushed streams, of which there are none.
  }

  override onBlock(streamId: number): void {
    const stream = this.table.get(streamId);
    if (stream !== undefined) {
      this.#trailers(stream);
    } else if ((streamId & 1) === 0) {
      this.fail(ERROR_CODE.protocolError, 'HEADERS on an even stream');
    } else if (streamId > this.#lastSeenId) {
      this.#lastSeenId = streamId;
      this.#begin(streamId);
    } else {
      this.#onClosed(streamId);
    }
  }

  protected override writeResponse(stream: Stream, head: ResponseHead, end: boolean): void {
    const { writer, encoder } = this;
    const { status, fields } = head;
    const statusText = statusField(status);
    let bytesMax = encoder.bytesMax(statusText);
    for (const entry of fields) bytesMax += encoder.bytesMax(entry);
    writer.open(bytesMax);
    writer.put(statusText);
    for (const entry of fields) writer.put(entry);
    writer.close(stream.id, end, FRAME_BYTES_DEFAULT);
    this.outlet.schedule();
    if (status >= 200) stream.hasHead = true;
  }

  #begin(streamId: number): void {
    // Announced as not processed: the client tries elsewhere (RFC 9113 §6.8).
    if (this.phase === 'draining') {
      this.closedStreams.remember(streamId, CLOSED.resetHere);
      this.#ignored += 1;
      // More cannot have been on their way.
      if (this.#ignored > this.limits.streamsMax) this.spend(this.budget.reset());
      return;
    }
    this.lastPeerStreamId = streamId;
    this.budget.opened();
    const { blocks } = this;
    if (this.table.size - this.lingering >= this.limits.streamsMax) {
      this.refuseStream(streamId, ERROR_CODE.refusedStream);
      // Before it knows the limit a client is not at fault.
      if (this.settled) this.resetCaused();
      return;
    }
    if (blocks.overrun !== undefined) {
      this.#requests.read(blocks.fields);
      this.#refuse(streamId, blocks.overrun);
      return;
    }
    const head = this.#requests.read(blocks.fields);
    const { contentLength } = this.#requests;
    const isLengthWrong = blocks.endStream && contentLength > 0;
    if (head === 'limit-target') {
      this.#refuse(streamId, head);
    } else if (typeof head === 'string' || isLengthWrong || blocks.selfDependent) {
      this.refuseStream(streamId, ERROR_CODE.protocolError);
      const reason = typeof head === 'string' ? head : 'header-malformed';
      this.#listener.onRefused(reason, this.#requests.partial(), undefined);
      this.resetCaused();
    } else {
      const stream = this.#open(streamId);
      if (head.method.value === 'CONNECT') stream.isTunnel = true;
      else stream.contentLeft = contentLength;
      this.#receive(stream, this.#listener.onRequest(stream, head, blocks.endStream));
    }
  }

  #open(streamId: number): Stream {
    const stream = new Stream(this, streamId, this.peer.windowBytes, this.receiveFlow.streamWindowBytes);
    if (this.blocks.endStream) stream.remoteOpen = false;
    this.table.add(stream);
    return stream;
  }

  #receive(stream: Stream, receiver: StreamReceiver): void {
    stream.receiver = receiver;
    if (stream.sentUntold === 0) return;
    const { sentUntold } = stream;
    stream.sentUntold = 0;
    // Also when the exchange is over by now: what is owed to the receiver is exactly what it wrote.
    receiver.onSent(sentUntold);
  }

  /** Lets the listener answer what is beyond a limit; the rest of the request is not read. */
  #refuse(streamId: number, reason: EarlyReason): void {
    const stream = this.#open(streamId);
    stream.isUnwanted = true;
    stream.receiver = DEAF;
    this.#listener.onRefused(reason, this.#requests.partial(), stream);
    if (stream.localOpen && !stream.ending) stream.reset(ERROR_CODE.enhanceYourCalm);
  }

  #trailers(stream: Stream): void {
    const { blocks } = this;
    if (!stream.remoteOpen) {
      this.breakStream(stream, ERROR_CODE.streamClosed);
      return;
    }
    const isMalformed = !blocks.endStream || blocks.overrun !== undefined || stream.contentLeft > 0;
    if (isMalformed || blocks.selfDependent || stream.isTunnel || !areTrailersValid(blocks.fields)) {
      this.breakStream(stream, ERROR_CODE.protocolError);
      return;
    }
    stream.remoteOpen = false;
    stream.receiver?.onTrailers(blocks.fields);
    this.remoteEnded(stream);
  }

  #onClosed(streamId: number): void {
    switch (this.closedStreams.how(streamId)) {
      case CLOSED.resetHere:
        // On its way when we reset the stream.
        return;
      case CLOSED.resetThere:
        this.refuseStream(streamId, ERROR_CODE.streamClosed);
        this.resetCaused();
        return;
      case CLOSED.ended:
        this.fail(ERROR_CODE.streamClosed, 'HEADERS after END_STREAM');
        return;
      default:
        this.fail(ERROR_CODE.protocolError, 'HEADERS on a stream below the last');
    }
  }
}

/** One HTTP/2 connection (RFC 9113), without socket and clock: what both roles have in common. */
import { ERROR_CODE } from '../message/error-code.ts';
import { type Field } from '../message/field.ts';
import { type ResponseHead } from '../message/head.ts';
import { type Outlet } from '../message/output.ts';
import { Budget, type Verdict } from './budget.ts';
import { CLOSED, ClosedStreams } from './closed-streams.ts';
import { DataReader } from './data-reader.ts';
import { FRAME_BYTES_DEFAULT, INT31_MAX } from './frame/frame-type.ts';
import { writeGoaway } from './frame/goaway.ts';
import { BlockWriter } from './frame/headers.ts';
import { writePing } from './frame/ping.ts';
import { writeRstStream } from './frame/rst-stream.ts';
import { writeSettings } from './frame/settings.ts';
import { HeaderBlocks } from './header-blocks.ts';
import { HpackEncoder } from './hpack/encoder.ts';
import { type ConnectionLimits } from './limits.ts';
import { Pings } from './pings.ts';
import { ReceiveFlow } from './receive-flow.ts';
import { SendFlow, type SendFlowOwner } from './send-flow.ts';
import { ownSettings, PeerSettings } from './settings.ts';
import { type Stream, type StreamOwner } from './stream.ts';
import { StreamTable } from './stream-table.ts';

/** Who is told what becomes of a connection. */
export interface ConnectionEvents {
  /**
   * The engine is done with the connection: what is in the output must still leave, then the socket can be closed. `code`
   * is 0 when all went well; otherwise `reason` says what was found, and `byPeer` whether the other end is at fault.
   */
  onClosed(code: number, reason: string, byPeer: boolean): void;
  /** The other end takes no new exchanges any more (GOAWAY). */
  onGoing?(): void;
  /** Resets are above their share of the streams (only with a `resetShare` that is reported, at most once in 10 s). */
  onAbuse?(): void;
  /** The other end has refused an exchange with ENHANCE_YOUR_CALM, before it answered. */
  onCalm?(): void;
}

/** What every connection is given. */
export interface ConnectionOptions {
  readonly outlet: Outlet;
  readonly limits: ConnectionLimits;
  readonly events: ConnectionEvents;
}

const NO_BYTES = new Uint8Array(0);

/** What is told of a budget that is spent. */
const WASTE = 'too many resets or useless frames';

/**
 * State and output of a connection. Frames come in through `FrameDispatch`.
 *
 *     open --shutdown--> announced --the second tick--> draining --no streams left--> closed
 *       |  (server: GOAWAY 2^31-1)            (GOAWAY with the last id)                  ^
 *       +--- too many resets or glitches --------------------> draining                |
 *       +--------------- violation, close, connection lost (GOAWAY with the code) -----+
 */
export abstract class Connection implements StreamOwner, SendFlowOwner {
  readonly limits: ConnectionLimits;
  readonly outlet: Outlet;
  readonly budget: Budget;
  readonly table = new StreamTable();
  readonly closedStreams: ClosedStreams;
  readonly peer = new PeerSettings();
  readonly send: SendFlow;
  readonly receiveFlow: ReceiveFlow;
  readonly blocks: HeaderBlocks;
  readonly data: DataReader;
  readonly pings: Pings;
  readonly encoder: HpackEncoder;
  /** The highest stream of the other end that was or will be processed. */
  lastPeerStreamId = 0;
  closed = false;
  /** Ours of the life of the connection. */
  phase: 'open' | 'announced' | 'draining' = 'open';
  /** The other end has sent GOAWAY. */
  peerGoing = false;
  /** The code of that GOAWAY. */
  peerCode: number = ERROR_CODE.noError;
  /** Our settings have been acknowledged. */
  settled = false;
  abstract readonly isServer: boolean;
  protected readonly writer: BlockWriter;
  readonly #events: ConnectionEvents;
  /** Since the last tick, and since the one before. */
  #lingering: Stream[] = [];
  #lingered: Stream[] = [];

  constructor(options: ConnectionOptions) {
    const { outlet, limits, events } = options;
    this.outlet = outlet;
    this.limits = limits;
    this.#events = events;
    this.budget = new Budget(limits);
    this.closedStreams = new ClosedStreams(limits.streamsMax);
    this.send = new SendFlow(outlet, this);
    this.blocks = new HeaderBlocks(limits);
    this.data = new DataReader(this);
    this.pings = new Pings(outlet);
    this.receiveFlow = new ReceiveFlow(outlet, limits, this.pings);
    this.encoder = new HpackEncoder(limits.headerTableBytes);
    this.writer = new BlockWriter(outlet.output, this.encoder);
  }

  /** A complete header block is in `blocks`. */
  abstract onBlock(streamId: number): void;
  /** GOAWAY came in. */
  abstract onGoaway(lastStreamId: number): void;
  /** Whether no stream of this id has ever been opened. */
  abstract isIdle(streamId: number): boolean;

  /** Exchanges under way. */
  get streams(): number {
    return this.table.size;
  }

  /** Bytes that wait to be sent on all streams. */
  get queuedBytes(): number {
    return this.send.queuedBytes;
  }

  /** No new exchange is taken or should be begun; it closes when those under way are done. */
  get wantsClose(): boolean {
    return this.closed || this.phase !== 'open' || this.peerGoing;
  }

  /** To be called before the output is flushed, at the end of each turn in which anything happened. */
  turnEnd(): void {
    if (this.closed) return;
    this.receiveFlow.announce();
    this.send.pump();
    if (this.outlet.writable) this.budget.flushed();
    if (this.table.size === 0 && (this.phase === 'draining' || this.peerGoing)) this.#complete();
  }

  /** The socket takes output again. */
  onWritable(): void {
    if (!this.closed) this.outlet.schedule();
  }

  /** GOAWAY has come. */
  goingAway(): void {
    this.peerGoing = true;
    this.#events.onGoing?.();
  }

  /** Sends a PING. False if too many are unanswered, or the connection is over. */
  ping(onPong: () => void): boolean {
    return !this.closed && this.pings.send(onPong);
  }

  /** Lets the streams under way finish, takes no others, then closes. */
  shutdown(): void {
    if (this.closed || this.phase !== 'open') return;
    if (!this.isServer) {
      this.phase = 'draining';
      this.outlet.schedule();
      return;
    }
    this.phase = 'announced';
    // Requests on their way are still taken, for a second or two (RFC 9113 §6.8). A PING would not tell when there are
    // none: clients answer it before they write what they have made already.
    writeGoaway(this.outlet.output, INT31_MAX, ERROR_CODE.noError);
    this.outlet.schedule();
  }

  /** The second half of a server's shutdown. */
  drain(reason = ''): void {
    if (this.closed || this.phase === 'draining') return;
    this.phase = 'draining';
    this.#goaway(ERROR_CODE.noError, reason);
    this.outlet.schedule();
  }

  /** Ends the connection now: GOAWAY, and every stream broken with the same code. */
  close(code: number): void {
    this.#end(code, 'closed here', false);
  }

  /** The socket is gone. */
  lost(): void {
    if (this.closed) return;
    this.closed = true;
    this.#breakAll(this.isServer ? ERROR_CODE.cancel : ERROR_CODE.internalError, false);
    // Who says why is not at fault: we are.
    this.#events.onClosed(this.peerCode, 'the other end closed the connection', false);
  }

  /** The other end has violated the protocol: an error of the connection (RFC 9113 §5.4.1). */
  fail(code: number, reason: string): void {
    this.#end(code, reason, true);
  }

  /** The other end has violated the protocol: an error of the stream (RFC 9113 §5.4.2). */
  breakStream(stream: Stream, code: number): void {
    if (stream.closed) return;
    writeRstStream(this.outlet.output, stream.id, code);
    this.closeStream(stream, CLOSED.resetHere);
    stream.receiver?.onReset(code, true);
    this.resetCaused();
  }

  lingerStream(stream: Stream): void {
    if (this.lingering >= this.limits.lingeringMax) this.resetStream(stream, ERROR_CODE.noError);
    else this.#lingering.push(stream);
  }

  /** Resets the streams that lingered for a whole tick at least. */
  tickLingering(): void {
    for (const stream of this.#lingered) if (!stream.closed) this.resetStream(stream, ERROR_CODE.noError);
    this.#lingered = this.#lingering;
    this.#lingering = [];
  }

  /** Streams that are answered and wait to be reset; they do not count against the limit. */
  get lingering(): number {
    return this.#lingering.length + this.#lingered.length;
  }

  /** The same where no stream stands (any more). */
  refuseStream(streamId: number, code: number): void {
    writeRstStream(this.outlet.output, streamId, code);
    this.outlet.schedule();
    this.closedStreams.remember(streamId, CLOSED.resetHere);
  }

  /** A reset was received, or sent because of the other end. */
  resetCaused(): void {
    this.spend(this.budget.control());
    this.spend(this.budget.reset());
  }

  /** Does what a budget says. */
  spend(verdict: Verdict): void {
    switch (verdict) {
      case 'fine':
        return;
      case 'drain':
        // At once: whoever is at fault has no round trip more, and what others sent is not lost (RFC 9113 §6.8).
        if (this.isServer) this.drain(WASTE);
        else this.shutdown();
        return;
      case 'report':
        this.#events.onAbuse?.();
        return;
      case 'close':
        this.fail(ERROR_CODE.enhanceYourCalm, WASTE);
        return;
      default:
        verdict satisfies never;
    }
  }

  /** The other end has refused an exchange so. */
  askedForCalm(): void {
    this.#events.onCalm?.();
  }

  /** Forgets a stream; `how` is one of `CLOSED`. */
  closeStream(stream: Stream, how: number): void {
    stream.closed = true;
    stream.localOpen = false;
    stream.remoteOpen = false;
    this.table.delete(stream);
    this.send.drop(stream);
    this.receiveFlow.release(stream, how === CLOSED.ended);
    this.closedStreams.remember(stream.id, how);
    // Whether it was the last one is seen at the end of the turn.
    this.outlet.schedule();
  }

  /** The other end has sent all, and the receiver has been told. */
  remoteEnded(stream: Stream): void {
    if (!stream.closed && !stream.localOpen) this.closeStream(stream, CLOSED.ended);
  }

  localEnded(stream: Stream): void {
    if (!stream.remoteOpen) this.closeStream(stream, CLOSED.ended);
    else if (stream.isUnwanted) this.lingerStream(stream);
  }

  sendHead(stream: Stream, head: ResponseHead, end: boolean): void {
    this.writeResponse(stream, head, end);
    if (!end) return;
    stream.localOpen = false;
    this.localEnded(stream);
  }

  sendData(stream: Stream, bytes: Uint8Array, end: boolean): void {
    this.send.write(stream, bytes, end);
  }

  sendTrailers(stream: Stream, trailers: readonly Field[]): void {
    if (trailers.length === 0 || stream.isTunnel) {
      this.send.write(stream, NO_BYTES, true);
      return;
    }
    stream.ending = true;
    stream.trailers = trailers;
    if (!this.send.hasQueued(stream)) this.writeTrailers(stream);
  }

  writeTrailers(stream: Stream): void {
    const { writer } = this;
    const fields = stream.trailers ?? [];
    let bytesMax = 0;
    for (const field of fields) bytesMax += this.encoder.bytesMax(field);
    writer.open(bytesMax);
    for (const field of fields) writer.put(field);
    writer.close(stream.id, true, FRAME_BYTES_DEFAULT);
    stream.localOpen = false;
    this.outlet.schedule();
    this.localEnded(stream);
  }

  resetStream(stream: Stream, code: number): void {
    stream.sentUntold = 0;
    writeRstStream(this.outlet.output, stream.id, code);
    this.closeStream(stream, CLOSED.resetHere);
  }

  creditStream(stream: Stream, bytes: number): void {
    this.receiveFlow.creditStream(stream, bytes);
  }

  /** Writes a response's head, which only a server has. */
  protected abstract writeResponse(stream: Stream, head: ResponseHead, end: boolean): void;

  /** Writes what a connection begins with. */
  protected greet(): void {
    writeSettings(this.outlet.output, ownSettings(this.limits, this.isServer));
    this.receiveFlow.start();
    this.outlet.schedule();
  }

  /** Answers a PING. */
  pong(payload: Uint8Array): void {
    writePing(this.outlet.output, payload, true);
    this.outlet.schedule();
    this.spend(this.budget.control());
  }

  #complete(): void {
    if (this.phase !== 'draining' || !this.isServer) this.#goaway(ERROR_CODE.noError, '');
    this.closed = true;
    this.#events.onClosed(ERROR_CODE.noError, '', false);
  }

  #end(code: number, reason: string, byPeer: boolean): void {
    if (this.closed) return;
    this.closed = true;
    this.#goaway(code, byPeer ? reason : '');
    this.#breakAll(code === ERROR_CODE.noError ? ERROR_CODE.cancel : code, byPeer);
    this.outlet.schedule();
    this.#events.onClosed(code, reason, byPeer);
  }

  #goaway(code: number, reason: string): void {
    writeGoaway(this.outlet.output, this.lastPeerStreamId, code, reason);
  }

  #breakAll(code: number, violated: boolean): void {
    for (const stream of this.table.inOrder()) {
      if (stream.closed) continue;
      this.closeStream(stream, CLOSED.resetHere);
      stream.receiver?.onReset(code, violated);
    }
  }
}

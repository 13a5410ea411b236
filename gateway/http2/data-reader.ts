/** DATA that came in: to which stream, within which windows and lengths (RFC 9113 §6.1, §8.1.1). */
import { ERROR_CODE } from '../message/error-code.ts';
import { type Budget, type Verdict } from './budget.ts';
import { CLOSED, type ClosedStreams } from './closed-streams.ts';
import { type FrameReader } from './frame/frame-reader.ts';
import { FLAG } from './frame/frame-type.ts';
import { type ReceiveFlow } from './receive-flow.ts';
import { type Stream } from './stream.ts';
import { type StreamTable } from './stream-table.ts';

/** What the reader needs of its connection. */
export interface DataReaderOwner {
  readonly table: StreamTable;
  readonly closedStreams: ClosedStreams;
  readonly receiveFlow: ReceiveFlow;
  readonly budget: Budget;
  isIdle(streamId: number): boolean;
  fail(code: number, reason: string): void;
  breakStream(stream: Stream, code: number): void;
  refuseStream(streamId: number, code: number): void;
  resetCaused(): void;
  spend(verdict: Verdict): void;
  remoteEnded(stream: Stream): void;
}

/** Reads the DATA frames of a connection, piece by piece. */
export class DataReader {
  readonly #owner: DataReaderOwner;
  /** Of the current frame; `undefined` if it is thrown away. */
  #stream: Stream | undefined;

  constructor(owner: DataReaderOwner) {
    this.#owner = owner;
  }

  /** Takes the current piece of `frame`. */
  read(frame: FrameReader): void {
    if (frame.first) this.#stream = this.#begin(frame);
    const stream = this.#stream;
    if (stream === undefined || stream.closed) return;
    const count = frame.end - frame.start;
    const end = frame.last && (frame.flags & FLAG.endStream) !== 0;
    if (count === 0 && !end) return;
    if (stream.contentLeft >= 0) {
      stream.contentLeft -= count;
      if (stream.contentLeft < 0 || (end && stream.contentLeft > 0)) {
        this.#owner.breakStream(stream, ERROR_CODE.protocolError);
        return;
      }
    }
    if (end) stream.remoteOpen = false;
    stream.receiver?.onData(frame.bytes.subarray(frame.start, frame.end), end);
    if (end) this.#owner.remoteEnded(stream);
  }

  /** Charges the windows with a new frame, padding included, and finds its stream. */
  #begin(frame: FrameReader): Stream | undefined {
    const owner = this.#owner;
    const { streamId, length } = frame;
    if (owner.isIdle(streamId)) {
      owner.fail(ERROR_CODE.protocolError, 'DATA on an idle stream');
      return undefined;
    }
    if (!owner.receiveFlow.charge(length)) {
      owner.fail(ERROR_CODE.flowControlError, "DATA beyond the connection's window");
      return undefined;
    }
    if (length === frame.padding && (frame.flags & FLAG.endStream) === 0) owner.spend(owner.budget.glitch());
    const stream = owner.table.get(streamId);
    if (stream === undefined) {
      owner.receiveFlow.credit(length);
      this.#onClosed(streamId);
      return undefined;
    }
    const problem = this.#problem(stream, length);
    if (problem !== ERROR_CODE.noError) {
      owner.breakStream(stream, problem);
      return undefined;
    }
    if (frame.padding > 0) owner.receiveFlow.creditStream(stream, frame.padding);
    return stream;
  }

  #problem(stream: Stream, length: number): number {
    const fits = this.#owner.receiveFlow.chargeStream(stream, length);
    if (!stream.remoteOpen) return ERROR_CODE.streamClosed;
    if (!fits) return ERROR_CODE.flowControlError;
    // A client's stream has no data before the final head.
    return stream.response !== undefined && !stream.hasHead ? ERROR_CODE.protocolError : ERROR_CODE.noError;
  }

  #onClosed(streamId: number): void {
    const owner = this.#owner;
    switch (owner.closedStreams.how(streamId)) {
      case CLOSED.resetHere:
        // On its way when we reset the stream.
        return;
      case CLOSED.ended:
        owner.fail(ERROR_CODE.streamClosed, 'DATA after END_STREAM');
        return;
      default:
        owner.refuseStream(streamId, ERROR_CODE.streamClosed);
        owner.resetCaused();
    }
  }
}

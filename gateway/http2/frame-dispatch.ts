/** What each frame does to a connection (RFC 9113 §6), other than DATA. */
import { ERROR_CODE } from '../message/error-code.ts';
import { CLOSED } from './closed-streams.ts';
import { type Connection } from './connection.ts';
import { FrameReader } from './frame/frame-reader.ts';
import { FLAG, FRAME, INT31_MAX } from './frame/frame-type.ts';
import { GOAWAY_BYTES_MIN, readGoawayCode, readGoawayLastStreamId } from './frame/goaway.ts';
import { PING_BYTES } from './frame/ping.ts';
import { isSelfDependent, PRIORITY_BYTES } from './frame/priority.ts';
import { readRstStream, RST_STREAM_BYTES } from './frame/rst-stream.ts';
import { SETTING_BYTES, writeSettingsAck } from './frame/settings.ts';
import { readWindowUpdate, WINDOW_UPDATE_BYTES } from './frame/window-update.ts';

/** Reads the frames of a connection and acts on them. */
export class FrameDispatch {
  readonly frame = new FrameReader();
  /** The other end's SETTINGS, which come first, are in. */
  greeted = false;
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Takes what came in, from `from` on. */
  read(bytes: Buffer, from: number): void {
    const { frame } = this;
    const connection = this.#connection;
    frame.feed(bytes, from);
    while (!connection.closed && frame.next()) this.#frame();
    if (frame.error !== ERROR_CODE.noError) connection.fail(frame.error, 'a frame of a wrong size');
  }

  #frame(): void {
    const { frame } = this;
    const connection = this.#connection;
    const { openStreamId } = connection.blocks;
    if (openStreamId !== 0 && (frame.type !== FRAME.continuation || frame.streamId !== openStreamId)) {
      connection.fail(ERROR_CODE.protocolError, 'a frame inside a header block');
      return;
    }
    if (!this.greeted && (frame.type !== FRAME.settings || (frame.flags & FLAG.ack) !== 0)) {
      connection.fail(ERROR_CODE.protocolError, 'the first frame is not SETTINGS');
      return;
    }
    if (frame.type === FRAME.data) connection.data.read(frame);
    else if (frame.type === FRAME.headers) this.#headers();
    else this.#other();
  }

  #other(): void {
    const connection = this.#connection;
    switch (this.frame.type) {
      case FRAME.priority:
        this.#priority();
        return;
      case FRAME.rstStream:
        this.#rstStream();
        return;
      case FRAME.settings:
        this.#settings();
        return;
      case FRAME.pushPromise:
        connection.fail(ERROR_CODE.protocolError, 'PUSH_PROMISE, which is never permitted here');
        return;
      case FRAME.ping:
        this.#ping();
        return;
      case FRAME.goaway:
        this.#goaway();
        return;
      case FRAME.windowUpdate:
        this.#windowUpdate();
        return;
      case FRAME.continuation:
        this.#continuation();
        return;
      default:
        // Unknown types are ignored (RFC 9113 §4.1).
        connection.spend(connection.budget.oddity());
    }
  }

  #headers(): void {
    const { frame } = this;
    const connection = this.#connection;
    if (frame.streamId === 0) {
      connection.fail(ERROR_CODE.protocolError, 'HEADERS on stream 0');
      return;
    }
    this.#block(connection.blocks.begin(frame));
  }

  #continuation(): void {
    const { frame } = this;
    const connection = this.#connection;
    if (connection.blocks.openStreamId === 0) {
      connection.fail(ERROR_CODE.protocolError, 'CONTINUATION outside a header block');
      return;
    }
    if (frame.length === 0) connection.spend(connection.budget.glitch());
    if (!connection.closed) this.#block(connection.blocks.resume(frame));
  }

  #block(error: number): void {
    const connection = this.#connection;
    if (error !== ERROR_CODE.noError) {
      connection.fail(error, 'a header block that cannot be decoded');
      return;
    }
    if (connection.blocks.openStreamId === 0) connection.onBlock(this.frame.streamId);
  }

  #priority(): void {
    const { frame } = this;
    const connection = this.#connection;
    const { streamId } = frame;
    if (streamId === 0) {
      connection.fail(ERROR_CODE.protocolError, 'PRIORITY on stream 0');
      return;
    }
    connection.spend(connection.budget.oddity());
    const isShort = frame.length !== PRIORITY_BYTES;
    if (!isShort && !isSelfDependent(frame)) return;
    const code = isShort ? ERROR_CODE.frameSizeError : ERROR_CODE.protocolError;
    const stream = connection.table.get(streamId);
    // What is idle cannot be reset.
    if (stream !== undefined) connection.breakStream(stream, code);
    else if (connection.isIdle(streamId)) connection.fail(code, 'a malformed PRIORITY on an idle stream');
    else this.#refuse(streamId, code);
  }

  /** A stream that is closed can still be told, once more. */
  #refuse(streamId: number, code: number): void {
    this.#connection.refuseStream(streamId, code);
    this.#connection.resetCaused();
  }

  #rstStream(): void {
    const { frame } = this;
    const connection = this.#connection;
    if (frame.length !== RST_STREAM_BYTES) {
      connection.fail(ERROR_CODE.frameSizeError, 'RST_STREAM of a wrong size');
      return;
    }
    const { streamId } = frame;
    if (connection.isIdle(streamId)) {
      connection.fail(ERROR_CODE.protocolError, 'RST_STREAM on an idle stream');
      return;
    }
    const stream = connection.table.get(streamId);
    if (stream === undefined) {
      const { budget } = connection;
      connection.spend(
        connection.isServer && streamId > connection.lastPeerStreamId ? budget.reset() : budget.oddity(),
      );
      return;
    }
    const code = readRstStream(frame);
    connection.closeStream(stream, CLOSED.resetThere);
    if (code === ERROR_CODE.enhanceYourCalm && !stream.hasHead) connection.askedForCalm();
    stream.receiver?.onReset(code);
    // A server may refuse and give up what it likes; a client that does so costs us its requests (CVE-2023-44487).
    if (connection.isServer) connection.spend(connection.budget.reset());
  }

  #settings(): void {
    const { frame } = this;
    const connection = this.#connection;
    const isAck = (frame.flags & FLAG.ack) !== 0;
    if (frame.streamId !== 0) {
      connection.fail(ERROR_CODE.protocolError, 'SETTINGS on a stream');
    } else if (frame.length % SETTING_BYTES !== 0 || (isAck && frame.length > 0)) {
      connection.fail(ERROR_CODE.frameSizeError, 'SETTINGS of a wrong size');
    } else if (frame.length > connection.limits.settingsMax * SETTING_BYTES) {
      connection.fail(ERROR_CODE.enhanceYourCalm, 'too many settings in one frame');
    } else if (isAck) {
      this.#settled();
    } else {
      this.#apply();
    }
  }

  #apply(): void {
    const connection = this.#connection;
    const { peer, send } = connection;
    if (this.greeted) connection.spend(connection.budget.oddity());
    this.greeted = true;
    const before = peer.windowBytes;
    const error = peer.take(this.frame, !connection.isServer);
    if (error !== ERROR_CODE.noError) {
      connection.fail(error, 'a setting out of its range');
      return;
    }
    connection.encoder.setTableLimit(peer.headerTableBytes);
    send.limitFrames(peer.frameBytesMax);
    const change = peer.windowBytes - before;
    if (change !== 0) {
      for (const stream of connection.table.all()) {
        if (send.grantStream(stream, change)) continue;
        connection.fail(ERROR_CODE.flowControlError, 'a window above 2^31-1 by SETTINGS');
        return;
      }
    }
    if (connection.closed) return;
    writeSettingsAck(connection.outlet.output);
    connection.outlet.schedule();
    connection.spend(connection.budget.control());
  }

  /** Ours are in force at the other end. */
  #settled(): void {
    const connection = this.#connection;
    if (connection.settled) {
      connection.spend(connection.budget.oddity());
      return;
    }
    connection.settled = true;
    const { receiveFlow, limits } = connection;
    const change = limits.streamWindowBytes - receiveFlow.streamWindowBytes;
    receiveFlow.streamWindowBytes = limits.streamWindowBytes;
    for (const stream of connection.table.all()) stream.receiveWindow += change;
  }

  #ping(): void {
    const { frame } = this;
    const connection = this.#connection;
    if (frame.length !== PING_BYTES) {
      connection.fail(ERROR_CODE.frameSizeError, 'PING of a wrong size');
    } else if (frame.streamId !== 0) {
      connection.fail(ERROR_CODE.protocolError, 'PING on a stream');
    } else if ((frame.flags & FLAG.ack) === 0) {
      connection.spend(connection.budget.oddity());
      if (!connection.closed) connection.pong(frame.bytes.subarray(frame.start, frame.end));
    } else if (!connection.pings.answered(frame.bytes, frame.start)) {
      connection.spend(connection.budget.oddity());
    }
  }

  #goaway(): void {
    const { frame } = this;
    const connection = this.#connection;
    if (frame.streamId !== 0) {
      connection.fail(ERROR_CODE.protocolError, 'GOAWAY on a stream');
    } else if (frame.length < GOAWAY_BYTES_MIN) {
      connection.fail(ERROR_CODE.frameSizeError, 'GOAWAY of a wrong size');
    } else {
      if (connection.peerGoing) connection.spend(connection.budget.oddity());
      connection.peerCode = readGoawayCode(frame);
      connection.goingAway();
      connection.onGoaway(readGoawayLastStreamId(frame));
      connection.outlet.schedule();
    }
  }

  #windowUpdate(): void {
    const { frame } = this;
    const connection = this.#connection;
    const { streamId } = frame;
    if (frame.length !== WINDOW_UPDATE_BYTES) {
      connection.fail(ERROR_CODE.frameSizeError, 'WINDOW_UPDATE of a wrong size');
      return;
    }
    const increment = readWindowUpdate(frame);
    if (streamId === 0) {
      this.#connectionUpdate(increment);
      return;
    }
    if (connection.isIdle(streamId)) {
      connection.fail(ERROR_CODE.protocolError, 'WINDOW_UPDATE on an idle stream');
      return;
    }
    const stream = connection.table.get(streamId);
    // On its way when the stream ended.
    if (stream === undefined) return;
    if (increment === 0) {
      connection.breakStream(stream, ERROR_CODE.protocolError);
      return;
    }
    if (connection.send.isTiny(stream, increment)) connection.spend(connection.budget.glitch());
    if (!stream.closed && !connection.send.grantStream(stream, increment)) {
      connection.breakStream(stream, ERROR_CODE.flowControlError);
    }
  }

  #connectionUpdate(increment: number): void {
    const connection = this.#connection;
    if (increment === 0) {
      connection.fail(ERROR_CODE.protocolError, 'WINDOW_UPDATE of 0');
      return;
    }
    if (connection.send.isTiny(undefined, increment)) connection.spend(connection.budget.glitch());
    if (connection.send.window + increment > INT31_MAX || !connection.send.grant(increment)) {
      connection.fail(ERROR_CODE.flowControlError, "the connection's window above 2^31-1");
    }
  }
}

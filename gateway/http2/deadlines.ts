/** What a connection may not keep waiting: its greeting, our settings, a frame or header block begun, bytes to send. */
import { ERROR_CODE } from '../message/error-code.ts';
import { type Connection } from './connection.ts';
import { type FrameDispatch } from './frame-dispatch.ts';

/** What passes one: `greeting` and `headers` are told to whoever counts slow callers. */
export type Missed = 'greeting' | 'headers' | 'settings';

/** Looks at each stream in `stallTimeoutMs`. */
const STALL_LOOKS = 10;

/** Below this many bytes between two looks a stream with bytes to send stands still (CVE-2019-9511, -9517). */
const PROGRESS_BYTES_MIN = 1024;

/** Looks at the time about once a second: deadlines pass up to a second late. */
export class Deadlines {
  readonly #connection: Connection;
  readonly #dispatch: FrameDispatch;
  #startMs = -1;
  #frameMs = -1;
  #frameCount = -1;
  #blockMs = -1;
  #stallMs = -1;
  #announcedMs = -1;
  #idleMs = -1;
  #lastStreamId = 0;

  constructor(connection: Connection, dispatch: FrameDispatch) {
    this.#connection = connection;
    this.#dispatch = dispatch;
  }

  /** What has been missed: the connection is to be closed. */
  check(nowMs: number): Missed | undefined {
    const { limits, settled, phase } = this.#connection;
    if (this.#startMs < 0) this.#startMs = nowMs;
    const age = nowMs - this.#startMs;
    if (!this.#dispatch.greeted && age >= limits.headerTimeoutMs) return 'greeting';
    if (!settled && age >= limits.settingsTimeoutMs) return 'settings';
    if (this.#frameLate(nowMs) || this.#blockLate(nowMs)) return 'headers';
    // One whole second, and two at most, for what is on its way.
    if (phase === 'announced') {
      if (this.#announcedMs < 0) this.#announcedMs = nowMs;
      else this.#connection.drain();
    }
    this.#resetStalled(nowMs);
    this.#endIdle(nowMs);
    return undefined;
  }

  /** PINGs keep nothing alive: a stranger's connection is for calls. */
  #endIdle(nowMs: number): void {
    const { limits, table, phase, isServer, lastPeerStreamId } = this.#connection;
    if (limits.idleTimeoutMs === undefined || !isServer || phase !== 'open') return;
    const isIdle = table.size === 0 && lastPeerStreamId === this.#lastStreamId;
    this.#lastStreamId = lastPeerStreamId;
    if (!isIdle || this.#idleMs < 0) this.#idleMs = nowMs;
    else if (nowMs - this.#idleMs >= limits.idleTimeoutMs) this.#connection.shutdown();
  }

  /** A frame that has begun, other than DATA. */
  #frameLate(nowMs: number): boolean {
    const { frame } = this.#dispatch;
    if (!frame.partial) {
      this.#frameCount = -1;
      return false;
    }
    if (frame.count !== this.#frameCount) {
      this.#frameCount = frame.count;
      this.#frameMs = nowMs;
    }
    return nowMs - this.#frameMs >= this.#connection.limits.headerTimeoutMs;
  }

  #blockLate(nowMs: number): boolean {
    if (this.#connection.blocks.openStreamId === 0) {
      this.#blockMs = -1;
      return false;
    }
    if (this.#blockMs < 0) this.#blockMs = nowMs;
    return nowMs - this.#blockMs >= this.#connection.limits.headerTimeoutMs;
  }

  #resetStalled(nowMs: number): void {
    const { limits, table } = this.#connection;
    if (limits.stallTimeoutMs === undefined) return;
    if (this.#stallMs < 0) this.#stallMs = nowMs;
    if (nowMs - this.#stallMs < limits.stallTimeoutMs / STALL_LOOKS) return;
    this.#stallMs = nowMs;
    for (const stream of table.all()) {
      const isStalled = stream.queuedBytes > 0 && stream.sentSinceLook < PROGRESS_BYTES_MIN;
      stream.stalledLooks = isStalled ? stream.stalledLooks + 1 : 0;
      // The first look may have come at any time after the bytes.
      if (stream.stalledLooks > STALL_LOOKS) this.#connection.breakStream(stream, ERROR_CODE.cancel);
      stream.sentSinceLook = 0;
    }
  }
}

/**
 * What a call may wait for, and how long: one entry on the wheel, whatever is waited for.
 *
 *   body ── its last byte is with the destination ──▶ answer ── response head ──▶ untimed, or idle in a WebSocket
 *    └─ looked at now and then: whoever does not move is late, the sender (bytes over time) or the destination (deadline)
 *
 * A deadline over a whole upload would cut who sends much over a slow line, so it begins when there is something to
 * answer. gRPC says for itself how long a call may take, from its beginning, and may be silent as long.
 */
import { type Clock } from '../../base/clock.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { type CallLimits } from './call-limits.ts';
import { type Deadlines, Due } from './deadlines.ts';

/** Whoever does not move is found at most this share of the limit too late. */
const LOOKS = 4;

const UNTIMED = 0;
/** Until a time that stands. */
const FIXED = 1;
/** A request that is on its way, then answered. */
const REQUEST = 2;
/** A tunnel in which something must move. */
const IDLE = 3;

const NO_LIMITS: CallLimits = { responseMs: 0, bodyBytes: 0, bodyStallMs: 0, tunnelIdleMs: 0 };

/** The timed part of a call. */
export abstract class TimedCall extends Due {
  bytesIn = 0;
  bytesOut = 0;
  protected readonly beganAtMs: number;
  protected limits = NO_LIMITS;
  protected requestEnded: boolean;
  /** Bytes of the body that the destination has taken, for which the caller has its credit back. */
  protected credited = 0;
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  #kind = UNTIMED;
  #limitMs = Infinity;
  /** Since when the destination is waited for, or nothing has moved. */
  #sinceMs: number;
  /** What had moved by then. */
  #movedBytes = 0;
  /** Since when the sender is measured, and what had been taken of it by then. */
  #rateSinceMs: number;
  #rateBytes = 0;

  constructor(clock: Clock, deadlines: Deadlines, requestEnded: boolean) {
    super();
    this.#clock = clock;
    this.#deadlines = deadlines;
    this.requestEnded = requestEnded;
    this.beganAtMs = clock.monotonic();
    this.#sinceMs = this.beganAtMs;
    this.#rateSinceMs = this.beganAtMs;
  }

  /** What is left until the deadline, milliseconds; Infinity for none. The whole limit while a body is on its way. */
  leftMs(): number {
    if (this.#limitMs === Infinity || this.#isUploading()) return this.#limitMs;
    return Math.max(0, this.#sinceMs + this.#limitMs - this.#clock.monotonic());
  }

  /** Until the deadline may pass at a gateway before us: it begins no sooner than the call, and there earlier than here. */
  protected earliestLeftMs(): number {
    return this.beganAtMs + this.#limitMs - this.#clock.monotonic();
  }

  override onDue(): void {
    if (this.#kind === UNTIMED) return;
    const nowMs = this.#clock.monotonic();
    const reason = this.#look(nowMs);
    if (reason === undefined) this.#arm(nowMs);
    else this.onLate(reason);
  }

  /** `reason` says who is late; the call is not timed any more. */
  protected abstract onLate(reason: ReasonCode): void;

  /** Whether the destination could take more of the body. */
  protected abstract get isConnected(): boolean;

  /** Starts the time. `limitMs` is Infinity for a call without deadline; `isWhole` says that it is one for all of the call. */
  protected startTime(limitMs: number, isWhole: boolean): void {
    this.#limitMs = limitMs;
    this.#kind = isWhole ? FIXED : REQUEST;
    this.#arm(this.beganAtMs);
  }

  /** The destination has taken more of the body, or its end has come. */
  protected movedOn(): void {
    if (this.#kind === REQUEST && this.#limitMs !== Infinity && !this.#isUploading())
      this.#sinceMs = this.#clock.monotonic();
  }

  /** From now on something must move now and then. */
  protected startIdle(idleMs: number): void {
    this.stopTime();
    this.#kind = IDLE;
    this.#limitMs = idleMs;
    this.#sinceMs = this.#clock.monotonic();
    this.#movedBytes = this.bytesIn + this.bytesOut;
    this.#arm(this.#sinceMs);
  }

  protected stopTime(): void {
    this.#kind = UNTIMED;
    this.#deadlines.remove(this);
  }

  #isUploading(): boolean {
    return this.#kind === REQUEST && (!this.requestEnded || this.credited < this.bytesIn);
  }

  /** Who is late. */
  #look(nowMs: number): ReasonCode | undefined {
    if (this.#kind === IDLE) return this.#lookForMovement(nowMs);
    if (this.#isUploading()) {
      const isSenderAwaited = !this.requestEnded && this.isConnected && this.credited === this.bytesIn;
      if (isSenderAwaited) return this.#lookAtSender(nowMs);
      this.#measureAnew(nowMs);
      if (this.credited !== this.#movedBytes) this.#sinceMs = nowMs;
      this.#movedBytes = this.credited;
    }
    return nowMs - this.#sinceMs >= this.#limitMs ? 'deadline' : undefined;
  }

  #lookForMovement(nowMs: number): ReasonCode | undefined {
    const bytes = this.bytesIn + this.bytesOut;
    if (bytes !== this.#movedBytes) this.#sinceMs = nowMs;
    this.#movedBytes = bytes;
    return nowMs - this.#sinceMs >= this.#limitMs ? 'limit-tunnel-idle' : undefined;
  }

  /** The sender has all its credit, and the destination nothing to answer for. */
  #lookAtSender(nowMs: number): ReasonCode | undefined {
    const { bodyBytes, bodyStallMs } = this.limits;
    this.#sinceMs = nowMs;
    this.#movedBytes = this.credited;
    if (bodyBytes === 0 || nowMs - this.#rateSinceMs < bodyStallMs) return undefined;
    if (this.credited - this.#rateBytes < bodyBytes) return 'limit-body-rate';
    this.#measureAnew(nowMs);
    return undefined;
  }

  #measureAnew(nowMs: number): void {
    this.#rateSinceMs = nowMs;
    this.#rateBytes = this.credited;
  }

  #arm(nowMs: number): void {
    const { bodyBytes, bodyStallMs } = this.limits;
    let atMs = this.#sinceMs + this.#limitMs;
    if (this.#kind === IDLE) atMs = Math.min(atMs, nowMs + this.#limitMs / LOOKS);
    else if (this.#isUploading()) {
      const stallMs = bodyBytes === 0 ? Infinity : bodyStallMs;
      atMs = Math.min(atMs, this.#rateSinceMs + stallMs, nowMs + Math.min(this.#limitMs, stallMs) / LOOKS);
    }
    if (atMs !== Infinity) this.#deadlines.add(this, atMs);
  }
}

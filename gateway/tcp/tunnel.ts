/**
 * One tunnel as a gateway sees it, whichever end it is: listed while it lives, recorded once when it ends.
 *
 *   waiting ── answered ──▶ open ── both ends said ──▶ over
 *      │                     ├── one side broke ─────▶ over
 *      └── refused ──▶ over  └── cut, idle ──────────▶ over
 */
import { type CallHost } from '../forward/call-host.ts';
import { type BudgetHandle, type CallEnd, type CallerBudget } from '../forward/caller-budget.ts';
import { Due } from '../forward/deadlines.ts';
import { type LiveCall } from '../forward/live-calls.ts';
import { type View } from '../forward/view.ts';
import { type StreamReceiver } from '../message/stream.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { type CallSubject, type EndedCall } from '../telemetry/call-subject.ts';
import { type PumpEvents } from './pump.ts';

/** An idle tunnel is found at most this share of its limit too late. */
const IDLE_LOOKS = 4;

const NO_BYTES = new Uint8Array(0);

/** What both ends of tunnels have in common. */
export abstract class Tunnel extends Due implements EndedCall, LiveCall, StreamReceiver, PumpEvents {
  readonly method = 'CONNECT';
  readonly target = '';
  readonly protocol = 'tcp';
  readonly grpcStatus = -1;
  readonly startedAtMs: number;
  readonly subject: CallSubject;
  status = 0;
  verdict: 'permit' | 'denial' | 'error' = 'permit';
  reason: ReasonCode | undefined = undefined;
  durationMs = 0;
  following: LiveCall | undefined = undefined;
  preceding: LiveCall | undefined = undefined;
  /** As asked for: the authority. */
  abstract readonly host: string;
  protected readonly services: CallHost;
  protected isOpen = false;
  protected isOver = false;
  readonly #beganAtMs: number;
  /** 0 for no limit. */
  #idleMs = 0;
  #budget: CallerBudget | undefined;
  #bytesAtLook = 0;
  #movedAtMs = 0;

  constructor(services: CallHost, subject: CallSubject) {
    super();
    this.services = services;
    this.subject = subject;
    this.startedAtMs = services.clock.now();
    this.#beganAtMs = services.clock.monotonic();
    services.live.add(this);
  }

  abstract get bytesIn(): number;
  abstract get bytesOut(): number;
  abstract onData(bytes: Uint8Array, end: boolean): void;
  abstract onReset(code: number): void;
  abstract onSent(bytes: number): void;
  abstract onSocketBroken(): void;
  abstract cut(reason: ReasonCode): void;
  abstract refusedUnder(view: View): ReasonCode | undefined;
  /** What is waited for has not come in time. */
  protected abstract late(): void;

  onDone(): void {
    this.finish(undefined, 'permit');
  }

  /** A stream of CONNECT has none; what ends it ends it. */
  onTrailers(): void {
    this.onData(NO_BYTES, true);
  }

  override onDue(): void {
    if (this.isOver) return;
    if (!this.isOpen) {
      this.late();
      return;
    }
    const nowMs = this.services.clock.monotonic();
    const bytes = this.bytesIn + this.bytesOut;
    if (bytes !== this.#bytesAtLook) this.#movedAtMs = nowMs;
    this.#bytesAtLook = bytes;
    if (nowMs - this.#movedAtMs >= this.#idleMs) this.cut('limit-tunnel-idle');
    else this.#lookLater(nowMs);
  }

  /** Calls `late` unless the tunnel is open by then; 0 is no limit. */
  protected waitAtMost(ms: number): void {
    const { clock, deadlines } = this.services;
    deadlines.remove(this);
    if (ms > 0) deadlines.add(this, clock.monotonic() + ms);
  }

  /** The tunnel stands. `idleMs` is how long nothing may move in it; 0 is no limit. */
  protected opened(idleMs: number): void {
    const { clock, deadlines } = this.services;
    this.isOpen = true;
    this.status = 200;
    deadlines.remove(this);
    this.#idleMs = idleMs;
    this.#movedAtMs = clock.monotonic();
    if (idleMs > 0) this.#lookLater(this.#movedAtMs);
  }

  /** Why the caller may not cost a link any more now, or `undefined`: then it counts until the end. */
  protected overBudget(handle: BudgetHandle | undefined): ReasonCode | undefined {
    const nowMs = this.services.clock.monotonic();
    const budget = handle?.at(nowMs);
    const refused = budget?.enter(nowMs);
    if (refused === undefined) this.#budget = budget;
    return refused;
  }

  /** The end, once. */
  protected finish(reason: ReasonCode | undefined, verdict: EndedCall['verdict'], end: CallEnd = 'done'): void {
    if (this.isOver) return;
    this.isOver = true;
    this.reason = reason;
    this.verdict = verdict;
    const { clock, deadlines, live, sink } = this.services;
    deadlines.remove(this);
    live.remove(this);
    const nowMs = clock.monotonic();
    this.durationMs = nowMs - this.#beganAtMs;
    sink.record(this);
    // Last, since it may cut other calls.
    this.#budget?.leave(nowMs, this.#beganAtMs, end);
  }

  #lookLater(nowMs: number): void {
    this.services.deadlines.add(this, nowMs + this.#idleMs / IDLE_LOOKS);
  }
}

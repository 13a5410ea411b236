/**
 * One call on its way: what its caller sends goes to the destination, and the answer back, byte for byte and no faster
 * than either end takes it.
 *
 *   judged ── permit ──▶ sending ── response head ──▶ answering ── its end ──▶ over
 *      │                  │    ▲                          │
 *      │                  └────┘ nothing was processed    ├─ caller gone, destination broken ──▶ over
 *      └── denial ──▶ over                                └─ deadline (gRPC), idle (WebSocket) ──▶ over
 */
import { JumpgateError } from '../../base/errors.ts';
import { type RequestFields } from '../headers/request-fields.ts';
import { cleanResponse, cleanTrailers, grpcStatusOf, linkReasonOf, withoutLength } from '../headers/response-fields.ts';
import { ERROR_CODE } from '../message/error-code.ts';
import { type Field } from '../message/field.ts';
import { type RequestHead, type ResponseHead } from '../message/head.ts';
import { field } from '../message/names.ts';
import { type ClientConnection, type ServerStream, type StreamReceiver, type StreamSender } from '../message/stream.ts';
import { type ReasonCode, reasonOf, verdictOf } from '../refusal/reason.ts';
import { type Audience, refuse } from '../refusal/refuse.ts';
import { type CallSubject, type EndedCall } from '../telemetry/call-subject.ts';
import { Answer, type Answered, type Failure } from './answer.ts';
import { type CallHost } from './call-host.ts';
import { tooSlow } from './call-limits.ts';
import { type CallPlan, type CallStart } from './call-start.ts';
import { type CallEnd, type CallerBudget, endOfReset } from './caller-budget.ts';
import { type Destination, type Outgoing, type Waiter } from './destination.ts';
import { HeldBody } from './held-body.ts';
import { type LiveCall } from './live-calls.ts';
import { TimedCall } from './timed-call.ts';
import { type View } from './view.ts';

/** Connections tried for one call, where those before have processed nothing of it. */
const ATTEMPTS_MAX = 4;

/** Status in the log when the caller went away before any was sent (nginx's convention). */
const CALLER_GONE_STATUS = 499;

/** Methods that may be done again where nobody knows whether they were done (RFC 9110 §9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

const DEADLINE_TRAILERS: readonly Field[] = [field('grpc-status', '4'), field('grpc-message', 'deadline')];
const NO_TRAILERS: readonly Field[] = [];
const NONE_TRIED: readonly ClientConnection[] = [];

/** A call. It ends by itself, and records itself once. */
export class Call extends TimedCall implements StreamReceiver, EndedCall, Outgoing, Waiter, LiveCall, Answered {
  readonly head: RequestHead;
  readonly read: RequestFields;
  readonly startedAtMs: number;
  subject: CallSubject;
  status = 0;
  grpcStatus = -1;
  verdict: 'permit' | 'denial' | 'error' = 'permit';
  reason: ReasonCode | undefined = undefined;
  durationMs = 0;
  following: LiveCall | undefined = undefined;
  preceding: LiveCall | undefined = undefined;
  answer: Answer | undefined = undefined;
  readonly #host: CallHost;
  readonly #stream: ServerStream;
  readonly #audience: Audience;
  #destination: Destination | undefined = undefined;
  #plan: CallPlan | undefined = undefined;
  #budget: CallerBudget | undefined = undefined;
  #upstream: StreamSender | undefined = undefined;
  #connection: ClientConnection | undefined = undefined;
  #tried: readonly ClientConnection[] = NONE_TRIED;
  #held: HeldBody | undefined;
  #trailers: readonly Field[] = NO_TRAILERS;
  #responded = false;
  /** The destination tells when there is a connection, or none. */
  #isWaiting = false;
  /** The destination's half of a tunnel has ended, and the caller's has not. */
  #answerEnded = false;
  #end: CallEnd = 'done';
  #over = false;

  constructor(host: CallHost, start: CallStart, subject: CallSubject) {
    super(host.clock, host.deadlines, start.end);
    this.#host = host;
    this.#stream = start.stream;
    this.#audience = start.audience;
    this.head = start.head;
    this.read = start.read;
    this.subject = subject;
    this.#held = start.end ? undefined : new HeldBody();
    this.startedAtMs = host.clock.now();
    host.live.add(this);
  }

  get host(): string {
    return this.head.authority.value;
  }

  get method(): string {
    return this.head.method.value;
  }

  get target(): string {
    return this.head.path.value;
  }

  get protocol(): 'http1' | 'http2' {
    return this.#stream.protocol;
  }

  refusedUnder(view: View): ReasonCode | undefined {
    return this.#plan?.refusedUnder(view, this.head, this.read);
  }

  /** Sends the call, unless its caller is above its budget. `limitMs` is Infinity for a call without deadline. */
  send(destination: Destination, limitMs: number, plan: CallPlan): void {
    const budget = destination.budget?.at(this.beganAtMs);
    const refused = budget?.enter(this.beganAtMs);
    if (refused !== undefined) {
      this.refuse(refused, 'denial');
      return;
    }
    this.#budget = budget;
    this.#destination = destination;
    this.#plan = plan;
    this.limits = plan.limits;
    this.startTime(limitMs, this.read.grpc || this.head.protocol !== undefined);
    this.#attempt(destination);
  }

  /** Answers with a refusal, and that is the end. `denial`: policy or the head said no; `error`: something failed. */
  refuse(reason: ReasonCode, verdict: 'denial' | 'error'): void {
    if (this.#over) return;
    const { grpc } = this.read;
    const told = reason === 'limit-body-rate' ? tooSlow(this.limits) : undefined;
    const refused = refuse(this.#stream, { reason, grpc, audience: this.#audience, method: this.method, told });
    this.status = refused.status;
    this.grpcStatus = refused.grpcStatus;
    this.bytesOut = refused.bytesOut;
    this.verdict = verdict;
    this.reason = reason;
    if (!this.requestEnded) this.#stream.unwanted();
    this.#finish();
  }

  cut(reason: ReasonCode): void {
    if (this.#over) return;
    this.#giveUpUpstream();
    if (!this.#responded) {
      this.refuse(reason, 'denial');
      return;
    }
    this.#stream.reset(ERROR_CODE.cancel);
    this.#fail(reason, verdictOf(reason));
  }

  protected override get isConnected(): boolean {
    return this.#upstream !== undefined;
  }

  protected override onLate(reason: ReasonCode): void {
    if (this.#over) return;
    // A deadline of gRPC is the caller's own, and a short one wastes as a reset does.
    if (this.read.grpc) this.#end = 'given-up';
    this.#giveUpUpstream();
    if (!this.#responded) {
      this.refuse(reason, verdictOf(reason));
      return;
    }
    if (reason === 'limit-tunnel-idle') {
      this.#stream.reset(ERROR_CODE.cancel);
      this.#fail(reason);
      return;
    }
    this.#stream.finish(DEADLINE_TRAILERS);
    if (!this.requestEnded) this.#stream.unwanted();
    this.grpcStatus = 4;
    this.#fail('deadline');
  }

  // What the caller sends.

  onData(bytes: Uint8Array, end: boolean): void {
    this.bytesIn += bytes.length;
    if (end) this.requestEnded = true;
    if (this.#over) return;
    this.#held?.add(bytes);
    this.#upstream?.write(bytes, end);
    if (end) this.#ended();
  }

  onTrailers(trailers: readonly Field[]): void {
    this.requestEnded = true;
    if (this.#over) return;
    this.#trailers = cleanTrailers(trailers);
    this.#upstream?.finish(this.#trailers);
    this.#ended();
  }

  onReset(): void {
    if (this.#over) return;
    this.#end = endOfReset(this.#stream, this.read.grpc || this.#responded ? Infinity : this.earliestLeftMs());
    this.#giveUpUpstream();
    if (!this.#responded) this.status = CALLER_GONE_STATUS;
    this.#fail('caller-gone');
  }

  onSent(bytes: number): void {
    this.#upstream?.credit(bytes);
  }

  // What the destination answers.

  interim(head: ResponseHead): void {
    // Expectations are met at each hop, and nothing is switched by surprise.
    if (head.status === 100 || head.status === 101) return;
    this.#stream.inform({ status: head.status, fields: cleanResponse(head.fields) });
  }

  respond(head: ResponseHead, end: boolean): void {
    const { fields } = head;
    const told = this.#destination?.gateway === true ? reasonOf(linkReasonOf(fields)) : undefined;
    if (told !== undefined && this.#audience === 'stranger') {
      this.#giveUpUpstream();
      this.refuse(told, verdictOf(told));
      return;
    }
    this.#responded = true;
    this.#held = undefined;
    if (this.read.grpc) this.grpcStatus = grpcStatusOf(fields);
    else this.#untime(head.status);
    this.status = head.status;
    const clean = head.status === 204 ? withoutLength(cleanResponse(fields)) : cleanResponse(fields);
    if (told !== undefined) {
      this.reason = told;
      this.verdict = verdictOf(told);
      this.#stream.respond({ status: head.status, fields: [...clean, field('jumpgate-reason', told)] }, end);
    } else {
      this.#stream.respond(clean === fields ? head : { status: head.status, fields: clean }, end);
    }
    if (end) this.#complete();
  }

  answerData(bytes: Uint8Array, end: boolean): void {
    this.bytesOut += bytes.length;
    this.#stream.write(bytes, end);
    if (end) this.#complete();
  }

  answerTrailers(trailers: readonly Field[]): void {
    if (this.read.grpc) this.grpcStatus = grpcStatusOf(trailers);
    this.#stream.finish(cleanTrailers(trailers));
    this.#complete();
  }

  uploaded(bytes: number): void {
    // For what an earlier attempt took the caller had its credit.
    if (bytes <= this.credited) return;
    this.#stream.credit(bytes - this.credited);
    this.credited = bytes;
    if (this.requestEnded) this.movedOn();
  }

  failed(failure: Failure): void {
    const destination = this.#destination;
    if (this.#over || destination === undefined) return;
    this.#upstream = undefined;
    this.answer = undefined;
    if (this.#connection !== undefined) this.#tried = [...this.#tried, this.#connection];
    if (this.#responded) {
      this.#stream.reset(ERROR_CODE.internalError);
      this.#fail(destination[failure === 'refused' ? 'broken' : failure]);
      return;
    }
    const isKept = this.#held?.isWhole ?? this.bytesIn === 0;
    const isStale = this.#connection?.staleReset === true && IDEMPOTENT.has(this.method);
    if ((failure === 'refused' || isStale) && isKept && this.#tried.length < ATTEMPTS_MAX) this.#attempt(destination);
    else this.refuse(destination[failure], 'error');
  }

  // What waits for a connection.

  onConnection(): void {
    this.#isWaiting = false;
    if (!this.#over && this.#destination !== undefined) this.#attempt(this.#destination);
  }

  onUnreachable(): void {
    this.#isWaiting = false;
    if (this.#destination !== undefined) this.refuse(this.#destination.unreachable, 'error');
  }

  #attempt(destination: Destination): void {
    while (this.#tried.length < ATTEMPTS_MAX) {
      const taken = destination.take(this.#tried);
      if (taken === undefined) break;
      const { connection } = taken;
      if (this.#open(destination.requestHead(this, taken), connection)) return;
      this.#tried = [...this.#tried, connection];
    }
    const isTried = this.#tried.length > 0;
    if (this.#tried.length < ATTEMPTS_MAX) {
      // Set before, since where nothing can be waited for it may be told at once.
      this.#isWaiting = true;
      if (destination.wait(this)) return;
      this.#isWaiting = false;
    }
    this.refuse(isTried ? destination.refused : destination.unreachable, 'error');
  }

  /** Sends the call on `connection`; false when it takes no more requests, and nothing has left. */
  #open(head: RequestHead, connection: ClientConnection): boolean {
    const isBodiless = this.requestEnded && this.bytesIn === 0 && this.#trailers.length === 0;
    const answer = new Answer(this);
    this.answer = answer;
    this.#connection = connection;
    let upstream: StreamSender | undefined;
    try {
      upstream = connection.open(head, isBodiless, answer);
    } catch (error) {
      if (!(error instanceof JumpgateError)) throw error;
      // HTTP/1.1 cannot say all that HTTP/2 can, and not every service opens tunnels. Nothing has left, and it would be
      // the same elsewhere.
      this.answer = undefined;
      const reason = reasonOf(error.code) ?? 'header-malformed';
      this.refuse(reason, verdictOf(reason));
      return true;
    }
    if (upstream === undefined) return false;
    // The connection may have failed while the head was written, and the call be over or elsewhere.
    if (this.answer !== answer) return true;
    this.#upstream = upstream;
    if (!isBodiless) this.#sendHeld(upstream);
    return true;
  }

  #sendHeld(upstream: StreamSender): void {
    const held = this.#held;
    if (held !== undefined) {
      for (const bytes of held.chunks) upstream.write(bytes, false);
      held.sent();
    }
    if (this.requestEnded) upstream.finish(this.#trailers);
    // Whoever waits for 100 (Continue) may go on.
    else this.#stream.credit(0);
  }

  /** A body may stream for as long as it likes; a gRPC deadline is for the whole call. */
  #untime(status: number): void {
    const { tunnelIdleMs } = this.limits;
    if (tunnelIdleMs > 0 && this.head.protocol !== undefined && status < 300) this.startIdle(tunnelIdleMs);
    else this.stopTime();
  }

  /** The request is complete. */
  #ended(): void {
    if (this.#answerEnded) this.#finish();
    else this.movedOn();
  }

  #complete(): void {
    if (this.#over) return;
    if (!this.requestEnded) {
      if (this.head.protocol !== undefined && this.status < 300) {
        this.#answerEnded = true;
        return;
      }
      // RFC 9113 §8.1: the answer is complete and the rest of the request is not wanted.
      this.#upstream?.reset(ERROR_CODE.cancel);
      this.#stream.unwanted();
    }
    this.#finish();
  }

  #fail(reason: ReasonCode, verdict: 'denial' | 'error' = 'error'): void {
    this.reason = reason;
    this.verdict = verdict;
    this.#finish();
  }

  #giveUpUpstream(): void {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    this.answer = undefined;
    upstream?.reset(ERROR_CODE.cancel);
  }

  #finish(): void {
    this.#over = true;
    this.#held = undefined;
    if (this.#isWaiting) this.#destination?.leave(this);
    const { clock, live, sink } = this.#host;
    this.stopTime();
    live.remove(this);
    const nowMs = clock.monotonic();
    this.durationMs = nowMs - this.beganAtMs;
    sink.record(this);
    // Last, since it may cut other calls.
    this.#budget?.leave(nowMs, this.beganAtMs, this.#end);
  }
}

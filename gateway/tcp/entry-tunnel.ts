/**
 * The importer's end of a tunnel: a local connection, sent to the peer over a link.
 *
 *   tls: hello ── server name is announced ──┐
 *                                            ▼
 *   tcp: ─────────────────────────────▶ asked ── 200 ──▶ open ──▶ over
 *                                        │  ▲
 *                                        └──┘ a link did not take it, another is tried
 *
 * What the caller sends goes along with the question: a round trip less, and the exporter holds it until its service
 * has answered.
 */
import { type Socket } from 'node:net';

import { type CallHost } from '../forward/call-host.ts';
import { linkReasonOf } from '../headers/response-fields.ts';
import { ERROR_CODE } from '../message/error-code.ts';
import { type RequestHead, type ResponseHead } from '../message/head.ts';
import { type ClientConnection, type ResponseReceiver } from '../message/stream.ts';
import { entryOf, type ReasonCode, reasonOf, verdictOf } from '../refusal/reason.ts';
import { type EntryAdmission } from './entry-plan.ts';
import { HelloGate } from './hello-gate.ts';
import { Pump } from './pump.ts';
import { resetSocket } from './reset-socket.ts';
import { Tunnel } from './tunnel.ts';

/** Links tried for one tunnel, where those before have processed nothing of it. */
const ATTEMPTS_MAX = 4;

/** How long a refused TLS client may take to read its alert. */
const LINGER_MS = 1_000;

/** Status in the log when the caller went away before any was sent (nginx's convention). */
const CALLER_GONE_STATUS = 499;

/** How long an entry waits, milliseconds; 0 is no limit. */
export interface EntryLimits {
  readonly helloMs: number;
  readonly answerMs: number;
  readonly idleMs: number;
}

const NO_BYTES = new Uint8Array(0);

/** See the head of this file. It ends by itself, and records itself once. */
export class EntryTunnel extends Tunnel implements ResponseReceiver {
  readonly host: string;
  readonly #socket: Socket;
  readonly #admission: EntryAdmission;
  readonly #limits: EntryLimits;
  readonly #pump: Pump;
  #tried: readonly ClientConnection[] = [];

  /** Takes over a paused socket. */
  constructor(services: CallHost, socket: Socket, admission: EntryAdmission, limits: EntryLimits) {
    super(services, admission.subject);
    this.host = admission.head.authority.value;
    this.#socket = socket;
    this.#admission = admission;
    this.#limits = limits;
    this.#pump = new Pump(socket, this);
  }

  get bytesIn(): number {
    return this.#pump.bytesFromSocket;
  }

  get bytesOut(): number {
    return this.#pump.bytesFromStream;
  }

  /** Sets out. */
  begin(): void {
    const { serverNames } = this.#admission;
    if (serverNames === undefined) this.#ask(NO_BYTES);
    else this.#readHello(new HelloGate(serverNames));
  }

  onInterim(): void {
    // Means nothing to a connection.
  }

  onResponse(head: ResponseHead, end: boolean): void {
    if (this.isOver) return;
    if (head.status < 200 || head.status > 299) {
      const told = reasonOf(linkReasonOf(head.fields));
      this.#refuse(told ?? 'link-failed', told === undefined ? 'error' : verdictOf(told));
      return;
    }
    this.opened(this.#limits.idleMs);
    this.#pump.answered();
    if (end) this.#pump.onData(NO_BYTES, true);
  }

  onData(bytes: Uint8Array, end: boolean): void {
    this.#pump.onData(bytes, end);
  }

  onSent(bytes: number): void {
    this.#pump.onSent(bytes);
  }

  onReset(code: number): void {
    if (this.isOver) return;
    const reason = code === ERROR_CODE.connectError ? 'service-failed' : 'link-failed';
    if (this.isOpen) {
      this.#pump.cut(code);
      this.finish(reason, 'error');
    } else if (code === ERROR_CODE.refusedStream) this.#attempt();
    else this.#refuse(reason, 'error');
  }

  onSocketBroken(): void {
    if (!this.isOpen) this.status = CALLER_GONE_STATUS;
    this.finish('caller-gone', 'error', 'given-up');
  }

  refusedUnder(): ReasonCode | undefined {
    return this.#admission.review();
  }

  cut(reason: ReasonCode): void {
    if (!this.isOpen) {
      this.#refuse(reason, 'denial');
      return;
    }
    this.#pump.cut(ERROR_CODE.cancel);
    this.finish(reason, verdictOf(reason));
  }

  protected override late(): void {
    this.#refuse('deadline', 'error');
  }

  #readHello(gate: HelloGate): void {
    const socket = this.#socket;
    const onData = (bytes: Buffer): void => {
      const step = gate.read(bytes);
      if (step.kind === 'incomplete') return;
      settle();
      if (step.kind === 'refused') this.#tell(step.alert, step.reason);
      else this.#ask(step.bytes);
    };
    const onEnd = (): void => {
      settle();
      this.#refuse('client-hello-malformed', 'denial');
    };
    const settle = (): void => {
      socket.off('data', onData).off('end', onEnd).pause();
    };
    this.waitAtMost(this.#limits.helloMs);
    socket.on('data', onData).once('end', onEnd);
    socket.resume();
  }

  /** Asks for the tunnel; `first` was read already and goes on. */
  #ask(first: Uint8Array): void {
    if (this.isOver) return;
    const refused = this.overBudget(this.#admission.budget);
    if (refused !== undefined) {
      this.#refuse(refused, 'denial');
      return;
    }
    this.waitAtMost(this.#limits.answerMs);
    if (this.#attempt()) this.#pump.start(first);
  }

  /** False when no link takes it, and it is over. */
  #attempt(): boolean {
    const { head, links, peer, unreachable } = this.#admission;
    while (this.#tried.length < ATTEMPTS_MAX) {
      const link = links.pick(peer, this.#tried);
      if (link === undefined) break;
      this.#tried = [...this.#tried, link];
      if (this.#open(link, head)) return !this.isOver;
    }
    this.#refuse(this.#tried.length > 0 ? 'link-refused' : unreachable, 'error');
    return false;
  }

  #open(link: ClientConnection, head: RequestHead): boolean {
    const tried = this.#tried;
    const stream = link.open(head, false, this);
    if (stream === undefined) return false;
    // The link may have failed while the head was written, and the tunnel be over or elsewhere.
    if (this.isOver || this.#tried !== tried) return true;
    this.#pump.join(stream);
    return true;
  }

  /** The caller's connection is reset: nobody must take it for one that was accepted and has nothing to say. */
  #refuse(reason: ReasonCode, verdict: 'denial' | 'error'): void {
    if (this.isOver) return;
    this.status = entryOf(reason).status;
    this.#pump.cut(ERROR_CODE.cancel);
    this.finish(reason, verdict);
  }

  /** Refuses a TLS client in its own language. */
  #tell(alert: Buffer, reason: ReasonCode): void {
    const socket = this.#socket;
    this.status = entryOf(reason).status;
    this.finish(reason, 'denial');
    this.#pump.release();
    const timer = this.services.clock.after(LINGER_MS, () => resetSocket(socket));
    socket.once('close', () => timer[Symbol.dispose]());
    // What still comes is read and dropped, so that the alert is not reset away.
    socket.end(alert);
    socket.once('end', () => socket.destroy());
    socket.resume();
  }
}

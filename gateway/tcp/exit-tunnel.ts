/**
 * The exporter's end of a tunnel: a CONNECT of a link, joined with a connection to a backend of the service.
 *
 *   tls: 200 ── hello ── server name is served ──┐
 *                                                ▼
 *   tcp: ──────────────────────────────────▶ dialling ── (tcp: 200) ──▶ open ──▶ over
 *
 * A service of any bytes may speak first, so it is dialled before anything is read. A client of TLS speaks first in the
 * tunnel, so that must stand before its name is known; what is refused then is reset.
 */
import { type Socket } from 'node:net';

import { type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { type CallHost } from '../forward/call-host.ts';
import { type BudgetHandle, endOfReset } from '../forward/caller-budget.ts';
import { type View } from '../forward/view.ts';
import { ERROR_CODE } from '../message/error-code.ts';
import { type ServerStream } from '../message/stream.ts';
import { type ReasonCode, verdictOf } from '../refusal/reason.ts';
import { refuse } from '../refusal/refuse.ts';
import { type CallSubject } from '../telemetry/call-subject.ts';
import { BackendDial, type BackendWays } from './backend-dial.ts';
import { HelloGate } from './hello-gate.ts';
import { Pump } from './pump.ts';
import { Tunnel } from './tunnel.ts';

/** Status in the log when the caller went away before any was sent (nginx's convention). */
const CALLER_GONE_STATUS = 499;

const NO_BYTES = new Uint8Array(0);

/** How long an exit waits, milliseconds; 0 is no limit. */
export interface ExitLimits {
  readonly helloMs: number;
  readonly idleMs: number;
  readonly keepAliveMs: number;
}

/** What was asked for. */
export interface ExitStart {
  readonly stream: ServerStream;
  /** The caller has nothing to send. */
  readonly end: boolean;
  /** The authority. */
  readonly host: string;
  readonly budget: BudgetHandle;
  /** Why policy would not admit it under a view, or `undefined`. */
  readonly review: (view: View) => ReasonCode | undefined;
}

/** See the head of this file. It ends by itself, and records itself once. */
export class ExitTunnel extends Tunnel {
  readonly host: string;
  readonly #start: ExitStart;
  readonly #stream: ServerStream;
  /** What came before there was a backend; bounded by the stream's window, since no credit is given for it. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #callerEnded: boolean;
  #isAnswered = false;
  #gate: HelloGate | undefined;
  #begin: (() => void) | undefined;
  #dial: BackendDial | undefined;
  #pump: Pump | undefined;
  #idleMs = 0;

  constructor(services: CallHost, start: ExitStart, subject: CallSubject) {
    super(services, subject);
    this.host = start.host;
    this.#start = start;
    this.#stream = start.stream;
    this.#callerEnded = start.end;
  }

  get bytesIn(): number {
    return this.#pump?.bytesFromStream ?? this.#heldBytes;
  }

  get bytesOut(): number {
    return this.#pump?.bytesFromSocket ?? 0;
  }

  /** Sets out. */
  begin(exported: SnapshotExport, ways: BackendWays, limits: ExitLimits): void {
    const refused = this.overBudget(this.#start.budget);
    if (refused !== undefined) {
      this.refuse(refused, 'denial');
      return;
    }
    this.#idleMs = limits.idleMs;
    const dial = (): void => {
      this.#dial = new BackendDial({
        ...ways,
        exported,
        clock: this.services.clock,
        keepAliveMs: limits.keepAliveMs,
        onConnected: (socket) => this.#join(socket),
        onFailed: (isFull) => this.refuse(isFull ? 'limit-backend-connections' : 'service-unavailable', 'error'),
      });
    };
    if (exported.protocol !== 'tls') {
      dial();
      return;
    }
    this.#gate = new HelloGate(exported.serverNames);
    this.#begin = dial;
    this.#answer();
    if (this.#callerEnded) this.refuse('client-hello-malformed', 'denial');
    else this.waitAtMost(limits.helloMs);
  }

  onData(bytes: Uint8Array, end: boolean): void {
    if (this.isOver) return;
    if (this.#pump !== undefined) {
      this.#pump.onData(bytes, end);
      return;
    }
    if (end) this.#callerEnded = true;
    this.#heldBytes += bytes.length;
    if (this.#gate === undefined) this.#held.push(bytes);
    else this.#passGate(this.#gate, bytes, end);
  }

  onSent(bytes: number): void {
    this.#pump?.onSent(bytes);
  }

  onReset(code: number): void {
    if (this.isOver) return;
    this.#dial?.[Symbol.dispose]();
    this.#pump?.cut(code);
    if (!this.#isAnswered) this.status = CALLER_GONE_STATUS;
    this.finish('caller-gone', 'error', endOfReset(this.#stream, Infinity));
  }

  onSocketBroken(): void {
    this.finish('service-failed', 'error');
  }

  cut(reason: ReasonCode): void {
    this.refuse(reason, this.isOpen ? verdictOf(reason) : 'denial');
  }

  refusedUnder(view: View): ReasonCode | undefined {
    return this.#start.review(view);
  }

  /** Refuses with a response where none was given, and by a reset afterwards. */
  refuse(reason: ReasonCode, verdict: 'denial' | 'error'): void {
    if (this.isOver) return;
    this.#dial?.[Symbol.dispose]();
    if (this.#pump !== undefined) this.#pump.cut(ERROR_CODE.cancel);
    else if (this.#isAnswered) this.#stream.reset(ERROR_CODE.connectError);
    else {
      const facts = { reason, grpc: false, audience: 'trusted', method: this.method } as const;
      this.status = refuse(this.#stream, facts).status;
      if (!this.#callerEnded) this.#stream.unwanted();
    }
    this.finish(reason, verdict);
  }

  protected override late(): void {
    this.refuse('client-hello-malformed', 'denial');
  }

  #passGate(gate: HelloGate, bytes: Uint8Array, end: boolean): void {
    const step = gate.read(bytes);
    if (step.kind === 'refused') this.refuse(step.reason, 'denial');
    else if (step.kind === 'passed') {
      this.#gate = undefined;
      this.waitAtMost(0);
      this.#held.push(step.bytes);
      this.#begin?.();
    } else if (end) this.refuse('client-hello-malformed', 'denial');
  }

  #answer(): void {
    this.#isAnswered = true;
    this.status = 200;
    this.#stream.respond({ status: 200, fields: [] }, false);
  }

  #join(socket: Socket): void {
    this.#dial = undefined;
    if (!this.#isAnswered) this.#answer();
    const pump = new Pump(socket, this);
    this.#pump = pump;
    this.opened(this.#idleMs);
    pump.join(this.#stream);
    pump.answered();
    for (const bytes of this.#held) pump.onData(bytes, false);
    this.#held = [];
    if (this.#callerEnded) pump.onData(NO_BYTES, true);
    pump.start();
  }
}

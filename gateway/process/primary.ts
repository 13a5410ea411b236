/**
 * The primary process: owns the listening sockets and the other processes, and parses nothing that a peer sent.
 *
 * ```
 *                    ┌───────────── primary ─────────────┐
 *   accept(2) ──────>│ ListeningSet -> Handover          │   connections (descriptors), least loaded first
 *                    │ SupervisedChild x (1 + N)         │──────────────┬──────────────┬───────────
 *                    └───────┬───────────────────────────┘              v              v
 *            listen, relay   │  ^ bound, processes, drain         ┌─ worker 0 ─┐  ┌─ worker 1 ─┐
 *                            v  │                                 │ jump       │  │ jump       │
 *                    ┌──── control ────┐  relay: snapshot, SVID,  │ outbound   │  │ outbound   │
 *                    │ YAML, CA, store │  log level, requests     │ edge       │  │ edge       │
 *                    │ joins, admin    │ ───────────────────────> │ links      │  │ links      │
 *                    │ status, bundle  │ <─────────────────────── └────────────┘  └────────────┘
 *                    │ grpc-js         │  counters, link states      ^    ^──────────^ streams for a peer that only
 *                    └─────────────────┘                             │   Unix socket   the sibling has a link to
 *                            └──── control streams over Unix sockets ┘
 * ```
 * What crosses between control and workers is relayed as bytes that the primary does not read. It keeps the last bytes
 * of each retained topic, so that a worker can be replaced while control is down, and control find what it knew.
 */
import { type SendHandle } from 'node:child_process';

import { type Clock } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type ActivatedSocket } from './activation.ts';
import { type FromChild, type ProcessId, type ProcessStatus, type ToChild } from './channel.ts';
import { type ConnectionRoom } from './descriptors.ts';
import { Handover } from './handover.ts';
import { closeHandle } from './listening.ts';
import { ListeningSet } from './listening-set.ts';
import { StartGate } from './start-gate.ts';
import { type ChildProgram, SupervisedChild } from './supervised-child.ts';
import { Waits } from './waits.ts';

/** What the primary needs. */
export interface PrimaryOptions {
  readonly control: ChildProgram;
  readonly worker: (index: number, workers: number) => ChildProgram;
  readonly activated: readonly ActivatedSocket[];
  readonly room: ConnectionRoom;
  readonly clock: Clock;
  readonly log: Logger;
  /** In [0, 1). */
  readonly random: () => number;
}

/** After the drain's deadline the children cut what is left themselves; one that does not within this long hangs. */
const KILL_MARGIN_MS = 5_000;
/** A descriptor goes to control and back in well under a millisecond; a control process that hangs must not hold us up. */
const COPY_MS_MAX = 1_000;
/** A handful of topics exist; more is a mistake of ours. */
const RETAINED_MAX = 16;
/** As in the Mesh document, until control has told. */
const DRAIN_MS_DEFAULT = 30_000;

type Listen = Extract<FromChild, { kind: 'listen' }>;
type Relay = Extract<FromChild, { kind: 'relay' }>;

/**
 * ```
 * starting ──control is ready──> serving ──stop──> draining ──children ended, or killed──> ended
 *     └──control ends: its exit code is ours──────────────────────────────────────────────────^
 * ```
 */
export class Primary {
  readonly #options: PrimaryOptions;
  readonly #handover: Handover;
  readonly #gate: StartGate;
  readonly #listening: ListeningSet;
  readonly #control: SupervisedChild;
  readonly #workers = new Map<number, SupervisedChild>();
  readonly #retained = new Map<string, Uint8Array>();
  /** What control keeps for the control process after it. */
  readonly #kept = new Map<string, Uint8Array>();
  readonly #copies = new Map<number, (handle: SendHandle | undefined) => void>();
  readonly #waits: Waits;
  readonly #end = Promise.withResolvers<number>();
  #phase: 'starting' | 'serving' | 'draining' | 'ended' = 'starting';
  #drainMs = DRAIN_MS_DEFAULT;
  /** How many workers control wants. */
  #wanted = 0;
  #nextCopy = 0;
  #stopped: Promise<number> | undefined;
  #telling = false;

  constructor(options: PrimaryOptions) {
    this.#options = options;
    this.#waits = new Waits(options.clock);
    const { activated, clock, log, room } = options;
    this.#handover = new Handover(room, () => this.#changed());
    this.#gate = new StartGate({ handover: this.#handover, clock });
    const copy = (handle: SendHandle): Promise<SendHandle | undefined> => this.#copy(handle);
    this.#listening = new ListeningSet({ activated, handover: this.#handover, copy, log });
    this.#control = this.#supervise('control', options.control);
  }

  /** Resolves with the exit code, after {@link stop} or a start that failed. */
  get ended(): Promise<number> {
    return this.#end.promise;
  }

  /** Control and the workers. */
  processes(): readonly ProcessStatus[] {
    return [this.#control, ...this.#workers.values()].map((child) =>
      child.status(this.#handover.connectionsOf(child.id)),
    );
  }

  /** Tells every process that its log files may have been moved and its documents changed. */
  hangUp(): void {
    for (const child of [this.#control, ...this.#workers.values()]) child.send({ kind: 'hang-up' });
  }

  /** Drains every process and ends them: 0, or 1 when one had to be killed or failed. Never rejects. */
  stop(): Promise<number> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  #supervise(id: ProcessId, program: ChildProgram): SupervisedChild {
    const { clock, log, random } = this.#options;
    return new SupervisedChild({
      id,
      program,
      clock,
      log,
      random,
      onMessage: (message, handle) => this.#heard(id, message, handle),
      onChange: () => this.#changed(),
      restarts: () => id !== 'control' || this.#phase !== 'starting',
      onEnd: (code) => this.#childEnded(id, code),
      onStart: (child) => this.#childStarted(child),
    });
  }

  #child(id: ProcessId): SupervisedChild | undefined {
    return id === 'control' ? this.#control : this.#workers.get(id);
  }

  #childStarted(child: SupervisedChild): void {
    const retained = child.id === 'control' ? this.#kept : this.#retained;
    for (const [topic, bytes] of retained) child.send({ kind: 'relay', from: 'control', topic, bytes });
  }

  #childEnded(id: ProcessId, code: number | null): void {
    this.#handover.remove(id);
    if (id === 'control') {
      for (const resolve of this.#copies.values()) resolve(undefined);
      this.#copies.clear();
      if (this.#phase === 'starting') this.#abandon(code ?? 1);
    } else if (this.#workers.get(id)?.ended === true && this.#phase !== 'draining') {
      // It was one too many after a change of the number of workers, which may have changed again.
      this.#workers.delete(id);
      this.#keepWorkers(this.#wanted);
    }
    this.#changed();
  }

  #heard(id: ProcessId, message: FromChild, handle: SendHandle | undefined): void {
    const child = this.#child(id);
    if (handle !== undefined && message.kind !== 'copy') closeHandle(handle);
    if (child === undefined) return;
    switch (message.kind) {
      case 'ready':
        this.#ready(child);
        return;
      case 'taken':
        if (!this.#handover.taken(id, message.id)) child.distrust('took a connection that it was not offered');
        return;
      case 'returned':
        if (!this.#handover.returned(id, message.id)) child.distrust('returned a connection that it was not offered');
        return;
      case 'closed':
        if (!this.#handover.closed(id, message.listener, message.count)) child.distrust('closed more than it had');
        return;
      case 'copy':
        this.#copied(message.id, handle);
        return;
      case 'relay':
        this.#relay(id, message);
        return;
      case 'listen':
        void this.#listen(message);
        return;
      case 'calls-can-be-carried':
        this.#gate.callsCanBeCarried();
        return;
      default:
        message satisfies never;
    }
  }

  #ready(child: SupervisedChild): void {
    if (child.state !== 'ready') return;
    if (child.id === 'control' && this.#phase === 'starting') this.#phase = 'serving';
    if (!this.#handover.add({ id: child.id, send: (message, socket) => child.send(message, socket) })) {
      child.distrust('was ready twice');
      return;
    }
    if (child.id === 'control') void this.#listening.prepare();
    else this.#gate.workerReady([...this.#workers.values()].every(({ state }) => state === 'ready'));
  }

  async #listen({ listeners, workers, drainMs }: Listen): Promise<void> {
    let answer: ToChild;
    try {
      answer = { kind: 'bound', listeners: await this.#listening.open(listeners) };
      this.#drainMs = drainMs;
      if (this.#phase === 'starting' || this.#phase === 'serving') this.#keepWorkers(workers);
    } catch (error) {
      answer = { kind: 'not-bound', code: codeOf(error) ?? 'listen-failed', message: messageOf(error) };
    }
    // Whoever stops meanwhile has closed what there was then.
    if (this.#phase === 'draining' || this.#phase === 'ended') this.#closeAll();
    this.#control.send(answer);
  }

  #keepWorkers(count: number): void {
    this.#wanted = count;
    for (let index = 0; index < count; index += 1) {
      if (!this.#workers.has(index))
        this.#workers.set(index, this.#supervise(index, this.#options.worker(index, count)));
    }
    for (const worker of this.#workers.values()) {
      if (typeof worker.id === 'number' && worker.id >= count && worker.state !== 'draining') this.#drain(worker);
    }
  }

  #relay(from: ProcessId, { to, topic, retained, bytes }: Relay): void {
    const message = { kind: 'relay', from, topic, bytes } as const;
    const kept = to === 'control' ? this.#kept : this.#retained;
    if (retained && (kept.has(topic) || kept.size < RETAINED_MAX)) kept.set(topic, bytes);
    if (to !== 'workers') {
      if (to !== 'control' || !retained) this.#child(to)?.send(message);
      return;
    }
    for (const worker of this.#workers.values()) worker.send(message);
  }

  /** Only control is asked: a worker that was taken over could send back another socket. */
  #copy(handle: SendHandle): Promise<SendHandle | undefined> {
    const id = this.#nextCopy;
    this.#nextCopy += 1;
    return new Promise((resolve) => {
      if (!this.#control.reachable) {
        resolve(undefined);
        return;
      }
      const late = this.#options.clock.after(COPY_MS_MAX, () => this.#copied(id, undefined));
      this.#copies.set(id, (copy) => {
        late[Symbol.dispose]();
        resolve(copy);
      });
      this.#control.send({ kind: 'copy', id }, handle);
    });
  }

  #copied(id: number, handle: SendHandle | undefined): void {
    const resolve = this.#copies.get(id);
    this.#copies.delete(id);
    if (resolve === undefined) closeHandle(handle);
    else resolve(handle);
  }

  #changed(): void {
    if (this.#phase === 'starting' || this.#phase === 'serving') this.#listening.adjust();
    this.#waits.look();
    this.#tellProcesses();
  }

  /** Once a turn, whatever happened in it. */
  #tellProcesses(): void {
    if (this.#telling || this.#phase === 'ended') return;
    this.#telling = true;
    setImmediate(() => {
      this.#telling = false;
      this.#control.send({ kind: 'processes', processes: this.processes() });
    });
  }

  #drain(worker: SupervisedChild): void {
    this.#handover.retire(worker.id);
    worker.drain({ kind: 'drain', deadlineMs: this.#drainMs });
  }

  #closeAll(): void {
    this.#listening.close('workers');
    this.#listening.close('control');
  }

  /** The start has failed; control has said why. */
  #abandon(code: number): void {
    this.#phase = 'ended';
    this.#closeAll();
    this.#handover.destroy();
    for (const worker of this.#workers.values()) {
      worker.drain({ kind: 'drain', deadlineMs: 0 });
      worker.kill();
    }
    this.#control.drain({ kind: 'finish' });
    this.#end.resolve(code);
  }

  async #stop(): Promise<number> {
    if (this.#phase === 'ended') return this.ended;
    this.#phase = 'draining';
    const deadlineMs = this.#drainMs;
    if (!this.#gate.isOpen && this.#handover.held > 0) {
      // Whoever waits since the start is answered as soon as control and workers know enough, and not reset.
      this.#listening.close('workers');
      await this.#waits.until(() => this.#gate.isOpen || this.#handover.held === 0, deadlineMs);
    }
    this.#gate.open();
    // Readiness goes off first. Control goes on answering on the status and admin listeners until it is told to finish.
    this.#control.drain({ kind: 'drain', deadlineMs });
    this.#listening.close('workers');
    const workers = [...this.#workers.values()];
    await this.#waits.until(
      () => this.#handover.held === 0 || !workers.some(({ state }) => state === 'ready'),
      deadlineMs,
    );
    for (const worker of workers) this.#drain(worker);
    const drained = await this.#finished(workers, deadlineMs + KILL_MARGIN_MS);
    this.#listening.close('control');
    this.#control.send({ kind: 'finish' });
    const finished = await this.#finished([this.#control], KILL_MARGIN_MS);
    this.#phase = 'ended';
    this.#handover.destroy();
    const code = drained && finished ? 0 : 1;
    this.#end.resolve(code);
    return code;
  }

  /** Waits until all have ended, killing them after `withinMs`. Whether they ended by themselves, and well. */
  async #finished(children: readonly SupervisedChild[], withinMs: number): Promise<boolean> {
    const ended = (): boolean => children.every((child) => child.ended);
    const inTime = await this.#waits.until(ended, withinMs);
    if (!inTime) {
      for (const child of children) if (!child.ended) child.distrust('did not end in time');
      await this.#waits.until(ended, KILL_MARGIN_MS);
    }
    return inTime && children.every(({ endedWell }) => endedWell);
  }
}

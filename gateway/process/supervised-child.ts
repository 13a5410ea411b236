/** One child process that is started again whenever it ends, later each time that it ends soon. */
import { fork, type ChildProcess, type SendHandle } from 'node:child_process';

import { type Clock } from '../../base/clock.ts';
import { type Logger } from '../../base/log.ts';
import { backoffMs } from '../../base/backoff.ts';
import { readFromChild, type FromChild, type ProcessId, type ProcessStatus, type ToChild } from './channel.ts';

/** The first restart is at once for all that a caller notices; a crash loop costs the others nothing. */
const RESTART_BACKOFF = { minMs: 50, maxMs: 15_000 } as const;
/** Whoever lived this long was not part of a crash loop. */
const STABLE_MS = 60_000;
/** As many ends without a stable life between them are shown as a crash loop. */
const CRASH_LOOP_ENDS = 3;

/** What to run. */
export interface ChildProgram {
  /** The module to run. */
  readonly entry: string;
  readonly args: readonly string[];
  /** Flags of Node's; those of this process, among them the OpenSSL configuration that turns tickets off. */
  readonly execArgv: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What a supervised child needs. */
export interface SupervisedChildOptions {
  readonly id: ProcessId;
  readonly program: ChildProgram;
  readonly clock: Clock;
  readonly log: Logger;
  /** In [0, 1). */
  readonly random: () => number;
  /** Called for every word of it that could be read. */
  readonly onMessage: (message: FromChild, handle: SendHandle | undefined) => void;
  /** Its state has changed. Also called while it is constructed. */
  readonly onChange: () => void;
  /** It runs, anew each time; what is sent now it reads first. */
  readonly onStart: (child: SupervisedChild) => void;
  /** Whether it is started again after an end that nobody asked for. */
  readonly restarts: () => boolean;
  /** It has ended, and everything it had said was read. `code` is `null` after a signal. */
  readonly onEnd: (code: number | null) => void;
}

/**
 * ```
 * starting ──ready──> ready ──drain──> draining ──end──> ended
 *    ^  └──drain────────────────────────^                  ^
 *    │ end (starting, ready)                               │
 *    └──back-off── waiting | crash-looping ──drain─────────┘
 * ```
 */
export class SupervisedChild {
  readonly #options: SupervisedChildOptions;
  #child: ChildProcess | undefined;
  #state: Exclude<ProcessStatus['state'], 'crash-looping'> = 'waiting';
  #startedAtMs = 0;
  #failures = 0;
  #restarts = 0;
  #lastCode: number | null = 0;
  #lastEnd: string | null = null;
  #timer: Disposable | undefined;

  constructor(options: SupervisedChildOptions) {
    this.#options = options;
    this.#start();
  }

  get id(): ProcessId {
    return this.#options.id;
  }

  get state(): ProcessStatus['state'] {
    return this.#state === 'waiting' && this.#failures >= CRASH_LOOP_ENDS ? 'crash-looping' : this.#state;
  }

  get ended(): boolean {
    return this.#state === 'ended';
  }

  /** Whether its last end was an exit code of 0. */
  get endedWell(): boolean {
    return this.#lastCode === 0;
  }

  /** Whether what is sent now can arrive. */
  get reachable(): boolean {
    return this.#child?.connected === true;
  }

  /** As status shows it; `connections` is counted elsewhere. */
  status(connections: number): ProcessStatus {
    const pid = this.#child?.pid ?? null;
    const { id, state } = this;
    return { id, pid, state, restarts: this.#restarts, lastEnd: this.#lastEnd, connections };
  }

  /** Sends; a child that has gone hears nothing, and its end is told by `onEnd`. */
  send(message: ToChild, handle?: SendHandle): void {
    if (this.#child?.connected !== true) return;
    // Without a callback a channel that has just closed would be an `error` event.
    this.#child.send(message, handle, { keepOpen: true }, () => undefined);
  }

  /** From now on its end is final. Sends `message` if it runs. */
  drain(message: ToChild): void {
    if (this.#state === 'ended') return;
    this.#timer?.[Symbol.dispose]();
    this.#become(this.#child === undefined ? 'ended' : 'draining');
    this.send(message);
  }

  /** Ends it now. What follows is as if it had crashed. */
  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  #start(): void {
    const { clock, id, log, program } = this.#options;
    const child = fork(program.entry, [...program.args], {
      execArgv: [...program.execArgv],
      env: { ...program.environment },
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    this.#startedAtMs = clock.monotonic();
    this.#become('starting');
    this.#options.onStart(this);
    child.on('message', (message: unknown, handle?: SendHandle) => this.#heard(child, message, handle));
    let failed = false;
    child.on('error', (error) => {
      log.error('a process could not be started or reached', { process: id, error });
      // Without a pid there was never a process, and `close` does not come.
      if (child.pid !== undefined || failed) return;
      failed = true;
      this.#over(null, error.message);
    });
    // Not `exit`: what the child said last may still be in the channel then.
    child.once('close', (code, signal) => {
      if (!failed) this.#over(code, signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
  }

  #heard(child: ChildProcess, message: unknown, handle: SendHandle | undefined): void {
    if (child !== this.#child) return;
    const read = readFromChild(message, this.id);
    if (read === undefined) {
      this.distrust('said something that is not in the protocol');
      return;
    }
    if (read.kind === 'ready' && this.#state === 'starting') this.#become('ready');
    this.#options.onMessage(read, handle);
  }

  /** A child that says what cannot be is broken or taken over: it is replaced. */
  distrust(reason: string): void {
    this.#options.log.error('a process is replaced', { process: this.id, reason });
    this.kill();
  }

  #over(code: number | null, lastEnd: string): void {
    const { clock, id, log, onEnd, random } = this.#options;
    this.#child = undefined;
    this.#lastEnd = lastEnd;
    this.#lastCode = code;
    const final = this.#state === 'draining' || this.#state === 'ended' || !this.#options.restarts();
    if (final) {
      this.#become('ended');
      onEnd(code);
      return;
    }
    this.#failures = clock.monotonic() - this.#startedAtMs >= STABLE_MS ? 1 : this.#failures + 1;
    const delayMs = backoffMs(this.#failures - 1, RESTART_BACKOFF, random);
    log.error('a process has ended and is replaced', { process: id, end: lastEnd, inMs: delayMs });
    this.#become('waiting');
    this.#timer = clock.after(delayMs, () => {
      this.#restarts += 1;
      this.#start();
    });
    onEnd(code);
  }

  #become(state: Exclude<ProcessStatus['state'], 'crash-looping'>): void {
    this.#state = state;
    this.#options.onChange();
  }
}

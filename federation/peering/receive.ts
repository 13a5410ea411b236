/** Runs one session on one stream: reader, applier and writer apart, so that a read never waits for a write or for the applier. */
import { type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { type Frame } from './frame.ts';
import { type FrameStream } from './frame-stream.ts';
import { type HeldCatalogue } from './importing.ts';
import {
  newSession,
  transition,
  type Moment,
  type Session,
  type SessionEffect,
  type SessionEnd,
  type SessionEvent,
  type SessionStart,
} from './session.ts';

/** A full catalogue is 20 chunks; a peer that lets ten times that wait is not reading. */
const FRAMES_QUEUED_MAX = 256;

/** How long the last frames of a session may take to leave. */
const FLUSH_MS_MAX = 1_000;

/** Told of what a session means for the gateway. */
export interface SessionListener {
  /** The peer has opened with this boot counter; the listener may stop this stream or others at once. */
  opened(epoch: bigint): void;
  /** Takes a catalogue over; the peer gets its credit back when this resolves. */
  apply(received: HeldCatalogue): Promise<void>;
  fetchBundle(sequence: bigint | undefined): void;
  terminated(tombstone: string): void;
  /** A frame that the peer sent was read. */
  received(frame: Frame): void;
  /** A frame of ours waits to be written. */
  sent(frame: Frame): void;
  /** After every change of phase. */
  phase(session: Session): void;
}

/** What a running session is made of. */
export interface RunningSessionOptions {
  readonly stream: FrameStream;
  readonly start: Omit<SessionStart, 'at'>;
  readonly clock: Clock;
  readonly listener: SessionListener;
}

/** A session with its stream. `run` it once; `dispatch` events at any time. */
export class RunningSession {
  readonly #options: RunningSessionOptions;
  readonly #outgoing: Frame[] = [];
  readonly #ended = Promise.withResolvers<SessionEnd>();
  #session: Session;
  #wakeWriter: () => void = () => undefined;

  constructor(options: RunningSessionOptions) {
    this.#options = options;
    this.#session = newSession({ ...options.start, at: this.#moment() });
  }

  get session(): Session {
    return this.#session;
  }

  /** Feeds the machine and carries its effects out. */
  dispatch(event: SessionEvent): void {
    const before = this.#session.phase;
    const step = transition(this.#session, event, this.#moment());
    this.#session = step.session;
    for (const effect of step.effects) this.#carryOut(effect);
    if (this.#session.phase !== before) this.#options.listener.phase(this.#session);
  }

  /** Runs to the end of the session; resolves with why it ended, and never rejects. */
  async run(signal: AbortSignal): Promise<SessionEnd> {
    const { stream } = this.#options;
    const onAbort = (): void =>
      this.dispatch({ kind: 'stop', end: { code: 'stopped', message: 'this gateway is stopping' } });
    signal.addEventListener('abort', onAbort, { once: true });
    this.dispatch({ kind: 'started' });
    if (signal.aborted) onAbort();
    const ticker = this.#tick();
    const reading = this.#read();
    const writing = this.#write();
    const end = await this.#ended.promise;
    this.#wakeWriter();
    await this.#within(FLUSH_MS_MAX, writing);
    ticker[Symbol.dispose]();
    signal.removeEventListener('abort', onAbort);
    stream.end();
    // Whoever is dismissed ends its half when it has read so: links that are cut before could take the word with them.
    if (end.code === 'terminated') await this.#within(FLUSH_MS_MAX, reading);
    if (end.code !== 'ended' && end.code !== 'terminated') stream.destroy();
    return end;
  }

  async #within(limitMs: number, done: Promise<void>): Promise<void> {
    const late = Promise.withResolvers<undefined>();
    const timer = this.#options.clock.after(limitMs, () => late.resolve(undefined));
    await Promise.race([done, late.promise]);
    timer[Symbol.dispose]();
  }

  #carryOut(effect: SessionEffect): void {
    const { listener } = this.#options;
    switch (effect.kind) {
      case 'send':
        listener.sent(effect.frame);
        this.#enqueue(effect.frame);
        return;
      case 'opened':
        listener.opened(effect.epoch);
        return;
      case 'apply':
        void this.#apply(effect.received);
        return;
      case 'fetch-bundle':
        listener.fetchBundle(effect.sequence);
        return;
      case 'terminated':
        listener.terminated(effect.tombstone);
        return;
      case 'close':
        this.#ended.resolve(effect.end);
        return;
      default:
        effect satisfies never;
    }
  }

  #enqueue(frame: Frame): void {
    const last = this.#outgoing.length - 1;
    // A heartbeat that still waits says less than the new one.
    if (frame.kind === 'heartbeat' && this.#outgoing[last]?.kind === 'heartbeat') this.#outgoing[last] = frame;
    else this.#outgoing.push(frame);
    if (this.#outgoing.length > FRAMES_QUEUED_MAX) {
      const message = `expected the peer to read, found ${this.#outgoing.length} frames waiting for it`;
      this.dispatch({ kind: 'stop', end: { code: 'overflow', message } });
    }
    this.#wakeWriter();
  }

  async #apply(received: HeldCatalogue): Promise<void> {
    try {
      await this.#options.listener.apply(received);
      this.dispatch({ kind: 'applied', version: received.catalogue.version });
    } catch (error) {
      this.dispatch({ kind: 'stop', end: { code: 'apply-failed', message: messageOf(error) } });
    }
  }

  async #read(): Promise<void> {
    try {
      for await (const frame of this.#options.stream.frames) {
        this.#options.listener.received(frame);
        this.dispatch({ kind: 'frame', frame });
      }
      this.dispatch({ kind: 'stop', end: { code: 'ended', message: 'the peer ended the stream' } });
    } catch (error) {
      this.dispatch({ kind: 'stop', end: { code: 'ended', message: `the stream broke: ${messageOf(error)}` } });
    }
  }

  /** Writes until the session is closed and nothing waits. */
  async #write(): Promise<void> {
    try {
      for (;;) {
        const frame = this.#outgoing.shift();
        if (frame !== undefined) await this.#options.stream.send(frame);
        else if (this.#session.phase === 'closed') return;
        else await this.#more();
      }
    } catch (error) {
      this.dispatch({ kind: 'stop', end: { code: 'ended', message: `the stream broke: ${messageOf(error)}` } });
    }
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeWriter = resolve;
    });
  }

  /** Twice per heartbeat, so that a time-out is seen within half of one. */
  #tick(): Disposable {
    const everyMs = this.#options.start.timing.heartbeatMs / 2;
    const state: { timer?: Disposable } = {};
    const arm = (): void => {
      state.timer = this.#options.clock.after(everyMs, () => {
        this.dispatch({ kind: 'tick' });
        if (this.#session.phase !== 'closed') arm();
      });
    };
    arm();
    return { [Symbol.dispose]: () => state.timer?.[Symbol.dispose]() };
  }

  #moment(): Moment {
    return { monotonicMs: this.#options.clock.monotonic(), wallMs: this.#options.clock.now() };
  }
}

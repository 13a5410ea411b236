/** Brings the newest state of a feed to one caller: the first at once, later ones spread over a moment, never two under way. */
import { type Clock } from '../../../base/clock.ts';
import { type Feed, type Refused } from './rpc.ts';

/** Where messages go. */
export interface Sink {
  /** `taken` is called when the caller's end has room for another one. */
  send(bytes: Uint8Array, taken: () => void): void;
  /** Ends the stream with a status, behind what was sent. */
  end(reason: Refused): void;
  /** Cuts off a caller that takes nothing, and so no status either. */
  cut(): void;
}

/** What a push is made of. */
export interface PushOptions {
  readonly feed: Feed;
  readonly sink: Sink;
  /** How long to wait before a change is told, in ms: drawn anew each time, so that not all are told at once. */
  readonly delayMs: () => number;
  /** A caller that takes nothing for this long is cut off. */
  readonly stalledMs: number;
  readonly clock: Clock;
}

/**
 * Runs until disposed of, or until the state is a refusal, which ends the stream at once.
 * ```
 *              change            delay over                 taken
 * idle ───────────────> waiting ───────────> under way ───────────────> idle
 *                                                │ change: told when taken
 *                                                └ stalled: cut
 * ```
 */
export class Push implements Disposable {
  readonly #options: PushOptions;
  readonly #watch: Disposable;
  #told: Uint8Array | undefined;
  #timer: Disposable | undefined;
  #phase: 'idle' | 'waiting' | 'under-way' | 'ended' = 'idle';
  #changed = false;

  constructor(options: PushOptions) {
    this.#options = options;
    this.#watch = options.feed.watch(() => this.#onChange());
  }

  /** Tells the first state, or ends for want of one. */
  start(): void {
    this.#tell();
  }

  /** Ends the stream for a reason of the server's. */
  end(reason: Refused): void {
    if (this.#phase === 'ended') return;
    this[Symbol.dispose]();
    this.#options.sink.end(reason);
  }

  [Symbol.dispose](): void {
    this.#phase = 'ended';
    this.#timer?.[Symbol.dispose]();
    this.#watch[Symbol.dispose]();
  }

  #onChange(): void {
    // What is taken away is taken away at once; what is given can wait for its turn.
    const state = this.#options.feed.current();
    if (state.kind === 'refused') this.end(state);
    if (this.#phase === 'under-way') this.#changed = true;
    if (this.#phase !== 'idle' || (state.kind === 'message' && state.bytes === this.#told)) return;
    this.#phase = 'waiting';
    this.#timer = this.#options.clock.after(this.#options.delayMs(), () => this.#tell());
  }

  #tell(): void {
    const { clock, feed, sink, stalledMs } = this.#options;
    const state = feed.current();
    if (state.kind === 'refused') {
      this.end(state);
      return;
    }
    this.#phase = 'idle';
    if (state.bytes === this.#told) return;
    this.#phase = 'under-way';
    this.#told = state.bytes;
    this.#timer = clock.after(stalledMs, () => {
      this[Symbol.dispose]();
      sink.cut();
    });
    sink.send(state.bytes, () => this.#onTaken());
  }

  #onTaken(): void {
    if (this.#phase !== 'under-way') return;
    this.#timer?.[Symbol.dispose]();
    this.#phase = 'idle';
    if (!this.#changed) return;
    this.#changed = false;
    this.#tell();
  }
}

/** When connections are let in after a start: not before there is somebody to be even with, and something to call. */
import { type Clock } from '../../base/clock.ts';
import { type Handover } from './handover.ts';

/**
 * From the first worker that is ready. Links and catalogues come back in less, as do workers on a busy machine; what a
 * start must not wait for longer is a peer that is away, or a worker that crashes.
 */
const HOLD_MS_MAX = 3_000;

/** What the gate needs. */
export interface StartGateOptions {
  readonly handover: Pick<Handover, 'hold' | 'release'>;
  readonly clock: Clock;
}

/**
 * ```
 * shut ──every worker is ready──> links are let in ──calls can be carried──> open
 *   └──────────────── HOLD_MS_MAX after the first worker, or stop ────────────^
 * ```
 * Nobody is refused meanwhile: connections wait with the primary, and in the kernel's queue when those are too many.
 */
export class StartGate {
  readonly #options: StartGateOptions;
  #limit: Disposable | undefined;
  #evenly = false;
  #carried = false;
  #isOpen = false;

  constructor(options: StartGateOptions) {
    this.#options = options;
    options.handover.hold('workers');
    options.handover.hold('calls');
  }

  /** Whether nothing waits any more. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** One worker is ready, and maybe `all`. */
  workerReady(all: boolean): void {
    if (this.#isOpen) return;
    this.#limit ??= this.#options.clock.after(HOLD_MS_MAX, () => this.open());
    this.#evenly ||= all;
    this.#letIn();
  }

  /** Control says that what peers export is known, and that links lead there. */
  callsCanBeCarried(): void {
    this.#carried = true;
    this.#letIn();
  }

  /** Lets everything in that comes. */
  open(): void {
    this.#isOpen = true;
    this.#limit?.[Symbol.dispose]();
    this.#options.handover.release('workers');
    this.#options.handover.release('calls');
  }

  #letIn(): void {
    if (this.#isOpen || !this.#evenly) return;
    this.#options.handover.release('workers');
    if (this.#carried) this.open();
  }
}

/** Counts of several workers as one: they never go back when a worker is replaced. */
import { type CallCounts, mergeCounts } from '../telemetry/call-counts.ts';

const NONE: CallCounts = { calls: [], denials: [] };

/** Sums the last report of every worker that lives, and what those that have ended had counted. */
export class CounterSum {
  readonly #live = new Map<number, CallCounts>();
  #ended = NONE;

  /** A worker's counts since it started, replacing its last report. */
  report(worker: number, counts: CallCounts): void {
    this.#live.set(worker, counts);
  }

  /** A worker has ended: its last report stays in the sum, and its successor counts from 0. */
  ended(worker: number): void {
    this.#ended = mergeCounts([this.#ended, this.#live.get(worker) ?? NONE]);
    this.#live.delete(worker);
  }

  total(): CallCounts {
    return mergeCounts([this.#ended, ...this.#live.values()]);
  }
}

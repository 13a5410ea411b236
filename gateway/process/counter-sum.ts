/** Counters of several workers as one: they never go back when a worker is replaced. */

/** Counts by metric name with its labels. */
export type Counts = ReadonlyMap<string, number>;

/** Sums the last report of every worker that lives, and what those that have ended had counted. */
export class CounterSum {
  readonly #live = new Map<number, Counts>();
  readonly #ended = new Map<string, number>();

  /** A worker's counts since it started, replacing its last report. */
  report(worker: number, names: readonly string[], values: Float64Array): void {
    this.#live.set(worker, new Map(names.map((name, index) => [name, values[index] ?? 0])));
  }

  /** A worker has ended: its last report stays in the sum, and its successor counts from 0. */
  ended(worker: number): void {
    add(this.#ended, this.#live.get(worker) ?? new Map());
    this.#live.delete(worker);
  }

  total(): Counts {
    const total = new Map(this.#ended);
    for (const counts of this.#live.values()) add(total, counts);
    return total;
  }
}

function add(to: Map<string, number>, counts: Counts): void {
  for (const [name, count] of counts) to.set(name, (to.get(name) ?? 0) + count);
}

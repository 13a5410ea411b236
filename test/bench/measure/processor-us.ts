/** Processor time of short synchronous work, for the small benches. */

const ROUNDS = 12;

/** Items that {@link printProcessorUs} takes for runs of `perRound` each. */
export function itemsFor(perRound: number): number {
  return perRound * (ROUNDS + 1);
}

/**
 * Prints the processor µs per item of `run`, of the best of twelve rounds, and for how many items it held. Each item is
 * used once; the first round is for the compiler.
 */
export function printProcessorUs<Item>(name: string, items: readonly Item[], run: (item: Item) => boolean): void {
  const perRound = items.length / (ROUNDS + 1);
  let best = Infinity;
  let held = 0;
  for (let round = 0; round <= ROUNDS; round += 1) {
    const part = items.slice(round * perRound, (round + 1) * perRound);
    const before = process.cpuUsage();
    for (const item of part) if (run(item)) held += 1;
    const { user, system } = process.cpuUsage(before);
    if (round > 0) best = Math.min(best, (user + system) / perRound);
  }
  console.log(`${name.padEnd(58)} ${best.toFixed(1).padStart(7)} µs  (${held} of ${items.length} held)`);
}

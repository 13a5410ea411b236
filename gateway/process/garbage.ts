/** How a process that carries calls has its garbage collected. */
import { setFlagsFromString } from 'node:v8';

/**
 * Has young collections run on one thread. What survives one of them is a few hundred kilobytes, for which V8's helpers
 * cost more than they carry: with one worker per processor they take their time from another one's calls. At 10 × 100 it
 * was 4 % of all. Other runtimes may not know the flag, and say so without harm.
 */
export function collectAlone(): void {
  setFlagsFromString('--no-parallel-scavenge');
}

/** Collects the young generation now. Nothing happens without `--expose-gc`, which bin/node passes. */
export function collectYoung(): void {
  globalThis.gc?.({ type: 'minor' });
}

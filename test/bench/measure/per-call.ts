/** Processor time per call: sized by time, counted by calls, the best of some rounds. */
import { type Bench, type Measured } from '../bench.ts';
import { type TwoJumps } from '../gateways/competitor.ts';
import { costOf, type Cost } from './jumps.ts';
import { peakRssOf } from './process-tree.ts';
import { warmUp } from './warm-up.ts';

/** A load that can be made in any size. */
export interface CountedLoad {
  /** Calls at a time: sizes are multiples of it. */
  readonly width: number;
  /** Makes so many calls, and returns calls per second. */
  calls(count: number): Promise<number>;
  /** Makes so many calls, and returns how long they took. */
  times(count: number): Promise<{ readonly p50Us: number; readonly p99Us: number }>;
}

const US_PER_SECOND = 1e6;
const FIRST_CALLS_MIN = 300;
/** Times come from a shorter run of their own, since writing them down costs the load generator. */
const TIMES_SHARE = 0.5;

/** Warms up, then measures. */
export async function perCall(bench: Bench, jumps: TwoJumps, load: CountedLoad): Promise<Measured> {
  const { seconds, rounds } = bench.sizing;
  const sized = (perSecond: number, share = 1): number =>
    Math.max(1, Math.round((perSecond * seconds * share) / load.width)) * load.width;
  let perSecondWarm = await load.calls(Math.max(FIRST_CALLS_MIN, load.width * 2));
  await warmUp(bench.sizing, async () => {
    const calls = sized(perSecondWarm);
    perSecondWarm = await load.calls(calls);
    return calls;
  });
  const count = sized(perSecondWarm);
  let worstUs = 0;
  let best: (Cost & { readonly perSecond: number }) | undefined;
  for (let round = 0; round < rounds; round += 1) {
    let perSecond = 0;
    const cost = await costOf(jumps, async () => {
      perSecond = await load.calls(count);
    });
    worstUs = Math.max(worstUs, cost.aUs + cost.bUs);
    if (best === undefined || cost.aUs + cost.bUs < best.aUs + best.bUs) best = { ...cost, perSecond };
  }
  if (best === undefined) throw new Error('expected at least one round');
  const times = await load.times(sized(best.perSecond, TIMES_SHARE));
  const processes = Object.fromEntries(Object.entries(best.processes).map(([name, us]) => [name, us / count]));
  return {
    unit: 'µs/call',
    value: (best.aUs + best.bUs) / count,
    aUs: best.aUs / count,
    bUs: best.bUs / count,
    perSecond: best.perSecond,
    spread: worstUs / (best.aUs + best.bUs) - 1,
    busy: (best.aUs + best.bUs) / US_PER_SECOND / best.seconds,
    ...times,
    peakRssBytes: peakRssOf(jumps.a) + peakRssOf(jumps.b),
    processes,
  };
}

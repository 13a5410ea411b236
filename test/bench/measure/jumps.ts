/** What a piece of work costs on each of two gateways. */
import { systemClock } from '../../../base/clock.ts';
import { type Jumps } from '../gateways/competitor.ts';
import { cpuOf, processTree } from './process-tree.ts';

/** Processor time of a piece of work, in microseconds, and how long it took. */
export interface Cost {
  readonly aUs: number;
  readonly bUs: number;
  readonly seconds: number;
  /** By process, where a gateway is more than one; the first is the one that started the others. */
  readonly processes: Readonly<Record<string, number>>;
}

/** Does `work`, and reads the accounts of both gateways before and after. */
export async function costOf(jumps: Jumps, work: () => Promise<void>): Promise<Cost> {
  const before = { a: processTree(jumps.a), b: processTree(jumps.b) };
  const startedMs = systemClock.monotonic();
  await (jumps.during === undefined ? work() : jumps.during(work));
  const seconds = (systemClock.monotonic() - startedMs) / 1000;
  const after = { a: processTree(jumps.a), b: processTree(jumps.b) };
  const processes: Record<string, number> = {};
  for (const side of ['a', 'b'] as const) {
    if (after[side].length < 2) continue;
    for (const [index, { pid, name, cpuUs }] of after[side].entries()) {
      const earlier = before[side].find((each) => each.pid === pid)?.cpuUs ?? 0;
      processes[`${side.toUpperCase()} process ${index + 1} (${name})`] = cpuUs - earlier;
    }
  }
  const spent = (side: 'a' | 'b'): number => sum(after[side]) - sum(before[side]);
  return { aUs: spent('a'), bUs: spent('b'), seconds, processes };
}

/** Processor microseconds of one process tree while `work` is done. */
export async function cpuDuring(pid: number, work: () => Promise<void>): Promise<number> {
  const before = cpuOf(pid);
  await work();
  return cpuOf(pid) - before;
}

function sum(accounts: readonly { readonly cpuUs: number }[]): number {
  return accounts.reduce((total, { cpuUs }) => total + cpuUs, 0);
}

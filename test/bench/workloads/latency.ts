/** What both jumps add to a call's time at 1,000 calls a second. */
import { type Bench, type JumpsWorkload } from '../bench.ts';
import { getBlock } from '../load/blocks.ts';
import { RawCalls, type RawResult } from '../load/raw-calls.ts';

const PER_SECOND = 1000;
const CONNECTIONS = 10;
/** Longer than other rounds: a p99 wants thousands of calls. */
const ROUND_SHARE = 2;

/** The same calls to the backend directly are subtracted; the best of the rounds by p50 and by p99. */
export const latency: JumpsWorkload = {
  name: 'latency',
  what: 'added latency of both jumps at 1,000 calls/s over 10 connections',
  service: 'small',
  async measure(bench, jumps) {
    const direct = await paced(bench, bench.ports.small, jumps.host);
    const through = await paced(bench, jumps.port, jumps.host);
    const added = { p50Us: through.p50Us - direct.p50Us, p99Us: through.p99Us - direct.p99Us };
    return [
      { part: 'p50', unit: 'µs', value: added.p50Us, p50Us: through.p50Us, p99Us: through.p99Us },
      { part: 'p99', unit: 'µs', value: added.p99Us, p50Us: through.p50Us, p99Us: through.p99Us },
    ];
  },
};

async function paced({ sizing }: Bench, port: number, host: string): Promise<Pick<RawResult, 'p50Us' | 'p99Us'>> {
  const block = getBlock(host);
  using calls = await RawCalls.open({ port, connections: CONNECTIONS, blocks: () => () => block, bodyBytes: 0 });
  const count = Math.round(PER_SECOND * sizing.seconds * ROUND_SHARE);
  // At this pace alone the calls that a compiler waits for would take most of a minute.
  await calls.busy(sizing.warmUpCalls, 1);
  await calls.paced(count, PER_SECOND);
  const rounds: RawResult[] = [];
  for (let round = 0; round < sizing.rounds; round += 1) rounds.push(await calls.paced(count, PER_SECOND));
  return {
    p50Us: Math.min(...rounds.map(({ p50Us }) => p50Us)),
    p99Us: Math.min(...rounds.map(({ p99Us }) => p99Us)),
  };
}

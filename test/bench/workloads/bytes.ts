/** Bytes per second that one core of gateways moves: streams of 1 MiB messages both ways, and a TCP tunnel. */
import { type Bench, type JumpsWorkload, type Measured } from '../bench.ts';
import { type TwoJumps } from '../gateways/competitor.ts';
import { getBlock, postBlock } from '../load/blocks.ts';
import { RawCalls } from '../load/raw-calls.ts';
import { download } from '../load/tunnel.ts';
import { type Cost, costOf } from '../measure/jumps.ts';
import { peakRssOf } from '../measure/process-tree.ts';
import { warmUp } from '../measure/warm-up.ts';

const MIB = 1024 * 1024;
const US_PER_SECOND = 1e6;

/** One stream that the service fills. */
export const streamDown: JumpsWorkload = {
  name: 'stream-down',
  what: 'streaming 1 MiB messages on one link, to the client (A + B in µs per MiB, rate in MiB/s)',
  service: 'stream',
  measure: (bench, jumps) => streamed(bench, jumps, 'down'),
};

/** One stream that the client fills. */
export const streamUp: JumpsWorkload = {
  name: 'stream-up',
  what: 'streaming 1 MiB messages on one link, from the client (likewise)',
  // Its answer is short enough, and its gateways are set up for large bodies.
  service: 'large',
  measure: (bench, jumps) => streamed(bench, jumps, 'up'),
};

/** A tunnel without anything inside. */
export const tunnel: JumpsWorkload = {
  name: 'tcp',
  what: 'TCP tunnel, to the client (likewise)',
  service: 'tcp',
  measure: (bench, jumps) => moved(bench, jumps, () => download(jumps.port, bench.sizing.streamBytes)),
};

async function streamed(bench: Bench, jumps: TwoJumps, way: 'up' | 'down'): Promise<readonly Measured[]> {
  const block = way === 'up' ? postBlock(jumps.host) : getBlock(jumps.host);
  const bodyBytes = way === 'up' ? bench.sizing.streamBytes : 0;
  using calls = await RawCalls.open({ port: jumps.port, connections: 1, blocks: () => () => block, bodyBytes });
  return await moved(bench, jumps, async () => {
    const { bytes } = await calls.busy(1, 1);
    if (way === 'down' && bytes !== bench.sizing.streamBytes) throw new Error(`only ${bytes} bytes came`);
  });
}

/** The best of the rounds, each of which moves `streamBytes`. */
async function moved(bench: Bench, jumps: TwoJumps, move: () => Promise<void>): Promise<readonly Measured[]> {
  const bytes = bench.sizing.streamBytes;
  await warmUp({ ...bench.sizing, warmUpCalls: 1 }, async () => {
    await move();
    return 1;
  });
  let worstUs = 0;
  let best: Cost | undefined;
  for (let round = 0; round < bench.sizing.rounds; round += 1) {
    const cost = await costOf(jumps, move);
    worstUs = Math.max(worstUs, cost.aUs + cost.bUs);
    if (best === undefined || cost.aUs + cost.bUs < best.aUs + best.bUs) best = cost;
  }
  if (best === undefined) throw new Error('expected at least one round');
  const mebibytes = bytes / MIB;
  return [
    {
      unit: 'MB/s per core',
      // Bytes per microsecond are megabytes per second.
      value: bytes / (best.aUs + best.bUs),
      aUs: best.aUs / mebibytes,
      bUs: best.bUs / mebibytes,
      perSecond: mebibytes / best.seconds,
      spread: worstUs / (best.aUs + best.bUs) - 1,
      busy: (best.aUs + best.bUs) / US_PER_SECOND / best.seconds,
      peakRssBytes: peakRssOf(jumps.a) + peakRssOf(jumps.b),
    },
  ];
}

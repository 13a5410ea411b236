/** Resident memory of what is idle: client connections of any gateway; links and imports of Jumpgate. */
import { setTimeout as delay } from 'node:timers/promises';

import { type Bench, type Figure, type JumpsWorkload, type OwnWorkload } from '../bench.ts';
import { startJumpgate } from '../gateways/jumpgate.ts';
import { getBlock } from '../load/blocks.ts';
import { RawCalls } from '../load/raw-calls.ts';
import { rssOf } from '../measure/process-tree.ts';
import { largeMesh } from './large-mesh.ts';

const ROUNDS = 5;
const KIB = 1024;
const MIB = 1024 * 1024;
const LINKS = { few: 2, many: 16 } as const;

/** Opened and closed several times over, to show whether memory stays. */
export const idleClients: JumpsWorkload = {
  name: 'idle-clients',
  what: 'memory of idle client connections',
  service: 'small',
  fresh: true,
  async measure({ sizing }, jumps) {
    const block = getBlock(jumps.host);
    const grown: number[] = [];
    const before = rssOf(jumps.a);
    for (let round = 0; round < ROUNDS; round += 1) {
      const options = { port: jumps.port, connections: sizing.idleConnections, blocks: () => () => block };
      using idle = await RawCalls.open({ ...options, bodyBytes: 0 });
      await delay(sizing.settleMs);
      idle.check();
      grown.push((rssOf(jumps.a) - before) / MIB);
    }
    await delay(sizing.settleMs);
    const left = (rssOf(jumps.a) - before) / MIB;
    const each = grown.map((mebibytes) => mebibytes.toFixed(1)).join(', ');
    const note = `A grew by ${each} MiB in rounds of ${sizing.idleConnections}, ${left.toFixed(1)} MiB after all had gone`;
    return [{ unit: 'MiB', value: ((grown.at(-1) ?? 0) * 1000) / sizing.idleConnections, note }];
  },
};

/** What one more link costs both gateways together, and what many imports cost A. */
export const idleJumpgate: OwnWorkload = {
  name: 'idle-jumpgate',
  what: 'memory per idle link and per 10,000 imports',
  async run(bench) {
    if (!bench.competitors.some(({ name }) => name === 'jumpgate')) return [];
    bench.say('memory: jumpgate');
    const few = await memoryWith(bench, { linksPerPeer: LINKS.few });
    const many = await memoryWith(bench, { linksPerPeer: LINKS.many });
    const { manyImports, manyPeers } = bench.sizing;
    const large = await memoryWith(bench, {
      linksPerPeer: LINKS.few,
      documents: largeMesh({ imports: manyImports, peers: manyPeers }),
    });
    const perLink = (many.a + many.b - few.a - few.b) / (LINKS.many - LINKS.few) / KIB;
    const perImports = ((large.a - few.a) * 10_000) / manyImports / MIB;
    const start = (few.a + few.b) / MIB;
    return [
      figure('idle-link', 'KiB', perLink, `both ends; ${LINKS.many} against ${LINKS.few} links each way`),
      figure('imports', 'MiB', perImports, `per 10,000; measured with ${manyImports} imports of ${manyPeers} peers`),
      figure('idle-gateways', 'MiB', start, 'A and B together, idle with one peer'),
    ];
  },
};

function figure(workload: string, unit: Figure['unit'], value: number, note: string): Figure {
  return { workload, competitor: 'jumpgate', unit, value, note };
}

async function memoryWith(
  { running, ports, sizing }: Bench,
  more: { readonly linksPerPeer: number; readonly documents?: Readonly<Record<string, string>> },
): Promise<{ readonly a: number; readonly b: number }> {
  await using jumps = await startJumpgate({ running, service: 'small', backendPort: ports.small, ...more });
  await delay(sizing.settleMs);
  return { a: rssOf(jumps.a), b: rssOf(jumps.b) };
}

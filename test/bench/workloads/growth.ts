/** What a call costs where there is much configuration, against little: by an import's name, and by an edge's route. */
import { setTimeout as delay } from 'node:timers/promises';

import { type Bench, type Figure, type Measured, type OwnWorkload } from '../bench.ts';
import { writeCertificates } from '../gateways/certificates.ts';
import { HOST, startJumpgate } from '../gateways/jumpgate.ts';
import { h2load, h2loadTimes } from '../load/h2load.ts';
import { cpuDuring } from '../measure/jumps.ts';
import { perCall } from '../measure/per-call.ts';
import { freePort } from '../measure/running.ts';
import { edgeWithRoutes, largeMesh, routeHost } from './large-mesh.ts';

const FEW = 10;
const CONNECTIONS = 10;
const STREAMS = 10;
/** Long enough for what a gateway does by itself every second or so. */
const IDLE_MS = 3_000;

/** 10 × 10 small calls. */
export const growth: OwnWorkload = {
  name: 'growth',
  what: 'cost of a call with many routes, imports and peers, against ten',
  async run(bench) {
    if (!bench.competitors.some(({ name }) => name === 'jumpgate')) return [];
    const { manyImports, manyPeers } = bench.sizing;
    const few = await sized(bench, FEW, FEW);
    const many = await sized(bench, manyImports, manyPeers);
    const figures = (workload: string, one: Measured, other: Measured): readonly Figure[] => [
      { workload, competitor: 'jumpgate', ...other },
      { workload, competitor: 'jumpgate, 10', ...one },
    ];
    return [
      ...figures('growth-imports', few.imports, many.imports),
      ...figures('growth-routes', few.routes, many.routes),
    ];
  },
};

async function sized(
  bench: Bench,
  many: number,
  peers: number,
): Promise<{ readonly imports: Measured; readonly routes: Measured }> {
  bench.say(`growth: ${many} routes and imports, ${peers} peers`);
  const { running, ports } = bench;
  const edgePort = await freePort();
  const edge = writeCertificates(running.directory()).identity('edge');
  const documents = {
    ...largeMesh({ imports: many, peers }),
    ...edgeWithRoutes({ port: edgePort, routes: many, ...edge }),
  };
  await using jumps = await startJumpgate({ running, service: 'small', backendPort: ports.small, documents });
  const shape = { running, connections: CONNECTIONS, streams: STREAMS };
  const measure = (port: number, host: string, tls: boolean): Promise<Measured> =>
    perCall(bench, jumps, {
      width: CONNECTIONS * STREAMS,
      calls: (requests) => h2load({ ...shape, port, host, tls, requests }),
      times: (requests) => h2loadTimes({ ...shape, port, host, tls, requests }),
    });
  await delay(bench.sizing.settleMs);
  const idle = await cpuDuring(jumps.a, () => delay(IDLE_MS));
  const share = ((idle / 1000 / IDLE_MS) * 100).toFixed(1);
  const note = `${many} routes and imports, ${peers} peers that wait for their bundles; A takes ${share} % of a core when idle`;
  return {
    imports: { ...(await measure(jumps.port, HOST, false)), note },
    routes: { ...(await measure(edgePort, routeHost(many - 1), true)), note: `${note}, TLS in` },
  };
}

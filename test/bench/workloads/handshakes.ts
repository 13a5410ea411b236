/** New mutual-TLS handshakes, verified, against a bare server of Node's with Jumpgate's own certificates. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { type Bench, type Figure, type OwnWorkload } from '../bench.ts';
import { type HandshakeTarget } from '../gateways/competitor.ts';
import { handshakes } from '../load/handshakes.ts';
import { cpuDuring } from '../measure/jumps.ts';
import { CORES } from '../measure/running.ts';

const US_PER_SECOND = 1e6;
const BARE = join(import.meta.dirname, '..', 'load', 'bare-server.ts');

/** Cold: each client's chain is new to the server. Cached: one client comes again and again. */
export const handshakesWorkload: OwnWorkload = {
  name: 'handshakes',
  what: 'new mutual-TLS handshakes, verified',
  async run(bench) {
    const figures: Figure[] = [];
    for (const competitor of bench.competitors) {
      if (competitor.without('small') !== undefined) continue;
      bench.say(`handshakes: ${competitor.name}`);
      const { running, ports, sizing } = bench;
      await using jumps = await competitor.start({ running, service: 'small', backendPort: ports.small });
      const target = await jumps.handshakes?.(sizing.handshakes * (sizing.rounds + 1));
      if (target === undefined) continue;
      figures.push(...(await measured(bench, competitor.name, target)));
      if (competitor.name === 'jumpgate') figures.push(...(await bare(bench, target)));
    }
    return figures;
  },
};

async function measured(bench: Bench, competitor: string, target: HandshakeTarget): Promise<readonly Figure[]> {
  const { handshakes: count, rounds } = bench.sizing;
  const unused = [...target.identities];
  const take = (many: number): HandshakeTarget => ({ ...target, identities: unused.splice(0, many) });
  // As much as a round; the other identities are kept for the cold rounds, so that none of them was seen before.
  const known = take(count);
  await handshakes(known, count);
  const one = { ...known, identities: known.identities.slice(0, 1) };
  let [cold, cached] = [Infinity, Infinity];
  for (let round = 0; round < rounds; round += 1) {
    const fresh = take(count);
    cold = Math.min(cold, await cpuDuring(target.serverPid, () => handshakes(fresh, count)));
    cached = Math.min(cached, await cpuDuring(target.serverPid, () => handshakes(one, count)));
  }
  const figure = (workload: string, us: number): Figure => ({
    workload,
    competitor,
    unit: '/s per core',
    value: (count * US_PER_SECOND) / us,
    bUs: us / count,
  });
  return [figure('handshakes-cold', cold), figure('handshakes-cached', cached)];
}

async function bare(bench: Bench, jumpgates: HandshakeTarget): Promise<readonly Figure[]> {
  const directory = bench.running.directory();
  const [identity] = jumpgates.identities;
  if (identity === undefined) throw new Error('expected an identity');
  const files = { 'cert.pem': identity.cert, 'key.pem': identity.key, 'ca.pem': jumpgates.ca };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text, { mode: 0o600 });
  const words = [...process.execArgv, BARE, ...Object.keys(files).map((name) => join(directory, name))];
  await using program = bench.running.start(CORES.gateways, process.execPath, words);
  if (program.child.stdout === null) throw new Error('expected a pipe');
  const [line] = (await once(program.child.stdout, 'data')) as [Buffer];
  const { port } = JSON.parse(line.toString()) as { port: number };
  return await measured(bench, 'bare node', { ...jumpgates, port, serverPid: program.pid });
}

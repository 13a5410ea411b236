/** Where Jumpgate's time goes: each workload once more, in gateways of their own, under V8's sampling profiler. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { messageOf } from '../../../base/errors.ts';
import { until } from '../../support/gateway-process.ts';
import { type Bench, type JumpsWorkload } from '../bench.ts';
import { type TwoJumps } from '../gateways/competitor.ts';
import { startJumpgate } from '../gateways/jumpgate.ts';
import { processTree } from '../measure/process-tree.ts';
import { noteOf } from '../report/note.ts';
import { type CpuProfile, foldProfiles, type Folded } from './fold.ts';

const SAMPLER = pathToFileURL(join(import.meta.dirname, 'sampler.ts')).href;
const ROOT = pathToFileURL(join(import.meta.dirname, '..', '..', '..', '/')).href;

/** One workload's profile; `note` says why there is none. */
export type Profile = { readonly workload: string } & (Folded | { readonly note: string });

/** Runs after all that is measured: sampling costs time, and the processes that were measured never load the sampler. */
export async function profilesOf(bench: Bench, workloads: readonly JumpsWorkload[]): Promise<readonly Profile[]> {
  const profiles: Profile[] = [];
  for (const service of new Set(workloads.map((workload) => workload.service))) {
    const ofService = workloads.filter((workload) => workload.service === service);
    try {
      profiles.push(...(await ofOneStart(bench, ofService)));
    } catch (error) {
      bench.say(`profile: ${service}: ${messageOf(error)}`);
      const missing = ofService.filter(({ name }) => !profiles.some(({ workload }) => workload === name));
      profiles.push(...missing.map(({ name }) => ({ workload: name, note: noteOf(messageOf(error)) })));
    }
  }
  const place = ({ workload }: Profile): number => workloads.findIndex(({ name }) => name === workload);
  return profiles.sort((one, other) => place(one) - place(other));
}

async function ofOneStart(bench: Bench, workloads: readonly JumpsWorkload[]): Promise<readonly Profile[]> {
  const { running, ports } = bench;
  const [first] = workloads;
  if (first === undefined) return [];
  const directory = running.directory();
  const options = [process.env['NODE_OPTIONS'], `--import=${SAMPLER}`].filter(Boolean).join(' ');
  const environment = { NODE_OPTIONS: options, JUMPGATE_BENCH_PROFILES: directory };
  const { service } = first;
  await using jumps = await startJumpgate({ running, service, backendPort: ports[service], environment });
  const once = { ...bench, sizing: { ...bench.sizing, rounds: 1 } };
  const profiles: Profile[] = [];
  for (const workload of workloads) {
    const { name } = workload;
    bench.say(`profile: ${name}`);
    let folded: Folded | undefined;
    const during = async (work: () => Promise<void>): Promise<void> => {
      folded = await sampled(directory, jumps, work);
    };
    jumps.tidy?.();
    await workload.measure(once, { ...jumps, during });
    profiles.push({ workload: name, ...(folded ?? { note: 'this workload has no rounds' }) });
  }
  return profiles;
}

/** Samples both gateways while `work` is done. */
async function sampled(directory: string, jumps: TwoJumps, work: () => Promise<void>): Promise<Folded> {
  const workersOf = (pid: number): readonly number[] =>
    processTree(pid).flatMap((each) => (existsSync(join(directory, `${each.pid}.ready`)) ? [each.pid] : []));
  const pids = { a: workersOf(jumps.a), b: workersOf(jumps.b) };
  if (pids.a.length === 0 || pids.b.length === 0) throw new Error('expected workers with the sampler, found none');
  const all = [...pids.a, ...pids.b];
  await signalled(directory, all, 'started');
  await work();
  await signalled(directory, all, 'cpuprofile');
  const profileOf = (pid: number): CpuProfile =>
    JSON.parse(readFileSync(join(directory, `${pid}.cpuprofile`), 'utf8')) as CpuProfile;
  const folded = foldProfiles({ a: pids.a.map(profileOf), b: pids.b.map(profileOf) }, ROOT);
  // The next workload starts with none of these.
  for (const file of readdirSync(directory)) if (!file.endsWith('.ready')) rmSync(join(directory, file));
  return folded;
}

/** Tells the samplers, and waits until each has written its file. */
async function signalled(directory: string, pids: readonly number[], kind: string): Promise<void> {
  for (const pid of pids) process.kill(pid, 'SIGUSR2');
  await until(`${kind} of the samplers`, () => pids.every((pid) => existsSync(join(directory, `${pid}.${kind}`))));
}

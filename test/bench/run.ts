/** `npm run bench`: two jumps through Jumpgate and through the proxies people use for this today, side by side in one run. */
import { once } from 'node:events';
import { join } from 'node:path';

import { systemClock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { type Bench, type Figure, type JumpsWorkload, type OwnWorkload } from './bench.ts';
import { type Competitor, type TwoJumps } from './gateways/competitor.ts';
import { envoy } from './gateways/envoy.ts';
import { haproxy } from './gateways/haproxy.ts';
import { jumpgate } from './gateways/jumpgate.ts';
import { nginx } from './gateways/nginx.ts';
import { type BackendPorts } from './load/services.ts';
import { CORES, Running } from './measure/running.ts';
import { type Options, parseOptions, USAGE } from './options.ts';
import { profilesOf } from './profile/profiles.ts';
import { noteOf } from './report/note.ts';
import { describeMachine } from './report/machine.ts';
import { type Results, writeJson, writeReport } from './report/results.ts';
import { figureTable, goalTable, remarks } from './report/table.ts';
import { streamDown, streamUp, tunnel } from './workloads/bytes.ts';
import { grpc } from './workloads/grpc.ts';
import { growth } from './workloads/growth.ts';
import { handshakesWorkload } from './workloads/handshakes.ts';
import { http1 } from './workloads/http1.ts';
import { latency } from './workloads/latency.ts';
import { idleClients, idleJumpgate } from './workloads/memory.ts';
import { smallCalls } from './workloads/small-calls.ts';

const COMPETITORS: readonly Competitor[] = [jumpgate, haproxy, envoy, nginx];
/** Those that keep gateways busy. */
const PROFILED: readonly JumpsWorkload[] = [...smallCalls, http1, grpc, streamDown, streamUp, tunnel];
const OVER_JUMPS: readonly JumpsWorkload[] = [...PROFILED, latency, idleClients];
const OWN: readonly OwnWorkload[] = [handshakesWorkload, idleJumpgate, growth];
/** Without a cipher of their own, contexts of Node's take this one; the access log and all else stay as they are. */
const SAME_CIPHER = '--tls-cipher-list=TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256';
const BACKEND = join(import.meta.dirname, 'load', 'backend.ts');
/** Of a workload that gives two figures. */
const PARTS = ['p50', 'p99'];
const INTERRUPTED = 130;
const MS_PER_MINUTE = 60_000;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function main(words: readonly string[]): Promise<void> {
  const options = parseOptions(
    words,
    [...OVER_JUMPS, ...OWN].map(({ name }) => name),
  );
  if (options === undefined) {
    process.stdout.write(USAGE);
    return;
  }
  await using running = new Running();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      running.kill();
      process.exit(INTERRUPTED);
    });
  }
  // Whoever makes a scratch directory from now on makes it in one that goes with the run, however that ends.
  process.env['TMPDIR'] = running.directory();
  process.env['NODE_OPTIONS'] = [process.env['NODE_OPTIONS'], SAME_CIPHER].filter(Boolean).join(' ');
  running.pin(process.pid, CORES.load);
  const startedMs = systemClock.monotonic();
  const machine = describeMachine(COMPETITORS, running.pins);
  for (const [name, version] of Object.entries(machine.versions)) say(`${name}: ${version}`);
  const bench = await prepare(options, running);
  const figures = await measure(options, bench);
  const profiled = options.profile && bench.competitors.includes(jumpgate);
  const profiles = await profilesOf(bench, profiled ? PROFILED.filter(({ name }) => isChosen(options, name)) : []);
  const chosen = [...OVER_JUMPS, ...OWN].filter(({ name }) => isChosen(options, name));
  const minutes = (systemClock.monotonic() - startedMs) / MS_PER_MINUTE;
  const workloads = chosen.map(({ name, what }) => ({ name, what }));
  report(options, { machine, quick: options.quick, sizing: options.sizing, minutes, workloads, figures, profiles });
}

async function prepare(options: Options, running: Running): Promise<Bench> {
  const unknown = options.only.find((name) => !COMPETITORS.some((each) => each.name === name));
  if (unknown !== undefined)
    throw new Error(`expected competitors among ${COMPETITORS.map(({ name }) => name).join(' ')}, found ${unknown}`);
  const wanted = COMPETITORS.filter(({ name }) => options.only.length === 0 || options.only.includes(name));
  const competitors = wanted.filter((each) => each.version() !== undefined);
  const ports = await startBackend(running, options.sizing.streamBytes);
  return { running, ports, competitors, sizing: options.sizing, say };
}

async function measure(options: Options, bench: Bench): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  const overJumps = OVER_JUMPS.filter(({ name }) => isChosen(options, name));
  const startOf = ({ name, service, fresh }: JumpsWorkload): string => (fresh === true ? name : service);
  for (const start of new Set(overJumps.map(startOf))) {
    const workloads = overJumps.filter((workload) => startOf(workload) === start);
    for (const competitor of bench.competitors) figures.push(...(await through(bench, competitor, workloads)));
  }
  for (const workload of OWN.filter(({ name }) => isChosen(options, name))) {
    try {
      figures.push(...(await workload.run(bench)));
    } catch (error) {
      say(`${workload.name}: ${messageOf(error)}`);
      figures.push(notAvailable(workload.name, 'jumpgate', messageOf(error)));
    }
  }
  // Each workload's figures side by side, in the order of the list; those of `own` follow as they come.
  const order = OVER_JUMPS.map(({ name }) => name);
  const place = ({ workload }: Figure): number => {
    const at = order.findLastIndex((name) => workload === name || PARTS.some((part) => workload === `${name}-${part}`));
    return at < 0 ? order.length : at;
  };
  return figures.sort((one, other) => place(one) - place(other));
}

/** All workloads of one service through one competitor, which is started once for them. */
async function through(
  bench: Bench,
  competitor: Competitor,
  workloads: readonly JumpsWorkload[],
): Promise<readonly Figure[]> {
  const [first] = workloads;
  if (first === undefined || competitor.without(first.service) !== undefined) return [];
  const { name } = competitor;
  const figures: Figure[] = [];
  try {
    const backendPort = bench.ports[first.service];
    await using jumps = await competitor.start({ running: bench.running, service: first.service, backendPort });
    for (const workload of workloads) figures.push(...(await one(bench, competitor, { workload, jumps })));
  } catch (error) {
    bench.say(`${first.service}: ${name}: ${messageOf(error)}`);
    for (const workload of workloads)
      figures.push(
        notAvailable(
          workload.name,
          name,
          `${name === 'jumpgate' ? 'not available in this build' : 'did not start'}: ${messageOf(error)}`,
        ),
      );
  }
  return figures;
}

async function one(
  bench: Bench,
  { name }: Competitor,
  { workload, jumps }: { readonly workload: JumpsWorkload; readonly jumps: TwoJumps },
): Promise<readonly Figure[]> {
  bench.say(`${workload.name}: ${name}`);
  const named = (part: string | undefined): string => [workload.name, ...(part === undefined ? [] : [part])].join('-');
  try {
    jumps.tidy?.();
    const all = await workload.measure(bench, jumps);
    return all.map(({ part, ...measured }) => ({ workload: named(part), competitor: name, ...measured }));
  } catch (error) {
    bench.say(`${workload.name}: ${name}: ${messageOf(error)}`);
    return [notAvailable(workload.name, name, messageOf(error))];
  }
}

function notAvailable(workload: string, competitor: string, why: string): Figure {
  return { workload, competitor, unit: 'µs/call', value: undefined, note: noteOf(why) };
}

async function startBackend(running: Running, streamBytes: number): Promise<BackendPorts> {
  const words = [...process.execArgv, BACKEND, String(streamBytes)];
  const { child } = running.start(CORES.load, process.execPath, words);
  if (child.stdout === null) throw new Error('expected a pipe');
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return JSON.parse(line.toString()) as BackendPorts;
}

function isChosen({ workloads }: Options, name: string): boolean {
  return workloads.length === 0 || workloads.includes(name);
}

function report(options: Options, results: Results): void {
  const { figures } = results;
  process.stdout.write(`\n${figureTable(figures)}\n${goalTable(figures)}\n`);
  for (const line of remarks(figures)) process.stdout.write(`${line}\n`);
  if (options.json !== undefined) writeJson(options.json, results);
  if (options.write) for (const path of writeReport(results)) say(`wrote ${path}`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  say(messageOf(error));
  process.exitCode = 2;
}

/** The words after `npm run bench --`. */
import { parseArgs } from 'node:util';

import { type Sizing } from './bench.ts';

/** What was asked for. */
export interface Options {
  /** Names of workloads or groups; empty is all. */
  readonly workloads: readonly string[];
  /** Names of competitors; empty is all. */
  readonly only: readonly string[];
  readonly quick: boolean;
  readonly sizing: Sizing;
  /** Where the figures go as JSON. */
  readonly json: string | undefined;
  /** Whether RESULTS.md and results.json are written: by default after a whole run. */
  readonly write: boolean;
  /** Whether Jumpgate is profiled too: by default when the report is written. */
  readonly profile: boolean;
}

const MIB = 1024 * 1024;

const FULL: Sizing = {
  seconds: 2.5,
  rounds: 3,
  // V8 is done with the path of a call after some 20,000 of them.
  warmUpCalls: 20_000,
  streamBytes: 256 * MIB,
  handshakes: 400,
  idleConnections: 1_000,
  settleMs: 1_500,
  manyImports: 10_000,
  manyPeers: 1_000,
};

const QUICK: Sizing = {
  seconds: 0.2,
  rounds: 1,
  warmUpCalls: 200,
  streamBytes: 16 * MIB,
  handshakes: 30,
  idleConnections: 100,
  settleMs: 200,
  manyImports: 200,
  manyPeers: 20,
};

/** What `--help` prints. */
export const USAGE = `npm run bench -- [WORKLOAD...] [--only NAME,NAME] [--quick] [--seconds N] [--rounds N] [--json FILE] [--[no-]write] [--[no-]profile]

WORKLOAD is a name or a group:
  small        1x1 100x1 10x10 10x100 10x100-body 10x10-16k
  http1 grpc stream-down stream-up tcp latency idle-clients
  handshakes idle-jumpgate growth
--only         competitors: jumpgate, haproxy, envoy, nginx
--quick        tiny rounds, which prove that the harness works and nothing else
--seconds      how long one round lasts, about (2.5); rounds are counted in calls
--rounds       the best of so many counts (3)
--json         also write the figures there
--write        write test/bench/RESULTS.md and results.json, as a whole run does
--profile      run Jumpgate once more under V8's sampling profiler, as a run that is written does
`;

const GROUPS: Readonly<Record<string, readonly string[]>> = {
  small: ['1x1', '100x1', '10x10', '10x100', '10x100-body', '10x10-16k'],
};

/** Parses them; throws what is wrong with them. `undefined` asks for help. */
export function parseOptions(words: readonly string[], known: readonly string[]): Options | undefined {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    allowNegative: true,
    options: {
      only: { type: 'string', multiple: true, default: [] },
      quick: { type: 'boolean', default: false },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      json: { type: 'string' },
      write: { type: 'boolean' },
      profile: { type: 'boolean' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const workloads = positionals.flatMap((word) => GROUPS[word] ?? [word]);
  const unknown = workloads.find((word) => !known.includes(word));
  if (unknown !== undefined) throw new Error(`expected workloads among ${known.join(' ')}, found ${unknown}`);
  const base = values.quick ? QUICK : FULL;
  const only = values.only.flatMap((names) => names.split(','));
  const write = values.write ?? (workloads.length === 0 && only.length === 0 && !values.quick);
  return {
    workloads,
    only,
    quick: values.quick,
    sizing: {
      ...base,
      seconds: positive('--seconds', values.seconds, base.seconds),
      rounds: Math.ceil(positive('--rounds', values.rounds, base.rounds)),
    },
    json: values.json,
    write,
    profile: values.profile ?? (write && !values.quick),
  };
}

function positive(name: string, given: string | undefined, otherwise: number): number {
  const value = given === undefined ? otherwise : Number(given);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`expected a positive number after ${name}, found ${given ?? ''}`);
}

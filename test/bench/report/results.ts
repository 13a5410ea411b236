/** The files of a run: every figure as JSON, and the report that is committed. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { type Figure, type Sizing } from '../bench.ts';
import { verdictsOf } from './goals.ts';
import { type Profile } from '../profile/profiles.ts';
import { type Machine } from './machine.ts';
import { profileSection } from './profiles.ts';
import { figureTable, goalTable, markdownTable, remarks } from './table.ts';

const BENCH = join(import.meta.dirname, '..');
const PRETTIER = join(BENCH, '..', '..', 'node_modules', 'prettier', 'bin', 'prettier.cjs');

/** A run. */
export interface Results {
  readonly machine: Machine;
  readonly quick: boolean;
  readonly sizing: Sizing;
  readonly minutes: number;
  /** Name and meaning of what was measured. */
  readonly workloads: readonly { readonly name: string; readonly what: string }[];
  readonly figures: readonly Figure[];
  readonly profiles: readonly Profile[];
}

/** Writes the figures. */
export function writeJson(path: string, results: Results): void {
  writeFileSync(path, `${JSON.stringify({ ...results, verdicts: verdictsOf(results.figures) }, null, 2)}\n`);
}

/** Writes RESULTS.md and results.json beside the bench, as the formatter wants them. */
export function writeReport(results: Results): readonly string[] {
  const paths = [join(BENCH, 'RESULTS.md'), join(BENCH, 'results.json')] as const;
  writeFileSync(paths[0], report(results));
  writeJson(paths[1], results);
  spawnSync(process.execPath, [PRETTIER, '--write', '--log-level', 'warn', ...paths], { stdio: 'inherit' });
  return paths;
}

function report({ machine, quick, sizing, minutes, workloads, figures, profiles }: Results): string {
  const facts = [
    ['date', machine.date],
    ['processor', machine.processor],
    ['memory', `${machine.memoryGiB} GiB`],
    ['kernel', machine.kernel],
    ['cores', machine.cores],
    ...Object.entries(machine.versions),
  ];
  const size = quick
    ? '**Made with `--quick`: these rounds are far too short for the figures to mean anything.**'
    : `Best of ${sizing.rounds} rounds of about ${sizing.seconds} s after a warm-up at least as long and of at least ${sizing.warmUpCalls} calls; the whole run took ${minutes.toFixed(0)} minutes.`;
  return `# Results of \`npm run bench\`

Written by the bench itself. Only ratios within one run mean anything: the next machine, or the next day, has other figures.

${markdownTable(['', ''], facts)}
${size}

${SETTINGS}
## Goals

${goalTable(figures)}
## Figures

Processor time is the operating system's account of all processes and threads of a gateway, in nanoseconds; "A + B" is what each jump cost. "Spread" is how much dearer the worst round was than the best, which counts: how noisy the machine was. "Busy" is the share of their core that both gateways took in the best round: well below 100 % the load generator, the backend or the wait for one answer set the pace, or other programs had the core. For figures in µs and in memory less is better, for those per second and core more.

${figureTable(figures)}
## Workloads

${workloads.map(({ name, what }) => `- \`${name}\`: ${what}`).join('\n')}

## Remarks

${list(remarks(figures))}

${profileSection(profiles)}`;
}

/** What is the same for all, and what is not. */
const SETTINGS = `Two jumps, \`client → A (plaintext in, mutual TLS out) → B → backend\`, one worker each, one backend for all. TLS 1.3, ECDSA P-256, AES-128-GCM, HTTP/2 to both sides (HTTP/1.1 in and out for \`http1\`), large windows. Competitors run without access log, statistics or request ids, as fast as we could make them: their configuration stands in \`configs/\` (HAProxy's buffers are 64 KiB for large bodies, streams and tunnels, where it gains by them, and its default for small calls, where it loses). Jumpgate runs with what a user has by default: verification, policy on both sides, identity header, metrics, access log to a file, deadlines. X25519 is forced on everybody but the link between the two Jumpgates, whose handshake offers X25519MLKEM768 first; it is over before anything is measured.
`;

function list(lines: readonly string[]): string {
  return lines.length === 0 ? 'None.' : lines.map((line) => `- ${line}`).join('\n');
}

/** What the samples of a soak say: whether memory grows with the connections made, and whether all else is as before. */
import { MOVED_MAX, type ProcessResources } from '../support/resources.ts';
import { type Slope, slopeOf } from './slope.ts';

/** What a gateway held when so many connections had come and gone, at rest. */
export interface Sample {
  readonly connections: number;
  readonly seconds: number;
  readonly processes: readonly ProcessResources[];
}

/** What one gateway showed. */
export interface Verdict {
  readonly holds: boolean;
  readonly lines: readonly string[];
}

/** Catalogue row N12. */
const GROWTH_BYTES_PER_HOUR_MAX = 1_000_000;
/** A slope counts as growth when it is above the limit by this many standard errors: memory at rest lies about a line. */
const ERRORS = 2;
/** What the newest of each kind may still be referred to by: buffers, memos, the ring of deadlines. */
const REMAINS_MAX = 8;
const MEGABYTE = 1e6;

/** Judges the samples of one gateway, of which the first was taken before any connection. */
export function judge(gateway: string, samples: readonly Sample[]): Verdict {
  const [first] = samples;
  const last = samples.at(-1);
  if (first === undefined || last === undefined) return { holds: false, lines: [`${gateway}: nothing was measured`] };
  const later = samples.slice(Math.ceil(samples.length / 2));
  const perHour = (last.connections / last.seconds) * 3_600;
  const held = growth(later, ({ heldBytes }) => heldBytes);
  const resident = growth(later, ({ rssBytes }) => rssBytes);
  const grown = [
    grows(`${gateway} memory in use`, held, perHour),
    grows(`${gateway} resident memory`, resident, perHour),
  ];
  const changed = last.processes.flatMap((now) => {
    const before = first.processes.find(({ role }) => role === now.role);
    return before === undefined ? [`${gateway} ${now.role}: was not there`] : changesOf(gateway, before, now);
  });
  return {
    holds: grown.every(({ holds }) => holds) && changed.length === 0,
    lines: [...grown.map(({ line }) => line), ...changed],
  };
}

function growth(samples: readonly Sample[], of: (process: ProcessResources) => number): Slope {
  const sum = (sample: Sample): number => sample.processes.reduce((total, process) => total + of(process), 0);
  return slopeOf(samples.map((sample) => ({ x: sample.connections, y: sum(sample) })));
}

function grows(
  what: string,
  { slope, error }: Slope,
  perHour: number,
): { readonly holds: boolean; readonly line: string } {
  const bytes = slope * perHour;
  const doubt = ERRORS * error * perHour;
  const holds = bytes - doubt <= GROWTH_BYTES_PER_HOUR_MAX;
  const measured = `${(bytes / MEGABYTE).toFixed(2)} ± ${(doubt / MEGABYTE).toFixed(2)} MB/h`;
  const line = `${holds ? 'ok  ' : 'FAIL'} ${what}: ${measured}, ${slope.toFixed(2)} bytes per connection`;
  return { holds: holds && Number.isFinite(doubt), line };
}

/** Descriptors and handles must be those of before but for a link that moved; of objects the newest may still be there. */
export function changesOf(gateway: string, before: ProcessResources, now: ProcessResources): readonly string[] {
  const more = (what: string, was = 0, is = 0, allowed: number): readonly string[] =>
    is <= was + allowed ? [] : [`FAIL ${gateway} ${now.role}: ${was} -> ${is} ${what}`];
  return [
    ...more('descriptors', before.fds, now.fds, MOVED_MAX),
    ...Object.entries(now.active).flatMap(([kind, is]) => more(kind, before.active[kind], is, MOVED_MAX)),
    ...Object.entries(now.objects).flatMap(([kind, is]) =>
      more(`objects of ${kind}`, before.objects[kind], is, REMAINS_MAX),
    ),
  ];
}

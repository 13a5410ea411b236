/** Profiles as Markdown. */
import { type Folded } from '../profile/fold.ts';
import { type Profile } from '../profile/profiles.ts';
import { markdownTable } from './table.ts';

/** Parts below this share of both gateways are summed up. */
const SHARE_SHOWN_MIN = 0.005;

/** The section of the report; nothing where no profile was made. */
export function profileSection(profiles: readonly Profile[]): string {
  if (profiles.length === 0) return '';
  const each = profiles.map(
    (profile) => `### \`${profile.workload}\`\n\n${'note' in profile ? `${profile.note}\n` : tables(profile)}`,
  );
  return `## Where the time goes

Each workload once more through Jumpgates of their own, after everything was measured: V8's sampling profiler in the workers of A and B during one round, after the same warm-up. Shares are of the samples in which the worker's main thread was not idle; by the function that ran itself, not by what it called. System calls and C++ (sockets, TLS) count as "native", with a name where JavaScript called them. Sampling itself costs time, so the shares count and not the figures.

${each.join('\n')}`;
}

function tables({ samples, rooms, functions }: Folded): string {
  const shown = rooms.filter(({ a, b }) => a >= SHARE_SHOWN_MIN || b >= SHARE_SHOWN_MIN);
  const rest = rooms.filter((room) => !shown.includes(room));
  const sum = (side: 'a' | 'b'): number => rest.reduce((total, room) => total + room[side], 0);
  const rows = rest.length === 0 ? shown : [...shown, { room: 'all others', a: sum('a'), b: sum('b') }];
  return [
    markdownTable(
      ['part', `A (${samples.a} samples)`, `B (${samples.b})`],
      rows.map(({ room, a, b }) => [room, percent(a), percent(b)]),
    ),
    markdownTable(
      ['dearest functions', 'where', 'A', 'B'],
      functions.map(({ name, where, a, b }) => [`\`${name}\``, where, percent(a), percent(b)]),
    ),
  ].join('\n');
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/**
 * Catalogue row N12: a million connections come and go at two real gateways, of all kinds, and nothing grows.
 * `npm run soak -- --connections 1000000 --at-once 64 --samples 20 --minutes 60`; all have defaults. Exits with 1 when
 * something grows or does not go back to where it was. `--minutes` ends it early, and the verdict is on what was made.
 */
import { parseArgs } from 'node:util';

import { systemClock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { Churn } from '../support/churn.ts';
import { ResourceProbe, settled } from '../support/resources.ts';
import { judge, type Sample } from './verdict.ts';

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '1000000' },
    'at-once': { type: 'string', default: '64' },
    samples: { type: 'string', default: '20' },
    minutes: { type: 'string', default: '240' },
  },
});
const wanted = Number(values.connections);
const atOnce = Number(values['at-once']);
const portion = Math.ceil(wanted / Number(values.samples));
const endsAtMs = systemClock.monotonic() + Number(values.minutes) * 60_000;
const MEGABYTE = 1e6;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

using probe = new ResourceProbe();
await using churn = await Churn.start(probe);
const gateways = { east: churn.east, west: churn.west } as const;
const samples: Record<keyof typeof gateways, Sample[]> = { east: [], west: [] };
const names = ['east', 'west'] as const;
let made = 0;
let seconds = 0;

/** What both hold at rest. */
async function sample(): Promise<void> {
  for (const name of names) {
    const before = samples[name][0];
    if (before !== undefined)
      await settled(gateways[name], before.processes).catch((error: unknown) => say(messageOf(error)));
    const processes = await probe.take(gateways[name]);
    samples[name].push({ connections: made, seconds, processes });
    const each = processes.map(
      ({ role, fds, rssBytes, heldBytes }) =>
        `${role} ${fds} fds ${(rssBytes / MEGABYTE).toFixed(1)} MB (${(heldBytes / MEGABYTE).toFixed(2)} in use)`,
    );
    say(`${made} in ${seconds.toFixed(0)} s, ${name}: ${each.join(', ')}`);
  }
}

await sample();
while (made < wanted && systemClock.monotonic() < endsAtMs) {
  const count = Math.min(portion, wanted - made);
  const startedMs = systemClock.monotonic();
  await churn.connections(count, atOnce);
  made += count;
  seconds += (systemClock.monotonic() - startedMs) / 1_000;
  await sample();
  if (churn.failed.size > 0) say(`failed so far: ${JSON.stringify([...churn.failed])}`);
}
say(`${made} connections: ${[...churn.made].map(([kind, count]) => `${count} ${kind}`).join(', ')}`);
for (const [what, count] of churn.failed) {
  say(`FAIL ${count} times ${what}`);
  process.exitCode = 1;
}
for (const name of names) {
  const { holds, lines } = judge(name, samples[name]);
  for (const line of lines) say(line);
  if (!holds) process.exitCode = 1;
}

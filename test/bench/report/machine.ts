/** What a run was made on. */
import { cpus, release, totalmem } from 'node:os';

import { systemClock } from '../../../base/clock.ts';
import { H2LOAD_INSTALL } from '../load/h2load.ts';
import { versionOf } from '../gateways/version.ts';
import { type Competitor } from '../gateways/competitor.ts';
import { CORES } from '../measure/running.ts';

/** The machine, the programs, the day. */
export interface Machine {
  readonly date: string;
  readonly processor: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly cores: string;
  /** Version by program; `missing: ` with the line to type where there is none. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Looks around. */
export function describeMachine(competitors: readonly Competitor[], pins: boolean): Machine {
  const versions = competitors.map(({ name, version, install }) => [name, version() ?? `missing: ${install}`] as const);
  const [first] = cpus();
  return {
    date: new Date(systemClock.now()).toISOString().slice(0, 10),
    processor: `${first?.model ?? 'unknown'}, ${cpus().length} cores`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `Linux ${release()}`,
    cores: pins
      ? `both gateways on core ${CORES.gateways}; load generator and backend on core ${CORES.load}; the same for everyone`
      : 'not pinned: taskset is missing (apt-get install util-linux)',
    versions: {
      ...Object.fromEntries(versions),
      node: process.version,
      openssl: process.versions.openssl,
      h2load: versionOf('h2load', ['--version'], /nghttp2\/(\S+)/) ?? `missing: ${H2LOAD_INSTALL}`,
    },
  };
}

/** nghttp2's load generator, counted by requests so that the cost of one is exact. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { quantile } from '../measure/quantile.ts';
import { type Running } from '../measure/running.ts';

/** Who calls what. */
export interface H2loadOptions {
  readonly running: Running;
  readonly port: number;
  readonly host: string;
  readonly connections: number;
  readonly streams: number;
  readonly requests: number;
  /** A file to post; without one it is GET. */
  readonly bodyFile?: string;
  readonly tls?: boolean;
}

/** Package that brings the command. */
export const H2LOAD_INSTALL = 'apt-get install nghttp2-client';

const TLS = ['--tls13-ciphers=TLS_AES_128_GCM_SHA256', '--groups=X25519'];

/** Makes the calls, and returns calls per second. Throws unless each was answered with a 2xx. */
export async function h2load(options: H2loadOptions, more: readonly string[] = []): Promise<number> {
  const { running, port, host, connections, streams, requests, bodyFile, tls } = options;
  const words = [
    ...['-n', String(requests), '-c', String(Math.min(connections, requests)), '-m', String(streams)],
    ...(bodyFile === undefined ? [] : ['-d', bodyFile]),
    `--connect-to=127.0.0.1:${port}`,
    ...more,
    ...(tls === true ? TLS : []),
    `${tls === true ? 'https' : 'http'}://${host}/`,
  ];
  const output = await running.output('h2load', words);
  const succeeded = Number(/(\d+) succeeded/.exec(output)?.[1]);
  const ok = Number(/status codes: (\d+) 2xx/.exec(output)?.[1]);
  if (succeeded !== requests || ok !== requests)
    throw new Error(`h2load ${words.join(' ')}: ${ok} of ${requests} answered with 2xx: ${output.slice(0, 1000)}`);
  return Number(/finished in [^,]+, ([\d.]+) req\/s/.exec(output)?.[1]);
}

/** As {@link h2load}, for the time that each call took: sorted microseconds. */
export async function h2loadTimes(options: H2loadOptions): Promise<{ readonly p50Us: number; readonly p99Us: number }> {
  const file = join(options.running.directory(), 'times');
  await h2load(options, [`--log-file=${file}`]);
  const times = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => Number(line.split('\t')[2]))
    .sort((one, other) => one - other);
  return { p50Us: quantile(times, 0.5), p99Us: quantile(times, 0.99) };
}

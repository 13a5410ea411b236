/** nginx: one worker. It has no HTTP/2 towards its servers, so it takes part with HTTP/1.1 only. */
import { versionOf } from './version.ts';
import { type Competitor } from './competitor.ts';
import { startConfigured } from './configured.ts';

/** nginx as Debian ships it. */
export const nginx: Competitor = {
  name: 'nginx',
  install: 'apt-get install nginx',
  version: () => versionOf('nginx', ['-v'], /nginx\/(\S+)/),
  without: (service) => (service === 'http1' ? undefined : 'no HTTP/2 towards its servers'),
  start: (options) =>
    startConfigured(
      {
        command: 'nginx',
        files: { a: 'nginx-a.conf', b: 'nginx-b.conf' },
        words: (file, directory) => ['-p', directory, '-c', file],
      },
      options,
    ),
};

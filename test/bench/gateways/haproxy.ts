/** HAProxy: one thread, HTTP/2 on the link, connections to servers always shared. */
import { versionOf } from './version.ts';
import { type Competitor } from './competitor.ts';
import { startConfigured } from './configured.ts';
import { type Service } from '../load/services.ts';

/** The files under configs/ for a service. */
function filesFor(service: Service): { readonly a: string; readonly b: string } {
  if (service === 'tcp') return { a: 'haproxy-tcp-a.cfg', b: 'haproxy-tcp-b.cfg' };
  if (service === 'http1') return { a: 'haproxy-http1-a.cfg', b: 'haproxy-http1-b.cfg' };
  return { a: 'haproxy-a.cfg', b: 'haproxy-b.cfg' };
}

/** HAProxy as Debian ships it. */
export const haproxy: Competitor = {
  name: 'haproxy',
  install: 'apt-get install haproxy',
  version: () => versionOf('haproxy', ['-v'], /version (\S+)/),
  without: () => undefined,
  start: (options) =>
    startConfigured(
      { command: 'haproxy', files: filesFor(options.service), words: (file) => ['-db', '-f', file] },
      options,
    ),
};

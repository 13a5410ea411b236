/** HAProxy: one thread, HTTP/2 on the link, connections to servers always shared, buffers by what is sent. */
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

/**
 * HAProxy's default, or what holds whole frames of 16 KiB, which it then need not copy. By its own figures: 16 KiB bodies
 * 95 µs with the default and 53 with the larger, small calls 8.5 and 11.3.
 */
function bufferBytesFor(service: Service): number {
  return service === 'large' || service === 'stream' || service === 'tcp' ? 65_536 : 16_384;
}

/** HAProxy as Debian ships it. */
export const haproxy: Competitor = {
  name: 'haproxy',
  install: 'apt-get install haproxy',
  version: () => versionOf('haproxy', ['-v'], /version (\S+)/),
  without: () => undefined,
  start: (options) =>
    startConfigured(
      {
        command: 'haproxy',
        files: filesFor(options.service),
        words: (file) => ['-db', '-f', file],
        values: { BUFFER_BYTES: String(bufferBytesFor(options.service)) },
      },
      options,
    ),
};

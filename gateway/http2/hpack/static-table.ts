/** The static table of HPACK (RFC 7541 Appendix A), one shared object per entry. */
import { type Field } from '../../message/field.ts';
import { field } from '../../message/names.ts';

/** Entries by index, which begins at 1: what stands at 0 is never looked up. */
export const STATIC_TABLE: readonly Field[] = [
  field('', ''),
  field(':authority', ''),
  field(':method', 'GET'),
  field(':method', 'POST'),
  field(':path', '/'),
  field(':path', '/index.html'),
  field(':scheme', 'http'),
  field(':scheme', 'https'),
  field(':status', '200'),
  field(':status', '204'),
  field(':status', '206'),
  field(':status', '304'),
  field(':status', '400'),
  field(':status', '404'),
  field(':status', '500'),
  field('accept-charset', ''),
  field('accept-encoding', 'gzip, deflate'),
  field('accept-language', ''),
  field('accept-ranges', ''),
  field('accept', ''),
  field('access-control-allow-origin', ''),
  field('age', ''),
  field('allow', ''),
  field('authorization', ''),
  field('cache-control', ''),
  field('content-disposition', ''),
  field('content-encoding', ''),
  field('content-language', ''),
  field('content-length', ''),
  field('content-location', ''),
  field('content-range', ''),
  field('content-type', ''),
  field('cookie', ''),
  field('date', ''),
  field('etag', ''),
  field('expect', ''),
  field('expires', ''),
  field('from', ''),
  field('host', ''),
  field('if-match', ''),
  field('if-modified-since', ''),
  field('if-none-match', ''),
  field('if-range', ''),
  field('if-unmodified-since', ''),
  field('last-modified', ''),
  field('link', ''),
  field('location', ''),
  field('max-forwards', ''),
  field('proxy-authenticate', ''),
  field('proxy-authorization', ''),
  field('range', ''),
  field('referer', ''),
  field('refresh', ''),
  field('retry-after', ''),
  field('server', ''),
  field('set-cookie', ''),
  field('strict-transport-security', ''),
  field('transfer-encoding', ''),
  field('user-agent', ''),
  field('vary', ''),
  field('via', ''),
  field('www-authenticate', ''),
];

/** The highest index; the dynamic table begins behind it. */
export const STATIC_ENTRIES: number = STATIC_TABLE.length - 1;

/** The first index of each name. */
export const STATIC_NAMES: ReadonlyMap<string, number> = new Map(
  STATIC_TABLE.map(({ name }, index): [string, number] => [name.text, index])
    .slice(1)
    .reverse(),
);

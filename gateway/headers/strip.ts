/** What is removed from headers on entry: hop-by-hop fields, and every name that only a gateway may write. */
import { type HeaderField } from '../forward/exchange.ts';

/** Fields of one connection (RFC 9110 §7.6.1, RFC 9113 §8.2.2), and `host`, which becomes the authority. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
  'host',
]);

/** Fields about the caller that gateways write: what came in under these names was somebody's claim. */
const GATEWAYS_OWN = new Set([
  'x-forwarded-client-cert',
  'forwarded',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-for',
]);

/** Whether `name` is one that only gateways write; CGI-like services take `_` for `-`, so both spellings are. */
export function isGatewaysOwn(name: string): boolean {
  const dashed = name.replaceAll('_', '-');
  return dashed.startsWith('jumpgate-') || GATEWAYS_OWN.has(dashed);
}

/** A request's headers without hop-by-hop fields and gateways' names; `te` stays where it says `trailers`. */
export function stripRequest(headers: readonly HeaderField[]): readonly HeaderField[] {
  const named = connectionNamed(headers);
  const te = headers.filter(([name]) => name === 'te').some(([, value]) => asksForTrailers(value));
  const kept = headers.filter(([name]) => name !== 'te' && isKept(name, named) && !isGatewaysOwn(name));
  return te ? [...kept, ['te', 'trailers']] : kept;
}

/** A response's headers, likewise. */
export function stripResponse(headers: readonly HeaderField[]): readonly HeaderField[] {
  const named = connectionNamed(headers);
  return headers.filter(([name]) => name !== 'te' && isKept(name, named) && !isGatewaysOwn(name));
}

function isKept(name: string, named: ReadonlySet<string>): boolean {
  return !HOP_BY_HOP.has(name) && !name.startsWith('proxy-') && !named.has(name);
}

/** Names listed in Connection; `content-length` frames the message and cannot be taken out that way. */
function connectionNamed(headers: readonly HeaderField[]): ReadonlySet<string> {
  const names = headers
    .filter(([name]) => name === 'connection')
    .flatMap(([, value]) => value.split(','))
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== 'content-length');
  return new Set(names);
}

function asksForTrailers(value: string): boolean {
  return value.split(',').some((each) => /^trailers$/i.test(each.trim()));
}

/** Counts of a header block and what contradicts itself in one: refused, never dropped. */
import { type HeaderField, type IncomingCall } from '../forward/exchange.ts';
import { type ReasonCode } from '../refusal/reason.ts';

/** Decoded header block, bytes; Envoy-like (security.md §3). */
export const HEADER_BYTES_MAX = 16 * 1024;

/** Fields of a block. */
export const HEADER_FIELDS_MAX = 100;

/** Request target, bytes. */
const TARGET_BYTES_MAX = 8 * 1024;

/** Fields that have one value: two are two opinions of who or what is meant. */
const SINGLE = ['host', 'content-length', 'content-type', 'authorization', 'grpc-timeout', 'jumpgate-timeout'];

/** RFC 9110 §5.6.2, bounded. */
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/;

/** Methods that make a tunnel or echo the headers that gateways add. */
const METHODS_REFUSED = ['CONNECT', 'TRACE'];

/** Bytes of names and values, and ": " and the line end of each. */
export function blockBytes(fields: readonly HeaderField[]): number {
  return fields.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
}

/** Why a method is refused whatever policy says. */
export function methodProblem(method: string): 'header-malformed' | 'method-unsupported' | undefined {
  if (!METHOD.test(method)) return 'header-malformed';
  return METHODS_REFUSED.includes(method.toUpperCase()) ? 'method-unsupported' : undefined;
}

/** Why the head of a call is refused whatever it asks for; `undefined` when it is in order. */
export function headProblem(call: IncomingCall): ReasonCode | undefined {
  if (call.headers.length > HEADER_FIELDS_MAX) return 'limit-header-fields';
  if (blockBytes(call.headers) > HEADER_BYTES_MAX) return 'limit-header-bytes';
  if (call.path.length > TARGET_BYTES_MAX) return 'limit-target';
  const problem = methodProblem(call.method);
  if (problem !== undefined) return problem;
  if (!call.path.startsWith('/')) return 'target-malformed';
  const upgrades = call.headers.filter(([name]) => name === 'upgrade');
  // h2c is an offer that RFC 9110 §7.8 lets us ignore, and curl --http2 makes it; anything else would be a tunnel.
  if (upgrades.some(([, value]) => value.trim().toLowerCase() !== 'h2c')) return 'upgrade-unsupported';
  for (const single of SINGLE) {
    if (call.headers.filter(([name]) => name === single).length > 1) return 'header-malformed';
  }
  const host = call.headers.find(([name]) => name === 'host')?.[1];
  if (host !== undefined && host.toLowerCase() !== call.authority.toLowerCase()) return 'authority-malformed';
  return undefined;
}

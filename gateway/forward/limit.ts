/** How long a call may take: grpc-timeout for gRPC, else a limit until the response head; both shrink from hop to hop. */
import { type RequestFields } from '../headers/request-fields.ts';

/** Milliseconds per unit of grpc-timeout. */
const UNITS_MS: ReadonlyMap<string, number> = new Map([
  ['H', 3_600_000],
  ['M', 60_000],
  ['S', 1_000],
  ['m', 1],
  ['u', 1e-3],
  ['n', 1e-6],
]);

/** The largest number that grpc-timeout can carry. */
const COUNT_MAX = 99_999_999;

/** Milliseconds of a grpc-timeout: 1 to 8 digits and a unit (gRPC over HTTP/2, Requests); `undefined` for anything else. */
export function parseGrpcTimeout(text: string): number | undefined {
  if (!/^[0-9]{1,8}[HMSmun]$/.test(text)) return undefined;
  const unitMs = UNITS_MS.get(text.slice(-1));
  return unitMs === undefined ? undefined : Number(text.slice(0, -1)) * unitMs;
}

/** A grpc-timeout of at most `leftMs`, in the finest unit that fits in eight digits; never below one. */
export function formatGrpcTimeout(leftMs: number): string {
  for (const unit of ['u', 'm', 'S', 'M']) {
    const count = Math.max(1, Math.floor(leftMs / (UNITS_MS.get(unit) ?? 1)));
    if (count <= COUNT_MAX) return `${count}${unit}`;
  }
  return `${Math.min(COUNT_MAX, Math.floor(leftMs / 3_600_000))}H`;
}

/**
 * The limit of a call in milliseconds, Infinity for none (a gRPC call without grpc-timeout may stream for ever), or
 * `undefined` when what it says about it is malformed. `responseMs` is our own limit, 0 for none: a peer may shorten it,
 * not lengthen it, and a caller's `jumpgate-timeout` is nobody's word.
 */
export function limitOf(read: RequestFields, from: 'caller' | 'link', responseMs: number): number | undefined {
  if (read.grpc) return read.grpcTimeout === undefined ? Infinity : parseGrpcTimeout(read.grpcTimeout);
  const ours = responseMs === 0 ? Infinity : responseMs;
  if (from === 'caller' || read.linkTimeout === undefined) return ours;
  return /^[0-9]{1,9}$/.test(read.linkTimeout) ? Math.min(Number(read.linkTimeout), ours) : undefined;
}

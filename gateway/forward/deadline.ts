/** How long a call may take: grpc-timeout for gRPC, else a default until the response headers; both shrink from hop to hop. */
import { type Clock } from '../../base/clock.ts';
import { type HeaderField, soleValue } from './exchange.ts';

/** Until the response headers of a call that is not gRPC; none once a body streams (security.md §3). */
const RESPONSE_DEADLINE_MS = 15_000;

/** Milliseconds per unit of grpc-timeout. */
const UNITS_MS = new Map([
  ['H', 3_600_000],
  ['M', 60_000],
  ['S', 1_000],
  ['m', 1],
  ['u', 1e-3],
  ['n', 1e-6],
]);

/** The largest number that grpc-timeout can carry. */
const DIGITS_MAX = 99_999_999;

/** A deadline that runs. */
export interface Deadline extends Disposable {
  /** Aborted when time is up. */
  readonly expired: AbortSignal;
  /** The field that tells the next hop what is left, if it is to be told. */
  field(to: 'link' | 'service'): HeaderField | undefined;
  /** The response headers are in: ends the deadline of calls that are not gRPC. */
  answered(): void;
}

/** Milliseconds of a grpc-timeout: 1 to 8 digits and a unit (gRPC over HTTP/2, Requests); `undefined` for anything else. */
export function parseGrpcTimeout(text: string): number | undefined {
  const match = /^([0-9]{1,8})([HMSmun])$/.exec(text);
  const unitMs = UNITS_MS.get(match?.[2] ?? '');
  return unitMs === undefined ? undefined : Number(match?.[1]) * unitMs;
}

/** A grpc-timeout of at most `leftMs`, in the finest unit that fits in eight digits; never below one. */
export function formatGrpcTimeout(leftMs: number): string {
  for (const unit of ['u', 'm', 'S', 'M']) {
    const count = Math.max(1, Math.floor(leftMs / (UNITS_MS.get(unit) ?? 1)));
    if (count <= DIGITS_MAX) return `${count}${unit}`;
  }
  return `${Math.min(DIGITS_MAX, Math.floor(leftMs / 3_600_000))}H`;
}

/** Where the call came from: a link's `jumpgate-timeout` is believed, a caller's is not. */
export interface DeadlineStart {
  readonly headers: readonly HeaderField[];
  readonly grpc: boolean;
  readonly from: 'caller' | 'link';
}

/** Starts the deadline of a call; `undefined` when what the call says about it is malformed. */
export function startDeadline(start: DeadlineStart, clock: Clock): Deadline | undefined {
  const totalMs = totalOf(start);
  return totalMs === undefined ? undefined : runDeadline(totalMs, start.grpc, clock);
}

/** Infinity where there is no deadline: a gRPC call without grpc-timeout may stream for ever. */
function totalOf(start: DeadlineStart): number | undefined {
  const name = start.grpc ? 'grpc-timeout' : 'jumpgate-timeout';
  const given = start.grpc || start.from === 'link' ? start.headers.filter(([each]) => each === name) : [];
  if (given.length === 0) return start.grpc ? Infinity : RESPONSE_DEADLINE_MS;
  const text = soleValue(given, name) ?? '';
  if (start.grpc) return parseGrpcTimeout(text);
  // A peer may shorten our own limit, not lengthen it.
  return /^[0-9]{1,9}$/.test(text) ? Math.min(Number(text), RESPONSE_DEADLINE_MS) : undefined;
}

function runDeadline(totalMs: number, grpc: boolean, clock: Clock): Deadline {
  const controller = new AbortController();
  const endsAt = clock.monotonic() + totalMs;
  const leftMs = (): number => Math.max(0, endsAt - clock.monotonic());
  const timer = Number.isFinite(totalMs) ? clock.after(totalMs, () => controller.abort()) : undefined;
  return {
    expired: controller.signal,
    field: (to) => {
      if (!Number.isFinite(totalMs)) return undefined;
      if (grpc) return ['grpc-timeout', formatGrpcTimeout(leftMs())];
      return to === 'link' ? ['jumpgate-timeout', String(Math.ceil(leftMs()))] : undefined;
    },
    answered: () => {
      if (!grpc) timer?.[Symbol.dispose]();
    },
    [Symbol.dispose]: () => timer?.[Symbol.dispose](),
  };
}

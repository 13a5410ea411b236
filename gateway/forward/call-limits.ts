/** How long a call may take for what, by what a listener and an export say: made once for each plan. */
import { type ExportLimits, type Limits } from '../../federation/resources/limits.ts';

const MS_PER_S = 1_000;

/** Limits of a call. Times are milliseconds. */
export interface CallLimits {
  /** Until the head of the response; 0 is no limit. */
  readonly responseMs: number;
  /** What the body of the request must bring in each `bodyStallMs` while its sender is waited for; 0 is no such rule. */
  readonly bodyBytes: number;
  readonly bodyStallMs: number;
  /** How long nothing may move in a WebSocket; 0 is no limit. */
  readonly tunnelIdleMs: number;
}

/** The limits of calls at a listener; what the export says comes before it, since it knows its service. */
export function callLimits(limits: Limits, own: ExportLimits = {}): CallLimits {
  const { responseDeadlineMs, bodyBytesPerSecond, bodyStallMs, tunnelIdleMs } = { ...limits, ...own };
  const bodyBytes = Math.ceil((bodyBytesPerSecond * bodyStallMs) / MS_PER_S);
  return { responseMs: responseDeadlineMs, bodyBytes, bodyStallMs, tunnelIdleMs };
}

/** The text of the refusal of a body that came too slowly. */
export function tooSlow({ bodyBytes, bodyStallMs }: CallLimits): string {
  return `the body of the request brought less than ${bodyBytes} bytes in ${bodyStallMs} ms`;
}

/** The record of one call, made at its end: what the access log, the metrics and the audit read. */
import { type Clock } from '../../base/clock.ts';
import { formatOrigin, type Origin } from '../../base/origin.ts';

/** One call, as this gateway saw it. */
export interface CallRecord {
  readonly direction: 'outbound' | 'inbound' | 'edge';
  /** The listener's address or the edge's name; `jump` for calls from links. */
  readonly listener: string;
  readonly startedAtMs: number;
  readonly durationMs: number;
  /** SPIFFE ID of the caller; `undefined` when the call was refused before it was known. */
  readonly caller: string | undefined;
  /** Gateway ID of the peer that the call came from or went to. */
  readonly gateway: string | undefined;
  readonly peer: string | undefined;
  readonly export: string | undefined;
  readonly import: string | undefined;
  /** What the caller asked for, as received; may hold anything a caller can send. */
  readonly host: string;
  readonly method: string;
  /** Without query. */
  readonly path: string;
  readonly protocol: 'http1' | 'http2';
  /** HTTP status sent; 499 when the caller went away before. */
  readonly status: number;
  readonly grpcStatus: number | undefined;
  readonly verdict: 'permit' | 'denial' | 'error';
  /** Reason code where the call was refused or failed, here or by the peer. */
  readonly reason: string | undefined;
  readonly rule: string | undefined;
  /** `file:line:column` of the rule or resource that decided. */
  readonly origin: string | undefined;
  /** Body bytes from and to the caller. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** Told of every call once, at its end. Must not throw. */
export interface CallSink {
  record(record: CallRecord): void;
}

/** What is known of a call when it comes in. */
export type CallStart = Pick<CallRecord, 'direction' | 'listener' | 'protocol' | 'method' | 'host'> & {
  /** With query. */
  readonly path: string;
};

/** What becomes known on the way. */
export type CallFindings = Partial<
  Pick<CallRecord, 'caller' | 'gateway' | 'peer' | 'export' | 'import' | 'verdict' | 'reason' | 'rule'>
> & { readonly origin?: Origin | undefined };

/** How it ended. */
export type CallEnd = Pick<CallRecord, 'status' | 'grpcStatus' | 'bytesIn' | 'bytesOut'>;

/** A record in the making. */
export interface OpenRecord {
  find(findings: CallFindings): void;
  /** Hands the record to the sink; only the first time. */
  close(end: CallEnd): void;
}

/** Opens the record of a call. */
export function openRecord(start: CallStart, clock: Clock, sink: CallSink): OpenRecord {
  const startedAtMs = clock.now();
  const began = clock.monotonic();
  let findings: CallFindings = {};
  let closed = false;
  return {
    find: (more) => {
      findings = { ...findings, ...more };
    },
    close: (end) => {
      if (closed) return;
      closed = true;
      const { origin } = findings;
      sink.record({
        direction: start.direction,
        listener: start.listener,
        startedAtMs,
        durationMs: clock.monotonic() - began,
        caller: findings.caller,
        gateway: findings.gateway,
        peer: findings.peer,
        export: findings.export,
        import: findings.import,
        host: start.host,
        method: start.method,
        path: start.path.split('?', 1)[0] ?? '',
        protocol: start.protocol,
        verdict: findings.verdict ?? 'error',
        reason: findings.reason,
        rule: findings.rule,
        origin: origin === undefined ? undefined : formatOrigin(origin),
        ...end,
      });
    },
  };
}

/** Who calls what, by which rule: what calls of one kind have in common, so that log and metrics derive from it once. */

/** The facts. `undefined` is "not known when the call ended". */
export interface CallSubjectFacts {
  readonly direction: 'outbound' | 'inbound' | 'edge';
  /** The listener's address or the edge's name; `jump` for calls from links. */
  readonly listener: string;
  /** SPIFFE ID of the caller. */
  readonly caller?: string | undefined;
  /** Gateway ID of the peer that the call came from or went to. */
  readonly gateway?: string | undefined;
  readonly peer?: string | undefined;
  readonly export?: string | undefined;
  readonly import?: string | undefined;
  /** The rule that decided, and its `file:line:column`. */
  readonly rule?: string | undefined;
  readonly origin?: string | undefined;
}

/** One object for all calls of one kind. Whoever derives something from it keeps it in a member of its own. */
export class CallSubject {
  readonly facts: CallSubjectFacts;
  /** The access log's: the members of a line that these facts make. */
  line: string | undefined = undefined;
  /** The metrics': where these calls are counted. */
  series: object | undefined = undefined;

  constructor(facts: CallSubjectFacts) {
    this.facts = facts;
  }
}

/** One call that has ended, as this gateway saw it. Valid only while it is recorded. */
export interface EndedCall {
  readonly subject: CallSubject;
  /** Milliseconds since 1970. */
  readonly startedAtMs: number;
  readonly durationMs: number;
  /** What the caller asked for, as received; may hold anything a caller can send. */
  readonly host: string;
  readonly method: string;
  /** With query. */
  readonly target: string;
  readonly protocol: 'http1' | 'http2' | 'tcp';
  /** HTTP status sent; 499 when the caller went away before. */
  readonly status: number;
  /** -1 when there was none. */
  readonly grpcStatus: number;
  readonly verdict: 'permit' | 'denial' | 'error';
  /** Reason code where the call was refused or failed, here or by the peer. */
  readonly reason: string | undefined;
  /** Body bytes from and to the caller. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** Told of every call once, at its end. Must not throw. */
export interface EndedCalls {
  record(call: EndedCall): void;
}

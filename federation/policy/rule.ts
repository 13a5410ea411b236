/** Policy as plain data: what an export's `allow` and an import's `who` say, parsed. */
import { type Origin } from '../../base/origin.ts';

/** The name that stands for our own mesh among `peers`; no peer may be called so. */
export const SELF_PEER = 'self';

/** A SPIFFE ID pattern as written: `*` is one path segment, a final `**` any suffix of one or more segments; matched by `identity/match`. */
export type IdPattern = string;

/** A pattern over paths without query: `*` is one segment, a final `**` any suffix (also none); everything else literal. */
export type PathPattern = string;

/** HTTP calls that a rule admits: any of the methods on any of the paths. An omitted list means all; an empty one nothing. */
export interface HttpWhat {
  readonly methods?: readonly string[];
  readonly paths?: readonly PathPattern[];
}

/** What a rule admits: HTTP calls and gRPC methods (`package.Service/Method`, `package.Service/*`). Absent in a rule: everything. */
export interface What {
  readonly http?: readonly HttpWhat[];
  readonly grpc?: readonly string[];
}

/** One `allow` rule. At least one of `peers` and `who` is present; all that is present must hold. */
export interface AllowRule {
  /** Peer names; `self` is our own mesh. */
  readonly peers?: readonly string[];
  readonly who?: readonly IdPattern[];
  readonly what?: What;
  readonly origin: Origin;
}

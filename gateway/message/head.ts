/** What stands before a body: the heads of requests and responses, the same for HTTP/1.1 and HTTP/2. */
import { type Field } from './field.ts';

/** The head of a request. Pseudo-header fields stand apart; `fields` has the others in the order of the wire. */
export interface RequestHead {
  readonly method: Field;
  /** The target in origin form, or `*`; the empty value for CONNECT without `protocol`. */
  readonly path: Field;
  /** `:authority`, or Host where there is none; the empty value if neither was sent. */
  readonly authority: Field;
  readonly scheme: Field;
  /** `:protocol` of an extended CONNECT (RFC 8441), which HTTP/1.1's Upgrade becomes. */
  readonly protocol: Field | undefined;
  readonly fields: readonly Field[];
}

/** The head of a response, final or interim (1xx). */
export interface ResponseHead {
  /** 100 to 599. */
  readonly status: number;
  readonly fields: readonly Field[];
}

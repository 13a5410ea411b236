/** The one error type that failures throw. Expected outcomes (denied, no route, stale) are return values instead. */

/** Whose doing a failure is: it decides who is told what. */
export type ErrorSource = 'caller' | 'local' | 'peer' | 'config';

/** When trying again can help. */
export type Retry = 'never' | 'fresh-connection' | 'later';

/** Options of a {@link JumpgateError}. */
export interface ErrorDetails {
  readonly source: ErrorSource;
  readonly retry?: Retry;
  readonly cause?: unknown;
}

/** A failure with a stable, lower-case `code` such as `bundle-malformed`, to be matched by programs; the message is for people. */
export class JumpgateError extends Error {
  override readonly name = 'JumpgateError';
  readonly code: string;
  readonly source: ErrorSource;
  readonly retry: Retry;

  constructor(code: string, message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.source = details.source;
    this.retry = details.retry ?? 'never';
  }
}

/** A broken invariant: a bug of ours, which must crash the process rather than go on. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${message}`);
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a {@link JumpgateError} or of a system error of Node's (`ENOENT`), else `undefined`. */
export function codeOf(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}

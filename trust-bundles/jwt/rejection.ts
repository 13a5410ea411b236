/** Refusals of tokens: their closed set of codes. */

/** Why a token is refused; a label of metrics and a field of logs. */
export type JwtRejectionCode =
  | 'token-too-large'
  | 'token-malformed'
  | 'algorithm-refused'
  | 'header-refused'
  | 'subject-malformed'
  | 'audience-missing'
  | 'audience-mismatch'
  | 'expiry-missing'
  | 'expired'
  | 'not-yet-valid'
  | 'unknown-trust-domain'
  | 'empty-bundle'
  | 'unknown-key'
  | 'key-tainted'
  | 'signature-invalid';

/** A refusal; `message` says what was expected and what was found, never the token. */
export interface JwtRejection {
  readonly kind: 'rejected';
  readonly code: JwtRejectionCode;
  readonly message: string;
}

/** A refusal. */
export function rejected(code: JwtRejectionCode, message: string): JwtRejection {
  return { kind: 'rejected', code, message };
}

/** What a stranger wrote, short and in printable ASCII, for a message. */
export function shown(value: unknown): string {
  if (value === undefined) return 'none';
  if (typeof value !== 'string') return `a ${typeof value}`;
  // JSON leaves alone what turns a terminal's text around, for one.
  return JSON.stringify(value.slice(0, 128)).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

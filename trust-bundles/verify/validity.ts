/** The one place where a clock decides about certificates. */

/** Our clock may be behind the issuer's by this much; past notAfter there is no tolerance (spiffe.md section 3, 12). */
const CLOCK_SKEW_MS = 60_000;

/** Whether what is valid from `notBeforeMs` to `notAfterMs`, both inclusive, is so now; all milliseconds since 1970. */
export function validityAt(
  nowMs: number,
  { notBeforeMs, notAfterMs }: { readonly notBeforeMs: number; readonly notAfterMs: number },
): 'not-yet-valid' | 'valid' | 'expired' {
  if (nowMs + CLOCK_SKEW_MS < notBeforeMs) return 'not-yet-valid';
  return nowMs > notAfterMs ? 'expired' : 'valid';
}

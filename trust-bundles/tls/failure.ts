/** The words for what OpenSSL and Node report. */
import { messageOf } from '../../base/errors.ts';

/** OpenSSL's short reason (`no application protocol`) where there is one, else the message. */
export function tlsReason(error: unknown): string {
  if (error instanceof Error && 'reason' in error && typeof error.reason === 'string') return error.reason;
  return messageOf(error);
}

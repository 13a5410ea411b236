/** How failures look on the admin API: `{error: {code, message}}` and an HTTP status. */
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';

/** Body of every refusal. */
export interface FailureBody {
  readonly error: { readonly code: string; readonly message: string };
}

/** A failure ready to be sent. */
export interface Failure {
  readonly status: number;
  readonly body: FailureBody;
}

/** Codes whose status says more than their source does. */
const STATUS_OF_CODE: ReadonlyMap<string, number> = new Map([
  ['peer-unknown', 404],
  ['export-unknown', 404],
  ['import-unknown', 404],
  ['not-found', 404],
  ['peer-declared', 409],
  ['peer-exists', 409],
  ['conflict', 409],
  ['draining', 503],
]);

/** Fastify's own codes, in the API's words. */
const FASTIFY_CODES: ReadonlyMap<string, readonly [status: number, code: string, message: string]> = new Map([
  ['FST_ERR_CTP_BODY_TOO_LARGE', [413, 'body-too-large', 'expected a body of at most 1 MiB']],
  ['FST_ERR_CTP_INVALID_MEDIA_TYPE', [415, 'content-type', 'expected application/json']],
  ['FST_ERR_CTP_INVALID_CONTENT_LENGTH', [400, 'request-malformed', 'the body is not as long as Content-Length says']],
  ['FST_ERR_BAD_URL', [400, 'request-malformed', 'expected a well-formed path']],
  ['FST_ERR_MAX_PARAM_LENGTH', [400, 'request-malformed', 'expected a shorter name in the path']],
]);

/** A refusal. */
export function failure(status: number, code: string, message: string): Failure {
  return { status, body: { error: { code, message } } };
}

/** What a thrown value becomes. Bugs (anything but a JumpgateError) show no detail: that goes to the log. */
export function failureOf(error: unknown): Failure {
  if (error instanceof JumpgateError) return failure(statusOf(error), error.code, error.message);
  const known = FASTIFY_CODES.get(codeOf(error) ?? '');
  if (known !== undefined) return failure(...known);
  if (error instanceof Error && 'validation' in error)
    return failure(400, 'request-malformed', `malformed request: ${messageOf(error)}`);
  return failure(500, 'internal', 'the gateway failed to do this; its log says why');
}

function statusOf(error: JumpgateError): number {
  if (error.code === 'json-malformed') return 400;
  const status = STATUS_OF_CODE.get(error.code);
  if (status !== undefined) return status;
  switch (error.source) {
    case 'caller':
      return 400;
    case 'config':
      return 409;
    case 'peer':
      return 502;
    case 'local':
      return error.retry === 'later' ? 503 : 500;
    default:
      return error.source satisfies never;
  }
}

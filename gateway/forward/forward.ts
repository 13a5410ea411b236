/** Carries one call: request body and trailers to the upstream, the response back, and the end of either to the other. */
import { codeOf } from '../../base/errors.ts';
import { blockBytes, HEADER_BYTES_MAX, HEADER_FIELDS_MAX } from '../headers/limits.ts';
import { cleanTrailers } from '../headers/trailers.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { type Deadline } from './deadline.ts';
import {
  type HeaderField,
  type IncomingCall,
  type IncomingResponse,
  isGrpc,
  type OutgoingCall,
  soleValue,
} from './exchange.ts';
import { pump, type Pumped } from './pump.ts';

/** What a forwarded call needs. */
export interface Forwarding {
  readonly call: IncomingCall;
  readonly outgoing: OutgoingCall;
  readonly deadline: Deadline;
  /** The reason when the upstream breaks off before it answered. */
  readonly broken: 'service-failed' | 'link-failed';
  /** The response's headers as the caller may see them, or the refusal to show instead. */
  readonly onResponse: (headers: readonly HeaderField[]) => ResponseHeaders;
}

/** What becomes of response headers. `reason` is a refusal that a peer's gateway made. */
export type ResponseHeaders =
  | { readonly kind: 'pass'; readonly headers: readonly HeaderField[]; readonly reason: ReasonCode | undefined }
  | { readonly kind: 'refuse'; readonly reason: ReasonCode };

/** How a call ended. `failed`: nothing was sent to the caller yet, who is owed a refusal. */
export type Forwarded =
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly grpcStatus: number | undefined;
      readonly reason: ReasonCode | undefined;
      readonly bytesIn: number;
      readonly bytesOut: number;
      /** False when the caller got a reset instead of an end. */
      readonly complete: boolean;
    }
  | {
      readonly kind: 'failed';
      readonly reason: ReasonCode;
      readonly bytesIn: number;
      /** The kept-alive connection was closed under the request: a request without body can be sent again. */
      readonly stale: boolean;
      /** The upstream took nothing of the call and nothing of its body was read: it can be sent elsewhere. */
      readonly untouched: boolean;
      /** The peer's gateway refused, rather than something having broken. */
      readonly refused: boolean;
    };

/** Forwards and resolves at the call's end; never rejects. The outgoing request is cancelled by the signal it was made with. */
export async function forward(forwarding: Forwarding): Promise<Forwarded> {
  const { call, outgoing, deadline } = forwarding;
  const progress: Progress = { bytesIn: 0, requestDone: !call.hasBody, unwanted: false, answered: false };
  if (call.hasBody) void sendBody(forwarding, progress);
  let response: IncomingResponse;
  try {
    response = await outgoing.response;
  } catch (error) {
    return failed(forwarding, progress.bytesIn, error);
  }
  deadline.answered();
  progress.answered = true;
  // The upstream wants no more of the request, and the caller must not wait for its body to be taken.
  if (progress.unwanted) call.body.resume();
  response.body.on('error', () => undefined);
  const verdict = judgeHeaders(forwarding, response);
  if (verdict.kind === 'refuse') {
    outgoing.abort('cancel');
    const refused = verdict.reason !== forwarding.broken;
    return {
      kind: 'failed',
      reason: verdict.reason,
      bytesIn: progress.bytesIn,
      stale: false,
      untouched: false,
      refused,
    };
  }
  const end = await sendResponse(forwarding, response, verdict.headers);
  if (!progress.requestDone) {
    outgoing.abort('cancel');
    call.body.resume();
    call.abort('done');
  }
  return {
    kind: 'answered',
    status: response.status,
    reason: end.reason ?? verdict.reason,
    grpcStatus: end.grpcStatus,
    bytesIn: progress.bytesIn,
    bytesOut: end.bytes,
    complete: end.complete,
  };
}

interface Progress {
  bytesIn: number;
  requestDone: boolean;
  /** The upstream stopped taking the body. */
  unwanted: boolean;
  answered: boolean;
}

async function sendBody(forwarding: Forwarding, progress: Progress): Promise<void> {
  const { call, outgoing } = forwarding;
  const count = (chunk: Buffer): void => {
    progress.bytesIn += chunk.length;
  };
  call.body.on('data', count);
  const pumped = await pump({
    source: call.body,
    sink: outgoing.body,
    mayEnd: () => {
      const trailers = call.whole() ? cleanTrailers(call.trailers()) : undefined;
      if (trailers !== undefined) outgoing.setTrailers(trailers);
      return trailers !== undefined;
    },
  });
  progress.requestDone = pumped.kind === 'done';
  if (pumped.kind === 'source-failed') outgoing.abort('cancel');
  call.body.off('data', count);
  progress.unwanted = pumped.kind === 'sink-failed';
  // Unanswered, the call may still go elsewhere with its body.
  if (progress.unwanted && progress.answered) call.body.resume();
}

function judgeHeaders(forwarding: Forwarding, response: IncomingResponse): ResponseHeaders {
  const tooMany = response.headers.length > HEADER_FIELDS_MAX || blockBytes(response.headers) > HEADER_BYTES_MAX;
  const valid = Number.isInteger(response.status) && response.status >= 200 && response.status <= 599;
  if (tooMany || !valid) return { kind: 'refuse', reason: forwarding.broken };
  return forwarding.onResponse(response.headers);
}

interface ResponseEnd {
  readonly bytes: number;
  readonly complete: boolean;
  readonly grpcStatus: number | undefined;
  readonly reason: ReasonCode | undefined;
}

async function sendResponse(
  forwarding: Forwarding,
  response: IncomingResponse,
  headers: readonly HeaderField[],
): Promise<ResponseEnd> {
  const { call, outgoing, deadline } = forwarding;
  if (call.closed.aborted) {
    outgoing.abort('cancel');
    return { bytes: 0, complete: false, grpcStatus: undefined, reason: 'caller-gone' };
  }
  const bodiless = !response.hasBody || call.method === 'HEAD';
  const sink = call.respond(response.status, headers, bodiless);
  if (bodiless) {
    response.body.resume();
    return { bytes: 0, complete: true, grpcStatus: grpcStatusOf(headers), reason: undefined };
  }
  const pumped = await pump({
    source: response.body,
    sink: sink.body,
    mayEnd: (bytes) => {
      const declared = soleValue(headers, 'content-length');
      const clean = cleanTrailers(response.trailers());
      if (!response.whole() || clean === undefined || (declared !== undefined && Number(declared) !== bytes))
        return false;
      sink.setTrailers(clean);
      return true;
    },
  });
  if (pumped.kind === 'sink-failed') outgoing.abort('cancel');
  if (pumped.kind !== 'source-failed') return endOf(pumped, grpcStatusOf([...headers, ...response.trailers()]));
  if (deadline.expired.aborted && isGrpc(call.headers)) {
    sink.setTrailers([
      ['grpc-status', '4'],
      ['grpc-message', 'deadline'],
    ]);
    sink.body.end();
    return { bytes: pumped.bytes, complete: true, grpcStatus: 4, reason: 'deadline' };
  }
  call.abort('internal');
  return { bytes: pumped.bytes, complete: false, grpcStatus: undefined, reason: forwarding.broken };
}

function endOf(pumped: Pumped, grpcStatus: number | undefined): ResponseEnd {
  const complete = pumped.kind === 'done';
  return { bytes: pumped.bytes, complete, grpcStatus, reason: complete ? undefined : 'caller-gone' };
}

function grpcStatusOf(fields: readonly HeaderField[]): number | undefined {
  const text = soleValue(fields, 'grpc-status');
  return text !== undefined && /^[0-9]{1,2}$/.test(text) ? Number(text) : undefined;
}

function failed(forwarding: Forwarding, bytesIn: number, error: unknown): Forwarded {
  const { call, deadline, broken } = forwarding;
  const unsent = codeOf(error) === 'refused-stream';
  const stale = codeOf(error) === 'stale-connection';
  let reason: ReasonCode = broken;
  if (unsent) reason = broken === 'link-failed' ? 'link-refused' : 'service-unavailable';
  if (deadline.expired.aborted) reason = 'deadline';
  if (call.closed.aborted) reason = 'caller-gone';
  const untouched = unsent && (!call.hasBody || (bytesIn === 0 && !call.body.readableEnded));
  return { kind: 'failed', reason, bytesIn, stale, untouched, refused: false };
}

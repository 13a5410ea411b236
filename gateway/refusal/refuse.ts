/** Answers a call with a refusal: one form for HTTP, one for gRPC, and how much is told depends on who asks. */
import { type HeaderField, type IncomingCall, isGrpc } from '../forward/exchange.ts';
import { entryOf, type ReasonCode } from './reason.ts';

/** `trusted`: authenticated gateways and callers on outbound listeners, who learn the reason. `stranger`: the status only. */
export type Audience = 'trusted' | 'stranger';

/** The sentence that strangers get instead of a reason. */
const STRANGER_MESSAGE = 'refused';

/** What was answered, for the record of the call. */
export interface Refused {
  readonly status: number;
  readonly grpcStatus: number | undefined;
  readonly bytesOut: number;
}

/**
 * Refuses `call`. A gRPC caller gets HTTP 200 with grpc-status in the headers alone (trailers-only), others the status
 * and a line of text. Nothing in the answer depends on anything but the code and the audience, so that a hidden export
 * looks like none.
 */
export function refuse(call: IncomingCall, reason: ReasonCode, audience: Audience): Refused {
  const entry = entryOf(reason);
  const named: HeaderField[] = audience === 'trusted' ? [['jumpgate-reason', reason]] : [];
  const message = audience === 'trusted' ? `${reason}: ${entry.message}` : STRANGER_MESSAGE;
  if (!call.closed.aborted && isGrpc(call.headers)) {
    call.respond(
      200,
      [
        ['content-type', 'application/grpc'],
        ['grpc-status', String(entry.grpc)],
        ['grpc-message', encodeGrpcMessage(message)],
        ...named,
      ],
      true,
    );
    dropBody(call);
    return { status: 200, grpcStatus: entry.grpc, bytesOut: 0 };
  }
  if (call.closed.aborted) return { status: entry.status, grpcStatus: undefined, bytesOut: 0 };
  const body = Buffer.from(`${message}\n`);
  const bodiless = call.method === 'HEAD';
  const sink = call.respond(
    entry.status,
    [['content-type', 'text/plain; charset=utf-8'], ['content-length', String(body.length)], ...named],
    bodiless,
  );
  if (!bodiless) sink.body.end(body);
  dropBody(call);
  return { status: entry.status, grpcStatus: undefined, bytesOut: bodiless ? 0 : body.length };
}

/** Percent-encoding of grpc-message (gRPC over HTTP/2, Responses). */
export function encodeGrpcMessage(text: string): string {
  let out = '';
  for (const byte of Buffer.from(text)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    out += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

/** What is left of the request is read and thrown away, or the connection would wait for it. */
function dropBody(call: IncomingCall): void {
  call.body.on('error', () => undefined);
  call.body.resume();
  if (call.hasBody) call.abort('done');
}

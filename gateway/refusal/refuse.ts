/** Answers a call with a refusal: one form for HTTP, one for gRPC, and how much is told depends on who asks. */
import { type Field } from '../message/field.ts';
import { field } from '../message/names.ts';
import { type ServerStream } from '../message/stream.ts';
import { entryOf, type ReasonCode } from './reason.ts';

/** `trusted`: authenticated gateways and callers on outbound listeners, who learn the reason. `stranger`: the status only. */
export type Audience = 'trusted' | 'stranger';

/** The sentence that strangers get instead of a reason. */
const STRANGER_MESSAGE = 'refused';

/** What to answer, and to whom. */
export interface RefusalFacts {
  readonly reason: ReasonCode;
  /** A gRPC call. */
  readonly grpc: boolean;
  readonly audience: Audience;
  readonly method: string;
  /** In place of the sentence of the reason: one that names the limit in force. */
  readonly told?: string | undefined;
}

/** What was answered, for the record of the call. */
export interface Refused {
  readonly status: number;
  /** -1 for none. */
  readonly grpcStatus: number;
  readonly bytesOut: number;
}

const GRPC_TYPE = field('content-type', 'application/grpc');
const TEXT_TYPE = field('content-type', 'text/plain; charset=utf-8');

/**
 * Refuses. A gRPC caller gets HTTP 200 with grpc-status in the head alone (trailers-only), others the status and a line of
 * text. Nothing in the answer depends on anything but the code and the audience, so that a hidden export looks like none.
 */
export function refuse(stream: ServerStream, { reason, grpc, audience, method, told }: RefusalFacts): Refused {
  const entry = entryOf(reason);
  const named: readonly Field[] = audience === 'trusted' ? [field('jumpgate-reason', reason)] : [];
  const message = audience === 'trusted' ? `${reason}: ${told ?? entry.message}` : STRANGER_MESSAGE;
  if (grpc) {
    const status = field('grpc-status', String(entry.grpc));
    const text = field('grpc-message', encodeGrpcMessage(message));
    stream.respond({ status: 200, fields: [GRPC_TYPE, status, text, ...named] }, true);
    return { status: 200, grpcStatus: entry.grpc, bytesOut: 0 };
  }
  const body = Buffer.from(`${message}\n`);
  const isHead = method === 'HEAD';
  const length = field('content-length', String(body.length));
  stream.respond({ status: entry.status, fields: [TEXT_TYPE, length, ...named] }, isHead);
  if (!isHead) stream.write(body, true);
  return { status: entry.status, grpcStatus: -1, bytesOut: isHead ? 0 : body.length };
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

/** Hands a body on as it is read, with the mark of its end on the last bytes. */
import { type StreamReceiver } from '../message/stream.ts';
import { type BodyReader } from './body-reader.ts';
import { trailersOf } from './trailer-fields.ts';

/** The end of a body whose bytes have all been handed on. */
export const NOTHING: Uint8Array = new Uint8Array(0);

/** Who takes a body: told only while the exchange stands. */
export interface BodySink {
  readonly receiver: StreamReceiver | undefined;
  readonly over: boolean;
  /** The body is complete; told before the receiver is, whose answer is then no early one. */
  bodyEnded(bytesBehind: number): void;
}

/** What was read of a body. */
export interface BodyProgress {
  /** Where in the bytes it stopped. */
  readonly at: number;
  /** Bytes of the body in them. */
  readonly size: number;
}

/** Reads on in a body from `from`. The end of the body is told as soon as it is seen; `reader.done` and `reader.bad` say how it stands. */
export function readBody(reader: BodyReader, bytes: Buffer, from: number, sink: BodySink): BodyProgress {
  let at = from;
  let size = 0;
  let held: Buffer | undefined;
  while (at < bytes.length && !reader.done && !reader.bad) {
    at = reader.read(bytes, at);
    if (reader.data === undefined) continue;
    if (held !== undefined && !sink.over) sink.receiver?.onData(held, false);
    held = reader.data;
    size += held.length;
  }
  if (reader.done) sink.bodyEnded(bytes.length - at);
  if (sink.over) return { at, size };
  const trailers = reader.done ? trailersOf(reader.trailers) : [];
  const end = reader.done && trailers.length === 0;
  if (held !== undefined || end) sink.receiver?.onData(held ?? NOTHING, end);
  if (trailers.length > 0 && !isOver(sink)) sink.receiver?.onTrailers(trailers);
  return { at, size };
}

/** Asked anew: whoever was told may have ended the exchange. */
function isOver(sink: BodySink): boolean {
  return sink.over;
}

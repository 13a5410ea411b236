/** Both ends that a call stands between, as records of what was said to them. */
import { type Field } from '../../gateway/message/field.ts';
import { type RequestHead, type ResponseHead } from '../../gateway/message/head.ts';
import {
  type ClientConnection,
  type ResponseReceiver,
  type ServerStream,
  type StreamSender,
} from '../../gateway/message/stream.ts';

/** Writes down what it is told. */
class RecordingSender implements StreamSender {
  /** One entry per call, such as `write 3 end`. */
  readonly log: string[] = [];
  readonly trailers: (readonly Field[])[] = [];
  readonly credits: number[] = [];
  readonly #chunks: Buffer[] = [];

  /** The bytes written, as one text. */
  get text(): string {
    return Buffer.concat(this.#chunks).toString('latin1');
  }

  write(bytes: Uint8Array, end: boolean): void {
    this.#chunks.push(Buffer.from(bytes));
    this.log.push(`write ${bytes.length}${end ? ' end' : ''}`);
  }

  finish(trailers: readonly Field[]): void {
    this.trailers.push(trailers);
    this.log.push('finish');
  }

  reset(code: number): void {
    this.log.push(`reset ${code}`);
  }

  credit(bytes: number): void {
    this.credits.push(bytes);
  }
}

/** The stream of a caller. */
export class FakeServerStream extends RecordingSender implements ServerStream {
  readonly protocol = 'http2';
  readonly heads: ResponseHead[] = [];

  inform(head: ResponseHead): void {
    this.heads.push(head);
    this.log.push(`inform ${head.status}`);
  }

  respond(head: ResponseHead, end: boolean): void {
    this.heads.push(head);
    this.log.push(`respond ${head.status}${end ? ' end' : ''}`);
  }

  unwanted(): void {
    this.log.push('unwanted');
  }
}

/** One request that was sent on a {@link FakeConnection}. */
export class FakeAttempt extends RecordingSender {
  readonly head: RequestHead;
  readonly end: boolean;
  readonly receiver: ResponseReceiver;

  constructor(head: RequestHead, end: boolean, receiver: ResponseReceiver) {
    super();
    this.head = head;
    this.end = end;
    this.receiver = receiver;
  }
}

/** A connection that takes requests. */
export class FakeConnection implements ClientConnection {
  usable = true;
  staleReset = false;
  /** A code with which requests fail before `open` returns. */
  failing: number | undefined;
  /** What `open` throws. */
  throwing: Error | undefined;
  readonly attempts: FakeAttempt[] = [];

  get streams(): number {
    return this.attempts.length;
  }

  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): StreamSender | undefined {
    if (this.throwing !== undefined) throw this.throwing;
    if (!this.usable) return undefined;
    const attempt = new FakeAttempt(head, end, receiver);
    this.attempts.push(attempt);
    if (this.failing !== undefined) receiver.onReset(this.failing);
    return attempt;
  }
}

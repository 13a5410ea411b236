/** What a destination says to one attempt of a call. What an attempt that was given up still says is nobody's. */
import { ERROR_CODE } from '../message/error-code.ts';
import { type Field } from '../message/field.ts';
import { type ResponseHead } from '../message/head.ts';
import { type ResponseReceiver } from '../message/stream.ts';

/** How an attempt failed, as `Destination` has a reason for each; `refused`: nothing of it was processed. */
export type Failure = 'refused' | 'malformed' | 'broken';

/** The call that is answered. */
export interface Answered {
  /** The attempt that is under way. */
  readonly answer: Answer | undefined;
  interim(head: ResponseHead): void;
  respond(head: ResponseHead, end: boolean): void;
  answerData(bytes: Uint8Array, end: boolean): void;
  answerTrailers(trailers: readonly Field[]): void;
  /** The attempt failed. */
  failed(failure: Failure): void;
  /** The destination of this attempt has taken so many bytes of the body in all. */
  uploaded(bytes: number): void;
}

/** The receiver of one attempt. */
export class Answer implements ResponseReceiver {
  readonly #call: Answered;
  #sent = 0;

  constructor(call: Answered) {
    this.#call = call;
  }

  onInterim(head: ResponseHead): void {
    if (this.#call.answer === this) this.#call.interim(head);
  }

  onResponse(head: ResponseHead, end: boolean): void {
    if (this.#call.answer === this) this.#call.respond(head, end);
  }

  onData(bytes: Uint8Array, end: boolean): void {
    if (this.#call.answer === this) this.#call.answerData(bytes, end);
  }

  onTrailers(trailers: readonly Field[]): void {
    if (this.#call.answer === this) this.#call.answerTrailers(trailers);
  }

  onReset(code: number, violated = false): void {
    if (this.#call.answer !== this) return;
    if (violated) this.#call.failed('malformed');
    else this.#call.failed(code === ERROR_CODE.refusedStream ? 'refused' : 'broken');
  }

  onSent(bytes: number): void {
    this.#sent += bytes;
    if (this.#call.answer === this) this.#call.uploaded(this.#sent);
  }
}

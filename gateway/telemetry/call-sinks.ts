/** Several sinks as one: the log and the counters. */
import { type EndedCall, type EndedCalls } from './call-subject.ts';

/** Hands each call to every sink. */
export class CallSinks implements EndedCalls {
  readonly #sinks: readonly EndedCalls[];

  constructor(sinks: readonly EndedCalls[]) {
    this.#sinks = sinks;
  }

  /** See {@link EndedCalls}. */
  record(call: EndedCall): void {
    for (const sink of this.#sinks) sink.record(call);
  }
}

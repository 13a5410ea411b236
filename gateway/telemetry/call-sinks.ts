/** Several sinks as one: the log and the metrics, which open at different times. */
import { type CallRecord, type CallSink } from './call-record.ts';

/** Hands each record to every sink that was added before it. */
export class CallSinks implements CallSink {
  readonly #sinks: CallSink[] = [];

  /** Adds a sink for the records to come. */
  add(sink: CallSink): void {
    this.#sinks.push(sink);
  }

  /** See {@link CallSink}. */
  record(record: CallRecord): void {
    for (const sink of this.#sinks) sink.record(record);
  }
}

/** The subjects of calls that differ only in the rule that decided: one object per rule, made when it first decides. */
import { formatOrigin, type Origin } from '../../base/origin.ts';
import { CallSubject, type CallSubjectFacts } from '../telemetry/call-subject.ts';

/** See the head of this file. Rules come from configuration, so they are few. */
export class Subjects {
  readonly #facts: CallSubjectFacts;
  readonly #byRule = new Map<string, CallSubject>();

  constructor(facts: CallSubjectFacts) {
    this.#facts = facts;
  }

  /** The subject of calls that `rule` admitted, or that were refused with `origin` as the place to look at. */
  of(rule: string | undefined, origin: Origin | undefined): CallSubject {
    // A rule stands in one place.
    const key = rule ?? (origin === undefined ? '' : ` ${formatOrigin(origin)}`);
    let subject = this.#byRule.get(key);
    if (subject === undefined) {
      const place = origin === undefined ? undefined : formatOrigin(origin);
      subject = new CallSubject({ ...this.#facts, rule, origin: place });
      this.#byRule.set(key, subject);
    }
    return subject;
  }
}

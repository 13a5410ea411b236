/** A requirement of a specification, and what a server made of it. */

/** `not-seen`: what was observed says nothing about it. `warn` is a SHOULD that is not kept. */
export type Outcome = 'pass' | 'fail' | 'warn' | 'not-applicable' | 'not-seen';

/** An outcome and what it comes from. */
export interface Verdict {
  readonly outcome: Outcome;
  readonly seen: string;
}

/** One line of a report. */
export interface Finding extends Verdict {
  readonly line: string;
  readonly rule: string;
  /** Document and section. */
  readonly section: string;
}

/** Longer texts of a server say no more. */
const QUOTED_CHARACTERS_MAX = 120;

/** The verdict `outcome`. */
export function verdict(outcome: Outcome, seen: string): Verdict {
  return { outcome, seen };
}

/** The first problem, as `outcome`; else that nothing is wrong, as `fine`. */
export function firstOf(problems: readonly (string | undefined)[], outcome: Outcome, fine: Verdict): Verdict {
  const problem = problems.find((each) => each !== undefined);
  return problem === undefined ? fine : verdict(outcome, problem);
}

/** A value of the server in one short piece, without anything that steers a terminal. */
export function quoted(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text =
    typeof value === 'bigint'
      ? String(value)
      : JSON.stringify(value, (_name, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner));
  const shown = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd');
  return shown.length > QUOTED_CHARACTERS_MAX ? `${shown.slice(0, QUOTED_CHARACTERS_MAX)}...` : shown;
}

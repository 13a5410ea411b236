/** What is wrong with a configuration, and where: collected rather than thrown, so that all of it is told at once. */
import { formatOrigin, type Origin } from '../origin.ts';

/** A mistake or a warning. `path` is the place in the document, such as `spec.allow[0].peers`; empty for a whole file. */
export interface Problem {
  readonly origin: Origin | { readonly file: string };
  readonly path: string;
  readonly message: string;
}

/** `file:line:column: path: message`, leaving out what is not known. */
export function formatProblem(problem: Problem): string {
  const place = 'line' in problem.origin ? formatOrigin(problem.origin) : problem.origin.file;
  return problem.path === '' ? `${place}: ${problem.message}` : `${place}: ${problem.path}: ${problem.message}`;
}

/** A 10 MiB file of nothing but mistakes must not become gigabytes of messages; nobody reads more than this. */
export const PROBLEMS_MAX = 200;

/** Gathers problems up to {@link PROBLEMS_MAX}, and says so when there were more. */
export class ProblemList {
  readonly #problems: Problem[] = [];
  #dropped = 0;

  /** Adds a problem. */
  add(problem: Problem): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(problem);
    else this.#dropped += 1;
  }

  /** Whether nothing was added. */
  get empty(): boolean {
    return this.#problems.length === 0;
  }

  /** All problems in the order of their places: by file, then line, then column. */
  sorted(): readonly Problem[] {
    const sorted = this.#problems.toSorted(byPlace);
    const last = sorted.at(-1);
    if (this.#dropped === 0 || last === undefined) return sorted;
    return [...sorted, { origin: { file: last.origin.file }, path: '', message: `${this.#dropped} more problems` }];
  }
}

function byPlace(a: Problem, b: Problem): number {
  if (a.origin.file !== b.origin.file) return a.origin.file < b.origin.file ? -1 : 1;
  const [lineA, columnA] = 'line' in a.origin ? [a.origin.line, a.origin.column] : [0, 0];
  const [lineB, columnB] = 'line' in b.origin ? [b.origin.line, b.origin.column] : [0, 0];
  return lineA - lineB || columnA - columnB;
}

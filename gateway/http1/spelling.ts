/** How names of fields are spelled for a backend that minds their case, against RFC 9110 §5.1. */

/** Names whose spelling is remembered; more are spelled anew each time. */
const REMEMBERED_MAX = 256;

/** The spelling of names for one backend. */
export class Spelling {
  readonly #exact: ReadonlyMap<string, string>;
  readonly #isTitle: boolean;
  readonly #remembered = new Map<string, string>();

  /** `exact` lists spellings by the name in lower case; what is not in it is in title case (`X-Request-Id`) or lower case. */
  constructor(headerCase: 'lower' | 'title', exact: readonly string[] = []) {
    this.#isTitle = headerCase === 'title';
    this.#exact = new Map(exact.map((name) => [name.toLowerCase(), name]));
  }

  /** The spelling of a name in lower case. */
  of(name: string): string {
    const known = this.#exact.get(name) ?? this.#remembered.get(name);
    if (known !== undefined) return known;
    if (!this.#isTitle) return name;
    const spelled = name.replace(/(?:^|-)[a-z]/g, (initial) => initial.toUpperCase());
    if (this.#remembered.size < REMEMBERED_MAX) this.#remembered.set(name, spelled);
    return spelled;
  }
}

/** What lines of one connection, or of all that lead to one server, were parsed to: both ends repeat most of what they say. */

/** Lines kept; a browser repeats about twenty. When full it starts anew: lines that still repeat are soon back. */
const LINES_MAX = 64;

/** Longer lines are parsed each time: with the number above this bounds a cache to 16 KiB of text. */
const LINE_BYTES_MAX = 256;

/** A bounded map from the text of a line to what it means. */
export class LineCache<T> {
  readonly #lines = new Map<string, T>();
  readonly #copy = Buffer.allocUnsafe(LINE_BYTES_MAX);
  readonly #parse: (line: string) => T | undefined;

  constructor(parse: (line: string) => T | undefined) {
    this.#parse = parse;
  }

  /** What `line` means; `undefined` when it is malformed. */
  get(line: string): T | undefined {
    return this.#lines.get(line) ?? this.#miss(line);
  }

  #miss(line: string): T | undefined {
    if (line.length > LINE_BYTES_MAX) return this.#parse(line);
    // A copy: a slice would keep the whole read alive for as long as the line stays here.
    this.#copy.write(line, 0, 'latin1');
    const own = this.#copy.toString('latin1', 0, line.length);
    const parsed = this.#parse(own);
    if (parsed === undefined) return undefined;
    if (this.#lines.size >= LINES_MAX) this.#lines.clear();
    this.#lines.set(own, parsed);
    return parsed;
  }
}

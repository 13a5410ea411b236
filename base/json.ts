/** A strict, bounded JSON reader (RFC 8259, I-JSON) for documents that others wrote. */
import { JumpgateError } from './errors.ts';

/** Bounds of one document. */
export interface JsonLimits {
  /** UTF-8 octets; 4 MiB by default, the most that a store row holds. */
  readonly maxBytes?: number;
  /** Nesting of objects and arrays; 64 by default. */
  readonly maxDepth?: number;
}

const BYTES_MAX = 4 * 1024 * 1024;
/** Far more than any document of ours nests, far less than the stack bears. */
const DEPTH_MAX = 64;
/** A 64-bit integer has 20 digits and a double 24; BigInt's cost grows faster than the length of its text. */
const NUMBER_CHARS_MAX = 128;

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
/** Everything up to the next quote, backslash or control character. */
// Control characters are what a JSON string may not contain.
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const HEX4 = /[0-9a-fA-F]{4}/y;
const SPACE = /[ \t\n\r]*/y;
const LITERALS = [
  ['true', true],
  ['false', false],
  ['null', null],
] as const;
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

/**
 * The value of one JSON document. Duplicate member names, lone surrogates, invalid UTF-8, a byte order mark and numbers
 * beyond a double's range are refused; an integer beyond 2^53 - 1 becomes a bigint, so that 64-bit sequences stay exact
 * (SPIFFE Bundle §4.1.1); a member called `__proto__` is an ordinary member.
 * Throws `json-malformed` (source peer).
 */
export function parseJson(text: string | Uint8Array, limits: JsonLimits = {}): unknown {
  const bytesMax = limits.maxBytes ?? BYTES_MAX;
  const bytes = typeof text === 'string' ? Buffer.byteLength(text) : text.byteLength;
  if (bytes > bytesMax) throw malformed(`expected at most ${bytesMax} octets of JSON, found ${bytes}`);
  return new Parser(typeof text === 'string' ? text : decodeUtf8(text), limits.maxDepth ?? DEPTH_MAX).document();
}

class Parser {
  readonly #text: string;
  readonly #depthMax: number;
  #at = 0;

  constructor(text: string, depthMax: number) {
    this.#text = text;
    this.#depthMax = depthMax;
  }

  document(): unknown {
    const value = this.#value(0);
    this.#match(SPACE);
    if (this.#at < this.#text.length) throw this.#unexpected('the end of the document');
    return value;
  }

  #value(depth: number): unknown {
    this.#match(SPACE);
    const first = this.#text[this.#at];
    if (first === '{') return this.#object(depth + 1);
    if (first === '[') return this.#array(depth + 1);
    if (first === '"') return this.#string();
    for (const [word, value] of LITERALS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    return this.#number();
  }

  #object(depth: number): Record<string, unknown> {
    this.#enter(depth);
    const object: Record<string, unknown> = {};
    if (this.#take('}')) return object;
    do {
      this.#match(SPACE);
      if (this.#text[this.#at] !== '"') throw this.#unexpected('a member name in double quotes');
      const name = this.#string();
      if (Object.hasOwn(object, name)) throw malformed(`duplicate member "${name.slice(0, 64)}" at offset ${this.#at}`);
      if (!this.#take(':')) throw this.#unexpected('":" after a member name');
      const value = this.#value(depth);
      // Assignment to __proto__ would change the prototype instead of adding a member.
      Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
    } while (this.#take(','));
    if (!this.#take('}')) throw this.#unexpected('"," or "}"');
    return object;
  }

  #array(depth: number): unknown[] {
    this.#enter(depth);
    const list: unknown[] = [];
    if (this.#take(']')) return list;
    do list.push(this.#value(depth));
    while (this.#take(','));
    if (!this.#take(']')) throw this.#unexpected('"," or "]"');
    return list;
  }

  #enter(depth: number): void {
    if (depth > this.#depthMax) throw malformed(`nested deeper than ${this.#depthMax} levels at offset ${this.#at}`);
    this.#at += 1;
  }

  #string(): string {
    this.#at += 1;
    let value = '';
    for (;;) {
      value += this.#match(PLAIN) ?? '';
      const next = this.#text[this.#at];
      this.#at += 1;
      if (next === '"') break;
      if (next !== '\\') throw malformed(`unterminated string or raw control character at offset ${this.#at - 1}`);
      value += this.#escape();
    }
    if (!value.isWellFormed()) throw malformed(`lone surrogate in the string before offset ${this.#at}`);
    return value;
  }

  #escape(): string {
    const kind = this.#text[this.#at] ?? '';
    this.#at += 1;
    if (kind === 'u') {
      const hex = this.#match(HEX4);
      if (hex === undefined) throw this.#unexpected('four hexadecimal digits');
      return String.fromCharCode(Number.parseInt(hex, 16));
    }
    const character = ESCAPES.get(kind);
    if (character === undefined) throw malformed(`unknown escape at offset ${this.#at - 1}`);
    return character;
  }

  #number(): number | bigint {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) throw this.#unexpected('a JSON value');
    const [literal, fraction, exponent] = match;
    this.#at += literal.length;
    if (literal.length > NUMBER_CHARS_MAX) throw malformed(`number longer than ${NUMBER_CHARS_MAX} characters`);
    const value = Number(literal);
    if (!Number.isFinite(value)) throw malformed(`number out of range before offset ${this.#at}`);
    if (fraction === undefined && exponent === undefined && !Number.isSafeInteger(value)) return BigInt(literal);
    return value;
  }

  /** Skips white space and takes `character` if it is next. */
  #take(character: string): boolean {
    this.#match(SPACE);
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #unexpected(expected: string): JumpgateError {
    const next = this.#text[this.#at];
    const found = next === undefined ? 'the end' : JSON.stringify(next);
    return malformed(`expected ${expected} at offset ${this.#at}, found ${found}`);
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new JumpgateError('json-malformed', 'malformed JSON: invalid UTF-8', { source: 'peer', cause });
  }
}

function malformed(problem: string): JumpgateError {
  return new JumpgateError('json-malformed', `malformed JSON: ${problem}`, { source: 'peer' });
}

/** Schemas: each reads a YAML value into a typed one, tells what is wrong with it, and renders itself to JSON Schema. */
import { type Origin } from '../origin.ts';
import { type ConfigNode, describeNode, quote } from './node.ts';
import { suggestion } from './nearest.ts';
import { type ProblemList } from './problem.ts';

/** A value that was read; null when it could not be, and the problem is told already. */
export type Decoded<T> = { readonly value: T } | null;

/** A JSON Schema (draft 2020-12) as plain data. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** Reads values of type `T`. */
export interface Schema<T> {
  /** What a person should write, for messages: `a duration such as 30s`. */
  readonly expected: string;
  read(node: ConfigNode, place: Place): Decoded<T>;
  json(): JsonSchema;
}

/** Where in a document a schema reads, and whom it tells. */
export class Place {
  readonly path: string;
  readonly #problems: ProblemList;

  constructor(problems: ProblemList, path = '') {
    this.#problems = problems;
    this.path = path;
  }

  /** The place of a key's value. */
  key(name: string): Place {
    const plain = /^[A-Za-z_][A-Za-z0-9_-]*$/.test(name);
    const path = plain ? `${this.path === '' ? '' : `${this.path}.`}${name}` : `${this.path}[${quote(name)}]`;
    return new Place(this.#problems, path);
  }

  /** The place of an item. */
  item(index: number): Place {
    return new Place(this.#problems, `${this.path}[${index}]`);
  }

  /** Tells of a problem here; returns what a reader returns then. */
  problem(origin: Origin, message: string): null {
    this.#problems.add({ origin, path: this.path, message });
    return null;
  }

  /** Tells that something else was expected. */
  unexpected(node: ConfigNode, expected: string): null {
    return this.problem(node.origin, `expected ${expected}, found ${describeNode(node)}`);
  }
}

/** Any text of at least one character; numbers and booleans are not turned into text. */
export function text(expected: string, json: JsonSchema = {}): Schema<string> {
  return {
    expected,
    read: (node, place) => {
      if (node.kind !== 'string' || node.value === '') return place.unexpected(node, quoted(node, expected));
      return { value: node.value };
    },
    json: () => ({ type: 'string', minLength: 1, description: expected, ...json }),
  };
}

/** A number or boolean where a text belongs is nearly always a text that lacks its quotes. */
function quoted(node: ConfigNode, expected: string): string {
  const bare = node.kind === 'integer' || node.kind === 'number' || node.kind === 'boolean';
  return bare ? `${expected} (as text, in quotes)` : expected;
}

/** A whole number within bounds, both included. */
export function integer(min: number, max: number): Schema<number> {
  const expected = `an integer from ${min} to ${max}`;
  return {
    expected,
    read: (node, place) => {
      if (node.kind !== 'integer' || node.value < min || node.value > max) return place.unexpected(node, expected);
      return { value: node.value };
    },
    json: () => ({ type: 'integer', minimum: min, maximum: max, description: expected }),
  };
}

/** One of a few words. `later` are words of the design that this version does not enforce, refused by name. */
export function choice<const T extends readonly string[]>(values: T, later: readonly string[] = []): Schema<T[number]> {
  const expected = `one of ${values.join(', ')}`;
  return {
    expected,
    read: (node, place) => {
      if (node.kind !== 'string') return place.unexpected(node, expected);
      const found: T[number] | undefined = values.find((value) => value === node.value);
      if (found !== undefined) return { value: found };
      if (later.includes(node.value)) return place.problem(node.origin, notEnforcedMessage(node.value));
      const hint = suggestion(node.value, values);
      return place.problem(node.origin, `expected ${expected}, found ${quote(node.value)}${hint}`);
    },
    json: () => ({ type: 'string', enum: values }),
  };
}

/** A list of values of one kind, of at least `min` items. */
export function list<T>(item: Schema<T>, min = 0): Schema<readonly T[]> {
  const expected = `a list${min > 0 ? ` of at least ${min} item${min > 1 ? 's' : ''}` : ''}`;
  return {
    expected: `${expected}, each ${item.expected}`,
    read: (node, place) => {
      if (node.kind !== 'list') return place.unexpected(node, expected);
      if (node.items.length < min) return place.problem(node.origin, `expected ${expected}, found an empty one`);
      const values: T[] = [];
      node.items.forEach((each, index) => {
        const read = item.read(each, place.item(index));
        if (read !== null) values.push(read.value);
      });
      return values.length === node.items.length ? { value: values } : null;
    },
    json: () => ({ type: 'array', items: item.json(), ...(min > 0 ? { minItems: min } : {}) }),
  };
}

/** What a value is checked against or turned into after it was read; `problem` tells what is wrong with it. */
export interface Reading {
  readonly place: Place;
  readonly origin: Origin;
  readonly node: ConfigNode;
  readonly problem: (message: string) => null;
}

/** Reads with `schema`, then turns the value into another one, or tells a problem. */
export function parsed<T, R>(schema: Schema<T>, parse: (value: T, reading: Reading) => Decoded<R>): Schema<R> {
  return {
    expected: schema.expected,
    read: (node, place) => {
      const read = schema.read(node, place);
      if (read === null) return null;
      const problem = (message: string): null => place.problem(node.origin, message);
      return parse(read.value, { place, origin: node.origin, node, problem });
    },
    json: () => schema.json(),
  };
}

/** Why something of the design is refused: accepted and ignored, it would be a promise that nobody keeps. */
export function notEnforcedMessage(name: string): string {
  return `${quote(name)} is not enforced by this version yet, so it is refused rather than ignored; remove it`;
}

/** YAML 1.2 text to values with places, under limits: no tags of others, no merge keys, no duplicate keys, no bombs. */
import { Composer, isAlias, isMap, isScalar, Lexer, LineCounter, Parser } from 'yaml';
import { type Alias, type CST, type Document, type ParsedNode, type Scalar, type YAMLMap } from 'yaml';
import { type Origin } from '../origin.ts';
import { type ConfigEntry, type ConfigNode, quote } from './node.ts';
import { type ProblemList } from './problem.ts';

/** Limits on what one text may hold (security.md §3). */
export const YAML_LIMITS = {
  /** Also of all files of a directory together. */
  bytesMax: 10 * 1024 * 1024,
  /** Collections within collections; deeper ones exhaust the stack of recursive readers. */
  depthMax: 64,
  /** A document written by a person needs a handful. */
  aliasesMax: 100,
  /** Values that aliases may stand for in all, each counted again: nine levels of nine aliases are only 81 aliases but 9^9 values. */
  aliasedNodesMax: 100_000,
} as const;

/**
 * Reads every document of a text; empty documents are left out. What is wrong goes to `problems` and that document is
 * left out too, or has `null` in the place of what could not be read.
 */
export function readDocuments(source: Uint8Array, file: string, problems: ProblemList): readonly ConfigNode[] {
  const whole = (message: string): readonly ConfigNode[] => {
    problems.add({ origin: { file }, path: '', message });
    return [];
  };
  if (source.byteLength > YAML_LIMITS.bytesMax)
    return whole(`expected at most ${YAML_LIMITS.bytesMax} bytes of YAML, found ${source.byteLength}`);
  const text = decodeUtf8(source);
  if (text === undefined) return whole('expected UTF-8 text, found bytes that are none');
  return new DocumentReader(text, file, problems).read();
}

function decodeUtf8(source: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(source);
  } catch {
    return undefined;
  }
}

/** YAML 1.2 §5.1: C0 controls other than tab, line feed and carriage return, and DEL, are not part of any text. */
// These very characters are looked for.
const UNPRINTABLE = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/;

/** A value, how many values it stands for with every alias written out, and how many collections lie within each other. */
interface Measured {
  readonly node: ConfigNode;
  readonly size: number;
  readonly height: number;
}

class DocumentReader {
  readonly #text: string;
  readonly #file: string;
  readonly #problems: ProblemList;
  readonly #lines = new LineCounter();
  #anchors = new Map<string, Measured | 'open'>();
  #aliases = 0;
  #aliasedNodes = 0;

  constructor(text: string, file: string, problems: ProblemList) {
    this.#text = text;
    this.#file = file;
    this.#problems = problems;
  }

  read(): readonly ConfigNode[] {
    this.#lines.addNewLine(0);
    // uniqueKeys is quadratic in the library, so duplicates are found here instead.
    const composer = new Composer({
      version: '1.2',
      schema: 'core',
      merge: false,
      resolveKnownTags: false,
      uniqueKeys: false,
      stringKeys: true,
      strict: true,
    });
    const documents: ConfigNode[] = [];
    for (const document of composer.compose(this.#tokens(), false, this.#text.length)) {
      const node = this.#document(document);
      if (node !== undefined) documents.push(node);
    }
    return documents;
  }

  /** The parser's tokens, ended early by a character or a depth that the composer must not see. */
  *#tokens(): Generator<CST.Token, void> {
    const unprintable = UNPRINTABLE.exec(this.#text);
    if (unprintable !== null) {
      const code = unprintable[0].charCodeAt(0).toString(16).padStart(4, '0');
      for (let at = 0; (at = this.#text.indexOf('\n', at) + 1) > 0;) this.#lines.addNewLine(at);
      this.#report(this.#origin(unprintable.index), `unexpected control character U+${code.toUpperCase()}`);
      return;
    }
    const parser = new Parser(this.#lines.addNewLine);
    for (const lexeme of new Lexer().lex(this.#text)) {
      yield* parser.next(lexeme);
      // The stack holds the document, the open collections and at most one scalar and one key.
      if (parser.stack.length > YAML_LIMITS.depthMax + 3) {
        this.#tooDeep(this.#origin(parser.offset));
        return;
      }
    }
    yield* parser.end();
  }

  #document(document: Document.Parsed): ConfigNode | undefined {
    let sound = true;
    for (const error of [...document.errors, ...document.warnings]) {
      sound = false;
      this.#report(this.#origin(error.pos[0]), sentence(error.message));
    }
    if (document.directives.yaml.explicit === true && document.directives.yaml.version !== '1.2') {
      const start = this.#origin(document.contents?.range[0] ?? document.range[0]);
      this.#report(start, 'expected YAML 1.2, found a %YAML directive for another version');
      sound = false;
    }
    const contents: ParsedNode | null = document.contents;
    if (!sound || contents === null || isEmpty(contents)) return undefined;
    this.#anchors = new Map();
    return this.#node(contents, 1).node;
  }

  #node(node: ParsedNode, depth: number): Measured {
    const origin = this.#origin(node.range[0]);
    if (isAlias(node)) return this.#alias(node.source, origin, depth);
    const { anchor } = node;
    if (anchor !== undefined) this.#anchors.set(anchor, 'open');
    const read = this.#content(node, depth, origin);
    if (anchor !== undefined) this.#anchors.set(anchor, read);
    return read;
  }

  #content(node: Exclude<ParsedNode, Alias.Parsed>, depth: number, origin: Origin): Measured {
    if (isScalar(node)) return { node: scalar(node, origin), size: 1, height: 0 };
    if (depth > YAML_LIMITS.depthMax) return this.#tooDeep(origin);
    if (isMap<ParsedNode, ParsedNode | null>(node)) return this.#map(node, depth, origin);
    const items = node.items.map((item) => this.#node(item, depth + 1));
    return collection({ kind: 'list', items: items.map((item) => item.node), origin }, items);
  }

  #map(node: YAMLMap<ParsedNode, ParsedNode | null>, depth: number, origin: Origin): Measured {
    const entries: ConfigEntry[] = [];
    const values: Measured[] = [];
    const seen = new Map<string, Origin>();
    for (const { key, value } of node.items) {
      const keyOrigin = this.#origin(key.range[0]);
      if (!isScalar(key) || typeof key.value !== 'string') {
        this.#report(keyOrigin, 'expected a key that is a plain text');
        continue;
      }
      const first = seen.get(key.value);
      if (first !== undefined) {
        this.#report(keyOrigin, `duplicate key ${quote(key.value)}, first given in line ${first.line}`);
        continue;
      }
      seen.set(key.value, keyOrigin);
      const read = value === null ? nothing(keyOrigin) : this.#node(value, depth + 1);
      values.push(read);
      entries.push({ key: key.value, keyOrigin, value: read.node });
    }
    return collection({ kind: 'map', entries, origin }, values);
  }

  #alias(name: string, origin: Origin, depth: number): Measured {
    this.#aliases += 1;
    if (this.#aliases > YAML_LIMITS.aliasesMax) {
      if (this.#aliases === YAML_LIMITS.aliasesMax + 1)
        this.#report(origin, `expected at most ${YAML_LIMITS.aliasesMax} aliases in a file, found more`);
      return nothing(origin);
    }
    const target = this.#anchors.get(name);
    if (target === undefined || target === 'open') {
      const why = target === 'open' ? 'stands within the value that it names' : 'names no anchor before it';
      this.#report(origin, `alias ${quote(`*${name}`)} ${why}`);
      return nothing(origin);
    }
    if (target.height + depth - 1 > YAML_LIMITS.depthMax) return this.#tooDeep(origin);
    this.#aliasedNodes += target.size;
    if (this.#aliasedNodes <= YAML_LIMITS.aliasedNodesMax) return target;
    this.#report(origin, `expected aliases to stand for at most ${YAML_LIMITS.aliasedNodesMax} values, found more`);
    this.#aliases = YAML_LIMITS.aliasesMax + 1;
    return nothing(origin);
  }

  #tooDeep(origin: Origin): Measured {
    this.#report(origin, `expected collections nested at most ${YAML_LIMITS.depthMax} deep, found deeper ones`);
    return nothing(origin);
  }

  #origin(offset: number): Origin {
    const { line, col } = this.#lines.linePos(Math.min(offset, this.#text.length));
    return { file: this.#file, line, column: col };
  }

  #report(origin: Origin, message: string): void {
    this.#problems.add({ origin, path: '', message });
  }
}

function nothing(origin: Origin): Measured {
  return { node: { kind: 'null', origin }, size: 1, height: 0 };
}

function collection(node: ConfigNode, parts: readonly Measured[]): Measured {
  const size = parts.reduce((sum, part) => sum + part.size, 1);
  return { node, size, height: 1 + parts.reduce((height, part) => Math.max(height, part.height), 0) };
}

/** Decimal without leading zeros or signs that mean something else elsewhere (`010` is eight to many readers). */
const PLAIN_INTEGER = /^(?:0|-?[1-9][0-9]*)$/;

function scalar(node: Scalar.Parsed, origin: Origin): ConfigNode {
  const value: unknown = node.value;
  if (typeof value === 'string') return { kind: 'string', value, origin };
  if (typeof value === 'boolean') return { kind: 'boolean', value, origin };
  if (typeof value !== 'number') return { kind: 'null', origin };
  if (Number.isSafeInteger(value) && PLAIN_INTEGER.test(node.source)) return { kind: 'integer', value, origin };
  return { kind: 'number', text: node.source, origin };
}

function isEmpty(node: ParsedNode): boolean {
  return isScalar(node) && node.value === null && node.source === '';
}

/** The library's messages as ours are written: lower case, one line, no full stop. */
function sentence(message: string): string {
  const line = message.split('\n', 1)[0] ?? message;
  return `malformed YAML: ${line.charAt(0).toLowerCase()}${line.slice(1).replace(/[.:]$/, '')}`;
}

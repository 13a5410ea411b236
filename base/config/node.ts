/** A YAML value with its place: what documents are before a schema has read them. */
import { type Origin } from '../origin.ts';

/** A key of a mapping and its value. */
export interface ConfigEntry {
  readonly key: string;
  readonly keyOrigin: Origin;
  readonly value: ConfigNode;
}

/** A mapping; entries rather than an object, so that no key (`__proto__`) means anything to the language. */
export interface ConfigMap {
  readonly kind: 'map';
  readonly entries: readonly ConfigEntry[];
  readonly origin: Origin;
}

/** A sequence. */
export interface ConfigList {
  readonly kind: 'list';
  readonly items: readonly ConfigNode[];
  readonly origin: Origin;
}

/**
 * A scalar under the YAML 1.2 core schema. `integer` is plain decimal digits within 2^53; every other number (`1e3`,
 * `0x10`, `010`, `.nan`) is `number`, which only messages look at, by its `text`.
 */
export type ConfigScalar =
  | { readonly kind: 'string'; readonly value: string; readonly origin: Origin }
  | { readonly kind: 'integer'; readonly value: number; readonly origin: Origin }
  | { readonly kind: 'number'; readonly text: string; readonly origin: Origin }
  | { readonly kind: 'boolean'; readonly value: boolean; readonly origin: Origin }
  | { readonly kind: 'null'; readonly origin: Origin };

/** Any value. */
export type ConfigNode = ConfigMap | ConfigList | ConfigScalar;

/** Longer values are cut in messages. */
const FOUND_CHARS_MAX = 60;

/** What was found, for messages: `"text"`, `number 0x10`, `a list`. */
export function describeNode(node: ConfigNode): string {
  switch (node.kind) {
    case 'map':
      return 'a mapping';
    case 'list':
      return 'a list';
    case 'string':
      return quote(node.value);
    case 'integer':
      return `number ${node.value}`;
    case 'number':
      return `number ${node.text.slice(0, FOUND_CHARS_MAX)}`;
    case 'boolean':
      return String(node.value);
    case 'null':
      return 'nothing';
    default:
      node satisfies never;
      return '';
  }
}

/** A text in quotes, control characters escaped, cut to a readable length. */
export function quote(text: string): string {
  return JSON.stringify(text.length > FOUND_CHARS_MAX ? `${text.slice(0, FOUND_CHARS_MAX)}…` : text);
}

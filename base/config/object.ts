/** Schemas of mappings: fixed keys, and exactly one key out of several. */
import { type ConfigEntry, type ConfigMap, quote } from './node.ts';
import { suggestion } from './nearest.ts';
import { type Decoded, type JsonSchema, notEnforcedMessage, type Place, type Schema } from './schema.ts';

/** A key of a mapping: its presence, and the schema of its value. */
export type Field<T> =
  | { readonly presence: 'required'; readonly schema: Schema<T> }
  | { readonly presence: 'optional'; readonly schema: Schema<T>; readonly fallback: T }
  | { readonly presence: 'refused'; readonly fallback: T };

/** A key that must be there. */
export function required<T>(schema: Schema<T>): Field<T> {
  return { presence: 'required', schema };
}

/** A key that may be left out, and then is `undefined`. */
export function optional<T>(schema: Schema<T>): Field<T | undefined> {
  return { presence: 'optional', schema, fallback: undefined };
}

/** A key that may be left out, and then has a default. */
export function defaulted<T>(schema: Schema<T>, fallback: T): Field<T> {
  return { presence: 'optional', schema, fallback };
}

/** A key of the design that this version does not enforce: refused by name, left out of the JSON Schema. */
export const notEnforced: Field<undefined> = { presence: 'refused', fallback: undefined };

/** Keys of a mapping. */
export type Fields = Readonly<Record<string, Field<unknown>>>;

/** What a mapping with such keys is read into. */
export type ObjectOf<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

/** A mapping with these keys and no other. */
export function object<F extends Fields>(expected: string, fields: F): Schema<ObjectOf<F>> {
  return {
    expected,
    read: (node, place) => {
      if (node.kind !== 'map') return place.unexpected(node, expected);
      const known = refuseUnknown(node, place, fields);
      const values: Record<string, unknown> = {};
      for (const [name, field] of Object.entries<Field<unknown>>(fields)) {
        const read = readField(field, name, node, place);
        if (read !== null) values[name] = read.value;
      }
      return known && isComplete(values, fields) ? { value: values } : null;
    },
    json: () => objectJson(expected, fields),
  };
}

function refuseUnknown(node: ConfigMap, place: Place, fields: Fields): boolean {
  const unknown = node.entries.filter((entry) => !Object.hasOwn(fields, entry.key));
  const known = Object.entries(fields).flatMap(([name, field]) => (field.presence === 'refused' ? [] : [name]));
  for (const entry of unknown) place.problem(entry.keyOrigin, unknownKey(entry.key, known));
  return unknown.length === 0;
}

function unknownKey(key: string, known: readonly string[]): string {
  const rest = known.length === 0 ? ', expected none here' : `, expected one of ${known.join(', ')}`;
  return `unknown key ${quote(key)}${suggestion(key, known) || rest}`;
}

function readField(field: Field<unknown>, name: string, node: ConfigMap, place: Place): Decoded<unknown> {
  const entry: ConfigEntry | undefined = node.entries.find((each) => each.key === name);
  switch (field.presence) {
    case 'required':
      if (entry !== undefined) return field.schema.read(entry.value, place.key(name));
      return place.problem(node.origin, `missing key ${quote(name)}, expected ${field.schema.expected}`);
    case 'optional':
      return entry === undefined ? { value: field.fallback } : field.schema.read(entry.value, place.key(name));
    case 'refused':
      if (entry === undefined) return { value: field.fallback };
      return place.problem(entry.keyOrigin, notEnforcedMessage(name));
    default:
      return field satisfies never;
  }
}

function isComplete<F extends Fields>(values: unknown, fields: F): values is ObjectOf<F> {
  return (
    typeof values === 'object' && values !== null && Object.keys(fields).every((name) => Object.hasOwn(values, name))
  );
}

function objectJson(expected: string, fields: Fields): JsonSchema {
  const properties: Record<string, JsonSchema> = {};
  const needed: string[] = [];
  for (const [name, field] of Object.entries(fields)) {
    if (field.presence === 'refused') continue;
    properties[name] = field.schema.json();
    if (field.presence === 'required') needed.push(name);
  }
  return { type: 'object', description: expected, properties, required: needed, additionalProperties: false };
}

/** A mapping of exactly one key, which says what its value is. `later` are keys of the design not enforced yet. */
export function oneByKey<T>(
  expected: string,
  variants: Readonly<Record<string, Schema<T>>>,
  later: readonly string[] = [],
): Schema<T> {
  const names = Object.keys(variants);
  return {
    expected,
    read: (node, place) => {
      if (node.kind !== 'map') return place.unexpected(node, expected);
      const [entry, second] = node.entries;
      if (entry === undefined || second !== undefined) {
        const found = entry === undefined ? 'none' : node.entries.map((each) => each.key).join(', ');
        return place.problem(
          node.origin,
          `expected exactly one of the keys ${names.join(', ')}, found ${quote(found)}`,
        );
      }
      const schema = Object.hasOwn(variants, entry.key) ? variants[entry.key] : undefined;
      if (schema !== undefined) return schema.read(entry.value, place.key(entry.key));
      const message = later.includes(entry.key) ? notEnforcedMessage(entry.key) : unknownKey(entry.key, names);
      return place.problem(entry.keyOrigin, message);
    },
    json: () => ({
      oneOf: Object.entries(variants).map(([name, schema]) => ({
        type: 'object',
        properties: { [name]: schema.json() },
        required: [name],
        additionalProperties: false,
      })),
    }),
  };
}

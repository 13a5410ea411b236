/** An admin route as data: what noun files declare and the server registers, so that a test can walk the table. */
import { asRecord } from '../../base/brand.ts';

/** A JSON Schema (draft 7, as Ajv reads it). */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** Parts of a request, valid under the route's schemas. */
export interface AdminRequest {
  readonly params: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
  /** Who asks: `unix`, or an address. */
  readonly remote: string;
}

/** One route. */
export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: string;
  /** Of the path's parameters. */
  readonly params: JsonSchema;
  /** Of the body; `undefined` where none is read. */
  readonly body: JsonSchema | undefined;
  /** Name in the audit log; `undefined` for routes that change nothing. */
  readonly action: string | undefined;
  /** What the action is done to, for the audit log; never a secret. */
  subject?(request: AdminRequest): string;
  run(request: AdminRequest): unknown;
}

/** Schema of an object with exactly these members. */
export function objectSchema(
  properties: Readonly<Record<string, JsonSchema>>,
  required: readonly string[],
): JsonSchema {
  return { type: 'object', additionalProperties: false, properties, required };
}

/** No parameters. */
export const NO_PARAMS = objectSchema({}, []);

/** A resource name (RFC 1123 label): what `metadata.name` may be. */
export const NAME_SCHEMA: JsonSchema = { type: 'string', pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' };

/** A SPIFFE ID by length; its parser judges the rest. */
export const SPIFFE_ID_SCHEMA: JsonSchema = { type: 'string', minLength: 1, maxLength: 2048 };

/** A member that the schema demands. */
export function text(values: Readonly<Record<string, unknown>>, key: string): string {
  const value = values[key];
  return typeof value === 'string' ? value : '';
}

/** A member that may be missing, as properties to spread. */
export function optional<Key extends string, T>(key: Key, value: T | undefined): { readonly [K in Key]?: T } {
  const out: { [K in Key]?: T } = {};
  if (value !== undefined) out[key] = value;
  return out;
}

/** A string that may be missing. */
export function optionalText(values: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const value = values[key];
  return typeof value === 'string' ? value : undefined;
}

/** A number that may be missing. */
export function optionalNumber(values: Readonly<Record<string, unknown>>, key: string): number | undefined {
  const value = values[key];
  return typeof value === 'number' ? value : undefined;
}

/** A flag that may be missing. */
export function optionalFlag(values: Readonly<Record<string, unknown>>, key: string): boolean | undefined {
  const value = values[key];
  return typeof value === 'boolean' ? value : undefined;
}

/** An untyped part of a request as a record; empty when it is none. */
export function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return asRecord(value) ?? {};
}

/** A route that only reads. */
export function reading(url: string, run: () => unknown): AdminRoute {
  return { method: 'GET', url, params: NO_PARAMS, body: undefined, action: undefined, run };
}

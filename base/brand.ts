/** Branded values: a string that has been parsed carries its proof in its type. The only place where the code casts. */

declare const brand: unique symbol;

/** `T` that has passed the parser called `Name`. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Marks a value as parsed. Only the parser that `Name` stands for may call this. */
export function branded<T, Name extends string>(value: T): Brand<T, Name> {
  return value as Brand<T, Name>;
}

/** A plain object, as JSON, YAML or an untyped library hands it over; `undefined` for arrays, null and everything else. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return value as Readonly<Record<string, unknown>>;
}

/** An array of unknowns; `undefined` for everything else. */
export function asList(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? (value as readonly unknown[]) : undefined;
}

/** What becomes of the fields of responses and trailers: which go on, and what a gateway reads of them. */
import { type Field } from '../message/field.ts';
import { TRAIT, traitsOf } from './traits.ts';

/** The fields of a response that go on; the same array where all of them do. */
export function cleanResponse(fields: readonly Field[]): readonly Field[] {
  return without(fields, TRAIT.dropFromResponse);
}

/** The fields of a response without content, whose length would say that there is some (RFC 9110 §8.6). */
export function withoutLength(fields: readonly Field[]): readonly Field[] {
  return without(fields, TRAIT.contentLength);
}

/** The trailers that go on: nothing that frames, routes, authenticates or identifies. */
export function cleanTrailers(trailers: readonly Field[]): readonly Field[] {
  return without(trailers, TRAIT.dropFromTrailers);
}

/** The value of `grpc-status` as a number; -1 where there is none, or several, or no number. */
export function grpcStatusOf(fields: readonly Field[]): number {
  const text = soleWith(fields, TRAIT.grpcStatus);
  return text !== undefined && /^[0-9]{1,2}$/.test(text) ? Number(text) : -1;
}

/** The reason that a peer's gateway gave; `undefined` where there is none or several. */
export function linkReasonOf(fields: readonly Field[]): string | undefined {
  return soleWith(fields, TRAIT.linkReason);
}

function without(fields: readonly Field[], mask: number): readonly Field[] {
  for (const { name } of fields) {
    if ((traitsOf(name) & mask) !== 0) return fields.filter((each) => (traitsOf(each.name) & mask) === 0);
  }
  return fields;
}

function soleWith(fields: readonly Field[], trait: number): string | undefined {
  let found: string | undefined;
  for (const { name, value } of fields) {
    if ((traitsOf(name) & trait) === 0) continue;
    if (found !== undefined) return undefined;
    found = value;
  }
  return found;
}

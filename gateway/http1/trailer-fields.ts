/** Which trailers the engine carries: none that frames the message or belongs to the connection (RFC 9110 §6.5.1). */
import { type Field } from '../message/field.ts';
import { type FieldLine, KIND, kindOf } from './field-line.ts';

/** The fields of trailer lines that may go on. */
export function trailersOf(lines: readonly FieldLine[]): readonly Field[] {
  const kept = lines.filter(({ kind, field }) => kind === KIND.ordinary && !isBarred(field.name.text));
  return kept.map(({ field }) => field);
}

/** Whether trailers of this name (lower case) are left out. */
export function isBarred(name: string): boolean {
  return kindOf(name) !== KIND.ordinary || name === 'trailer' || name === 'authorization' || name === 'set-cookie';
}

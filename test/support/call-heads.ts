/** Heads of calls, written as names and values. */
import { readRequestFields, type RequestFields } from '../../gateway/headers/request-fields.ts';
import { type Field } from '../../gateway/message/field.ts';
import { type RequestHead } from '../../gateway/message/head.ts';
import { field } from '../../gateway/message/names.ts';

/** Names and values in order. */
export type Texts = readonly (readonly [string, string])[];

/** Fields that say `texts`. */
export function fieldsOf(texts: Texts): readonly Field[] {
  return texts.map(([name, value]) => field(name, value));
}

/** What fields say. */
export function textsOf(fields: readonly Field[]): readonly (readonly string[])[] {
  return fields.map(({ name, value }) => [name.text, value]);
}

/** What a head says beside its fields. */
export interface HeadFacts {
  readonly method?: string;
  readonly path?: string;
  readonly authority?: string;
  readonly protocol?: string;
}

/** The head of a request, a GET of `/` at `a.example` unless `facts` say otherwise. */
export function headOf(texts: Texts = [], facts: HeadFacts = {}): RequestHead {
  const { method = 'GET', path = '/', authority = 'a.example', protocol } = facts;
  return {
    method: field(':method', method),
    path: field(':path', path),
    authority: field(':authority', authority),
    scheme: field(':scheme', 'http'),
    protocol: protocol === undefined ? undefined : field(':protocol', protocol),
    fields: fieldsOf(texts),
  };
}

/** What a gateway reads of such fields. */
export function readOf(texts: Texts, facts: HeadFacts = {}): RequestFields {
  return readRequestFields(headOf(texts, facts));
}

/** Which of the fields of a request go on. */
export function keptOf(texts: Texts): readonly (readonly string[])[] {
  return textsOf(readOf(texts).kept);
}

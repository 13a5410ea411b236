/** A request on an engine's connection, and its answer as a promise. */
import { type ClientConnection } from '../../gateway/message/stream.ts';
import { type Field } from '../../gateway/message/field.ts';
import { field } from '../../gateway/message/names.ts';
import { RecordedResponse } from './http1-wire.ts';

/** What a test says of a request; the rest is a GET of `/`. */
export interface AskOptions {
  readonly authority: string;
  readonly path?: string;
  readonly fields?: readonly Field[];
}

/** Sends a request without a body. The answer is `ended` or has a `resetCode` when `done` resolves. */
export function send(
  connection: ClientConnection,
  { authority, path = '/', fields = [] }: AskOptions,
): { readonly response: RecordedResponse; readonly done: Promise<void> } {
  const response = new RecordedResponse();
  const done = new Promise<void>((resolve) => {
    response.onEnd = resolve;
  });
  const head = {
    method: field(':method', 'GET'),
    path: field(':path', path),
    authority: field(':authority', authority),
    scheme: field(':scheme', 'https'),
    protocol: undefined,
    fields,
  };
  if (connection.open(head, true, response) === undefined) throw new Error('the connection takes no request');
  return { response, done };
}

/** The value of the field `name`, if it was sent. */
export function valueOf(fields: readonly Field[] | undefined, name: string): string | undefined {
  return fields?.find((each) => each.name.text === name)?.value;
}

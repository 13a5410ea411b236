/** Bodies that have to be small, such as a hello or a request to join: collected whole, asked for, and answered with. */
import { JumpgateError } from '../../base/errors.ts';
import { ERROR_CODE } from '../message/error-code.ts';
import { type Field } from '../message/field.ts';
import { type RequestHead, type ResponseHead } from '../message/head.ts';
import { field } from '../message/names.ts';
import {
  type ClientConnection,
  type ResponseReceiver,
  type ServerStream,
  type StreamReceiver,
  type StreamSender,
} from '../message/stream.ts';

const JSON_TYPE = field('content-type', 'application/json');
const SCHEME = field(':scheme', 'https');

/** Collects one body. */
export class SmallBody implements StreamReceiver {
  /** The whole body. Rejects with `body-too-large` beyond the limit, `body-cut` when it breaks off. */
  readonly whole: Promise<Uint8Array>;
  readonly #bytesMax: number;
  readonly #settle: PromiseWithResolvers<Uint8Array> = Promise.withResolvers();
  #sender: StreamSender | undefined;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #over = false;

  /** At most `bytesMax` bytes of the body of a request on `stream`; with `end` it has none. */
  constructor(bytesMax: number, stream?: ServerStream, end = false) {
    this.#bytesMax = bytesMax;
    this.#sender = stream;
    this.whole = this.#settle.promise;
    // Not everybody who collects a body waits for it: who is refused by the head is not read.
    this.whole.catch(() => undefined);
    if (end) this.#complete();
  }

  /** Gives the bytes that came their credit, from here on. */
  creditTo(sender: StreamSender): void {
    this.#sender = sender;
  }

  onData(bytes: Uint8Array, end: boolean): void {
    if (this.#over) return;
    this.#bytes += bytes.length;
    if (this.#bytes > this.#bytesMax) {
      this.#fail('body-too-large', `expected a body of at most ${this.#bytesMax} bytes, found more`);
      return;
    }
    this.#chunks.push(bytes);
    if (end) this.#complete();
    else this.#sender?.credit(bytes.length);
  }

  onTrailers(): void {
    this.#complete();
  }

  onReset(): void {
    this.#fail('body-cut', 'expected a whole body, found one that broke off or took too long');
  }

  onSent(): void {
    // Nobody waits for room.
  }

  #complete(): void {
    if (this.#over) return;
    this.#over = true;
    this.#settle.resolve(Buffer.concat(this.#chunks));
    this.#chunks = [];
  }

  #fail(code: string, message: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#chunks = [];
    this.#settle.reject(new JumpgateError(code, message, { source: 'peer', retry: 'later' }));
  }
}

/** What is left of a request that was answered or reset without being read: dropped as it comes. */
export class UnreadBody implements StreamReceiver {
  readonly #stream: ServerStream;

  constructor(stream: ServerStream) {
    this.#stream = stream;
  }

  onData(bytes: Uint8Array): void {
    this.#stream.credit(bytes.length);
  }

  onTrailers(): void {
    // Unread as well.
  }

  onReset(): void {
    // Nothing hangs on it.
  }

  onSent(): void {
    // Nobody waits for room.
  }
}

/** Answers with a JSON document. */
export function answerJson(stream: ServerStream, status: number, text: string): void {
  const body = Buffer.from(text);
  stream.respond({ status, fields: [JSON_TYPE, field('content-length', String(body.length))] }, false);
  stream.write(body, true);
}

/** A request whose answer has to be small. */
export interface SmallQuestion {
  readonly method: 'GET' | 'POST';
  readonly authority: string;
  readonly path: string;
  /** A JSON document as body. */
  readonly json?: string;
  /** Further fields. */
  readonly fields?: readonly Field[];
}

/** How much is read, and for how long. */
export interface SmallAnswerLimits {
  readonly bytesMax: number;
  readonly signal: AbortSignal;
}

/** A complete answer. */
export interface SmallAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

/**
 * Sends a request and waits for the whole answer. Throws `not-sent` when the connection takes no request, `body-too-large`
 * beyond the limit, `body-cut` when the exchange breaks off or `signal` is aborted.
 */
export async function askSmall(
  connection: Pick<ClientConnection, 'open'>,
  question: SmallQuestion,
  { bytesMax, signal }: SmallAnswerLimits,
): Promise<SmallAnswer> {
  const { json } = question;
  const asked = new Asked(bytesMax);
  const sender = connection.open(headOf(question), json === undefined, asked);
  if (sender === undefined) {
    const message = 'expected a connection that takes a request, found one that is closing or full';
    throw new JumpgateError('not-sent', message, { source: 'peer', retry: 'fresh-connection' });
  }
  asked.body.creditTo(sender);
  if (json !== undefined) sender.write(Buffer.from(json), true);
  const onAbort = (): void => asked.body.onReset();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const body = await asked.body.whole;
    return { status: asked.status, body };
  } catch (error) {
    sender.reset(ERROR_CODE.cancel);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Who is told of the answer. */
class Asked implements ResponseReceiver {
  readonly body: SmallBody;
  status = 0;

  constructor(bytesMax: number) {
    this.body = new SmallBody(bytesMax);
  }

  onInterim(): void {
    // Says nothing that is asked for.
  }

  onResponse(head: ResponseHead, end: boolean): void {
    this.status = head.status;
    if (end) this.body.onTrailers();
  }

  onData(bytes: Uint8Array, end: boolean): void {
    this.body.onData(bytes, end);
  }

  onTrailers(): void {
    this.body.onTrailers();
  }

  onReset(): void {
    this.body.onReset();
  }

  onSent(): void {
    // Nobody waits for room.
  }
}

function headOf({ method, authority, path, json, fields: more = [] }: SmallQuestion): RequestHead {
  const fields: readonly Field[] = json === undefined ? more : [JSON_TYPE, ...more];
  return {
    method: field(':method', method),
    path: field(':path', path),
    authority: field(':authority', authority),
    scheme: SCHEME,
    protocol: undefined,
    fields,
  };
}

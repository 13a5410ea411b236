/** The command line's side of the admin API. */
import { type IncomingMessage, request as httpRequest, type RequestOptions } from 'node:http';

import { type Clock } from '../../base/clock.ts';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { locateGateway, type AdminTarget } from './locate.ts';
import { memberOf, printable } from './output.ts';
import { type VerbContext } from './verb.ts';

/** Asks one gateway. */
export interface AdminClient {
  /**
   * The answer's JSON. Throws `gateway-unreachable` when nothing (that speaks this API) answers, else the API's own code;
   * its source is `caller` where the request was at fault.
   */
  ask(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: Readonly<Record<string, unknown>>,
  ): Promise<unknown>;
}

/** A join tries several addresses with a deadline each; everything else answers at once. */
const ANSWER_MS_MAX = 120_000;
/** A catalogue of 10,000 imports is about 4 MiB. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/** A client of the gateway that the arguments name. */
export async function openClient(context: VerbContext): Promise<AdminClient> {
  return clientOf(await locateGateway(context), context.deps.clock);
}

/** A client of `target`. */
function clientOf(target: AdminTarget, clock: Clock): AdminClient {
  return {
    ask: async (method, path, body) => {
      const payload = body === undefined ? undefined : JSON.stringify(body);
      const { status, text } = await exchange({ ...connection(target), method, path }, payload, { target, clock });
      const value = readAnswer(text, target);
      if (status >= 200 && status < 300) return value;
      const code = memberOf(value, 'error.code');
      const message = memberOf(value, 'error.message');
      if (typeof code !== 'string' || typeof message !== 'string')
        throw unreachable(target, `it answered with status ${status}`);
      throw new JumpgateError(code, printable(message), {
        source: status < 500 && status !== 404 && status !== 409 ? 'caller' : 'peer',
      });
    },
  };
}

type Connection = Pick<RequestOptions, 'socketPath' | 'host' | 'port' | 'method' | 'path'> & {
  readonly headers: Readonly<Record<string, string>>;
};

function connection(target: AdminTarget): Connection {
  if (target.kind === 'unix') return { socketPath: target.path, headers: { host: 'localhost' } };
  return { host: target.host, port: target.port, headers: { authorization: `Bearer ${target.token}` } };
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

function exchange(
  options: Connection,
  payload: string | undefined,
  around: { readonly target: AdminTarget; readonly clock: Clock },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...options.headers,
      ...(payload === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
    };
    const request = httpRequest({ ...options, headers, agent: false });
    const timer = around.clock.after(ANSWER_MS_MAX, () => {
      request.destroy(new Error(`no answer within ${ANSWER_MS_MAX / 1000} s`));
    });
    const fail = (error: unknown): void => {
      timer[Symbol.dispose]();
      reject(unreachable(around.target, messageOf(error), error));
    };
    request.once('error', fail);
    request.once('response', (response) => {
      readAll(response).then((text) => {
        timer[Symbol.dispose]();
        resolve({ status: response.statusCode ?? 0, text });
      }, fail);
    });
    request.end(payload);
  });
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`its answer is longer than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function readAnswer(text: string, target: AdminTarget): unknown {
  try {
    return parseJson(text, { maxBytes: ANSWER_BYTES_MAX });
  } catch (error) {
    throw unreachable(target, `its answer is no JSON, so it is no admin listener: ${messageOf(error)}`, error);
  }
}

function unreachable(target: AdminTarget, why: string, cause?: unknown): JumpgateError {
  const where = target.kind === 'unix' ? `unix:${target.path}` : `${target.host}:${target.port}`;
  const found = codeOf(cause);
  const hint =
    found === 'ENOENT' || found === 'ECONNREFUSED'
      ? '; is it running?'
      : found === 'EACCES'
        ? '; only its own user may'
        : '';
  return new JumpgateError('gateway-unreachable', `cannot reach the gateway at ${where}: ${why}${hint}`, {
    source: 'peer',
    retry: 'later',
    cause,
  });
}

/** Services and callers of end-to-end tests: plain HTTP/1.1, HTTP/2 and gRPC programs that know nothing of Jumpgate. */
import { once } from 'node:events';
import { type Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect, createServer as createHttp2Server, type ServerHttp2Session } from 'node:http2';
import { type AddressInfo, type Server } from 'node:net';
import { text } from 'node:stream/consumers';

import {
  Client,
  credentials,
  type MethodDefinition,
  Server as GrpcServer,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type sendUnaryData,
  type ServerWritableStream,
} from '@grpc/grpc-js';

const CALL_MS_MAX = 20_000;

/** A service on a free port of loopback. */
export interface Service extends AsyncDisposable {
  readonly port: number;
}

/** An HTTP/1.1 service; by default it says in JSON what it was asked, by whom, and how many bytes came. */
export async function http1Service(
  answer?: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Service> {
  const echo = (incoming: IncomingMessage, response: ServerResponse): void => {
    let bytes = 0;
    incoming.on('data', (chunk: Buffer) => (bytes += chunk.length));
    incoming.on('end', () => {
      const caller = incoming.headers['x-forwarded-client-cert'] ?? '';
      response.end(JSON.stringify({ method: incoming.method, path: incoming.url, caller, bytes }));
    });
  };
  const server = createServer(answer ?? echo);
  const port = await listen(server);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The same over HTTP/2 with prior knowledge. */
export async function http2Service(): Promise<Service> {
  const sessions = new Set<ServerHttp2Session>();
  const server = createHttp2Server();
  server.on('session', (session) => sessions.add(session));
  server.on('stream', (stream, headers) => {
    let bytes = 0;
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => (bytes += chunk.length));
    stream.on('end', () => {
      stream.respond({ ':status': 200 });
      const caller = headers['x-forwarded-client-cert'] ?? '';
      stream.end(JSON.stringify({ method: headers[':method'], path: headers[':path'], caller, bytes }));
    });
  });
  const port = await listen(server);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What a caller got. */
export interface Answer {
  readonly status: number;
  readonly reason: string | undefined;
  readonly body: string;
}

/** One HTTP/1.1 call to an outbound listener, on a connection of its own unless an agent is given. */
export async function call(
  listener: string,
  host: string,
  options: {
    readonly method?: string;
    readonly path?: string;
    readonly body?: Buffer;
    readonly agent?: Agent | false;
  } = {},
): Promise<Answer> {
  const [name, port] = [listener.slice(0, listener.lastIndexOf(':')), Number(listener.split(':').at(-1))];
  const { method = 'GET', path = '/', body, agent = false } = options;
  const signal = AbortSignal.timeout(CALL_MS_MAX);
  const outgoing = request({ host: name, port, method, path, headers: { host }, agent, signal });
  const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>;
  outgoing.end(body);
  const [response] = await answered;
  const reason = response.headers['jumpgate-reason'];
  return {
    status: response.statusCode ?? 0,
    reason: typeof reason === 'string' ? reason : undefined,
    body: await text(response),
  };
}

/** One HTTP/2 call with prior knowledge. */
export async function callHttp2(listener: string, host: string, path: string, body: Buffer): Promise<Answer> {
  const session = connect(`http://${listener}`);
  try {
    const failed = once(session, 'error').then(([error]) => Promise.reject(error as Error));
    const stream = session.request({ ':method': 'POST', ':path': path, ':authority': host });
    stream.setTimeout(CALL_MS_MAX, () => stream.destroy(new Error('no answer')));
    const answered = once(stream, 'response');
    stream.end(body);
    const [headers] = (await Promise.race([answered, failed])) as [Readonly<Record<string, unknown>>];
    const reason = headers['jumpgate-reason'];
    return {
      status: Number(headers[':status']),
      reason: typeof reason === 'string' ? reason : undefined,
      body: await text(stream),
    };
  } finally {
    session.destroy();
  }
}

const serialize = (value: string): Buffer => Buffer.from(value);
const deserialize = (bytes: Buffer): string => bytes.toString();

function method(name: string, requestStream: boolean, responseStream: boolean): MethodDefinition<string, string> {
  const path = `/test.Echo/${name}`;
  const ways = { requestSerialize: serialize, requestDeserialize: deserialize };
  return {
    path,
    requestStream,
    responseStream,
    ...ways,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  };
}

/** `test.Echo`: all four kinds of gRPC calls, over plain texts. */
export async function grpcService(): Promise<Service> {
  const server = new GrpcServer();
  const methods = {
    Say: method('Say', false, false),
    Repeat: method('Repeat', false, true),
    Join: method('Join', true, false),
    Chat: method('Chat', true, true),
  };
  server.addService(methods, {
    Say: (one: ServerUnaryCall<string, string>, answer: sendUnaryData<string>) => {
      answer(null, `${one.request} for ${one.metadata.get('x-forwarded-client-cert').join()}`);
    },
    Repeat: (one: ServerWritableStream<string, string>) => {
      for (const turn of [1, 2, 3]) one.write(`${one.request} ${turn}`);
      one.end();
    },
    Join: (one: ServerReadableStream<string, string>, answer: sendUnaryData<string>) => {
      const parts: string[] = [];
      one.on('data', (part: string) => parts.push(part));
      one.on('end', () => answer(null, parts.join('+')));
    },
    Chat: (one: ServerDuplexStream<string, string>) => {
      one.on('data', (part: string) => one.write(part.toUpperCase()));
      one.on('end', () => one.end());
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return { port, [Symbol.asyncDispose]: async () => server.forceShutdown() };
}

/** A gRPC caller behind an outbound listener. */
export class EchoClient implements Disposable {
  readonly #client: Client;

  constructor(listener: string, host: string) {
    this.#client = new Client(listener, credentials.createInsecure(), { 'grpc.default_authority': host });
  }

  /** The answer, or `CODE: details` of a failure. */
  say(word: string, name = 'Say'): Promise<string> {
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(`/test.Echo/${name}`, serialize, deserialize, word, deadline(), (error, answer) =>
        resolve(error === null ? (answer ?? '') : `${error.code}: ${error.details}`),
      );
    });
  }

  repeat(word: string): Promise<readonly unknown[]> {
    return all(this.#client.makeServerStreamRequest('/test.Echo/Repeat', serialize, deserialize, word, deadline()));
  }

  join(words: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const stream = this.#client.makeClientStreamRequest(
        '/test.Echo/Join',
        serialize,
        deserialize,
        deadline(),
        (error, answer) => (error === null ? resolve(answer ?? '') : reject(error)),
      );
      for (const word of words) stream.write(word);
      stream.end();
    });
  }

  chat(words: readonly string[]): Promise<readonly unknown[]> {
    const stream = this.#client.makeBidiStreamRequest('/test.Echo/Chat', serialize, deserialize, deadline());
    for (const word of words) stream.write(word);
    stream.end();
    return all(stream);
  }

  /** A chat that stays open, without a deadline: each word is answered before the next is said. */
  converse(): { readonly say: (word: string) => Promise<string>; readonly end: () => void } {
    const stream = this.#client.makeBidiStreamRequest('/test.Echo/Chat', serialize, deserialize);
    const answers = stream[Symbol.asyncIterator]();
    const say = async (word: string): Promise<string> => {
      stream.write(word);
      const next: IteratorResult<unknown, unknown> = await answers.next();
      return String(next.value);
    };
    return { say, end: () => stream.end() };
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

function deadline(): { readonly deadline: number } {
  return { deadline: Date.now() + CALL_MS_MAX };
}

async function all(stream: AsyncIterable<unknown>): Promise<readonly unknown[]> {
  const found: unknown[] = [];
  for await (const one of stream) found.push(one);
  return found;
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

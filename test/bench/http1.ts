/** Prints what HTTP/1.1 costs in memory: a small request written, read, answered, and the answer read, in µs. Run it by hand. */
import { performance } from 'node:perf_hooks';

import { field } from '../../gateway/message/names.ts';
import { type ResponseReceiver } from '../../gateway/message/stream.ts';
import { clientOver, fieldsOf, requestHead, serverOver } from '../support/http1-wire.ts';

const CALLS = 300_000;

const FIELDS = [
  ['user-agent', 'bench/1'],
  ['accept', '*/*'],
  ['accept-encoding', 'gzip, br'],
  ['x-request-id', '8c1c2c9e-7d47-4a7e-b6f5-0242ac120002'],
] as const;

let answered = 0;
const receiver: ResponseReceiver = {
  onInterim: () => undefined,
  onResponse: () => undefined,
  onData: (_bytes, end) => {
    if (end) answered += 1;
  },
  onTrailers: () => undefined,
  onReset: () => undefined,
  onSent: () => undefined,
};

function run(path: (call: number) => string): number {
  const client = clientOver();
  const server = serverOver();
  const response = {
    status: 200,
    fields: fieldsOf([
      ['content-type', 'text/plain'],
      ['content-length', '5'],
    ]),
  };
  const body = Buffer.from('hello');
  server.listener.onRequest = (stream) => {
    stream.respond(response, false);
    stream.write(body, true);
    return receiver;
  };
  const repeated = requestHead('GET', path(0), { authority: 'service.example', fields: FIELDS });
  const start = performance.now();
  for (let call = 0; call < CALLS; call += 1) {
    const target = path(call);
    const head = target === repeated.path.value ? repeated : { ...repeated, path: field(':path', target) };
    client.connection.open(head, true, receiver);
    server.connection.receive(client.wire.takeBytes());
    client.connection.receive(server.wire.takeBytes());
  }
  return ((performance.now() - start) * 1000) / CALLS;
}

for (const [name, path] of [
  ['the same request', (): string => '/path?query=1'],
  ['another path each time', (call: number): string => `/path?query=${call}`],
] as const) {
  run(path);
  const micros = run(path);
  process.stdout.write(`${name}: ${micros.toFixed(2)} us per call, both ends\n`);
}
if (answered !== 4 * CALLS) throw new Error(`expected ${4 * CALLS} answers, found ${answered}`);

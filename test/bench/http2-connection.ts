/** Processor time of one small call through both ends of an HTTP/2 connection in memory. Prints, asserts nothing. */
import { field } from '../../gateway/message/names.ts';
import { type RequestHead } from '../../gateway/message/head.ts';
import { type RequestListener, type ResponseReceiver, type StreamReceiver } from '../../gateway/message/stream.ts';
import { Http2Pair } from '../support/http2-pair.ts';

const STREAMS = 100;
const ROUNDS = 3_000;
const BODY = Buffer.alloc(100, 'x');

const head: RequestHead = {
  method: field(':method', 'GET'),
  path: field(':path', '/orders/1'),
  authority: field(':authority', 'orders.example'),
  scheme: field(':scheme', 'http'),
  protocol: undefined,
  fields: [
    field('user-agent', 'bench/1.0'),
    field('accept', '*/*'),
    field('x-request-id', 'same-each-time'),
    field('traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
  ],
};
const answer = { status: 200, fields: [field('content-type', 'text/plain'), field('content-length', '100')] };

const deaf: StreamReceiver = {
  onData: () => undefined,
  onTrailers: () => undefined,
  onReset: () => undefined,
  onSent: () => undefined,
};
const listener: RequestListener = {
  onRequest(stream) {
    stream.respond(answer, false);
    stream.write(BODY, true);
    return deaf;
  },
  onRefused() {
    throw new Error('a request was refused');
  },
};

let done = 0;
const receiver: ResponseReceiver = {
  ...deaf,
  onInterim: () => undefined,
  onResponse: () => undefined,
  onData: (_bytes, end) => {
    if (end) done += 1;
  },
};

const pair = new Http2Pair(listener);
pair.settle();
for (let repeat = 0; repeat < 5; repeat += 1) {
  const before = process.cpuUsage();
  done = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    for (let index = 0; index < STREAMS; index += 1) pair.client.open(head, true, receiver);
    pair.step();
    pair.step();
  }
  pair.settle();
  const { user, system } = process.cpuUsage(before);
  const nanoseconds = (user + system) * 1_000;
  process.stdout.write(`${(nanoseconds / done).toFixed(0)} ns per call, both ends together (${String(done)} calls)\n`);
}

/** Small bodies: their limit, and every way in which they break off. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { answerJson, askSmall, SmallBody, type SmallAnswer } from '../../gateway/link/small-body.ts';
import { type RequestHead } from '../../gateway/message/head.ts';
import { type ServerStream, type StreamReceiver } from '../../gateway/message/stream.ts';
import { Http2Pair } from '../support/http2-pair.ts';

const QUESTION = { method: 'POST', authority: 'hello.jumpgate', path: '/hello', json: '{"a":1}' } as const;
const LIMIT = 200_000;

interface Arrived {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  readonly body: SmallBody;
}

/** A pair whose server collects bodies of at most `LIMIT` bytes. */
const collecting = (): { readonly pair: Http2Pair; readonly arrived: Arrived[] } => {
  const arrived: Arrived[] = [];
  const pair = new Http2Pair({
    onRequest: (stream, head, end): StreamReceiver => {
      const body = new SmallBody(LIMIT, stream, end);
      arrived.push({ stream, head, body });
      return body;
    },
    onRefused: () => undefined,
  });
  pair.settle();
  return { pair, arrived };
};

const ask = (pair: Http2Pair, json: string, signal = new AbortController().signal): Promise<SmallAnswer> => {
  const answer = askSmall(pair.client, { ...QUESTION, json }, { bytesMax: LIMIT, signal });
  answer.catch(() => undefined);
  pair.settle();
  return answer;
};

test('a question and its answer cross whole up to the limit, with credit for all of it, and not beyond', async () => {
  const { pair, arrived } = collecting();
  for (const bytes of [0, 1, LIMIT - 1, LIMIT]) {
    const answer = ask(pair, 'x'.repeat(bytes));
    const request = arrived.pop();
    assert.ok(request !== undefined);
    assert.equal(request.head.method.value, 'POST');
    assert.equal((await request.body.whole).length, bytes);
    answerJson(request.stream, 403, 'y'.repeat(bytes));
    pair.settle();
    const { status, body } = await answer;
    assert.deepEqual([status, body.length], [403, bytes]);
  }
  const tooLong = ask(pair, 'x'.repeat(LIMIT + 1));
  const request = arrived.pop();
  assert.ok(request !== undefined);
  await assert.rejects(request.body.whole, { code: 'body-too-large' });
  answerJson(request.stream, 200, 'y'.repeat(LIMIT + 1));
  pair.settle();
  await assert.rejects(tooLong, { code: 'body-too-large' });
  pair.settle();
  assert.equal(pair.client.streams, 0, 'what is too long is given up');
});

test('a body that is reset, or lost with its connection, is cut', async () => {
  const { pair, arrived } = collecting();
  const reset = ask(pair, 'x');
  const request = arrived.pop();
  assert.ok(request !== undefined);
  request.stream.respond({ status: 200, fields: [] }, false);
  request.stream.write(Buffer.from('{'), false);
  pair.settle();
  request.stream.reset(8);
  pair.settle();
  await assert.rejects(reset, { code: 'body-cut' });
  const lost = ask(pair, 'x');
  pair.client.lost();
  await assert.rejects(lost, { code: 'body-cut' });
  await assert.rejects(ask(pair, 'x'), { code: 'not-sent', retry: 'fresh-connection' });
});

test('an answer that takes too long is given up, and its stream with it', async () => {
  const { pair, arrived } = collecting();
  const controller = new AbortController();
  const late = ask(pair, 'x', controller.signal);
  assert.equal(pair.client.streams, 1);
  controller.abort();
  await assert.rejects(late, { code: 'body-cut' });
  pair.settle();
  assert.deepEqual([pair.client.streams, pair.server.streams], [0, 0]);
  await assert.rejects(ask(pair, 'x', controller.signal), { code: 'body-cut' });
  assert.equal(arrived.length, 2);
});

test('nobody has to wait for a body that breaks off', async () => {
  const body = new SmallBody(1);
  body.onReset();
  await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(body.whole, { code: 'body-cut' });
});

/** One exchange carried from a stream to a connection and back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { relay } from '../../gateway/forward/relay.ts';
import { ERROR_CODE } from '../../gateway/message/error-code.ts';
import { type RequestHead } from '../../gateway/message/head.ts';
import { field } from '../../gateway/message/names.ts';
import { type StreamReceiver } from '../../gateway/message/stream.ts';
import { FakeConnection, FakeServerStream, type FakeAttempt } from '../support/fake-streams.ts';

const HEAD: RequestHead = {
  method: field(':method', 'POST'),
  path: field(':path', '/x'),
  authority: field(':authority', 'peering.jumpgate'),
  scheme: field(':scheme', 'https'),
  protocol: undefined,
  fields: [],
};

interface Rig {
  readonly stream: FakeServerStream;
  readonly attempt: FakeAttempt;
  readonly request: StreamReceiver;
  /** What `onOver` was told. */
  readonly over: boolean[];
}

const start = (end = false, connection = new FakeConnection()): Rig => {
  const stream = new FakeServerStream();
  const over: boolean[] = [];
  const request = relay({
    stream,
    head: HEAD,
    end,
    connection,
    passes: ({ name }) => !name.text.startsWith('jumpgate-'),
    onOver: (whole) => over.push(whole),
  });
  const [attempt] = connection.attempts;
  assert.ok(request !== undefined && attempt !== undefined);
  return { stream, attempt, request, over };
};

const texts = (fields: readonly { readonly name: { readonly text: string } }[] | undefined): string[] =>
  (fields ?? []).map(({ name }) => name.text);

test('bytes and trailers cross both ways, without what does not pass', () => {
  const { stream, attempt, request, over } = start();
  request.onData(Buffer.from('ask'), false);
  request.onTrailers([field('a', '1'), field('jumpgate-b', '1')]);
  attempt.receiver.onInterim({ status: 103, fields: [field('jumpgate-reason', 'x')] });
  attempt.receiver.onResponse({ status: 200, fields: [field('c', '1'), field('jumpgate-reason', 'x')] }, false);
  attempt.receiver.onData(Buffer.from('answer'), false);
  assert.deepEqual(over, []);
  attempt.receiver.onTrailers([field('grpc-status', '0'), field('jumpgate-d', '1')]);
  assert.deepEqual([attempt.text, attempt.log, texts(attempt.trailers[0])], ['ask', ['write 3', 'finish'], ['a']]);
  assert.deepEqual(stream.log, ['inform 103', 'respond 200', 'write 6', 'finish']);
  assert.deepEqual(
    stream.heads.map(({ fields }) => texts(fields)),
    [[], ['c']],
  );
  assert.deepEqual([texts(stream.trailers[0]), over], [['grpc-status'], [true]]);
});

test('either end has its credit when the bytes have left at the other', () => {
  const { stream, attempt, request } = start();
  request.onData(Buffer.alloc(10), false);
  assert.deepEqual(stream.credits, []);
  attempt.receiver.onSent(4);
  attempt.receiver.onSent(6);
  assert.deepEqual([stream.credits, attempt.credits], [[4, 6], []]);
  attempt.receiver.onResponse({ status: 200, fields: [] }, false);
  attempt.receiver.onData(Buffer.alloc(7), false);
  request.onSent(7);
  assert.deepEqual([stream.credits, attempt.credits], [[4, 6], [7]]);
});

test('a caller that goes away cancels the request, and nothing is answered any more', () => {
  const { stream, attempt, request, over } = start();
  request.onReset(ERROR_CODE.cancel);
  request.onReset(ERROR_CODE.cancel);
  assert.deepEqual([attempt.log, stream.log, over], [[`reset ${ERROR_CODE.cancel}`], [], [false]]);
});

test('an answer that breaks off is never a whole one', () => {
  const { stream, attempt, over } = start(true);
  assert.equal(attempt.end, true);
  attempt.receiver.onResponse({ status: 200, fields: [] }, false);
  attempt.receiver.onData(Buffer.from('half'), false);
  attempt.receiver.onReset(ERROR_CODE.noError);
  assert.deepEqual(stream.log, ['respond 200', 'write 4', `reset ${ERROR_CODE.internalError}`]);
  assert.deepEqual([attempt.log, over], [[], [false]]);
});

test('an answer that is complete before the request gives the rest of it up, which is dropped as it comes', () => {
  for (const finish of [
    ({ attempt }: Rig): void => attempt.receiver.onResponse({ status: 200, fields: [] }, true),
    ({ attempt }: Rig): void => attempt.receiver.onData(new Uint8Array(0), true),
    ({ attempt }: Rig): void => attempt.receiver.onTrailers([]),
  ]) {
    const rig = start();
    finish(rig);
    assert.deepEqual([rig.attempt.log, rig.over], [[`reset ${ERROR_CODE.cancel}`], [true]]);
    rig.request.onData(Buffer.alloc(5), false);
    rig.request.onTrailers([]);
    rig.request.onReset(ERROR_CODE.cancel);
    assert.deepEqual([rig.stream.credits, rig.attempt.log.length, rig.over], [[5], 1, [true]]);
    const whole = start(true);
    finish(whole);
    assert.deepEqual([whole.attempt.log, whole.over], [[], [true]], 'a request that has ended is not reset');
  }
});

test('a connection that takes no request leaves the stream to be answered; one that fails at once resets it', () => {
  const connection = new FakeConnection();
  connection.usable = false;
  const stream = new FakeServerStream();
  const told: boolean[] = [];
  const onOver = (whole: boolean): void => void told.push(whole);
  const rest = { stream, head: HEAD, end: false, passes: () => true, onOver };
  assert.equal(relay({ ...rest, connection }), undefined);
  assert.deepEqual([stream.log, told], [[], []]);
  connection.usable = true;
  connection.failing = ERROR_CODE.internalError;
  const rig = start(false, connection);
  assert.deepEqual([rig.stream.log, rig.over], [[`reset ${ERROR_CODE.internalError}`], [false]]);
});

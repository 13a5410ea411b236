/** A call's way when nothing is in its way: what reaches either end, and what is recorded of it, once. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { fieldsOf, textsOf, type Texts } from '../support/call-heads.ts';
import { CallRig, outcomeOf, recordOf } from '../support/call-rig.ts';

const GRPC: Texts = [['content-type', 'application/grpc']];
const bytes = (text: string): Buffer => Buffer.from(text);

test('a call without bodies goes through, and is recorded once with its time', () => {
  const rig = new CallRig({ fields: [['accept', 'a']] }).send();
  assert.equal(rig.live.size, 1);
  const attempt = rig.attempt();
  assert.equal(attempt.end, true);
  assert.equal(attempt.head.authority.value, 'service');
  rig.clock.advance(12);
  attempt.receiver.onResponse({ status: 204, fields: [] }, true);
  assert.deepEqual(rig.stream.log, ['respond 204 end']);
  assert.deepEqual(attempt.log, []);
  assert.deepEqual(recordOf(rig), {
    status: 204,
    grpcStatus: -1,
    verdict: 'permit',
    reason: undefined,
    bytesIn: 0,
    bytesOut: 0,
    durationMs: 12,
  });
});

test('bodies and trailers pass both ways in order, and trailers are cleaned', () => {
  const rig = new CallRig({ method: 'POST', end: false, fields: GRPC }).send();
  const attempt = rig.attempt();
  assert.equal(attempt.end, false);
  rig.call.onData(bytes('ab'), false);
  rig.call.onData(bytes('c'), false);
  rig.call.onTrailers(
    fieldsOf([
      ['x-sum', '1'],
      ['authorization', 'x'],
      ['jumpgate-caller', 'x'],
    ]),
  );
  assert.deepEqual(attempt.log, ['write 2', 'write 1', 'finish']);
  assert.equal(attempt.text, 'abc');
  assert.deepEqual(textsOf(attempt.trailers[0] ?? []), [['x-sum', '1']]);
  attempt.receiver.onResponse(
    {
      status: 200,
      fields: fieldsOf([
        ['connection', 'x'],
        ['x-a', '1'],
      ]),
    },
    false,
  );
  attempt.receiver.onData(bytes('answer'), false);
  assert.equal(rig.recorded.length, 0);
  attempt.receiver.onTrailers(
    fieldsOf([
      ['grpc-status', '5'],
      ['content-length', '1'],
      ['set-cookie', 'x'],
    ]),
  );
  assert.deepEqual(rig.stream.log, ['respond 200', 'write 6', 'finish']);
  assert.deepEqual(textsOf(rig.stream.heads[0]?.fields ?? []), [['x-a', '1']]);
  assert.deepEqual(textsOf(rig.stream.trailers[0] ?? []), [['grpc-status', '5']]);
  const { grpcStatus, bytesIn, bytesOut, status } = recordOf(rig);
  assert.deepEqual({ grpcStatus, bytesIn, bytesOut, status }, { grpcStatus: 5, bytesIn: 3, bytesOut: 6, status: 200 });
});

test('the end of either body is passed on with its last bytes', () => {
  const rig = new CallRig({ method: 'POST', end: false }).send();
  rig.call.onData(bytes('a'), true);
  assert.deepEqual(rig.attempt().log, ['write 1 end']);
  rig.attempt().receiver.onResponse({ status: 200, fields: [] }, false);
  rig.attempt().receiver.onData(bytes('b'), true);
  assert.deepEqual(rig.stream.log, ['respond 200', 'write 1 end']);
  assert.deepEqual(outcomeOf(rig), [200, 'permit', undefined]);
});

test('a trailers-only gRPC answer gives its status', () => {
  const rig = new CallRig({ method: 'POST', fields: GRPC }).send();
  rig.attempt().receiver.onResponse({ status: 200, fields: fieldsOf([['grpc-status', '12']]) }, true);
  assert.equal(recordOf(rig).grpcStatus, 12);
});

test('interim answers pass cleaned, save those of one hop', () => {
  const rig = new CallRig().send();
  for (const status of [100, 101, 102, 103]) {
    rig.attempt().receiver.onInterim({
      status,
      fields: fieldsOf([
        ['link', '<a>'],
        ['jumpgate-reason', 'loop'],
      ]),
    });
  }
  assert.deepEqual(rig.stream.log, ['inform 102', 'inform 103']);
  assert.deepEqual(textsOf(rig.stream.heads[1]?.fields ?? []), [['link', '<a>']]);
});

test('a refusal answers the caller, sends nothing on, and lets go of what is left of the request', () => {
  for (const end of [true, false]) {
    const rig = new CallRig({ end });
    rig.call.refuse('denied-by-export', 'denial');
    rig.call.refuse('no-route', 'denial');
    assert.deepEqual(rig.attempts, []);
    assert.deepEqual(rig.stream.log.slice(2), end ? [] : ['unwanted']);
    assert.equal(rig.stream.log[0], 'respond 403');
    assert.deepEqual(outcomeOf(rig), [403, 'denial', 'denied-by-export']);
    assert.equal(rig.recorded[0]?.bytesOut, rig.stream.text.length);
  }
});

test('after a refusal nothing that the caller still sends goes anywhere', () => {
  const rig = new CallRig({ end: false });
  rig.call.refuse('no-route', 'denial');
  const { length } = rig.stream.log;
  rig.call.onData(bytes('a'), false);
  rig.call.onTrailers([]);
  rig.call.onReset();
  rig.call.cut('draining');
  rig.call.onSent(3);
  rig.call.onConnection();
  rig.call.onUnreachable();
  assert.equal(rig.stream.log.length, length);
  assert.deepEqual(outcomeOf(rig), [404, 'denial', 'no-route']);
});

test('bytes of the answer that have left give credit to the destination', () => {
  const rig = new CallRig().send();
  rig.attempt().receiver.onResponse({ status: 200, fields: [] }, false);
  rig.attempt().receiver.onData(bytes('abc'), false);
  assert.deepEqual(rig.attempt().credits, []);
  rig.call.onSent(3);
  assert.deepEqual(rig.attempt().credits, [3]);
});

/** Attempts of one call: what is sent again, what never is, what waits, and the credit for it, given once. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';

import { JumpgateError } from '../../base/errors.ts';
import { ERROR_CODE } from '../../gateway/message/error-code.ts';
import { fieldsOf, textsOf } from '../support/call-heads.ts';
import { CallRig, outcomeOf } from '../support/call-rig.ts';

const { noError, internalError, cancel, refusedStream } = ERROR_CODE;
const bytes = (text: string): Buffer => Buffer.from(text);

test('a request of which nothing was processed is sent again elsewhere, body and trailers and all', () => {
  for (const method of ['GET', 'POST']) {
    const rig = new CallRig({ method, end: false, connections: 2 }).send();
    rig.call.onData(bytes('ab'), false);
    rig.call.onData(bytes('cd'), false);
    rig.attempt(0).receiver.onReset(refusedStream);
    assert.deepEqual(rig.attempt(1).log, ['write 2', 'write 2']);
    rig.call.onData(bytes('e'), false);
    rig.call.onTrailers(fieldsOf([['x-sum', '1']]));
    assert.equal(rig.attempt(1).text, 'abcde');
    assert.equal(rig.attempt(0).text, 'abcd');
    assert.deepEqual(textsOf(rig.attempt(1).trailers[0] ?? []), [['x-sum', '1']]);
    rig.attempt(1).receiver.onResponse({ status: 200, fields: [] }, true);
    assert.deepEqual(outcomeOf(rig), [200, 'permit', undefined]);
  }
});

test('a request that ended before it is sent again ends again, with its trailers or its body', () => {
  const withTrailers = new CallRig({ method: 'POST', end: false, connections: 2 }).send();
  withTrailers.call.onTrailers(fieldsOf([['x-sum', '1']]));
  withTrailers.attempt(0).receiver.onReset(refusedStream);
  assert.deepEqual([withTrailers.attempt(1).end, withTrailers.attempt(1).log], [false, ['finish']]);
  assert.deepEqual(textsOf(withTrailers.attempt(1).trailers[0] ?? []), [['x-sum', '1']]);
  const withBody = new CallRig({ method: 'POST', end: false, connections: 2 }).send();
  withBody.call.onData(bytes('abc'), true);
  withBody.attempt(0).receiver.onReset(refusedStream);
  assert.deepEqual([withBody.attempt(1).end, withBody.attempt(1).log], [false, ['write 3', 'finish']]);
  const without = new CallRig({ connections: 2 }).send();
  without.attempt(0).receiver.onReset(refusedStream);
  assert.deepEqual([without.attempt(1).end, without.attempt(1).log], [true, []]);
});

test('a request is sent again while its body is held, and not when more of it was sent', () => {
  for (const [size, attempts] of [
    [64 * 1024, 2],
    [64 * 1024 + 1, 1],
  ] as const) {
    const rig = new CallRig({ method: 'POST', end: false, connections: 2 }).send();
    rig.call.onData(Buffer.alloc(size), false);
    rig.attempt(0).receiver.onReset(refusedStream);
    assert.equal(rig.attempts.length, attempts);
    if (attempts === 1) assert.deepEqual(outcomeOf(rig), [503, 'error', 'service-unavailable']);
  }
});

test('four connections are tried, never one twice, and then no more', () => {
  const rig = new CallRig({ connections: 6 }).send();
  for (let place = 0; place < 4; place += 1) rig.attempt(place).receiver.onReset(refusedStream);
  assert.equal(rig.attempts.length, 4);
  assert.deepEqual(
    rig.destination.connections.map(({ attempts }) => attempts.length),
    [1, 1, 1, 1, 0, 0],
  );
  assert.deepEqual(outcomeOf(rig), [503, 'error', 'service-unavailable']);
});

test('what may have been processed is not sent again, whatever the method', () => {
  for (const method of ['GET', 'POST', 'PUT']) {
    for (const code of [cancel, internalError, noError]) {
      const rig = new CallRig({ method, connections: 2 }).send();
      rig.attempt(0).receiver.onReset(code);
      assert.equal(rig.attempts.length, 1);
      assert.deepEqual(outcomeOf(rig), [502, 'error', 'service-failed']);
    }
  }
});

test('a kept connection that ended under a request has it sent again only for methods that may be done twice', () => {
  for (const [method, attempts] of [
    ['GET', 2],
    ['HEAD', 2],
    ['OPTIONS', 2],
    ['PUT', 2],
    ['DELETE', 2],
    ['POST', 1],
    ['PATCH', 1],
    ['get', 1],
    ['UNKNOWN', 1],
  ] as const) {
    const rig = new CallRig({ method, connections: 2 });
    for (const connection of rig.destination.connections) connection.staleReset = true;
    rig.send().attempt(0).receiver.onReset(internalError);
    assert.equal(rig.attempts.length, attempts, method);
    if (attempts === 1) assert.deepEqual(outcomeOf(rig), [502, 'error', 'service-failed']);
  }
});

test('an answer that began is never begun again', () => {
  for (const method of ['GET', 'POST']) {
    const rig = new CallRig({ method, connections: 2 });
    for (const connection of rig.destination.connections) connection.staleReset = true;
    rig.send().attempt(0).receiver.onResponse({ status: 200, fields: [] }, false);
    rig.attempt(0).receiver.onReset(refusedStream);
    assert.equal(rig.attempts.length, 1);
    assert.deepEqual(rig.stream.log, ['respond 200', `reset ${internalError}`]);
    assert.deepEqual(outcomeOf(rig), [200, 'error', 'service-failed']);
  }
});

test('what an attempt that was given up still says is nobody’s', () => {
  const rig = new CallRig({ method: 'POST', end: false, connections: 2 }).send();
  const { receiver } = rig.attempt(0);
  receiver.onReset(refusedStream);
  receiver.onInterim({ status: 103, fields: [] });
  receiver.onResponse({ status: 500, fields: [] }, false);
  receiver.onData(bytes('evil'), true);
  receiver.onTrailers([]);
  receiver.onReset(internalError);
  receiver.onSent(1000);
  assert.deepEqual(rig.stream.log, []);
  assert.deepEqual(
    rig.stream.credits.filter((each) => each > 0),
    [],
  );
  assert.equal(rig.recorded.length, 0);
  rig.attempt(1).receiver.onResponse({ status: 200, fields: [] }, true);
  assert.deepEqual(outcomeOf(rig), [200, 'permit', undefined]);
});

test('the caller has credit for each byte of its body once, however often it is sent', () => {
  const rig = new CallRig({ method: 'POST', end: false, connections: 3 }).send();
  const given = (): number => rig.stream.credits.reduce((sum, each) => sum + each, 0);
  rig.call.onData(Buffer.alloc(100), false);
  assert.equal(given(), 0, 'none before it has left');
  rig.attempt(0).receiver.onSent(60);
  assert.equal(given(), 60);
  rig.attempt(0).receiver.onReset(refusedStream);
  rig.attempt(1).receiver.onSent(50);
  assert.equal(given(), 60);
  rig.attempt(1).receiver.onSent(30);
  assert.equal(given(), 80);
  rig.attempt(1).receiver.onReset(refusedStream);
  rig.attempt(2).receiver.onSent(100);
  assert.equal(given(), 100);
  rig.call.onData(Buffer.alloc(7), false);
  rig.attempt(2).receiver.onSent(7);
  assert.equal(given(), 107);
});

test('credit is never more than what came, whatever is sent, refused and sent again', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('data' as const), count: fc.nat(500) }),
    fc.record({ kind: fc.constant('sent' as const), count: fc.nat(500) }),
    fc.record({ kind: fc.constant('refused' as const), count: fc.constant(0) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const rig = new CallRig({ method: 'POST', end: false, connections: 4 }).send();
      let attempt = 0;
      let sent = 0;
      let most = 0;
      for (const { kind, count } of steps) {
        if (kind === 'data') rig.call.onData(Buffer.alloc(count), false);
        else if (kind === 'refused' && attempt < 3) {
          rig.attempt(attempt).receiver.onReset(refusedStream);
          attempt += 1;
          sent = 0;
        } else if (kind === 'sent') {
          const leaves = Math.min(count, rig.call.bytesIn - sent);
          sent += leaves;
          most = Math.max(most, sent);
          rig.attempt(attempt).receiver.onSent(leaves);
        }
        const given = rig.stream.credits.reduce((sum, each) => sum + each, 0);
        assert.equal(given, most);
        assert.equal(rig.attempt(attempt).text.length, rig.call.bytesIn, 'each attempt has all of the body');
      }
    }),
  );
});

test('without a connection a call waits and keeps its body, and goes when there is one', () => {
  const rig = new CallRig({ method: 'POST', end: false, connections: 0, waits: true }).send();
  rig.call.onData(bytes('ab'), false);
  rig.call.onData(bytes('c'), true);
  assert.equal(rig.destination.waiters.length, 1);
  rig.call.onConnection();
  assert.equal(rig.destination.waiters.length, 2, 'there was none after all');
  const { connections } = new CallRig().destination;
  rig.destination.connections = connections;
  rig.call.onConnection();
  assert.deepEqual(rig.attempt().log, ['write 2', 'write 1', 'finish']);
  assert.equal(rig.attempt().end, false);
  rig.attempt().receiver.onResponse({ status: 200, fields: [] }, true);
  assert.deepEqual(outcomeOf(rig), [200, 'permit', undefined]);
});

test('a call that is over waits for no connection any more, however it ended', () => {
  const ways: readonly ((rig: CallRig) => void)[] = [
    ({ call }) => call.onReset(),
    ({ call }) => call.cut('denied-by-export'),
    ({ clock }) => clock.advance(1_100),
  ];
  for (const end of ways) {
    const rig = new CallRig({ connections: 0, waits: true, limitMs: 1_000 }).send();
    assert.equal(rig.destination.waiters.length, 1);
    end(rig);
    assert.equal(rig.destination.waiters.length, 0);
  }
});

test('an empty body that ended while the call waited leaves as no body', () => {
  const rig = new CallRig({ method: 'POST', end: false, connections: 0, waits: true }).send();
  rig.call.onData(bytes(''), true);
  rig.destination.connections = new CallRig().destination.connections;
  rig.call.onConnection();
  assert.deepEqual([rig.attempt().end, rig.attempt().log], [true, []]);
});

test('a caller that waits for leave to send its body gets it once there is a connection, not before', () => {
  const rig = new CallRig({ method: 'POST', end: false, connections: 0, waits: true }).send();
  assert.deepEqual(rig.stream.credits, []);
  rig.destination.connections = new CallRig().destination.connections;
  rig.call.onConnection();
  assert.deepEqual(rig.stream.credits, [0]);
});

test('no connection, now or after waiting, is a refusal that says so', () => {
  assert.deepEqual(outcomeOf(new CallRig({ connections: 0 }).send()), [503, 'error', 'peer-unavailable']);
  const rig = new CallRig({ connections: 0, waits: true }).send();
  rig.call.onUnreachable();
  rig.call.onUnreachable();
  assert.deepEqual(outcomeOf(rig), [503, 'error', 'peer-unavailable']);
});

test('connections that take nothing, or fail under the head, are passed over', () => {
  const rig = new CallRig({ connections: 3 });
  const [closing, failing] = rig.destination.connections;
  if (closing !== undefined) closing.usable = false;
  if (failing !== undefined) failing.failing = refusedStream;
  rig.send();
  assert.deepEqual(
    rig.destination.connections.map(({ attempts }) => attempts.length),
    [0, 1, 1],
  );
  rig.call.onReset();
  assert.deepEqual(rig.attempt(2).log, [`reset ${cancel}`], 'the one that is under way is the last');
  assert.deepEqual(rig.attempt(1).log, []);
  assert.deepEqual(outcomeOf(rig), [499, 'error', 'caller-gone']);
});

test('a connection that breaks under the head refuses the call where it cannot be sent again', () => {
  const rig = new CallRig({ method: 'POST', connections: 2 });
  for (const connection of rig.destination.connections) connection.failing = internalError;
  rig.send();
  assert.equal(rig.attempts.length, 1);
  assert.deepEqual(outcomeOf(rig), [502, 'error', 'service-failed']);
});

test('a head that the destination’s protocol cannot carry refuses the call, and is tried nowhere else', () => {
  const rig = new CallRig({ end: false, connections: 2 });
  const [first] = rig.destination.connections;
  if (first !== undefined) {
    first.throwing = new JumpgateError('header-malformed', 'expected a head of HTTP/1.1', { source: 'caller' });
  }
  rig.send();
  assert.deepEqual(rig.attempts, []);
  assert.equal(rig.stream.log[0], 'respond 400');
  assert.deepEqual(outcomeOf(rig), [400, 'denial', 'header-malformed']);
});

test('all connections that take nothing are a refusal by the destination, after four', () => {
  const rig = new CallRig({ connections: 9, waits: true });
  for (const connection of rig.destination.connections) connection.usable = false;
  rig.send();
  assert.deepEqual(outcomeOf(rig), [503, 'error', 'service-unavailable']);
  assert.equal(rig.destination.leftMs.length, 4);
});

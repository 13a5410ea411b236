/** How calls end before their time: deadlines, callers that leave, cuts, and reasons of a peer's gateway. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';

import { ERROR_CODE } from '../../gateway/message/error-code.ts';
import { type ResponseReceiver } from '../../gateway/message/stream.ts';
import { fieldsOf, textsOf, type Texts } from '../support/call-heads.ts';
import { CallRig, outcomeOf, recordOf, type RigOptions } from '../support/call-rig.ts';

const { cancel, refusedStream } = ERROR_CODE;
const GRPC: Texts = [['content-type', 'application/grpc']];
const bytes = (text: string): Buffer => Buffer.from(text);

/** What the caller, time and operators do. */
const CALLERS_DEEDS: ReadonlyMap<string, (rig: CallRig) => void> = new Map([
  ['data', (rig: CallRig) => rig.call.onData(bytes('a'), false)],
  ['last data', (rig: CallRig) => rig.call.onData(bytes('b'), true)],
  ['trailers', (rig: CallRig) => rig.call.onTrailers([])],
  ['caller reset', (rig: CallRig) => rig.call.onReset()],
  ['connection', (rig: CallRig) => (rig.attempts.length === 0 ? rig.call.onConnection() : undefined)],
  ['unreachable', (rig: CallRig) => (rig.attempts.length === 0 ? rig.call.onUnreachable() : undefined)],
  ['cut', (rig: CallRig) => rig.call.cut('draining')],
  ['time', (rig: CallRig) => rig.clock.advance(600)],
]);

type Told = readonly [boolean | undefined, (receiver: ResponseReceiver) => void];

/** What the destination does, and whether that is before or after its answer began. */
const ANSWERS: ReadonlyMap<string, Told> = new Map<string, Told>([
  ['response', [false, (receiver) => receiver.onResponse({ status: 200, fields: [] }, false)]],
  ['whole response', [false, (receiver) => receiver.onResponse({ status: 200, fields: [] }, true)]],
  ['answer data', [true, (receiver) => receiver.onData(bytes('c'), false)]],
  ['answer end', [true, (receiver) => receiver.onData(bytes('d'), true)]],
  ['answer trailers', [true, (receiver) => receiver.onTrailers([])]],
  ['refused', [undefined, (receiver) => receiver.onReset(refusedStream)]],
  ['broken', [undefined, (receiver) => receiver.onReset(cancel)]],
]);

test('a deadline before the answer is a refusal, over HTTP and gRPC', () => {
  for (const fields of [[], GRPC]) {
    const rig = new CallRig({ method: 'POST', end: false, fields, limitMs: 1000 }).send();
    // Bytes that the service does not take: while the caller is waited for no time of the service runs over HTTP.
    rig.call.onData(bytes('a'), false);
    rig.clock.advance(999);
    assert.equal(rig.recorded.length, 0);
    rig.clock.advance(33);
    assert.deepEqual(rig.attempt().log.at(-1), `reset ${cancel}`);
    assert.equal(rig.stream.log[0], fields.length === 0 ? 'respond 504' : 'respond 200 end');
    assert.equal(rig.stream.log.at(-1), 'unwanted');
    assert.deepEqual(outcomeOf(rig), [fields.length === 0 ? 504 : 200, 'error', 'deadline']);
    assert.equal(rig.recorded[0]?.grpcStatus, fields.length === 0 ? -1 : 4);
    rig.attempt().receiver.onResponse({ status: 200, fields: [] }, true);
    assert.equal(rig.recorded.length, 1);
  }
});

test('an HTTP answer that began may take as long as it likes, a gRPC call may not', () => {
  const http = new CallRig({ limitMs: 1000 }).send();
  http.attempt().receiver.onResponse({ status: 200, fields: [] }, false);
  http.clock.advance(100_000);
  assert.equal(http.recorded.length, 0);
  http.attempt().receiver.onData(bytes('a'), true);
  assert.deepEqual(outcomeOf(http), [200, 'permit', undefined]);
  for (const end of [true, false]) {
    const grpc = new CallRig({ method: 'POST', end, fields: GRPC, limitMs: 1000 }).send();
    grpc.attempt().receiver.onResponse({ status: 200, fields: [] }, false);
    grpc.clock.advance(1032);
    assert.deepEqual(grpc.attempt().log, [`reset ${cancel}`]);
    assert.deepEqual(grpc.stream.log, ['respond 200', 'finish', ...(end ? [] : ['unwanted'])]);
    assert.deepEqual(textsOf(grpc.stream.trailers[0] ?? []), [
      ['grpc-status', '4'],
      ['grpc-message', 'deadline'],
    ]);
    assert.deepEqual(outcomeOf(grpc), [200, 'error', 'deadline']);
    assert.equal(grpc.recorded[0]?.grpcStatus, 4);
  }
});

test('a deadline holds while a call waits, and what is left of it shrinks with each attempt', () => {
  const waiting = new CallRig({ connections: 0, waits: true, limitMs: 1000 }).send();
  waiting.clock.advance(1032);
  assert.deepEqual(outcomeOf(waiting), [504, 'error', 'deadline']);
  const { length } = waiting.stream.log;
  waiting.destination.connections = new CallRig().destination.connections;
  waiting.call.onConnection();
  assert.deepEqual([waiting.attempts, waiting.stream.log.length], [[], length]);
  const rig = new CallRig({ connections: 2, limitMs: 1000 }).send();
  rig.clock.advance(300);
  rig.attempt(0).receiver.onReset(refusedStream);
  assert.deepEqual(rig.destination.leftMs, [1000, 700]);
  assert.deepEqual(new CallRig().send().destination.leftMs, [Infinity]);
});

test('a caller that goes away ends the call at the destination, answered or not', () => {
  const before = new CallRig({ end: false }).send();
  before.call.onReset();
  assert.deepEqual(before.attempt().log, [`reset ${cancel}`]);
  assert.deepEqual(before.stream.log, []);
  assert.deepEqual(outcomeOf(before), [499, 'error', 'caller-gone']);
  const after = new CallRig().send();
  after.attempt().receiver.onResponse({ status: 206, fields: [] }, false);
  after.call.onReset();
  assert.deepEqual(after.attempt().log, [`reset ${cancel}`]);
  assert.deepEqual(outcomeOf(after), [206, 'error', 'caller-gone']);
  const waiting = new CallRig({ connections: 0, waits: true }).send();
  waiting.call.onReset();
  assert.deepEqual(outcomeOf(waiting), [499, 'error', 'caller-gone']);
});

test('a complete answer that comes early takes no more of the request', () => {
  for (const [respond, last] of [
    ['head', 'respond 200 end'],
    ['data', 'write 1 end'],
    ['trailers', 'finish'],
  ] as const) {
    const rig = new CallRig({ method: 'POST', end: false }).send();
    const { receiver, log } = rig.attempt();
    rig.call.onData(bytes('a'), false);
    receiver.onResponse({ status: 200, fields: [] }, respond === 'head');
    if (respond === 'data') receiver.onData(bytes('b'), true);
    if (respond === 'trailers') receiver.onTrailers([]);
    assert.deepEqual(log, ['write 1', `reset ${cancel}`]);
    assert.deepEqual(rig.stream.log.slice(-2), [last, 'unwanted']);
    rig.call.onData(bytes('c'), false);
    assert.deepEqual(log, ['write 1', `reset ${cancel}`]);
    assert.deepEqual(outcomeOf(rig), [200, 'permit', undefined]);
  }
});

test('a call that is cut is refused before its answer, and broken off after it began', () => {
  const before = new CallRig({ end: false }).send();
  before.call.cut('draining');
  before.call.cut('draining');
  assert.deepEqual(before.attempt().log, [`reset ${cancel}`]);
  assert.equal(before.stream.log[0], 'respond 503');
  assert.deepEqual(outcomeOf(before), [503, 'denial', 'draining']);
  const after = new CallRig().send();
  after.attempt().receiver.onResponse({ status: 200, fields: [] }, false);
  after.call.cut('link-failed');
  assert.deepEqual(after.stream.log, ['respond 200', `reset ${cancel}`]);
  assert.deepEqual(after.attempt().log, [`reset ${cancel}`]);
  assert.deepEqual(outcomeOf(after), [200, 'error', 'link-failed']);
  const waiting = new CallRig({ connections: 0, waits: true }).send();
  assert.equal(
    waiting.live.cut(() => true, 'draining'),
    1,
  );
  assert.deepEqual(outcomeOf(waiting), [503, 'denial', 'draining']);
});

const REASON: Texts = [
  ['content-type', 'text/plain'],
  ['jumpgate-reason', 'denied-by-export'],
];

test('the reason of a peer’s gateway is passed to the trusted and recorded', () => {
  const rig = new CallRig({ gateway: true }).send();
  rig.attempt().receiver.onResponse({ status: 403, fields: fieldsOf(REASON) }, true);
  assert.deepEqual(textsOf(rig.stream.heads[0]?.fields ?? []), REASON);
  assert.deepEqual(outcomeOf(rig), [403, 'denial', 'denied-by-export']);
});

test('the reason of a peer’s gateway is hidden from strangers, with all that came with it', () => {
  for (const fields of [[], GRPC]) {
    const rig = new CallRig({ gateway: true, audience: 'stranger', method: 'POST', fields }).send();
    const told = fieldsOf([...REASON, ['x-secret', 'of the mesh']]);
    rig.attempt().receiver.onResponse({ status: 403, fields: told }, false);
    rig.attempt().receiver.onData(bytes('denied-by-export: ...'), true);
    assert.deepEqual(rig.attempt().log, [`reset ${cancel}`]);
    const names = textsOf(rig.stream.heads[0]?.fields ?? []).map(([name]) => name);
    assert.ok(!names.includes('x-secret') && !names.includes('jumpgate-reason'));
    assert.equal(rig.stream.text, fields.length === 0 ? 'refused\n' : '');
    assert.deepEqual(outcomeOf(rig), [fields.length === 0 ? 403 : 200, 'denial', 'denied-by-export']);
  }
});

test('a reason is believed of gateways only, and only when it is one that we know', () => {
  const cases: readonly (readonly [RigOptions, Texts])[] = [
    [{}, REASON],
    [{ audience: 'stranger' }, REASON],
    [{ gateway: true }, [['jumpgate-reason', 'constructor']]],
    [{ gateway: true, audience: 'stranger' }, [['jumpgate-reason', 'x']]],
    [{ gateway: true }, [...REASON, ...REASON]],
  ];
  for (const [options, fields] of cases) {
    const rig = new CallRig(options).send();
    rig.attempt().receiver.onResponse({ status: 403, fields: fieldsOf(fields) }, true);
    assert.ok(!textsOf(rig.stream.heads[0]?.fields ?? []).some(([name]) => name === 'jumpgate-reason'));
    assert.deepEqual(rig.stream.log, ['respond 403 end']);
    assert.deepEqual(outcomeOf(rig), [403, 'permit', undefined]);
  }
});

test('whatever either end does in whatever order, a call that ended is recorded once and says no more', () => {
  const event = fc.constantFrom(...CALLERS_DEEDS.keys(), ...ANSWERS.keys());
  fc.assert(
    fc.property(fc.array(event, { maxLength: 20 }), fc.boolean(), fc.boolean(), (events, isGrpc, waits) => {
      const fields = isGrpc ? GRPC : [];
      const rig = new CallRig({ method: 'GET', end: false, fields, limitMs: 1000, connections: waits ? 0 : 3, waits });
      rig.send();
      for (const each of events) {
        const isOver = rig.recorded.length > 0;
        const said = rig.stream.log.length;
        CALLERS_DEEDS.get(each)?.(rig);
        const begun = rig.stream.log.some((line) => line.startsWith('respond'));
        const receiver = rig.attempts.at(-1)?.receiver;
        // An engine tells nothing of an exchange that is over, and begins an answer once.
        const [whenBegun, answer] = ANSWERS.get(each) ?? [];
        if (!isOver && receiver !== undefined && (whenBegun ?? begun) === begun) answer?.(receiver);
        if (isOver) assert.equal(rig.stream.log.length, said, `${each} was answered after the end`);
        assert.ok(rig.recorded.length <= 1);
        assert.equal(rig.live.size, 1 - rig.recorded.length);
      }
      assert.ok(rig.stream.log.filter((line) => line.startsWith('respond')).length <= 1);
      rig.call.cut('draining');
      recordOf(rig);
    }),
    { numRuns: 500 },
  );
});

/** Who is late in a call, and when: the sender of a body, the destination, or neither. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Texts } from '../support/call-heads.ts';
import { CallRig, outcomeOf, type RigOptions } from '../support/call-rig.ts';

/** Lateness of the wheel, with each look that is made on the way. */
const SLACK_MS = 200;
const STALL_MS = 30_000;
const RULE = { bodyBytes: 15_000, bodyStallMs: STALL_MS };
const GRPC: Texts = [['content-type', 'application/grpc']];

function upload(options: RigOptions = {}): CallRig {
  return new CallRig({ method: 'POST', end: false, limitMs: 15_000, limits: RULE, ...options }).send();
}

/** The caller sends, and the service takes it at once. */
function move(rig: CallRig, bytes: number, end = false): void {
  rig.call.onData(Buffer.alloc(bytes), end);
  rig.attempt().receiver.onSent(bytes);
}

test('a body that brings less than its least in the time is refused, at the least and above it goes on', () => {
  for (const bytes of [14_999, 15_000, 15_001]) {
    const rig = upload();
    move(rig, bytes);
    rig.clock.advance(STALL_MS - 1);
    assert.equal(rig.recorded.length, 0);
    rig.clock.advance(SLACK_MS);
    if (bytes >= 15_000) {
      assert.equal(rig.recorded.length, 0, `${bytes} bytes`);
      rig.clock.advance(STALL_MS + SLACK_MS);
    }
    assert.deepEqual(outcomeOf(rig), [408, 'denial', 'limit-body-rate'], `${bytes} bytes`);
    assert.match(rig.stream.text, /^limit-body-rate: .* less than 15000 bytes in 30000 ms\n$/);
    assert.equal(rig.stream.log.at(-1), 'unwanted');
    assert.equal(rig.attempt().log.at(-1), 'reset 8');
  }
});

test('an upload of minutes is not cut by the deadline, which begins when it is complete', () => {
  const rig = upload();
  for (let second = 0; second < 300; second += 1) {
    move(rig, 500);
    rig.clock.advance(1_000);
  }
  assert.equal(rig.recorded.length, 0);
  move(rig, 1, true);
  rig.clock.advance(14_999);
  assert.equal(rig.recorded.length, 0);
  rig.clock.advance(SLACK_MS);
  assert.deepEqual(outcomeOf(rig), [504, 'error', 'deadline']);
});

test('while the service takes nothing the sender is not slow, and the deadline runs from the last that it took', () => {
  const rig = upload();
  move(rig, 100);
  rig.call.onData(Buffer.alloc(50_000), false);
  rig.clock.advance(10_000);
  rig.attempt().receiver.onSent(10);
  rig.clock.advance(14_000);
  assert.equal(rig.recorded.length, 0);
  rig.clock.advance(5_000 + SLACK_MS);
  assert.deepEqual(outcomeOf(rig), [504, 'error', 'deadline']);
});

test('a sender that was kept waiting has its whole time again', () => {
  const rig = upload({ limitMs: Infinity });
  rig.call.onData(Buffer.alloc(1), false);
  rig.clock.advance(10 * STALL_MS);
  assert.equal(rig.recorded.length, 0);
  rig.attempt().receiver.onSent(1);
  rig.clock.advance(STALL_MS - STALL_MS / 4 - SLACK_MS);
  assert.equal(rig.recorded.length, 0);
  rig.clock.advance(STALL_MS / 4 + 2 * SLACK_MS);
  assert.deepEqual(outcomeOf(rig), [408, 'denial', 'limit-body-rate']);
});

test('a body whose last bytes the service has yet to take is not complete', () => {
  const rig = upload();
  rig.call.onData(Buffer.alloc(50_000), true);
  for (let second = 0; second < 60; second += 1) {
    rig.clock.advance(1_000);
    rig.attempt().receiver.onSent(100);
  }
  assert.equal(rig.recorded.length, 0);
  rig.attempt().receiver.onSent(44_000);
  rig.clock.advance(14_999);
  assert.equal(rig.recorded.length, 0);
  rig.clock.advance(SLACK_MS);
  assert.deepEqual(outcomeOf(rig), [504, 'error', 'deadline']);
});

test('gRPC, a WebSocket, a call whose answer has begun and one without the rule may be silent', () => {
  const silent: readonly RigOptions[] = [
    { fields: GRPC, limitMs: Infinity },
    { method: 'CONNECT', protocol: 'websocket', limitMs: Infinity },
    { limits: { bodyBytes: 0, bodyStallMs: STALL_MS } },
    {},
  ];
  for (const [index, options] of silent.entries()) {
    const rig = upload(options);
    if (index % 2 === 1) rig.attempt().receiver.onResponse({ status: 200, fields: [] }, false);
    rig.clock.advance(100 * STALL_MS);
    assert.equal(rig.recorded.length, 0, JSON.stringify(options));
    rig.call.onReset();
    assert.equal(rig.clock.pending > 1, false);
  }
});

test('a call without a body has its deadline from its start, and what is left of it is told to the next', () => {
  const rig = new CallRig({ limitMs: 15_000, limits: RULE }).send();
  assert.deepEqual(rig.destination.leftMs, [15_000]);
  rig.clock.advance(14_999);
  assert.equal(rig.recorded.length, 0);
  rig.clock.advance(33);
  assert.deepEqual(outcomeOf(rig), [504, 'error', 'deadline']);
});

test('the next gateway has the whole limit for a call whose body is still to come', () => {
  const rig = upload({ waits: true, connections: 0 });
  rig.clock.advance(3_000);
  assert.equal(rig.call.leftMs(), 15_000);
  rig.call.onData(Buffer.alloc(0), true);
  rig.clock.advance(1_000);
  assert.equal(rig.call.leftMs(), 14_000);
  rig.clock.advance(14_000 + SLACK_MS);
  assert.deepEqual(outcomeOf(rig), [504, 'error', 'deadline']);
});

test('a WebSocket in which nothing moves for its limit ends, and movement either way keeps it', () => {
  const limits = { tunnelIdleMs: 60_000 };
  const open = (): CallRig => {
    const rig = upload({ method: 'CONNECT', protocol: 'websocket', limitMs: 15_000, limits });
    rig.attempt().receiver.onResponse({ status: 200, fields: [] }, false);
    return rig;
  };
  const still = open();
  still.clock.advance(59_999);
  assert.equal(still.recorded.length, 0);
  still.clock.advance(SLACK_MS);
  assert.deepEqual(outcomeOf(still), [200, 'error', 'limit-tunnel-idle']);
  assert.equal(still.stream.log.at(-1), 'reset 8');
  assert.equal(still.attempt().log.at(-1), 'reset 8');
  const moving = open();
  for (let count = 0; count < 10; count += 1) {
    moving.clock.advance(30_000);
    if (count % 2 === 0) move(moving, 1);
    else moving.attempt().receiver.onData(Buffer.alloc(1), false);
  }
  assert.equal(moving.recorded.length, 0);
  moving.clock.advance(60_000 + 15_000 + SLACK_MS);
  assert.deepEqual(outcomeOf(moving), [200, 'error', 'limit-tunnel-idle']);
});

/** When a start lets connections in. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { StartGate } from '../../gateway/process/start-gate.ts';
import { ManualClock } from '../support/manual-clock.ts';

function rig() {
  const clock = new ManualClock();
  const heldBack = new Set<string>();
  const handover = {
    hold: (kind: string) => void heldBack.add(kind),
    release: (kind: string) => void heldBack.delete(kind),
  };
  const gate = new StartGate({ handover, clock });
  return { clock, gate, waiting: () => [...heldBack].toSorted() };
}

test('links are let in when every worker is ready, callers when calls can be carried as well', () => {
  const { clock, gate, waiting } = rig();
  gate.workerReady(false);
  assert.deepEqual(waiting(), ['calls', 'workers']);
  gate.workerReady(true);
  assert.deepEqual(waiting(), ['calls']);
  gate.callsCanBeCarried();
  assert.deepEqual(waiting(), []);
  assert.equal(clock.pending, 0);
});

test('calls that can be carried wait for the last worker, and a worker that is replaced shuts nothing again', () => {
  const { clock, gate, waiting } = rig();
  gate.callsCanBeCarried();
  gate.workerReady(false);
  assert.deepEqual(waiting(), ['calls', 'workers']);
  gate.workerReady(true);
  assert.deepEqual(waiting(), []);
  gate.workerReady(false);
  gate.workerReady(true);
  assert.deepEqual(waiting(), []);
  assert.equal(clock.pending, 0);
});

test('nothing waits longer than 3 s after the first worker, whatever is missing', () => {
  for (const all of [false, true]) {
    const { clock, gate, waiting } = rig();
    clock.advance(60_000);
    assert.deepEqual(waiting(), ['calls', 'workers'], 'there is nobody yet who could take it');
    gate.workerReady(all);
    clock.advance(2_999);
    assert.ok(waiting().includes('calls'));
    clock.advance(1);
    assert.deepEqual(waiting(), []);
    gate.callsCanBeCarried();
    gate.workerReady(true);
    assert.deepEqual([waiting(), clock.pending], [[], 0]);
  }
});

test('whoever stops lets everything in, so that nobody who waits is lost', () => {
  const { clock, gate, waiting } = rig();
  gate.workerReady(false);
  gate.open();
  assert.deepEqual([waiting(), clock.pending], [[], 0]);
});

/** Readiness and draining. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { silentLog } from '../../base/log.ts';
import { type Drainable, Lifecycle, type LifecycleState } from '../../gateway/process/lifecycle.ts';
import { ManualClock } from '../support/manual-clock.ts';

function rig() {
  const clock = new ManualClock();
  const lifecycle = new Lifecycle({ clock, log: silentLog });
  const states: LifecycleState[] = [];
  lifecycle.watch((state) => states.push(state));
  return { clock, lifecycle, states };
}

function part(name: string, done: string[], drain: Drainable['drain'] = async () => undefined): Drainable {
  return {
    stopAccepting: async () => void done.push(`${name} stops`),
    drain: async (signal) => {
      await drain(signal);
      done.push(`${name} drained`);
    },
    destroy: () => void done.push(`${name} destroyed`),
  };
}

test('ready means that no task is pending, whatever the order of their ends', () => {
  const { lifecycle, states } = rig();
  const config = lifecycle.begin('config');
  const listener = lifecycle.begin('listener');
  const other = lifecycle.begin('listener');
  assert.deepEqual([lifecycle.state, lifecycle.pending], ['starting', ['config', 'listener', 'listener']]);
  listener[Symbol.dispose]();
  listener[Symbol.dispose]();
  config[Symbol.dispose]();
  assert.deepEqual(lifecycle.pending, ['listener']);
  other[Symbol.dispose]();
  assert.equal(lifecycle.state, 'ready');
  assert.deepEqual(states, ['starting', 'ready']);
});

test('shutdown turns readiness off first, then stops, drains and destroys every part', async () => {
  const { lifecycle, states } = rig();
  const done: string[] = [];
  lifecycle.register('jump', part('jump', done));
  const gone = lifecycle.register('gone', part('gone', done));
  gone[Symbol.dispose]();
  const result = await lifecycle.shutdown({ deadlineMs: 1000 });
  assert.deepEqual(result, { forced: [] });
  assert.deepEqual(done, ['jump stops', 'jump drained', 'jump destroyed']);
  assert.deepEqual(states, ['draining', 'stopped']);
});

test('what is not drained at the deadline is cut and named; the others are not', async () => {
  const { clock, lifecycle } = rig();
  const done: string[] = [];
  lifecycle.register(
    'slow',
    part('slow', done, () => new Promise(() => undefined)),
  );
  lifecycle.register('fast', part('fast', done));
  const ended = lifecycle.shutdown({ deadlineMs: 1000 });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(lifecycle.state, 'draining');
  clock.advance(999);
  assert.ok(!done.includes('slow destroyed'));
  clock.advance(1);
  assert.deepEqual(await ended, { forced: ['slow'] });
  assert.ok(done.includes('fast drained') && done.includes('slow destroyed') && !done.includes('slow drained'));
  assert.equal(clock.pending, 0);
});

test('a part that fails to drain is destroyed and named, and does not keep the others from draining', async () => {
  const { lifecycle } = rig();
  const done: string[] = [];
  lifecycle.register(
    'broken',
    part('broken', done, () => Promise.reject(new Error('broken'))),
  );
  lifecycle.register('whole', part('whole', done));
  assert.deepEqual(await lifecycle.shutdown({ deadlineMs: 1000 }), { forced: ['broken'] });
  assert.ok(done.includes('broken destroyed') && done.includes('whole drained'));
});

test('a second shutdown is the first one, and a part that comes during it is told to stop', async () => {
  const { lifecycle } = rig();
  const done: string[] = [];
  lifecycle.register('jump', part('jump', done));
  const first = lifecycle.shutdown({ deadlineMs: 1000 });
  lifecycle.register('late', part('late', done));
  assert.deepEqual(await lifecycle.shutdown({ deadlineMs: 1 }), await first);
  assert.ok(done.includes('late stops'));
  assert.equal(done.filter((what) => what === 'jump stops').length, 1);
});

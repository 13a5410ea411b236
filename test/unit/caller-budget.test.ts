/** What one caller may cost the links to a peer: at the limit and one to either side, in time, and in bounded memory. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { silentLog } from '../../base/log.ts';
import { ReplaceableSnapshot } from '../../federation/snapshot/source.ts';
import { BudgetHandle, type CallerBudget, endOfReset } from '../../gateway/forward/caller-budget.ts';
import { LiveCalls } from '../../gateway/forward/live-calls.ts';
import { createCallBudgets } from '../../gateway/process/call-budgets.ts';
import { CallRig, outcomeOf } from '../support/call-rig.ts';
import { testBudgets } from '../support/caller-budgets.ts';
import { usSnapshot } from '../support/forward-snapshots.ts';

const RESETS = 10;
const CALLERS_MAX = 10_000;

function begun(budget: CallerBudget, count: number, nowMs: number): void {
  for (let each = 0; each < count; each += 1) assert.equal(budget.enter(nowMs), undefined);
}

function givenUp(budget: CallerBudget, count: number, nowMs: number): void {
  for (let each = 0; each < count; each += 1) budget.leave(nowMs, nowMs, 'given-up');
}

test('a caller may have as many calls at once as its share, and the next when one has ended', () => {
  const { budgets } = testBudgets({ streamsMax: 3 });
  const budget = budgets.of('eu', 'a', 0);
  begun(budget, 3, 0);
  assert.equal(budget.enter(0), 'limit-caller-streams');
  assert.equal(budgets.of('eu', 'b', 0).enter(0), undefined, 'another caller has its own');
  assert.equal(budgets.of('other', 'a', 0).enter(0), undefined, 'links to another peer are others');
  budget.leave(0, 0, 'done');
  assert.equal(budget.enter(0), undefined);
  assert.equal(budget.enter(0), 'limit-caller-streams');
});

test('a caller that gives up more than the limit is refused for ten seconds, told of once, and then begins anew', () => {
  const { budgets, floods } = testBudgets({ resetsMax: RESETS });
  const budget = budgets.of('eu', 'a', 0);
  begun(budget, RESETS + 5, 0);
  givenUp(budget, RESETS, 0);
  assert.equal(budget.enter(0), undefined, 'at the limit');
  givenUp(budget, 1, 0);
  assert.equal(budget.enter(0), 'limit-caller-resets', 'one above');
  givenUp(budget, 5, 0);
  assert.deepEqual(floods, ['a at eu']);
  assert.equal(budget.enter(9_999), 'limit-caller-resets');
  assert.equal(budget.enter(10_000), undefined);
  budget.leave(10_000, 10_000, 'given-up');
  assert.equal(budget.enter(10_000), undefined, 'what was before does not count');
});

test('a name that many share is refused for nothing that one of them gives up, and the flood is told of once', () => {
  const { budgets, floods } = testBudgets({ resetsMax: RESETS, streamsMax: 3 * RESETS });
  const budget = budgets.of('eu', 'everybody', 0);
  begun(budget, 3 * RESETS, 0);
  assert.equal(budget.enter(0), 'limit-caller-streams', 'its share of a link is one all the same');
  givenUp(budget, 3 * RESETS, 0);
  assert.deepEqual(floods, ['everybody at eu']);
  begun(budget, 1, 0);
});

test('calls given up are no flood as long as they are no more than a fifth of those begun', () => {
  const { budgets, floods } = testBudgets({ resetsMax: RESETS });
  const budget = budgets.of('eu', 'a', 0);
  begun(budget, 5 * 2 * RESETS, 0);
  givenUp(budget, 2 * RESETS, 0);
  assert.deepEqual(floods, []);
  givenUp(budget, 1, 0);
  assert.deepEqual(floods, ['a at eu']);
});

test('what was given up more than ten seconds ago does not count', () => {
  const { budgets, floods } = testBudgets({ resetsMax: RESETS });
  const budget = budgets.of('eu', 'a', 0);
  begun(budget, RESETS, 0);
  givenUp(budget, RESETS, 0);
  begun(budget, RESETS, 10_000);
  givenUp(budget, RESETS, 10_000);
  assert.deepEqual(floods, []);
  begun(budget, 1, 14_999);
  givenUp(budget, 1, 14_999);
  assert.deepEqual(floods, ['a at eu'], 'within ten seconds it does');
});

test('long calls that end together are no flood, nor are calls that end well, nor what a lost link takes with it', () => {
  const { budgets, floods } = testBudgets({ resetsMax: RESETS }, false);
  const budget = budgets.of('eu', 'a', 0);
  begun(budget, 4 * RESETS, 0);
  for (let each = 0; each < RESETS + 1; each += 1) budget.leave(10_000, 0, 'given-up');
  for (let each = 0; each < RESETS + 1; each += 1) budget.leave(10_000, 9_000, 'done');
  for (let each = 0; each < RESETS + 1; each += 1) budget.leave(10_000, 9_000, 'lost');
  assert.deepEqual(floods, []);
  assert.deepEqual([endOfReset({ isLost: true }, Infinity), endOfReset({}, Infinity)], ['lost', 'given-up']);
  assert.deepEqual([endOfReset({ isLost: false }, 51), endOfReset({ isLost: false }, 50)], ['given-up', 'done']);
});

test('a caller that hangs up with its own connection has given its calls up', () => {
  const { budgets, floods } = testBudgets({ resetsMax: RESETS });
  const budget = budgets.of('eu', 'a', 0);
  begun(budget, RESETS + 1, 0);
  for (let each = 0; each < RESETS + 1; each += 1) budget.leave(0, 0, 'lost');
  assert.deepEqual(floods, ['a at eu']);
});

test('budgets are bounded: idle ones make room, and callers beyond share one', () => {
  const { budgets } = testBudgets({ streamsMax: 1 });
  const busy = budgets.of('eu', 'busy', 0);
  begun(busy, 1, 0);
  for (let each = 1; each < CALLERS_MAX; each += 1) begun(budgets.of('eu', `c${each}`, 0), 1, 0);
  assert.equal(budgets.size, CALLERS_MAX);
  begun(budgets.of('eu', 'one more', 0), 1, 0);
  assert.equal(budgets.of('eu', 'and another', 0).enter(0), 'limit-caller-streams', 'they share');
  assert.equal(budgets.of('other', 'and another', 0).enter(0), undefined, 'nobody else does');
  for (let each = 1; each < CALLERS_MAX; each += 1) budgets.of('eu', `c${each}`, 0).leave(0, 0, 'done');
  begun(budgets.of('eu', 'later', 20_000), 1, 20_000);
  assert.equal(budgets.size, 3, 'the busy one, the later one, and that of the other peer');
  assert.equal(budgets.of('eu', 'busy', 20_000), busy);
  budgets.keep(new Map([['eu', true]]));
  assert.equal(budgets.size, 2, 'peers that are gone are forgotten');
});

test('a caller that was forgotten while idle has one budget again wherever it is kept', () => {
  const { budgets } = testBudgets({ streamsMax: 1 });
  const [one, two] = [new BudgetHandle(budgets, 'eu', 'a'), new BudgetHandle(budgets, 'eu', 'a')];
  assert.equal(one.at(0), two.at(0));
  budgets.keep(new Map());
  assert.equal(one.at(0), two.at(0));
  assert.equal(one.at(0).enter(0), undefined);
  assert.equal(two.at(0).enter(0), 'limit-caller-streams');
});

test('a call above its caller’s share is refused as such, and nothing of it is sent', () => {
  const { budgets } = testBudgets({ streamsMax: 1 });
  const first = new CallRig({ budgets }).send();
  const second = new CallRig({ budgets }).send();
  assert.equal(second.attempts.length, 0);
  assert.deepEqual(outcomeOf(second), [429, 'denial', 'limit-caller-streams']);
  first.attempt().receiver.onResponse({ status: 200, fields: [] }, true);
  assert.deepEqual(outcomeOf(first), [200, 'permit', undefined]);
  const third = new CallRig({ budgets }).send();
  assert.equal(third.attempts.length, 1, 'the first has left room');
  third.call.onReset();
});

test('a call whose deadline may have passed at the gateway before was not given up, however late its body ended', () => {
  for (const [atMs, expected] of [
    [949, ['caller at eu']],
    [950, []],
    [1_100, []],
  ] as const) {
    const { budgets, floods } = testBudgets({ resetsMax: 0, resetShareMax: 0 });
    const rig = new CallRig({ budgets, limitMs: 1_000, method: 'POST', end: false }).send();
    rig.clock.advance(900);
    rig.call.onData(Buffer.alloc(10), true);
    rig.attempt().receiver.onSent(10);
    rig.clock.advance(atMs - 900);
    rig.call.onReset();
    assert.equal(rig.recorded[0]?.reason, 'caller-gone');
    assert.deepEqual(floods, expected, `${atMs} ms`);
  }
});

test('a caller’s share is half of the streams that a link carries by the limits of now, and of one it is one', () => {
  const snapshot = usSnapshot([]);
  const of = (linkStreams: number) => ({ ...snapshot, limits: { ...snapshot.limits, linkStreams } });
  const snapshots = new ReplaceableSnapshot(of(10));
  using budgets = createCallBudgets({ snapshots, live: new LiveCalls(), log: silentLog });
  const room = (): number => {
    const budget = budgets.outbound.of('eu', 'a', 0);
    let count = 0;
    while (budget.enter(0) === undefined) count += 1;
    for (let each = 0; each < count; each += 1) budget.leave(0, 0, 'done');
    return count;
  };
  for (const [linkStreams, expected] of [
    [10, 5],
    [21, 10],
    [1, 1],
  ] as const) {
    snapshots.replace(of(linkStreams));
    assert.equal(room(), expected, `linkStreams ${linkStreams}`);
  }
});

test('a caller that hangs up or lets its own deadline pass gives up, one whose service is slow or fails does not', () => {
  const { budgets, floods } = testBudgets({ resetsMax: 0, resetShareMax: 0 });
  const slow = new CallRig({ budgets, limitMs: 100 }).send();
  slow.clock.advance(200);
  assert.deepEqual(outcomeOf(slow), [504, 'error', 'deadline']);
  const failed = new CallRig({ budgets }).send();
  failed.attempt().receiver.onReset(2);
  assert.deepEqual(outcomeOf(failed), [502, 'error', 'service-failed']);
  const done = new CallRig({ budgets }).send();
  done.attempt().receiver.onResponse({ status: 200, fields: [] }, true);
  assert.deepEqual(floods, []);
  const gone = new CallRig({ budgets }).send();
  gone.call.onReset();
  assert.deepEqual(floods, ['caller at eu']);
  const { budgets: others, floods: late } = testBudgets({ resetsMax: 0, resetShareMax: 0 });
  const grpc = [['content-type', 'application/grpc']] as const;
  const impatient = new CallRig({ budgets: others, limitMs: 1, method: 'POST', fields: grpc }).send();
  impatient.clock.advance(100);
  assert.equal(impatient.recorded[0]?.reason, 'deadline');
  assert.deepEqual(late, ['caller at eu']);
});

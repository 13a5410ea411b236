/** Which link is dialled anew so that all workers of a peer have some, and when. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type DialledLink } from '../../gateway/link/dialled-link.ts';
import { LinkPool } from '../../gateway/link/pool.ts';
import { crowdedLink, LinkSpread } from '../../gateway/link/spread.ts';
import { type FakeLink, fakeLink } from '../support/fake-links.ts';
import { ManualClock } from '../support/manual-clock.ts';

const linksTo = (workers: number, ...at: readonly number[]): readonly FakeLink[] =>
  at.map((worker) => fakeLink('eu', 'a', worker, workers));

test('links are crowded when a worker has two more than another of its instance', () => {
  for (const [workers, at, crowded] of [
    [1, [0, 0, 0], undefined],
    [2, [0], undefined],
    [2, [0, 1], undefined],
    [2, [0, 0], 0],
    [2, [1, 1, 0], undefined],
    [2, [1, 1, 0, 1], 1],
    [3, [0, 1], undefined],
    [3, [2, 2], 2],
    [1_024, [7, 7], 7],
  ] as const) {
    assert.equal(crowdedLink(linksTo(workers, ...at))?.worker, crowded, `${at.join()} of ${workers}`);
  }
});

test('the link with the fewest calls goes, each instance counts for itself, and what is leaving does not count', () => {
  const [busy, idle] = linksTo(2, 0, 0);
  assert.ok(busy !== undefined && idle !== undefined);
  busy.streams = 3;
  assert.equal(crowdedLink([busy, idle]), idle);
  assert.equal(crowdedLink([busy, fakeLink('eu', 'b', 0, 2)]), undefined);
  idle.leaving = true;
  assert.equal(crowdedLink([busy, idle]), undefined);
});

function spreading() {
  const clock = new ManualClock();
  const pool = new LinkPool();
  const replaced: DialledLink[] = [];
  const spread = new LinkSpread({ pool, replace: (link) => replaced.push(link), clock, random: () => 0.999_999 });
  return { clock, pool, replaced, spread };
}

test('a crowded link is replaced with back-off until the links are even, and begins anew when they are not again', async () => {
  const { clock, pool, replaced, spread } = spreading();
  const [stays, first, second, third] = linksTo(2, 0, 0, 0, 1);
  assert.ok(stays !== undefined && first !== undefined && second !== undefined && third !== undefined);
  stays.streams = 9;
  const after = (ms: number): number => {
    clock.advance(ms);
    return replaced.length;
  };
  pool.add(stays);
  assert.equal(clock.pending, 0);
  pool.add(first);
  assert.deepEqual([after(499), after(1)], [0, 1]);
  assert.deepEqual([after(998), after(1)], [1, 2], 'it could not be dialled: once more, later');
  // The same worker has got it again.
  first.leaving = true;
  pool.add(second);
  assert.deepEqual([after(1_998), after(1)], [2, 3]);
  assert.deepEqual(replaced, [first, first, second]);
  second.leaving = true;
  pool.add(third);
  assert.equal(after(60_000), 3);
  assert.equal(clock.pending, 0, 'nothing is looked at while they are even');
  third.leaving = true;
  pool.add(fakeLink('eu', 'a', 0, 2));
  assert.deepEqual([after(499), after(1)], [3, 4]);
  spread[Symbol.dispose]();
  assert.equal(clock.pending, 0);
});

test('an address that always leads to one worker is tried once a minute at most', () => {
  const { clock, pool, replaced, spread } = spreading();
  for (const link of linksTo(2, 0, 0)) pool.add(link);
  for (let minute = 0; minute < 60; minute += 1) clock.advance(60_000);
  assert.ok(replaced.length >= 58 && replaced.length <= 70, String(replaced.length));
  spread[Symbol.dispose]();
});

/** Which link takes the next call. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type DialledLink } from '../../gateway/link/dialled-link.ts';
import { LinkPool } from '../../gateway/link/pool.ts';
import { type FakeLink, fakeLink } from '../support/fake-links.ts';

const poolOf = (...instances: readonly string[]): { readonly pool: LinkPool; readonly links: readonly FakeLink[] } => {
  const pool = new LinkPool();
  const links = instances.map((instance) => fakeLink('eu', instance));
  for (const link of links) pool.add(link);
  return { pool, links };
};

test('links with as many calls take turns, whatever is asked about other peers in between', () => {
  const { pool, links } = poolOf('a', 'a', 'a');
  pool.add(fakeLink('us', 'x'));
  const picked = new Map<DialledLink | undefined, number>();
  for (let call = 0; call < 300; call += 1) {
    const link = pool.pick('eu', []);
    picked.set(link, (picked.get(link) ?? 0) + 1);
    assert.equal(pool.pick('us', [])?.instance, 'x');
  }
  assert.deepEqual(
    links.map((link) => picked.get(link)),
    [100, 100, 100],
  );
});

test('the link with the fewest calls is picked, of those that take one and were not tried', () => {
  const { pool, links } = poolOf('a', 'a', 'b');
  const [first, second, third] = links;
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  [first.streams, second.streams, third.streams] = [3, 2, 1];
  const picks = (tried: readonly DialledLink[], instance?: string): ReadonlySet<DialledLink | undefined> =>
    new Set([1, 2, 3].map(() => pool.pick('eu', tried, instance)));
  assert.deepEqual(picks([]), new Set([third]));
  assert.deepEqual(picks([third]), new Set([second]));
  assert.deepEqual(picks([], 'a'), new Set([second]));
  second.usable = false;
  assert.deepEqual(picks([third]), new Set([first]));
  assert.deepEqual(picks([third, first]), new Set([undefined]));
  assert.deepEqual(picks([], 'c'), new Set([undefined]));
  assert.equal(pool.pick('us', []), undefined);
});

test('calls of one turn leave together, as long as their link does not get far ahead', () => {
  const { pool, links } = poolOf('a', 'a');
  const [first, second] = links;
  assert.ok(first !== undefined && second !== undefined);
  first.leavesSoon = true;
  for (const streams of [1, 255]) {
    first.streams = streams;
    assert.deepEqual([pool.pick('eu', []), pool.pick('eu', [])], [first, first]);
  }
  first.streams = 256;
  assert.deepEqual([pool.pick('eu', []), pool.pick('eu', [])], [second, second]);
  first.streams = 1;
  assert.equal(pool.pick('eu', [first]), second, 'it was tried');
  first.usable = false;
  assert.equal(pool.pick('eu', []), second, 'it takes no call');
  [first.usable, second.leavesSoon, second.streams] = [true, true, 0];
  assert.deepEqual([pool.pick('eu', []), pool.pick('eu', [])], [second, second], 'the one with fewer');
});

test('an instance counts as reached while its link is only full, and no longer when it is going away', () => {
  const { pool, links } = poolOf('a', 'b', 'b');
  const [first, second] = links;
  assert.ok(first !== undefined && second !== undefined);
  first.usable = false;
  second.leaving = true;
  assert.deepEqual(pool.instancesOf('eu'), ['a', 'b']);
  first.leaving = true;
  assert.deepEqual(pool.instancesOf('eu'), ['b']);
});

test('a link that has closed is picked no more, and whoever watches is told', async () => {
  const { pool, links } = poolOf('a', 'b');
  const told: string[] = [];
  const watch = pool.watch((peer) => told.push(peer));
  for (const link of links) link.close();
  await Promise.all(links.map((link) => link.closed));
  assert.deepEqual([pool.pick('eu', []), pool.all(), told], [undefined, [], ['eu', 'eu']]);
  watch[Symbol.dispose]();
  pool.add(fakeLink('eu', 'c'));
  assert.deepEqual([pool.pick('eu', [])?.instance, told.length], ['c', 2]);
});

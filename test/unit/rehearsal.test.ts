/** What a rehearsal of a rotation finds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { NO_STREAM, type PeeringStatus } from '../../federation/peering/status.ts';
import { type LinkStatus } from '../../gateway/admin/operations.ts';
import { rehearseRotation } from '../../gateway/operations/rehearsal.ts';

const holding = (sequence: bigint | undefined): PeeringStatus => ({
  ...NO_STREAM,
  state: 'active',
  theyHoldOurBundleSequence: sequence,
});

const link = (reproves: boolean): LinkStatus => ({
  peer: 'eu',
  direction: 'inbound',
  instance: 'eu-1',
  address: '192.0.2.1',
  state: 'up',
  since: '2027-03-01T11:00:00.000Z',
  expiresAt: '2027-03-01T12:00:00.000Z',
  reproves,
  calls: 3,
});

function rehearsed(status: PeeringStatus | undefined, isPublished = true, links: readonly LinkStatus[] = []) {
  const eu = { name: 'eu', isAwaited: false, isAlone: false };
  return rehearseRotation({ peers: [eu], peering: () => status, links, sequence: 8n, isPublished });
}

test('nothing breaks when every peer holds the newest bundle and every link can be re-proved', () => {
  for (const isPublished of [false, true]) assert.deepEqual(rehearsed(holding(8n), isPublished, [link(true)]), []);
});

test('a peer that has not fetched the newest bundle breaks, and is said to with both sequences', () => {
  const [finding, ...others] = rehearsed(holding(7n));
  assert.deepEqual([finding?.peer, finding?.code, finding?.address, others], ['eu', 'bundle-behind', null, []]);
  const why = 'it last fetched sequence 7 of our bundle, the newest is 8: it would refuse all links under the new root';
  assert.equal(finding?.message, why);
  assert.match(rehearsed(holding(7n), false)[0]?.message ?? '', /the newest is 8: its fetching is late$/);
});

test('a peer that says nothing breaks: one without a control stream, one that is late, one that never told', () => {
  const states = [undefined, NO_STREAM, { ...holding(8n), state: 'degraded' as const }];
  for (const status of states)
    assert.deepEqual(
      rehearsed(status).map(({ code }) => code),
      ['peer-silent'],
    );
  assert.deepEqual(
    rehearsed(holding(undefined)).map(({ code }) => code),
    ['bundle-unknown'],
  );
});

test('a link that cannot be re-proved breaks, with what is lost on it', () => {
  const message =
    'the inbound link cannot be re-proved and is replaced; what is left of its 3 calls at 2027-03-01T12:00:00.000Z is cut';
  const expected = { peer: 'eu', address: '192.0.2.1', code: 'link-replaced', message };
  assert.deepEqual(rehearsed(holding(8n), true, [link(false), link(true)]), [expected]);
});

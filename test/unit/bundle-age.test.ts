/** How long a peer's bundle may go unconfirmed (federation.md, rule 16), and what an empty one means: spiffe.md BC-18. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type BundleAge } from '../../federation/snapshot/bundle-age.ts';
import { type BuiltSnapshot } from '../../federation/snapshot/build.ts';
import { bundleOf, EU, US } from '../support/federation-values.ts';
import { build, NOW, typesOf, WHOLE } from '../support/snapshots.ts';

const HOUR_MS = 3_600_000;

function aged(hours: number, refuse = false): BuiltSnapshot {
  const age: BundleAge = { refreshedAtMs: NOW - hours * HOUR_MS, staleAfterMs: 24 * HOUR_MS, refuse };
  return build(WHOLE, { bundleAges: new Map([[EU, age]]) });
}

test('a bundle that is not confirmed is told of from half of its limit on, and is still believed by default', () => {
  for (const [hours, types] of [
    [11.9, []],
    [12, ['Peer/eu-west BundleAging']],
    [23.9, ['Peer/eu-west BundleAging']],
    [24, ['Peer/eu-west BundleStale']],
    [1_000, ['Peer/eu-west BundleStale']],
  ] as const) {
    const built = aged(hours);
    assert.deepEqual(typesOf(built), types, `${hours} h`);
    assert.ok(built.snapshot.bundles.has(EU));
  }
  assert.match(aged(24).conditions[0]?.message ?? '', /and is still believed; .*jumpgate bundles import eu-west FILE/);
});

test('where the document says so, a stale bundle is believed no longer', () => {
  assert.ok(aged(23.9, true).snapshot.bundles.has(EU));
  const built = aged(24, true);
  assert.deepEqual([...built.snapshot.bundles.keys()], [US]);
  assert.ok(typesOf(built).includes('Peer/eu-west BundleStale'));
  assert.equal(built.snapshot.imports.get('eu-orders')?.state, 'awaiting');
});

test('the snapshot is looked at again when a bundle comes to half of its limit, and to its limit', () => {
  const age = { refreshedAtMs: NOW, staleAfterMs: 60_000, refuse: false };
  const nextAt = (passedMs: number): number | undefined =>
    build(WHOLE, {
      catalogues: new Map(),
      bundleAges: new Map([[EU, { ...age, refreshedAtMs: NOW - passedMs }]]),
    }).revisitAtMs;
  assert.equal(nextAt(0), NOW + 30_000);
  assert.equal(nextAt(30_000), NOW + 30_000);
  assert.equal(nextAt(60_000), undefined);
});

test('BC-18: an empty bundle is told of as such', () => {
  const built = build(WHOLE, {
    bundles: new Map([US, EU].map((domain) => [domain, { ...bundleOf(domain), x509Authorities: [] }])),
  });
  assert.ok(typesOf(built).includes('Peer/eu-west BundleEmpty'));
});

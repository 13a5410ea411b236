/** What is taken of offered bundles, remembered over restarts and shared between replicas: security.md I2 to I6, L, M. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { silentLog } from '../../base/log.ts';
import { memoryStore } from '../../base/store/memory.ts';
import { type Store } from '../../base/store/store.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { writeBundleRow } from '../../trust-bundles/source/bundle-row.ts';
import { BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { until } from '../support/gateways.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { bundleOf, testDomain } from '../support/trust.ts';

const OURS = testDomain('us.example');
const THEIRS = testDomain('eu.example');
const domain = THEIRS.trustDomain;
const [first, second, third] = [THEIRS.root, testDomain('eu.example').root, testDomain('eu.example').root];
const DAY_MS = 24 * 60 * 60 * 1000;

function open(store: Store, clock: Clock = new ManualClock()): Promise<BundleSet> {
  return BundleSet.open({
    store,
    log: silentLog,
    own: () => OURS.bundle,
    trustDomain: OURS.trustDomain,
    clock,
  });
}

async function codeOfOffer(set: BundleSet, bundle: Bundle): Promise<string> {
  const offer = await set.offer(bundle, { fetched: true });
  return offer.kind === 'refused' ? offer.code : offer.kind;
}

test('I2: a bundle of our own domain is refused, by hand too, and nothing is stored', async () => {
  const store = memoryStore();
  await using set = await open(store);
  assert.equal(await codeOfOffer(set, testDomain('us.example').bundle), 'bundle-own-domain');
  const byHand = await set.offer(OURS.bundle, { replace: true });
  assert.equal(byHand.kind, 'refused');
  assert.deepEqual(await store.list(''), []);
});

test('A3 I3: a root that is bound to us or to another peer already is refused, by hand too', async () => {
  const store = memoryStore();
  await using set = await open(store);
  await set.offer(testDomain('ap.example').bundle);
  const taken = testDomain('sa.example');
  await set.offer(taken.bundle);
  for (const stolen of [OURS.root, taken.root]) {
    const bundle = bundleOf(domain, [first, stolen]);
    assert.equal(await codeOfOffer(set, bundle), 'bundle-shared-key');
    assert.equal((await set.offer(bundle, { replace: true })).kind, 'refused');
  }
  assert.equal(set.get(domain), undefined);
  assert.equal((await store.list('')).length, 2);
  assert.equal(set.refusedOffer(domain)?.code, 'bundle-shared-key');
});

test('I4 I5 I6 BC-13: what goes back, contradicts itself or loses its sequence is refused, also after a restart', async () => {
  const store = memoryStore();
  {
    await using set = await open(store);
    assert.equal(await codeOfOffer(set, bundleOf(domain, [first, second], 5n)), 'stored');
  }
  await using set = await open(store);
  const offered: readonly (readonly [Bundle, string])[] = [
    [bundleOf(domain, [first], 4n), 'bundle-rollback'],
    [bundleOf(domain, [first], 5n), 'bundle-conflict'],
    [bundleOf(domain, [first, third], 5n), 'bundle-conflict'],
    [{ ...bundleOf(domain, [first, second]), sequence: undefined }, 'bundle-sequence-lost'],
    [bundleOf(domain, [second, first], 5n), 'same'],
    [bundleOf(domain, [second], 6n), 'stored'],
  ];
  for (const [bundle, expected] of offered) assert.equal(await codeOfOffer(set, bundle), expected);
  assert.deepEqual(set.get(domain), bundleOf(domain, [second], 6n));
  assert.equal(set.refusedOffer(domain), undefined, 'a good one ends what was said of a bad one');
});

test('I4: a row that goes back in a shared store is not believed, and replaced at once', async () => {
  const store = memoryStore();
  await using set = await open(store);
  await set.offer(bundleOf(domain, [first], 5n));
  const [old] = await store.list('');
  assert.ok(old);
  await set.offer(bundleOf(domain, [first, second], 6n));
  const newest = (await store.get(old.key))?.value;
  await store.put(old.key, old.value, 'any');
  await until('the newest to be stored again', async () => (await store.get(old.key))?.value === newest);
  assert.equal(set.get(domain)?.sequence, 6n);
  assert.equal(await codeOfOffer(set, bundleOf(domain, [first], 5n)), 'bundle-rollback');
});

test('I5: two replicas that hold different bundles of one sequence do not write over each other for ever', async () => {
  const store = memoryStore();
  await using set = await open(store);
  await set.offer(bundleOf(domain, [first], 5n));
  const [row] = await store.list('');
  assert.ok(row);
  const held = { bundle: bundleOf(domain, [second], 5n), refreshedAtMs: 0, restarts: 0 };
  const other = await store.put(row.key, writeBundleRow(held), 'any');
  // What it does of its own accord it has done when it has answered twice.
  for (const name of ['ap.example', 'sa.example']) await set.offer(testDomain(name).bundle);
  assert.ok(other.kind === 'stored');
  assert.equal((await store.get(row.key))?.version, other.version);
  assert.deepEqual(set.get(domain), bundleOf(domain, [first], 5n));
});

test('an operator who starts a domain anew is obeyed at every replica, and the old order does not come back', async () => {
  const store = memoryStore();
  await using here = await open(store);
  await using there = await open(store);
  await here.offer(bundleOf(domain, [first], 9n));
  await until('the other replica to follow', () => there.get(domain)?.sequence === 9n);
  const [old] = await store.list('');
  assert.ok(old);
  const restored = bundleOf(domain, [second], 2n);
  assert.equal((await here.offer(restored, { replace: true })).kind, 'stored');
  await until('the other replica to go back too', () => there.get(domain)?.sequence === 2n);
  await store.put(old.key, old.value, (await store.get(old.key))?.version ?? 'absent');
  assert.equal(await codeOfOffer(there, bundleOf(domain, [second, third], 3n)), 'stored');
  assert.equal(await codeOfOffer(here, bundleOf(domain, [second], 2n)), 'bundle-rollback');
});

test('BC-13: when a bundle was last obtained outlives a restart, without a write at each fetch', async () => {
  const store = memoryStore();
  const clock = new ManualClock();
  const started = clock.now();
  {
    await using set = await open(store, clock);
    await set.offer(THEIRS.bundle, { fetched: true });
    const version = (await store.list(''))[0]?.version;
    clock.advance(10 * 60_000);
    await set.offer(THEIRS.bundle, { fetched: true });
    assert.equal((await store.list(''))[0]?.version, version, 'ten minutes are not worth a write');
    assert.equal(set.refreshedAtMs(domain), clock.now());
    clock.advance(1);
    await set.offer(THEIRS.bundle, { fetched: true });
    await set.offer(THEIRS.bundle);
  }
  clock.advance(DAY_MS);
  await using again = await open(store, clock);
  assert.equal(again.refreshedAtMs(domain), started + 600_001);
  await again.offer(THEIRS.bundle);
  assert.equal(again.refreshedAtMs(domain), started + 600_001, 'a file that says the same is no news');
});

test('M: a store that is away neither stops distrust nor loses it', async () => {
  const rows = memoryStore();
  let away = false;
  const failing = <T>(work: () => Promise<T>): Promise<T> =>
    away ? Promise.reject(new JumpgateError('store-unavailable', 'away', { source: 'local' })) : work();
  const store: Store = {
    get: (key) => failing(() => rows.get(key)),
    put: (key, value, version) => failing(() => rows.put(key, value, version)),
    remove: (key, version) => failing(() => rows.remove(key, version)),
    list: (prefix) => failing(() => rows.list(prefix)),
    watch: (prefix, listener) => rows.watch(prefix, listener),
    [Symbol.asyncDispose]: () => rows[Symbol.asyncDispose](),
  };
  const empty = { ...bundleOf(domain, []), sequence: 2n };
  {
    await using set = await open(store);
    await set.offer(THEIRS.bundle, { fetched: true });
    away = true;
    let told = 0;
    using held = new DisposableStack();
    held.use(set.watch(() => (told += 1)));
    assert.equal(await codeOfOffer(set, empty), 'stored');
    assert.equal(told, 1);
    assert.deepEqual(set.get(domain)?.x509Authorities, []);
    away = false;
    assert.equal(await codeOfOffer(set, empty), 'same');
  }
  await using again = await open(store);
  assert.deepEqual(again.get(domain), empty);
});

test('more than half of the roots gone at once is remembered, a rotation in steps is not', async () => {
  await using set = await open(memoryStore());
  await set.offer(bundleOf(domain, [first], 1n));
  await set.offer(bundleOf(domain, [first, second], 2n));
  await set.offer(bundleOf(domain, [second], 3n));
  assert.equal(set.turnover(domain), undefined);
  await set.offer(bundleOf(domain, [third], 4n));
  const { gone, of } = set.turnover(domain) ?? {};
  assert.deepEqual([gone, of], [1, 1]);
  await set.offer(bundleOf(domain, [third, first], 5n));
  assert.equal(set.turnover(domain), undefined);
});

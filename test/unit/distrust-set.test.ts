/** The quarantine over its life: added, lifted, over; lost rows, damaged rows, old rows, and a store that is away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { JumpgateError } from '../../base/errors.ts';
import { memoryStore } from '../../base/store/memory.ts';
import { type Store } from '../../base/store/store.ts';
import { ENTRIES_MAX, PATTERNS_MAX } from '../../trust-bundles/distrust/distrust-set.ts';
import { keyOf, targetOfKey } from '../../trust-bundles/distrust/record.ts';
import { DISTRUST_KINDS, parseTarget } from '../../trust-bundles/distrust/target.ts';
import { distrustRig, inForce, openDistrust, START_MS, suspect } from '../support/distrust.ts';
import { until } from '../support/gateways.ts';

const WEB = 'spiffe spiffe://a.example/ns/Shop/sa/web';
const HOUR_MS = 3_600_000;

test('what is added is in force, told, kept over a restart with its reason, and gone when it is lifted', async () => {
  const rig = distrustRig();
  const targets = [WEB, `key ${'ab'.repeat(32)}`, 'peer eu', 'domain eu.example', 'export payments'].sort();
  {
    await using set = await openDistrust(rig);
    let told = 0;
    using watch = set.watch(() => (told += 1));
    assert.ok(watch);
    for (const target of targets) assert.equal(await set.add(suspect(target, { reason: 'leaked' })), 'stored');
    assert.deepEqual([inForce(set), told], [targets, 5]);
  }
  {
    await using set = await openDistrust(rig);
    assert.deepEqual(inForce(set), targets);
    assert.deepEqual(set.entries()[0]?.reason, 'leaked');
    for (const target of targets) assert.equal(await set.lift(suspect(target), 'someone'), true);
    assert.equal(await set.lift(suspect(WEB), 'someone'), false);
    assert.deepEqual(inForce(set), []);
  }
  await using set = await openDistrust(rig);
  assert.deepEqual(inForce(set), []);
});

test('a quarantine ends at its time, also when that passed while nobody ran; a second word about it replaces the first', async () => {
  const rig = distrustRig();
  const { clock } = rig;
  {
    await using set = await openDistrust(rig);
    await set.add(suspect('peer eu', { untilMs: START_MS + HOUR_MS }));
    await set.add(suspect('peer us', { untilMs: START_MS + HOUR_MS }));
    await set.add(suspect('peer us', { untilMs: START_MS + 2 * HOUR_MS }));
    let told = 0;
    using watch = set.watch(() => (told += 1));
    assert.ok(watch);
    clock.advance(HOUR_MS - 1);
    assert.deepEqual([inForce(set), told], [['peer eu', 'peer us'], 0]);
    clock.advance(1);
    assert.deepEqual([inForce(set), told], [['peer us'], 1]);
    await until('the row to go', async () => (await rig.store.list('quarantine/')).length === 1);
  }
  clock.advance(HOUR_MS);
  await using set = await openDistrust(rig);
  assert.deepEqual(inForce(set), []);
  assert.deepEqual(await rig.store.list('quarantine/'), []);
  await assert.rejects(set.add(suspect('peer eu', { untilMs: clock.now() })), { code: 'distrust-malformed' });
});

test('a reason is one line of 256 characters without what steers a terminal', async () => {
  await using set = await openDistrust(distrustRig());
  assert.equal(await set.add(suspect('peer a', { reason: `é${'x'.repeat(255)}` })), 'stored');
  for (const reason of ['x'.repeat(257), 'a\nb', '\u001b[2J', 'a\u202eb', '\ud800'])
    await assert.rejects(set.add(suspect('peer b', { reason })), { code: 'distrust-malformed' });
  assert.deepEqual(inForce(set), ['peer a']);
});

test('the 10,001st entry and the 257th pattern are refused, not the word about one that is there', async () => {
  const rig = distrustRig();
  await using set = await openDistrust(rig);
  for (let index = 0; index < PATTERNS_MAX; index += 1) await set.add(suspect(`spiffe spiffe://a.example/x${index}/*`));
  await assert.rejects(set.add(suspect('spiffe spiffe://a.example/**')), { code: 'distrust-full' });
  const adds = Array.from({ length: ENTRIES_MAX - PATTERNS_MAX }, (_, index) => `spiffe spiffe://a.example/n${index}`);
  // As many at a time as may wait for a store.
  while (adds.length > 0) await Promise.all(adds.splice(0, 500).map((target) => set.add(suspect(target))));
  assert.equal(set.entries().length, ENTRIES_MAX);
  await assert.rejects(set.add(suspect('peer eu')), { code: 'distrust-full', source: 'caller' });
  await set.add(suspect('spiffe spiffe://a.example/n1', { reason: 'again' }));
  await set.lift(suspect('spiffe spiffe://a.example/n2'), 'test');
  assert.equal(await set.add(suspect('peer eu')), 'stored');
});

test('two replicas learn from each other, and a race for one row ends alike at both, in force if one of them adds last', async () => {
  const rig = distrustRig();
  await using one = await openDistrust(rig);
  await using two = await openDistrust(distrustRig({ store: rig.store, clock: rig.clock }));
  await one.add(suspect('peer eu'));
  await until('the other to know', () => inForce(two).length === 1);
  await two.lift(suspect('peer eu'), 'test');
  await until('the first to know', () => inForce(one).length === 0);
  for (let turn = 0; turn < 20; turn += 1) {
    await Promise.all([one.add(suspect('peer eu')), two.lift(suspect('peer eu'), 'test'), two.add(suspect('peer eu'))]);
    await until('both to agree', () => inForce(one).length === 1 && inForce(two).length === 1);
    await Promise.all([one.lift(suspect('peer eu'), 'test'), two.lift(suspect('peer eu'), 'test')]);
    await until('both to agree', () => inForce(one).length === 0 && inForce(two).length === 0);
  }
});

test('rows that are lost, older, or of an earlier lifting lower no guard: they are written again', async () => {
  const rig = distrustRig();
  const { store } = rig;
  const key = keyOf(parseTarget('peer', 'eu'));
  await using set = await openDistrust(rig);
  await set.add(suspect('peer eu'));
  const first = (await store.get(key))?.value ?? '';
  await set.lift(suspect('peer eu'), 'test');
  const lifted = (await store.get(key))?.value ?? '';
  await set.add(suspect('peer eu', { reason: 'again' }));
  const damages: readonly (() => Promise<unknown>)[] = [
    () => store.remove(key, 'any'),
    () => store.put(key, lifted, 'any'),
    () => store.put(key, first, 'any'),
    () => store.put(key, '{"kind":"peer"', 'any'),
  ];
  for (const damage of damages) {
    await damage();
    await until('the row to be whole', async () => (await readsAs(store, key, 'again')) && inForce(set).length === 1);
  }
  assert.deepEqual(set.alarms(), []);
});

test('M5: what was lifted or over so long ago that it is forgotten lifts nothing when its row is put back', async () => {
  const rig = distrustRig();
  const { clock, store } = rig;
  const key = keyOf(parseTarget('peer', 'eu'));
  await using set = await openDistrust(rig);
  const rows: string[] = [];
  for (const untilMs of [undefined, START_MS + HOUR_MS]) {
    for (let word = 0; word < 3; word += 1) await set.add(suspect('peer eu', { untilMs, reason: String(word) }));
    if (untilMs === undefined) await set.lift(suspect('peer eu'), 'test');
    rows.push((await store.get(key))?.value ?? '');
  }
  for (let day = 0; day < 31; day += 1) clock.advance(24 * HOUR_MS);
  await until('all to be forgotten', async () => (await store.list('quarantine/')).length === 0);
  await set.add(suspect('peer eu', { reason: 'now' }));
  for (const row of rows) {
    await store.put(key, row, 'any');
    await until('the row to be whole', () => readsAs(store, key, 'now'));
    assert.deepEqual(inForce(set), ['peer eu']);
  }
});

async function readsAs(store: Store, key: string, reason: string): Promise<boolean> {
  return (await store.get(key))?.value.includes(`"reason":"${reason}"`) ?? false;
}

test('a row that cannot be read distrusts what its key says, with an alarm, until that is lifted', async () => {
  const rig = distrustRig();
  const { store } = rig;
  for (const target of [WEB, 'peer eu', 'domain eu.example', 'export payments', `key ${'ab'.repeat(32)}`])
    await store.put(keyOf(suspect(target)), '{"format":"newer"}', 'absent');
  await store.put('quarantine/serial/12', '{}', 'absent');
  await using set = await openDistrust(rig);
  const expected = [
    'domain eu.example',
    'export payments',
    `key ${'ab'.repeat(32)}`,
    'peer eu',
    // The key of an ID's row names its trust domain only.
    'spiffe spiffe://a.example/**',
  ];
  assert.deepEqual([inForce(set), set.alarms().length], [expected, 6]);
  assert.match(
    set.alarms().join('\n'),
    /the row "quarantine\/serial\/12" is of a kind that this version cannot enforce/,
  );
  assert.match(set.alarms().join('\n'), /so peer eu is distrusted until that is lifted/);
  for (const target of expected) assert.equal(await set.lift(suspect(target), 'test'), true, target);
  assert.deepEqual(inForce(set), []);
  await store.remove('quarantine/serial/12', 'any');
  await until('no alarm', () => set.alarms().length === 0);
  await using later = await openDistrust(rig);
  assert.deepEqual([inForce(later), later.alarms()], [[], []]);
});

test('keys say what they are about, and no other keys do', () => {
  for (const kind of DISTRUST_KINDS) {
    const name = kind === 'key' ? 'ab'.repeat(32) : kind === 'spiffe' ? 'spiffe://a.example/**' : 'a-b';
    const target = parseTarget(kind, name);
    assert.deepEqual(targetOfKey(keyOf(target)), target);
  }
  for (const key of ['quarantine/', 'quarantine/peer', 'quarantine/peer/A', 'quarantine/key/ab', 'quarantine/spiffe/a'])
    assert.equal(targetOfKey(key), undefined, key);
  assert.equal(targetOfKey(`quarantine/peer/a/${'ab'.repeat(32)}`), undefined);
});

test('while the store is away additions are in force and kept here, nothing is lifted, and the store learns later', async () => {
  const store = memoryStore();
  let away = true;
  const gone = async (): Promise<never> => {
    throw new JumpgateError('store-unavailable', 'away', { source: 'local', retry: 'later' });
  };
  const flaky: Store = {
    get: async (key) => (away ? gone() : store.get(key)),
    list: async (prefix) => (away ? gone() : store.list(prefix)),
    put: async (key, value, expected) => (away ? gone() : store.put(key, value, expected)),
    remove: async (key, expected) => (away ? gone() : store.remove(key, expected)),
    watch: (prefix, listener) => store.watch(prefix, listener),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
  const rig = distrustRig({ store: flaky });
  {
    await using set = await openDistrust(rig);
    assert.equal(await set.add(suspect('peer eu')), 'here');
    assert.deepEqual(inForce(set), ['peer eu']);
    await assert.rejects(set.lift(suspect('peer eu'), 'test'), { code: 'store-unavailable' });
    assert.deepEqual(inForce(set), ['peer eu']);
  }
  await using set = await openDistrust(rig);
  assert.deepEqual(inForce(set), ['peer eu'], 'by the copy of this machine');
  assert.equal(await set.add(suspect('peer us')), 'here');
  away = false;
  rig.clock.advance(30_000);
  await until('the store to have both', async () => (await store.list('quarantine/')).length === 2);
  assert.equal(await set.lift(suspect('peer eu'), 'test'), true);
});

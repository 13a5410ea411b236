/** What is remembered of a shared store when the disk of this machine takes nothing more: catalogue L4. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { JumpgateError } from '../../base/errors.ts';
import { silentLog } from '../../base/log.ts';
import { memoryStore } from '../../base/store/memory.ts';
import { openRememberedStore } from '../../base/store/remembered.ts';
import { readRememberedRow, writeRememberedRow } from '../../base/store/remembered-row.ts';
import { VALUE_BYTES_MAX } from '../../base/store/store.ts';
import { storeConditions } from '../../gateway/operations/store.ts';
import { until } from '../support/gateways.ts';
import { ManualClock } from '../support/manual-clock.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

test('L4: with a full disk rows are remembered in memory, nothing goes back, the alarm says so, and the disk is tried again', async () => {
  const clock = new ManualClock();
  const shared = memoryStore();
  let full = true;
  const kept: string[] = [];
  const persistence = {
    write: async ({ value }: { readonly value: string }): Promise<void> => {
      if (full) throw new JumpgateError('file-unwritable', 'the disk is full', { source: 'local', retry: 'later' });
      kept.push(value);
    },
    erase: async (): Promise<void> => undefined,
    [Symbol.asyncDispose]: async (): Promise<void> => undefined,
  };
  const local = memoryStore({ persistence });
  const options = { shared, local, valueBytesMax: VALUE_BYTES_MAX, isLasting: () => true, clock, log: silentLog };
  await using store = await openRememberedStore(options);
  await store.put('peers/eu', 'old', 'absent');
  const old = (await shared.get('peers/eu'))?.value ?? '';
  await store.put('peers/eu', 'new', 'any');
  await shared.put('peers/eu', old, 'any');
  assert.equal((await store.get('peers/eu'))?.value, 'new');
  const types = (): readonly string[] => storeConditions(store.trouble, clock.now()).map(({ type }) => type);
  assert.deepEqual(types(), ['StateUnwritable']);
  full = false;
  await until('the row to be saved and mended', () => {
    clock.advance(2_000);
    return kept.length > 0 && store.trouble.mended > 0;
  });
  assert.deepEqual([kept.length, readRememberedRow(kept[0] ?? '')?.value], [1, 'new']);
  assert.equal((await shared.get('peers/eu'))?.value, kept[0]);
  assert.deepEqual(types(), ['StoreRolledBack']);
  clock.advance(60 * 60 * 1000);
  assert.deepEqual(types(), []);
});

test('M6: the removal of a lasting row is never forgotten, that of another one after 30 days', async () => {
  const clock = new ManualClock();
  const shared = memoryStore();
  const local = memoryStore();
  const isLasting = (key: string): boolean => key.startsWith('peers/');
  const options = { shared, local, valueBytesMax: VALUE_BYTES_MAX, isLasting, clock, log: silentLog };
  await using store = await openRememberedStore(options);
  for (const key of ['peers/eu', 'invites/1']) {
    await store.put(key, 'x', 'absent');
    assert.equal(await store.remove(key, 'any'), 'removed');
  }
  assert.deepEqual((await local.list('')).length, 2);
  for (let day = 0; day < 31; day += 1) clock.advance(DAY_MS);
  await until('one to be forgotten', async () => (await local.list('')).length === 1);
  assert.deepEqual(
    (await shared.list('')).map(({ key }) => key),
    ['peers/eu'],
  );
  assert.deepEqual(await store.list(''), []);
});

test('a row is its revision, a word and a value, and nothing else is one', () => {
  for (const row of [
    { revision: 1, value: '' },
    { revision: Number.MAX_SAFE_INTEGER, value: '1 gone\n' },
    { revision: 7, value: undefined },
  ])
    assert.deepEqual(readRememberedRow(writeRememberedRow(row)), row);
  for (const text of [
    '',
    '0 set\n',
    '1 set',
    '01 set\n',
    '1 gone\nx',
    '9007199254740993 set\n',
    '-1 set\n',
    '{}',
    '1 Set\n',
  ])
    assert.equal(readRememberedRow(text), undefined, text);
});

/** The maximum age of links: none is older, at either end, however long its SVIDs are good for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { askSmall } from '../../gateway/link/small-body.ts';
import { linkEndMs } from '../../gateway/link/link-term.ts';
import { startGateway, type TestGateway, until } from '../support/gateways.ts';
import { ManualClock } from '../support/manual-clock.ts';

const MAX_AGE_MS = 60_000;

/** Lets tenths of the maximum age pass, between which PINGs are answered: else the links are taken for dead. */
const age = async (clock: ManualClock, tenths: number, gateway: TestGateway): Promise<void> => {
  for (let step = 0; step < tenths; step += 1) {
    clock.advance(MAX_AGE_MS / 10);
    await Promise.allSettled(gateway.pool.all().map((link) => link.ping()));
  }
};

test('A6: a link ends with its SVIDs or at its maximum age, whatever is first; without one with its SVIDs', () => {
  assert.deepEqual(
    [undefined, 1, 499, 500, 501].map((maxAgeMs) => linkEndMs(1_000, 1_500, maxAgeMs)),
    [1_500, 1_001, 1_499, 1_500, 1_500],
  );
});

test('a link of its maximum age is gone at both ends: it was replaced before, and a call on it could end until then', async () => {
  const clock = new ManualClock(systemClock.now());
  await using us = await startGateway('us.example', {}, clock);
  await using eu = await startGateway('eu.example', {}, clock);
  us.snapshots.set({ linkMaxAgeMs: MAX_AGE_MS });
  us.peerWith(eu, 'eu');
  eu.peerWith(us, 'us');
  await until('links', () => us.pool.all().length === 2 && eu.listener.links().length === 2);
  const signal = AbortSignal.timeout(20_000);
  const ask = { method: 'GET', authority: 'payments.eu.example', path: '/' } as const;
  const before = us.pool.all();
  const [old] = before;
  assert.ok(old !== undefined);
  const answers = [0, 1].map(() => askSmall(old, ask, { bytesMax: 10, signal }));
  for (const answer of answers) answer.catch(() => undefined);
  await until('the calls to arrive', () => eu.calls.length === 2);
  for (const link of before) {
    assert.equal(link.term.endsAtMs, link.sinceMs + MAX_AGE_MS);
    assert.ok(link.term.replaceAtMs <= link.sinceMs + MAX_AGE_MS * 0.8);
  }
  await age(clock, 8, us);
  await until('its successors', () => us.pool.all().filter((link) => !before.includes(link)).length === 2);
  await until('the old links to take no calls', () => before.every((link) => link.leaving));
  eu.calls[0]?.stream.respond({ status: 204, fields: [] }, true);
  assert.equal((await answers[0])?.status, 204, 'a call in flight ends as it would have');
  await age(clock, 1, us);
  assert.ok(us.pool.all().includes(old), 'the other one keeps the link');
  clock.advance(MAX_AGE_MS / 10);
  await old.closed;
  await assert.rejects(async () => answers[1], { code: 'body-cut' });
});

test('the end that accepted a link ends it at its own maximum age, whatever the dialler thinks', async () => {
  const clock = new ManualClock(systemClock.now());
  await using us = await startGateway('us.example', {}, clock);
  await using eu = await startGateway('eu.example', {}, clock);
  us.snapshots.set({ linkMaxAgeMs: MAX_AGE_MS });
  us.peerWith(eu, 'eu');
  eu.peerWith(us, 'us');
  await until('links', () => eu.pool.all().length === 2 && us.listener.links().length === 2);
  const before = eu.pool.all();
  assert.ok(before.every((link) => link.term.endsAtMs > link.sinceMs + MAX_AGE_MS));
  const signal = AbortSignal.timeout(20_000);
  const [old] = before;
  const call = { method: 'GET', authority: 'payments.us.example', path: '/' } as const;
  const under = old && askSmall(old, call, { bytesMax: 10, signal });
  under?.catch(() => undefined);
  await until('the call to arrive', () => us.calls.length === 1);
  await age(clock, 8, eu);
  assert.ok(
    before.every((link) => !link.leaving),
    'not yet',
  );
  await age(clock, 1, eu);
  await until('calls to be turned away', () => before.every((link) => link.leaving));
  assert.ok(old !== undefined && eu.pool.all().includes(old), 'a call is under way on it');
  clock.advance(MAX_AGE_MS / 10);
  await Promise.all(before.map((link) => link.closed));
});

/** How nudges and intervals decide when a peer's bundle is fetched. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLog } from '../../base/log.ts';
import { memoryStore } from '../../base/store/memory.ts';
import { type FetchedBundle } from '../../trust-bundles/source/bundle-endpoint.ts';
import { BundlePoll } from '../../trust-bundles/source/bundle-poll.ts';
import { BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { until } from '../support/gateways.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { testDomain } from '../support/trust.ts';

const OURS = testDomain('us.example');
const THEIRS = testDomain('eu.example');
const INTERVAL_MS = 60_000;

interface Bench extends AsyncDisposable {
  readonly clock: ManualClock;
  readonly poll: BundlePoll;
  readonly fetches: PromiseWithResolvers<FetchedBundle>[];
  /** Lets the fetch under way succeed, and waits until the next one is planned. */
  answer(): Promise<void>;
}

async function bench(): Promise<Bench> {
  const clock = new ManualClock();
  const set = await BundleSet.open({
    store: memoryStore(),
    log: silentLog,
    own: () => OURS.bundle,
    trustDomain: OURS.trustDomain,
    clock,
  });
  const fetches: PromiseWithResolvers<FetchedBundle>[] = [];
  const fetch = (): Promise<FetchedBundle> => {
    const fetching = Promise.withResolvers<FetchedBundle>();
    fetches.push(fetching);
    return fetching.promise;
  };
  const poll = new BundlePoll({ set, fetch, intervalMs: () => INTERVAL_MS, clock, log: silentLog });
  await poll.follow(new Set([THEIRS.trustDomain]));
  return {
    clock,
    poll,
    fetches,
    answer: async () => {
      fetches.at(-1)?.resolve({ bundle: THEIRS.bundle, ignored: 0 });
      await until('the next fetch to be planned', () => clock.pending === 1);
    },
    [Symbol.asyncDispose]: async () => {
      for (const fetching of fetches) fetching.resolve({ bundle: THEIRS.bundle, ignored: 0 });
      await poll[Symbol.asyncDispose]();
      await set[Symbol.asyncDispose]();
    },
  };
}

test('a bundle is fetched at once, and again when its interval is over', async () => {
  await using at = await bench();
  assert.equal(at.fetches.length, 1);
  await at.answer();
  at.clock.advance(INTERVAL_MS - 1);
  await Promise.resolve();
  assert.equal(at.fetches.length, 1);
  at.clock.advance(1);
  await until('the second fetch', () => at.fetches.length === 2);
});

test('however many nudges come, a bundle is fetched at most every five seconds', async () => {
  await using at = await bench();
  await at.answer();
  for (let count = 0; count < 100; count += 1) at.poll.nudge(THEIRS.trustDomain);
  at.clock.advance(4_999);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(at.fetches.length, 1);
  at.clock.advance(1);
  await until('the nudged fetch', () => at.fetches.length === 2);
  await at.answer();
  at.clock.advance(30_000);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(at.fetches.length, 2, 'the nudges before were one fetch');
  at.poll.nudge(THEIRS.trustDomain);
  at.clock.advance(0);
  await until('a late nudge to fetch at once', () => at.fetches.length === 3);
});

test('a nudge that comes while a fetch is under way is not lost', async () => {
  await using at = await bench();
  at.poll.nudge(THEIRS.trustDomain);
  await at.answer();
  at.clock.advance(5_000);
  await until('the fetch after the nudge', () => at.fetches.length === 2);
});

test('BC-12 I15: a failed fetch waits for the next interval, and says why meanwhile', async () => {
  await using at = await bench();
  at.fetches.at(-1)?.reject(new Error('no answer'));
  await until('the next fetch to be planned', () => at.clock.pending === 1);
  const { problem, failed, succeeded, nextMs } = at.poll.state(THEIRS.trustDomain) ?? {};
  assert.deepEqual([problem, failed, succeeded, nextMs], ['no answer', 1, 0, at.clock.now() + INTERVAL_MS]);
  at.clock.advance(INTERVAL_MS - 1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(at.fetches.length, 1);
  at.clock.advance(1);
  await until('the next fetch', () => at.fetches.length === 2);
  await at.answer();
  assert.equal(at.poll.state(THEIRS.trustDomain)?.problem, undefined);
});

test('BC-22: a domain that is no peer any more is not asked again', async () => {
  await using at = await bench();
  await at.answer();
  await at.poll.follow(new Set());
  at.poll.nudge(THEIRS.trustDomain);
  at.clock.advance(10 * INTERVAL_MS);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(at.fetches.length, 1);
  assert.equal(at.poll.state(THEIRS.trustDomain), undefined);
});

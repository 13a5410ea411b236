/** A peer's bundle over its link: the limits of the bundle endpoint hold there too (wire.md; security.md I12). */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type SmallAnswer, type SmallAnswerLimits } from '../../gateway/link/small-body.ts';
import { bundleFetch } from '../../gateway/process/bundle-fetch.ts';
import { type FetchBundle } from '../../trust-bundles/source/bundle-poll.ts';
import { writeBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { EU } from '../support/federation-values.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { build, EU_PEER } from '../support/snapshots.ts';
import { testDomain, trustIn } from '../support/trust.ts';

const never = new AbortController().signal;
const theirs = testDomain(EU);

function overLink(
  answer: (limits: SmallAnswerLimits) => Promise<SmallAnswer>,
  { clock = new ManualClock(), peers = EU_PEER }: { clock?: ManualClock; peers?: Parameters<typeof build>[0] } = {},
): FetchBundle {
  const { snapshot } = build(peers);
  return bundleFetch({
    endpointOf: () => ({ kind: 'link' }),
    trust: () => trustIn(),
    snapshots: { current: () => snapshot, watch: () => ({ [Symbol.dispose]: () => undefined }) },
    data: { readBundle: (_peer, limits) => answer(limits) },
    clock,
  });
}

test('a bundle comes over the link, within 1 MiB', async () => {
  const body = Buffer.from(writeBundleDocument(theirs.bundle));
  const fetch = overLink(async ({ bytesMax }) => {
    assert.equal(bytesMax, 1024 * 1024);
    return { status: 200, body };
  });
  assert.deepEqual(await fetch(EU, never), { bundle: theirs.bundle, ignored: 0 });
});

test('every status but 200, and what is no bundle of the peer, is refused', async () => {
  for (const status of [204, 302, 304, 404, 503]) {
    const fetch = overLink(async () => ({ status, body: Buffer.from('{"keys":[]}') }));
    await assert.rejects(fetch(EU, never), { code: 'bundle-unavailable' });
  }
  const foreign = Buffer.from(writeBundleDocument(testDomain('ap.test').bundle));
  for (const body of [Buffer.from('{}'), Buffer.alloc(0), foreign]) {
    await assert.rejects(overLink(async () => ({ status: 200, body }))(EU, never), { code: 'bundle-malformed' });
  }
});

test('I12: an answer that does not end is left after 10 s', async () => {
  const clock = new ManualClock();
  const fetch = overLink(
    ({ signal }) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(new Error('left')), { once: true }),
      ),
    { clock },
  );
  const failed = assert.rejects(fetch(EU, never), /left/);
  clock.advance(10_000);
  await failed;
});

test('a domain without a peer is asked of nobody', async () => {
  const fetch = overLink(() => assert.fail('asked'), { peers: {} });
  await assert.rejects(fetch(EU, never), { code: 'peer-unavailable' });
});

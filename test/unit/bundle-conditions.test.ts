/** What an operator is told of bundle endpoints that lean on other trust domains (SPIFFE Federation §7.6). */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLog } from '../../base/log.ts';
import { memoryStore } from '../../base/store/memory.ts';
import { type BundleEndpointSpec } from '../../federation/resources/values.ts';
import { bundleConditions } from '../../gateway/operations/bundle-conditions.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { AP, EU, peerOf, US } from '../support/federation-values.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { build, bundles } from '../support/snapshots.ts';
import { testDomain } from '../support/trust.ts';

const WEB: BundleEndpointSpec = { kind: 'https_web', url: 'https://gw.example.org/' };

function of(domain: TrustDomain): BundleEndpointSpec {
  return {
    kind: 'https_spiffe',
    url: 'https://gw.example.org/',
    spiffeId: parseSpiffeId(`spiffe://${domain}/jumpgate`),
  };
}

/** The conditions, each as `type subject`, with a bundle stored of every domain in `known`. */
async function conditions(
  endpoints: ReadonlyMap<TrustDomain, BundleEndpointSpec>,
  known: readonly TrustDomain[],
): Promise<readonly string[]> {
  const clock = new ManualClock();
  const own = testDomain(US).bundle;
  await using set = await BundleSet.open({
    store: memoryStore(),
    log: silentLog,
    own: () => own,
    trustDomain: US,
    clock,
  });
  for (const domain of known) assert.equal((await set.offer(testDomain(domain).bundle)).kind, 'stored');
  const names = new Map([
    [EU, 'eu-west'],
    [AP, 'ap-south'],
  ]);
  const peers = [...endpoints.keys()].map((domain) => peerOf(names.get(domain) ?? '', domain));
  const { snapshot } = build({ peers }, { bundles: bundles(US, EU, AP) });
  const endpointOf = (domain: TrustDomain): BundleEndpointSpec => endpoints.get(domain) ?? { kind: 'link' };
  const found = bundleConditions({ snapshot, bundles: set, endpointOf, clock });
  return found.map(({ type, subject }) => `${type} ${subject}`);
}

test('BC-23: an endpoint that proves itself by a domain without a bundle, or no peer, is EndpointUnverifiable', async () => {
  const unknown = ['EndpointUnverifiable Peer/eu-west'];
  assert.deepEqual(await conditions(new Map([[EU, of(AP)]]), [EU, AP]), unknown, 'no peer');
  const both = new Map([
    [EU, of(AP)],
    [AP, of(AP)],
  ]);
  assert.deepEqual(await conditions(both, [EU]), unknown, 'no bundle');
  assert.deepEqual(await conditions(both, [EU, AP]), []);
});

test('BC-23: a chain of endpoints, each proved by the bundle of the one before, is ChainedBundle, and whatever ends it is not', async () => {
  const chain = (next: BundleEndpointSpec): ReadonlyMap<TrustDomain, BundleEndpointSpec> =>
    new Map([
      [EU, of(AP)],
      [AP, next],
    ]);
  assert.deepEqual(await conditions(chain(of(US)), [EU, AP]), ['ChainedBundle Peer/eu-west']);
  assert.deepEqual(await conditions(chain(of(EU)), [EU, AP]), [
    'ChainedBundle Peer/eu-west',
    'ChainedBundle Peer/ap-south',
  ]);
  for (const end of [of(AP), WEB, { kind: 'link' } as const])
    assert.deepEqual(await conditions(chain(end), [EU, AP]), []);
});

test('BC-23: an endpoint of its own domain, of ours, of the web, and the link itself need no word', async () => {
  for (const endpoint of [of(EU), of(US), WEB, { kind: 'link' } as const])
    assert.deepEqual(await conditions(new Map([[EU, endpoint]]), [EU]), []);
});

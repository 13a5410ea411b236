/** What no mesh can be registered as. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { memoryStore } from '../../base/store/memory.ts';
import { Registration } from '../../federation/peering/registration.ts';
import { gatewayIdOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { testBundle, testRoot } from '../support/certificates.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';

test('no mesh is registered under the name that stands for our own, and another name is free', async () => {
  await using store = memoryStore();
  const shelf = {
    get: () => undefined,
    all: () => new Map(),
    offer: async () => ({ kind: 'stored' }) as const,
    remove: async () => undefined,
  };
  const own = testBundle([testRoot(parseTrustDomain('a.example.org'))]);
  const bundle = testBundle([testRoot(parseTrustDomain('b.example.org'))]);
  const { trustDomain } = bundle;
  const bundleEndpoint = { kind: 'link' } as const;
  const identity = { trustDomain, gatewayId: gatewayIdOf(trustDomain), addresses: [], bundleEndpoint, bundle };
  let known: typeof own | undefined = own;
  const registration = new Registration({
    store,
    bundles: shelf,
    trustDomain: own.trustDomain,
    own: () => known,
    declared: () => [],
    clock: systemClock,
  });
  assert.equal((await registration.check({ name: 'self', identity, replace: true }))?.code, 'name-reserved');
  assert.equal(await registration.check({ name: 'b', identity, replace: false }), undefined);
  known = undefined;
  const unjudged = await registration.check({ name: 'b', identity, replace: false });
  assert.equal(unjudged?.code, 'own-bundle-unknown', 'it may hold a root of ours');
});

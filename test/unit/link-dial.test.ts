/** When a peer that cannot be reached is dialled again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLog } from '../../base/log.ts';
import { DEFAULT_LIMITS } from '../../federation/resources/limits.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { LinkDialer } from '../../gateway/link/dial.ts';
import { LinkPool } from '../../gateway/link/pool.ts';
import { BufferPool } from '../../gateway/message/output.ts';
import { NO_DISTRUST } from '../../trust-bundles/distrust/distrust.ts';
import { gatewayIdOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { svidSource, testDomain } from '../support/trust.ts';

const us = testDomain('us.example');
const eu = testDomain('eu.example');

/** A dialler whose every attempt fails at the name; the count of attempts. */
function dialling() {
  const clock = new ManualClock();
  const addresses = [{ host: 'gw.eu.example', port: 15_443 }];
  const peer = { name: 'eu', trustDomain: eu.trustDomain, gatewayId: gatewayIdOf(eu.trustDomain), gateways: addresses };
  const snapshot: Snapshot = {
    mesh: 'us',
    trustDomain: us.trustDomain,
    gatewayId: gatewayIdOf(us.trustDomain),
    generations: { trust: 1, policy: 1, imports: new Map() },
    limits: DEFAULT_LIMITS,
    linkMaxAgeMs: undefined,
    exports: new Map(),
    imports: new Map(),
    routes: [],
    bundles: new Map([us, eu].map(({ trustDomain, bundle }) => [trustDomain, bundle])),
    tainted: new Set(),
    distrust: NO_DISTRUST,
    peers: new Map([['eu', peer]]),
  };
  let attempts = 0;
  const dialer = new LinkDialer({
    snapshot: { current: () => snapshot, watch: () => ({ [Symbol.dispose]: () => undefined }) },
    svid: svidSource(us.svid('/jumpgate')),
    pool: new LinkPool(),
    hello: {
      versions: { min: 1, max: 1 },
      trustDomain: us.trustDomain,
      instance: 'us-1',
      epoch: 1n,
      worker: 0,
      workers: 1,
      features: [],
    },
    linksPerPeer: 1,
    buffers: new BufferPool(),
    clock,
    log: silentLog,
    random: () => 0,
    backoff: { minMs: 60_000, maxMs: 60_000 },
    lookup: async () => {
      attempts += 1;
      throw new Error('no such name');
    },
  });
  const settled = async (): Promise<number> => {
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    return attempts;
  };
  return { clock, dialer, settled };
}

test('a peer that shows itself is dialled at once, and at most once a second', async () => {
  const { clock, dialer, settled } = dialling();
  assert.equal(await settled(), 1);
  dialer.wake('eu');
  assert.equal(await settled(), 2);
  for (const attempts of [3, 4]) {
    clock.advance(999);
    dialer.wake('eu');
    assert.equal(await settled(), attempts - 1, 'not yet');
    clock.advance(1);
    dialer.wake('eu');
    assert.equal(await settled(), attempts);
  }
  dialer.wake('somebody');
  clock.advance(1_000);
  dialer.wake('somebody');
  assert.equal(await settled(), 4);
  clock.advance(60_000);
  assert.equal(await settled(), 5, 'the next attempt of its own comes in its time');
  await dialer[Symbol.asyncDispose]();
  assert.equal(clock.pending, 0);
});

test('a dialler that is over does not wake', async () => {
  const { dialer, settled } = dialling();
  assert.equal(await settled(), 1);
  await dialer[Symbol.asyncDispose]();
  dialer.wake('eu');
  assert.equal(await settled(), 1);
});

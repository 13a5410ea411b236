/** When a rotation by hand lets the published root sign: whom it waits for, and for how long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLog } from '../../base/log.ts';
import { NO_STREAM, type PeeringStatus } from '../../federation/peering/status.ts';
import { type PeerSpec } from '../../federation/resources/values.ts';
import { Rotation } from '../../gateway/operations/rotation.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { caRig } from '../support/embedded-ca.ts';
import { EU, peerOf } from '../support/federation-values.ts';
import { build } from '../support/snapshots.ts';

const HINT_MS = 300_000;
/** More than any root is waited for. */
const HINTS_MAX = 7;

type Endpoint = PeerSpec['bundleEndpoint'];
const endpointOf = (path: string): Endpoint => ({
  kind: 'https_spiffe',
  url: 'https://endpoint.test/',
  spiffeId: parseSpiffeId(`spiffe://${EU}${path}`),
});

/** Rotates with one peer; how many refresh hints pass until the new root signs, at most {@link HINTS_MAX}. */
async function hintsWaited(spec: Partial<PeerSpec>, stream: PeeringStatus | undefined): Promise<number> {
  await using rig = await caRig();
  await using ca = await rig.open();
  const peer = peerOf('eu-west', EU, spec);
  const { snapshot } = build({ peers: [peer] });
  const rotation = new Rotation({
    ca,
    snapshots: { current: () => snapshot, watch: () => ({ [Symbol.dispose]: () => undefined }) },
    peering: () => stream,
    endpointOf: () => peer.spec.bundleEndpoint,
    clock: rig.clock,
    log: silentLog,
  });
  const { phase, waitingFor } = await rotation.rotate(false);
  assert.deepEqual(waitingFor, phase === 'published' ? ['eu-west'] : []);
  let hints = 0;
  while (rotation.rehearse([]).nextFingerprint !== null && hints < HINTS_MAX) {
    assert.equal(rotation.rehearse([]).findings.length, 1, 'what is waited for is what would break');
    rig.clock.advance(HINT_MS);
    await rotation.peersChanged();
    hints += 1;
  }
  return hints;
}

const holdsAll: PeeringStatus = { ...NO_STREAM, state: 'active', theyHoldOurBundleSequence: 1n << 62n };

test('a peer whose own gateway serves its bundle is waited for until it says that it holds the new root', async () => {
  for (const bundleEndpoint of [{ kind: 'link' } as const, endpointOf('/jumpgate')]) {
    assert.equal(await hintsWaited({ bundleEndpoint }, holdsAll), 0);
    assert.equal(await hintsWaited({ bundleEndpoint }, { ...holdsAll, theyHoldOurBundleSequence: 0n }), HINTS_MAX);
    assert.equal(await hintsWaited({ bundleEndpoint }, undefined), HINTS_MAX);
  }
});

test("BS-16: an issuer beside the peer's gateways, such as a SPIRE server, has five refresh hints to poll the new root", async () => {
  const bundleEndpoint = endpointOf('/spire/server');
  assert.equal(await hintsWaited({ bundleEndpoint }, holdsAll), 5);
  assert.equal(await hintsWaited({ bundleEndpoint }, undefined), HINTS_MAX);
});

test('BS-16: a peer without gateways, which can say nothing, is waited for five refresh hints and no longer', async () => {
  assert.equal(await hintsWaited({ gateways: [], bundleEndpoint: endpointOf('/spire/server') }, undefined), 5);
});

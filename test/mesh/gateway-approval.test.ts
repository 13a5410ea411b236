/** Invites that are held: two real gateways, of which one shows who waits, approves it, or turns it down. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { type PeerStatus } from '../../gateway/admin/operations.ts';
import { GatewayProcess, mesh, MeshDirectory } from '../support/gateway-process.ts';

interface Bench extends AsyncDisposable {
  readonly east: GatewayProcess;
  readonly west: GatewayProcess;
}

/** Two gateways, of which west has redeemed an invite that east holds. */
async function heldJoin(): Promise<Bench> {
  await using held = new AsyncDisposableStack();
  const eastFiles = held.use(new MeshDirectory({ 'mesh.yaml': mesh('east') }));
  const westFiles = held.use(new MeshDirectory({ 'mesh.yaml': mesh('west') }));
  const east = held.use(new GatewayProcess(eastFiles.path));
  const west = held.use(new GatewayProcess(westFiles.path));
  await Promise.all([east.ready(), west.ready()]);
  const invited = await east.run('invite', ['--peer', 'west', '--trust-domain', 'west.example', '--approve']);
  assert.equal(invited.code, 0, invited.stderr);
  assert.match(invited.stderr, /address: +127\.0\.0\.1:\d+ reachable from here: yes, reaches this gateway/);
  await west.command('join', ['-'], invited.stdout);
  const kept = held.move();
  return { east, west, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function peersOf(gateway: GatewayProcess): Promise<readonly PeerStatus[]> {
  return (await gateway.status()).peers;
}

test('a mesh that redeemed a held invite waits in peers, and is active at both sides once it is approved', async () => {
  await using bench = await heldJoin();
  const { east, west } = bench;
  const [waiting, ...others] = await peersOf(east);
  assert.deepEqual(others, []);
  assert.deepEqual(
    [waiting?.name, waiting?.trustDomain, waiting?.gatewayId, waiting?.state],
    ['west', 'west.example', 'spiffe://west.example/jumpgate', 'awaiting-approval'],
  );
  assert.match(waiting?.message ?? '', /compare its root [0-9a-f]{64}, then run "jumpgate peers approve west"$/);
  assert.match(await east.command('peers'), /west +west\.example +awaiting-approval/);
  await west.until('the dial to east to be refused', ({ conditions }) =>
    conditions.some(({ type, message }) => type === 'LinkFailing' && message.includes('may have removed this mesh')),
  );
  assert.equal((await peersOf(west))[0]?.state, 'connecting');

  assert.match(await east.command('peers', ['approve', 'west']), /approved west \(west\.example\)/);
  for (const gateway of [east, west]) {
    const { peers } = await gateway.until('the peer to be active', (status) => status.peers[0]?.state === 'active');
    assert.equal(peers.length, 1);
  }
  const again = await east.run('peers', ['approve', 'west']);
  assert.notEqual(again.code, 0);
  assert.match(again.stderr, /no peer west waits for approval/);
});

test('a mesh that waits for approval can be turned down, and its invite is spent', async () => {
  await using bench = await heldJoin();
  const { east } = bench;
  await east.command('peers', ['remove', 'west']);
  assert.deepEqual(await peersOf(east), []);
  const late = await east.run('peers', ['approve', 'west']);
  assert.notEqual(late.code, 0);
  const unknown = await east.run('peers', ['remove', 'west']);
  assert.match(unknown.stderr, /no peer west is registered here/);
});

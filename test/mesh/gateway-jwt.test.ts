/** JWT-SVIDs of a running gateway: issued by hand, validated by a peer, their key rotated, and never in a log. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';

import { type BundleStatus } from '../../gateway/admin/operations-bundles.ts';
import { type JwtSvidVerdict } from '../../gateway/admin/operations-jwt.ts';
import { federate, GatewayProcess, mesh, MeshDirectory } from '../support/gateway-process.ts';

const WEB = 'spiffe://east.example/ns/shop/sa/web';

async function keysOf(gateway: GatewayProcess, peer: string): Promise<BundleStatus['jwtKeys']> {
  const all = (await gateway.ask('/v1/bundles')) as readonly BundleStatus[];
  return all.find((each) => each.peer === peer)?.jwtKeys ?? [];
}

test('a token that one mesh issued is valid at its peer, for its audience only, until its subject is quarantined there', async () => {
  using eastFiles = new MeshDirectory({ 'mesh.yaml': mesh('east') });
  using westFiles = new MeshDirectory({ 'mesh.yaml': mesh('west') });
  const printing = (words: readonly string[]): readonly string[] => [
    'sh',
    '-c',
    `exec "$0" "$@" >>${join(eastFiles.path, 'printed')}`,
    ...words,
  ];
  await using east = new GatewayProcess(eastFiles.path, printing);
  await using west = new GatewayProcess(westFiles.path);
  await federate(east, west);

  const issued = await east.run('svid', ['jwt', WEB, '--audience', 'reports', '--ttl', '10m']);
  assert.equal(issued.code, 0, issued.stderr);
  assert.match(issued.stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/, 'the token alone');
  const token = issued.stdout;
  for (const gateway of [east, west]) {
    const said = await gateway.command('svid', ['validate', '--audience', 'reports', '-'], token);
    assert.match(said, new RegExp(`^id {8}${WEB}\n`));
    const other = await gateway.run('svid', ['validate', '--audience', 'ledger', '-'], token);
    assert.equal(other.code, 1);
    assert.match(other.stderr, /^refused: audience-mismatch: /);
  }
  for (const [id, code] of [
    ['spiffe://east.example/jumpgate', 'svid-id-reserved'],
    ['spiffe://west.example/web', 'svid-id-foreign'],
    ['web', 'spiffe-id-malformed'],
  ] as const) {
    const refused = (await east.ask('/v1/jwt-svids', { id, audience: ['reports'] })) as { error: { code: string } };
    assert.equal(refused.error.code, code);
  }

  const [key] = await keysOf(east, 'self');
  assert.ok(key !== undefined);
  assert.equal(key.state, 'active');
  assert.deepEqual(
    (await keysOf(west, 'east')).map(({ keyId, state }) => [keyId, state]),
    [[key.keyId, 'published']],
  );
  const rotated = await east.command('rotate', ['--jwt']);
  assert.match(rotated, new RegExp(`^published: active ${key.keyId}, next [0-9a-f]{64}, sequence [0-9]+\n$`));
  assert.deepEqual((await keysOf(east, 'self')).map(({ state }) => state).sort(), ['active', 'prepared']);
  assert.equal(await east.command('rotate', ['--jwt']), rotated, 'the one that is published is it');
  assert.match(
    await east.command('status'),
    /jwt key [0-9a-f]{12} active, published \S+, jwt key [0-9a-f]{12} prepared/,
  );

  await west.command('quarantine', ['add', WEB]);
  const distrusted = await west.run('svid', ['validate', '--audience', 'reports', '-'], token);
  assert.deepEqual([distrusted.code, distrusted.stdout], [1, '']);
  assert.match(distrusted.stderr, /^refused: quarantined: /);
  await west.command('quarantine', ['remove', WEB]);
  await west.command('quarantine', ['add', 'peer', 'east']);
  assert.equal((await west.run('svid', ['validate', '--audience', 'reports', '-'], token)).code, 1);

  await east.command('quarantine', ['add', 'key', key.keyId]);
  await east.until('the distrusted key to leave the bundle', ({ bundles }) =>
    bundles.some(({ jwtKeys, peer }) => peer === 'self' && jwtKeys.every(({ keyId }) => keyId !== key.keyId)),
  );
  assert.deepEqual(
    (await keysOf(east, 'self')).map(({ state }) => state),
    ['active'],
    'the one that was next signs',
  );
  const stolen = (await east.ask('/v1/jwt-svids/validate', {
    token: token.trim(),
    audience: 'reports',
  })) as JwtSvidVerdict;
  assert.ok(stolen.verdict === 'refused');
  assert.match(stolen.code, /^(key-tainted|unknown-key)$/);

  const signature = token.trim().split('.').at(-1) ?? '';
  const printed = await readFile(join(eastFiles.path, 'printed'), 'utf8');
  for (const log of [east.stderr, west.stderr, printed]) assert.ok(!log.includes(signature));
  assert.match(`${east.stderr}${printed}`, /jwt-svid-issue/);
});

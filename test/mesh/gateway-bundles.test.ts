/** Bundles between two real gateways: an empty one, one that went back, and the ways back by hand. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { rudeServer } from '../support/bundle-endpoints.ts';
import { GatewayProcess, mesh, MeshDirectory } from '../support/gateway-process.ts';
import { webAuthority, webCertificate } from '../support/web-certificates.ts';

const API = 'apiVersion: jumpgate.dev/v1alpha1';

function peer(name: string, jump: string, more: string): string {
  return `${API}\nkind: Peer\nmetadata: { name: ${name} }\nspec: { trustDomain: ${name}.example, gateways: ["${jump}"], ${more} }\n`;
}

interface Shown {
  readonly peer: string;
  readonly sequence: string;
  readonly profile: string;
  readonly authorities: readonly { readonly fingerprint: string }[];
}

async function bundleOf(gateway: GatewayProcess, name: string): Promise<Shown | undefined> {
  const all = (await gateway.ask('/v1/bundles')) as readonly Shown[];
  return all.find((each) => each.peer === name);
}

function linked(gateway: GatewayProcess, name: string, linked: boolean): Promise<unknown> {
  return gateway.until(`links of ${name}: ${linked}`, ({ peers }) =>
    peers.some((each) => each.name === name && each.linksOutbound + each.linksInbound > 0 === linked),
  );
}

test('BC-18 BC-14 I9: an empty bundle cuts the links at once, and import and accept are the ways back', async () => {
  const authority = webAuthority();
  let served = '';
  await using endpoint = await rudeServer((_request, response) => response.end(served), {
    ...webCertificate(authority, ['localhost']),
  });
  using eastFiles = new MeshDirectory({ 'mesh.yaml': mesh('east'), 'ca.pem': authority.pem });
  using westFiles = new MeshDirectory({ 'mesh.yaml': mesh('west') });
  await using east = new GatewayProcess(eastFiles.path);
  await using west = new GatewayProcess(westFiles.path);
  await Promise.all([east.ready(), west.ready()]);
  served = await west.command('bundles', ['show', 'self']);
  const first = JSON.parse(served) as { spiffe_sequence: number };
  westFiles.write('east.json', await east.command('bundles', ['show', 'self']));
  westFiles.write('east.yaml', peer('east', await east.address('jump'), 'bundle: { file: east.json }'));
  const web = `bundleEndpoint: { url: "https://localhost:${endpoint.port}/", profile: https_web, caFile: ca.pem }`;
  eastFiles.write('west.yaml', peer('west', await west.address('jump'), web));
  await linked(east, 'west', true);
  assert.equal((await bundleOf(east, 'west'))?.profile, 'https_web');

  // The nudge of a rotation makes east ask its endpoint, which says now that nothing of west is to be believed.
  served = `{"keys":[],"spiffe_sequence":${first.spiffe_sequence + 1_000}}`;
  await west.command('rotate');
  await linked(east, 'west', false);
  await linked(west, 'east', false);
  const conditions = async (): Promise<readonly string[]> =>
    (await east.status()).conditions.map(({ type, severity }) => `${severity} ${type}`);
  assert.ok((await conditions()).includes('error BundleEmpty'));
  assert.ok((await conditions()).includes('error BundleTurnover'));

  const file = join(eastFiles.path, 'west.bundle');
  await writeFile(file, await west.command('bundles', ['show', 'self']));
  const refused = await east.run('bundles', ['import', 'west', file, '--fingerprint', '0'.repeat(64)]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /expected the bundle of west\.example to hold exactly the named roots/);
  assert.match(
    await east.command('bundles', ['import', 'west', file]),
    /^believed now: sequence \d+, roots [0-9a-f]{64}/,
  );
  await linked(east, 'west', true);
  const imported = await bundleOf(east, 'west');

  // West has been restored from a backup: what it publishes went back.
  served = (await readFile(file, 'utf8')).replace(/"spiffe_sequence":\d+/, '"spiffe_sequence":5');
  const roots = imported?.authorities.map(({ fingerprint }) => fingerprint).join(',') ?? '';
  const guess = await east.run('bundles', ['accept', 'west', '--fingerprint', 'f'.repeat(64)]);
  assert.equal(guess.code, 1);
  assert.match(guess.stderr, /sequence 5/);
  assert.equal((await bundleOf(east, 'west'))?.sequence, imported?.sequence);
  await east.command('bundles', ['accept', 'west', '--fingerprint', roots]);
  assert.equal((await bundleOf(east, 'west'))?.sequence, '5');
  await linked(east, 'west', true);
  assert.match(east.stderr, /a bundle was taken by hand/);
  assert.match(east.stderr, /"action":"bundle-accept","subject":"west"/);
  const map = JSON.parse(await east.command('bundles', ['show'])) as { trust_domains: Record<string, unknown> };
  assert.deepEqual(Object.keys(map.trust_domains), ['east.example', 'west.example']);
});

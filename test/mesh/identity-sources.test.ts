/** Gateways whose identity others give them, as processes: under IDs of any path, through loss and renewal, and from one source to another. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { type BundleStatus } from '../../gateway/admin/operations-bundles.ts';
import {
  exported,
  federate,
  GatewayProcess,
  imported,
  mesh,
  MeshDirectory,
  until,
} from '../support/gateway-process.ts';
import { identityTexts, mountIdentity } from '../support/identity-files.ts';
import { call, http1Service } from '../support/sample-services.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { testDomain } from '../support/trust.ts';
import { standInWorkloadApi, svidFields } from '../support/workload-api-stand-in.ts';

const EMBEDDED = '  identity: { embedded: {} }\n';
const EAST_PATH = '/ns/istio-system/sa/east-west_gateway';
const WEST_PATH = '/Gate.Way/..jump/1';

function meshFrom(name: string, gatewayPath: string, identity: string, more = ''): string {
  const gatewayId = `  gatewayId: "spiffe://${name}.example${gatewayPath}"\n`;
  return mesh(name, { more }).replace(EMBEDDED, `${gatewayId}  identity: ${identity}\n`);
}

const filesOf = (directory: string): string =>
  `{ files: { svid: ${directory}/svid.pem, key: ${directory}/key.pem, bundle: ${directory}/bundle.pem } }`;

test('WC-1: two meshes under gateway IDs of any path, one from SPIFFE_ENDPOINT_SOCKET and one from files, carry calls through rotation and redaction', async () => {
  const [eastDomain, westDomain] = [testDomain('east.example'), testDomain('west.example')];
  await using api = await standInWorkloadApi();
  using secrets = temporaryDirectory();
  const westTexts = (): ReturnType<typeof identityTexts> => identityTexts(westDomain, westDomain.svid(WEST_PATH));
  const mount = mountIdentity(secrets.path, westTexts());
  await using service = await http1Service();
  const allow = '{ peers: [east], who: ["spiffe://east.example/**"] }';
  using eastFiles = new MeshDirectory({
    'mesh.yaml': meshFrom('east', EAST_PATH, '{ workloadApi: {} }', '  workers: 1\n'),
    'a.yaml': imported('a', 'west', 'plain', 'spiffe://east.example/**'),
  });
  using westFiles = new MeshDirectory({
    'mesh.yaml': meshFrom('west', WEST_PATH, filesOf(secrets.path)),
    'a.yaml': exported('plain', 'http1', service.port, allow),
  });
  await using east = new GatewayProcess(eastFiles.path, undefined, { SPIFFE_ENDPOINT_SOCKET: api.socket });
  await using west = new GatewayProcess(westFiles.path);

  const waiting = await east.until('the missing SVID to be told', ({ pending }) => pending.includes('svid'));
  assert.deepEqual([waiting.identity.source, waiting.identity.from], ['workloadApi', api.socket]);
  assert.ok(waiting.conditions.some(({ type, subject }) => type === 'IdentityMissing' && subject === 'Mesh/east'));
  assert.match(east.stderr, /"gateway is up, and not ready without an svid"/);
  assert.doesNotMatch(east.stderr, /"gateway is ready"/);
  const early = await east.run('invite', ['--peer', 'west', '--trust-domain', 'west.example']);
  assert.match(early.stderr, /own-bundle-unknown|expected the bundle of this mesh/);

  const gateway = (): ReturnType<typeof svidFields> => svidFields(eastDomain, eastDomain.svid(EAST_PATH));
  api.say(gateway());
  await federate(east, west);
  await east.importIs('a', 'active');
  const listener = await east.address('outbound[0]');
  const status = async (): Promise<number> => (await call(listener, 'plain.west.mesh.internal')).status;
  assert.equal(await status(), 200);
  assert.equal((await east.status()).gatewayId, `spiffe://east.example${EAST_PATH}`);
  assert.match(await east.command('status'), /identity from workloadApi unix:\/\/\S+, svid until 20/);
  for (const words of [['svid', 'spiffe://east.example/web'], ['rotate']]) {
    const refused = await east.run(words[0] ?? '', words.slice(1));
    assert.match(`${refused.code} ${refused.stderr}`, /^2 .*expected identity\.embedded/s, words[0]);
  }

  const [eastUntil, westUntil] = [await expiry(east), await expiry(west)];
  api.say(svidFields(eastDomain, { ...eastDomain.svid(EAST_PATH) }));
  mount.swap(westTexts());
  assert.deepEqual([await expiry(east), await expiry(west)], [eastUntil, westUntil], 'all end with their domain');
  assert.equal(await status(), 200);

  api.say(svidFields(eastDomain, eastDomain.svid('/web')));
  await east.until('the loss to be told', ({ pending }) => pending.includes('svid'));
  await until('calls to be refused', async () => (await status()) === 503);
  api.say(gateway());
  await east.ready();
  await until('calls to be carried again', async () => (await status()) === 200);
});

const expiry = async (gateway: GatewayProcess): Promise<string | null> => (await gateway.status()).identity.expiresAt;

test('another source is a change of the document: a reload names it, a restart takes it, and the sequence only rises', async () => {
  const domain = testDomain('east.example');
  using secrets = temporaryDirectory();
  mountIdentity(secrets.path, identityTexts(domain, domain.svid('/jumpgate')));
  using files = new MeshDirectory({ 'mesh.yaml': mesh('east') });
  const sequences: bigint[] = [];
  const roots: string[] = [];
  const look = async (gateway: GatewayProcess): Promise<void> => {
    await gateway.ready();
    const [own] = (await gateway.ask('/v1/bundles')) as BundleStatus[];
    sequences.push(BigInt(own?.sequence ?? '0'));
    roots.push(own?.authorities.map(({ fingerprint }) => fingerprint).join() ?? '');
  };
  const fromFiles = mesh('east').replace(EMBEDDED, `  identity: ${filesOf(secrets.path)}\n`);
  for (const next of [fromFiles, mesh('east'), undefined]) {
    await using gateway = new GatewayProcess(files.path);
    await look(gateway);
    if (next !== undefined) {
      files.write('mesh.yaml', next);
      const changed = await gateway.until('the reload', ({ config }) => config.lastReload.needsRestart.length > 0);
      assert.deepEqual(changed.config.lastReload.needsRestart, ['Mesh east: spec.identity']);
    }
    await gateway.kill('SIGTERM');
  }
  assert.deepEqual([roots[1], roots[2]], [domain.root.fingerprint, roots[0]]);
  const [first = 0n, second = 0n, third = 0n] = sequences;
  assert.ok(first < second && second < third, sequences.join());
});

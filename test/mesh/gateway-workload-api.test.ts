/** The Workload API of running gateways: sockets from the documents, bundles of peers, reloads, quarantine, status and metrics. */
import assert from 'node:assert/strict';
import { chmod, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';

import { X509Certificate } from 'node:crypto';

import {
  FETCH_JWT_BUNDLES,
  FETCH_JWT_SVID,
  FETCH_X509_BUNDLES,
  FETCH_X509_SVID,
  VALIDATE_JWT_SVID,
} from '../../trust-bundles/workload-api-proto/methods.ts';
import { federate, GatewayProcess, mesh, MeshDirectory } from '../support/gateway-process.ts';
import { callWorkloadApi } from '../support/workload-api.ts';

const WEB = 'spiffe://east.example/ns/shop/sa/web';
const BATCH = 'spiffe://east.example/ns/shop/sa/batch';

function meshWith(name: string, sockets: readonly string[]): string {
  return mesh(name).replace('    admin:', `    workloadApi: [${sockets.join(', ')}]\n    admin:`);
}

const socket = (file: string, identity: string, more = ''): string =>
  `{ socket: ./sockets/${file}, identity: "${identity}"${more} }`;

test('workloads get SVIDs and tokens that other workloads verify, and the bundles of the peers that their socket names', async () => {
  using east = new MeshDirectory({
    'mesh.yaml': meshWith('east', [
      socket('web.sock', WEB, ', federatesWith: [west], ttl: 2m'),
      socket('batch.sock', BATCH, ', hint: nightly'),
      socket('plain.sock', BATCH, ', jwt: off, federatesWith: all'),
    ]),
  });
  using west = new MeshDirectory({ 'mesh.yaml': mesh('west') });
  await using eastGateway = new GatewayProcess(east.path);
  await using westGateway = new GatewayProcess(west.path);
  await federate(eastGateway, westGateway);
  const at = (file: string): string => join(east.path, 'sockets', file);
  assert.deepEqual(
    [(await stat(join(east.path, 'sockets'))).mode & 0o777, (await stat(at('web.sock'))).mode & 0o777],
    [0o700, 0o600],
  );

  using web = callWorkloadApi(at('web.sock'));
  using batch = callWorkloadApi(at('batch.sock'));
  using plain = callWorkloadApi(at('plain.sock'));
  const svids = web.stream(FETCH_X509_SVID, {});
  const first = await svids.next();
  const leaf = new X509Certificate(first.svids[0]?.x509Svid ?? new Uint8Array());
  assert.equal(leaf.subjectAltName, `URI:${WEB}`);
  assert.ok(leaf.verify(new X509Certificate(first.svids[0]?.bundle ?? new Uint8Array()).publicKey));
  assert.deepEqual(Object.keys(first.federatedBundles), ['spiffe://west.example']);
  const own = await batch.stream(FETCH_X509_BUNDLES, {}).next();
  assert.deepEqual(Object.keys(own.bundles), ['spiffe://east.example']);
  const all = await plain.stream(FETCH_X509_BUNDLES, {}).next();
  assert.deepEqual(Object.keys(all.bundles), ['spiffe://east.example', 'spiffe://west.example']);

  const token = (await batch.unary(FETCH_JWT_SVID, { audience: ['web'] })).svids[0];
  assert.deepEqual([token?.spiffeId, token?.hint], [BATCH, 'nightly']);
  const proved = await web.unary(VALIDATE_JWT_SVID, { audience: 'web', svid: token?.svid ?? '' });
  assert.equal(proved.spiffeId, BATCH);
  const sets = await web.stream(FETCH_JWT_BUNDLES, {}).next();
  assert.deepEqual(Object.keys(sets.bundles), ['spiffe://east.example', 'spiffe://west.example']);
  await assert.rejects(plain.unary(FETCH_JWT_SVID, { audience: ['web'] }), /UNIMPLEMENTED/);

  const shown = await eastGateway.command('status');
  assert.match(shown, new RegExp(`workload-api workload-api unix:${at('web.sock')} as ${WEB}`));
  const metrics = await (await fetch(`http://${await eastGateway.address('status')}/metrics`)).text();
  assert.match(metrics, /jumpgate_workload_svids_issued_total\{kind="x509"\} 1\n/);
  assert.match(metrics, /jumpgate_workload_svids_issued_total\{kind="jwt"\} 1\n/);

  await eastGateway.command('quarantine', ['add', 'spiffe://east.example/ns/shop/sa/batch', '--for', '2h']);
  await assert.rejects(batch.unary(FETCH_JWT_SVID, { audience: ['web'] }), /PERMISSION_DENIED/);
  await eastGateway.command('quarantine', ['add', 'peer', 'west', '--for', '2h']);
  assert.deepEqual((await svids.next()).federatedBundles, {}, 'a peer that is quarantined is not to be believed');
});

test('a reload adds, changes and removes sockets; callers of one that stays keep their streams; a bad one changes nothing', async () => {
  const web = socket('web.sock', WEB);
  using directory = new MeshDirectory({ 'mesh.yaml': meshWith('east', [web, socket('batch.sock', BATCH)]) });
  await using gateway = new GatewayProcess(directory.path);
  await gateway.ready();
  const at = (file: string): string => join(directory.path, 'sockets', file);
  using kept = callWorkloadApi(at('web.sock'));
  const stream = kept.stream(FETCH_X509_SVID, {});
  await stream.next();
  let isCut = false;
  void stream.ended.then(() => (isCut = true));
  const sockets = async (): Promise<readonly string[]> =>
    (await gateway.status()).listeners.filter(({ kind }) => kind === 'workload-api').map(({ caller }) => caller ?? '');
  const other = 'spiffe://east.example/other';

  directory.write('mesh.yaml', `\n${meshWith('east', [web, socket('batch.sock', other), socket('new.sock', BATCH)])}`);
  await gateway.command('reload');
  assert.deepEqual([...(await sockets())].sort(), [WEB, BATCH, other].sort());
  using changed = callWorkloadApi(at('batch.sock'));
  assert.equal((await changed.stream(FETCH_X509_SVID, {}).next()).svids[0]?.spiffeId, other);

  const open = join(directory.path, 'open');
  await mkdir(open);
  await chmod(open, 0o755);
  directory.write('mesh.yaml', meshWith('east', [web, `{ socket: ./open/x.sock, identity: "${BATCH}" }`]));
  const { code, stdout, stderr } = await gateway.run('reload');
  assert.equal(code, 1);
  assert.match(stdout + stderr, /expected a directory that others than owner and group cannot enter/);
  assert.deepEqual([...(await sockets())].sort(), [WEB, BATCH, other].sort());
  assert.equal(isCut, false);

  directory.write('mesh.yaml', mesh('east'));
  await gateway.command('reload');
  assert.deepEqual(await sockets(), []);
  assert.equal((await stream.ended).status, 'UNAVAILABLE');
  await assert.rejects(stat(at('web.sock')), { code: 'ENOENT' });
});

test('a gateway with a world-accessible socket directory does not start, and says why', async () => {
  using directory = new MeshDirectory({ 'mesh.yaml': meshWith('east', [socket('web.sock', WEB)]) });
  await mkdir(join(directory.path, 'sockets'));
  await chmod(join(directory.path, 'sockets'), 0o755);
  await using gateway = new GatewayProcess(directory.path);
  assert.equal(await gateway.ended, 2);
  assert.match(gateway.stderr, /others than owner and group cannot enter, found .* with mode 0755/);
});

test('with workers too: a control process that was killed leaves a socket that the next one takes up', async () => {
  const more = { more: '  workers: 1\n' };
  const text = mesh('east', more).replace('    admin:', `    workloadApi: [${socket('web.sock', WEB)}]\n    admin:`);
  using directory = new MeshDirectory({ 'mesh.yaml': text });
  await using gateway = new GatewayProcess(directory.path);
  const { processes } = await gateway.ready();
  using caller = callWorkloadApi(join(directory.path, 'sockets/web.sock'));
  assert.equal((await caller.stream(FETCH_X509_SVID, {}).next()).svids[0]?.spiffeId, WEB);
  const pid = processes.find(({ id }) => id === 'control')?.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  await gateway.until('another control process', (status) =>
    status.processes.some(({ id, pid: next, state }) => id === 'control' && next !== pid && state === 'ready'),
  );
  using again = callWorkloadApi(join(directory.path, 'sockets/web.sock'));
  assert.equal((await again.stream(FETCH_X509_SVID, {}).next()).svids[0]?.spiffeId, WEB);
});

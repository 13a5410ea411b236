/** Real gateways whose Redis is absent at the start, dies, forgets and brings back: catalogue M, with calls. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { exported, federate, GatewayProcess, imported, jumpgate } from '../support/gateway-process.ts';
import { mesh, MeshDirectory, portsOf, until } from '../support/gateway-process.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { call, http1Service } from '../support/sample-services.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const HOST = 'svc.west.mesh.internal';
const ANY = '{ peers: [east], who: ["spiffe://east.example/**"] }';
const IN = imported('in', 'west', 'svc', 'spiffe://east.example/**');
const PREFIX = 'jumpgate:east.example:';

/** `east` keeps its state in Redis, `west` in files; they are peers. */
interface Rig extends AsyncDisposable {
  readonly redis: RedisServer;
  readonly files: MeshDirectory;
  readonly east: GatewayProcess;
  readonly west: GatewayProcess;
}

async function rig(): Promise<Rig> {
  await using held = new AsyncDisposableStack();
  const redis = held.use(await startRedis());
  const service = held.use(await http1Service());
  const secrets = held.use(temporaryDirectory());
  const sealKeyFile = join(secrets.path, 'seal');
  writeFileSync(sealKeyFile, 'k'.repeat(43), { mode: 0o600 });
  const store = `{ redis: { url: "${redis.url}", sealKeyFile: ${sealKeyFile} } }`;
  const files = held.use(new MeshDirectory({ 'mesh.yaml': mesh('east', { store }), 'in.yaml': IN }));
  const out = exported('svc', 'http1', service.port, ANY);
  const there = held.use(new MeshDirectory({ 'mesh.yaml': mesh('west'), 'out.yaml': out }));
  const east = held.use(new GatewayProcess(files.path));
  const west = held.use(new GatewayProcess(there.path));
  await federate(east, west);
  await east.importIs('in', 'active');
  // Where the peer looks for it after a restart.
  files.write('mesh.yaml', mesh('east', { store, ports: portsOf(await east.status()) }));
  const kept = held.move();
  return { redis, files, east, west, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function statusPage(
  gateway: GatewayProcess,
  path: string,
): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await fetch(`http://${await gateway.address('status')}${path}`);
  return { status: answer.status, text: await answer.text() };
}

const conditionsOf = async (gateway: GatewayProcess): Promise<readonly string[]> =>
  (await gateway.status()).conditions.filter(({ subject }) => subject === 'Store').map(({ type }) => type);

test('M1 M2: a gateway starts without its Redis, believes what it remembers, calls, and gives all of it to an empty one', async () => {
  await using opened = await rig();
  const { redis, files, east } = opened;
  await redis.kill();
  assert.equal((await call(await east.address('outbound[0]'), HOST)).status, 200);
  await east.command('quarantine', ['add', 'export', 'payroll']);
  assert.equal(await east.kill('SIGKILL'), 'SIGKILL');

  await using again = new GatewayProcess(files.path);
  await again.ready();
  await again.importIs('in', 'active');
  assert.equal((await call(await again.address('outbound[0]'), HOST)).status, 200);
  assert.equal((await statusPage(again, '/readyz')).status, 200);
  assert.match((await statusPage(again, '/metrics')).text, /^jumpgate_store_available 0$/m);
  assert.deepEqual(await conditionsOf(again), ['StoreUnavailable']);
  assert.match(await again.command('status'), /StoreUnavailable/);
  assert.match(await again.command('quarantine'), /payroll/);

  await using back = await startRedis({ port: redis.port });
  // The quarantine, which looks every 30 s, has a test of its own.
  const wanted = ['bundles/west.example', 'peers/west'];
  await until('all rows to be there', async () => {
    const keys = await back.command('KEYS', `${PREFIX}row:*`);
    return wanted.every((key) => keys.includes(key));
  });
  await until(
    'no condition but of what was lost',
    async () => !(await conditionsOf(again)).includes('StoreUnavailable'),
  );
  assert.match((await statusPage(again, '/metrics')).text, /^jumpgate_store_available 1$/m);
});

test('M5 M6: rows of a removed peer that are put back with their seals make it no peer again, over a restart neither', async () => {
  await using opened = await rig();
  const { redis, files, east } = opened;
  const rows = new Map<string, string>();
  for (const key of ['bundles/west.example', 'peers/west']) {
    rows.set(key, (await redis.command('GET', `${PREFIX}row:${key}`)).replace(/^\$\d+\r\n|\r\n$/g, ''));
  }
  const putBack = async (): Promise<void> => {
    for (const [key, value] of rows) {
      await redis.command('SET', `${PREFIX}row:${key}`, value);
      await redis.command('PUBLISH', `${PREFIX}changes`, `${key} back`);
    }
  };
  const listener = await east.address('outbound[0]');
  await east.command('peers', ['remove', 'west']);
  await putBack();
  await until('the alarm', async () => (await conditionsOf(east)).includes('StoreRolledBack'));
  assert.match((await statusPage(east, '/metrics')).text, /^jumpgate_store_rows_mended_total [1-9]/m);
  assert.deepEqual((await east.status()).peers, []);
  assert.notEqual((await call(listener, HOST)).status, 200);
  assert.equal(await east.kill('SIGTERM'), 0);
  await putBack();
  await using again = new GatewayProcess(files.path);
  await again.ready();
  await until('the alarm again', async () => (await conditionsOf(again)).includes('StoreRolledBack'));
  assert.deepEqual((await again.status()).peers, []);
  assert.doesNotMatch(await again.command('bundles'), /west\.example/);
});

for (const [what, store, message] of [
  ['no sealKeyFile', 'redis: { url: "redis://127.0.0.1:1" }', /sealKeyFile/],
  [
    'a short seal key',
    'redis: { url: "redis://127.0.0.1:1", sealKeyFile: SHORT }',
    /expected a seal key of at least 32 bytes, found 8/,
  ],
  [
    'plaintext to another machine',
    'redis: { url: "redis://10.0.0.1", sealKeyFile: SEAL }',
    /expected rediss:\/\/ for 10\.0\.0\.1/,
  ],
  [
    'another machine without a password',
    'redis: { url: "rediss://10.0.0.1", sealKeyFile: SEAL }',
    /expected a password for the Redis server/,
  ],
] as const) {
  test(`M9: a gateway with Redis and ${what} does not start`, async () => {
    using secrets = temporaryDirectory();
    for (const [name, key] of [
      ['SEAL', 'k'.repeat(43)],
      ['SHORT', 'k'.repeat(8)],
    ] as const)
      writeFileSync(join(secrets.path, name), key, { mode: 0o600 });
    const at = store.replace(/\b(?:SEAL|SHORT)\b/, (name) => join(secrets.path, name));
    using files = new MeshDirectory({ 'mesh.yaml': mesh('east', { store: `{ ${at} }` }) });
    const { code, stderr } = await jumpgate(['run', '-f', files.path]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, message);
  });
}

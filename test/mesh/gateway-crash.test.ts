/** Real gateways that are killed, stopped, started twice or started wrongly, and a store that dies. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type ServerResponse } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';

import { systemClock } from '../../base/clock.ts';
import {
  exported,
  federate,
  GatewayProcess,
  imported,
  jumpgate,
  mesh,
  MeshDirectory,
  portsOf,
  until,
} from '../support/gateway-process.ts';
import { startRedis } from '../support/redis-server.ts';
import { type Answer, call, http1Service } from '../support/sample-services.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const ANY = '{ peers: [east], who: ["spiffe://east.example/**"] }';
/** From the end of the last call to the end of the process. */
const STOP_MS_MAX = 5_000;
/** From ready to an active control stream: dialling backs off for less than this. */
const PEERING_MS_MAX = 10_000;
const HOST = 'svc.west.mesh.internal';

const eastFiles = (): Record<string, string> => ({
  'mesh.yaml': mesh('east'),
  'in.yaml': imported('in', 'west', 'svc', 'spiffe://east.example/**'),
});
const westFiles = (port: number, more = ''): Record<string, string> => ({
  'mesh.yaml': mesh('west', { more }),
  'out.yaml': exported('svc', 'http1', port, ANY),
});

/** What must outlive a crash: the roots, the peers and the name of this instance. */
async function kept(gateway: GatewayProcess): Promise<unknown> {
  const { instance, peers, trustDomain } = await gateway.status();
  const bundles = (await gateway.ask('/v1/bundles')) as {
    trustDomain: string;
    authorities: { fingerprint: string }[];
  }[];
  const roots = bundles
    .map((each) => [each.trustDomain, each.authorities.map(({ fingerprint }) => fingerprint)])
    .sort();
  return {
    instance,
    trustDomain,
    roots,
    peers: peers.map(({ name, gatewayId, gateways }) => [name, gatewayId, gateways]),
  };
}

for (const victim of ['exporting', 'importing'] as const) {
  test(`the ${victim} gateway, killed under traffic, starts again with its state, and calls work without a new invite`, async () => {
    await using service = await http1Service();
    using here = new MeshDirectory(eastFiles());
    using there = new MeshDirectory(westFiles(service.port));
    await using east = new GatewayProcess(here.path);
    await using west = new GatewayProcess(there.path);
    await federate(east, west);
    await east.importIs('in', 'active');
    const [dying, files] = victim === 'exporting' ? [west, there] : [east, here];
    const before = await kept(dying);
    const ports = portsOf(await dying.status());
    files.write('mesh.yaml', mesh(victim === 'exporting' ? 'west' : 'east', { ports }));
    const listener = await east.address('outbound[0]');
    let stop = false;
    const outcomes: (number | 'failed')[] = [];
    const traffic = Promise.all(
      Array.from({ length: 8 }, async () => {
        while (!stop) {
          const { status } = await call(listener, HOST, { method: 'POST', body: Buffer.alloc(50_000) }).catch(() => ({
            status: 'failed' as const,
          }));
          outcomes.push(status);
        }
      }),
    );
    await until('traffic', () => outcomes.filter((status) => status === 200).length > 50);
    assert.equal(await dying.kill('SIGKILL'), 'SIGKILL');
    const fallen = outcomes.length;
    await until('calls to notice', () => outcomes.slice(fallen).some((status) => status !== 200));
    await using again = new GatewayProcess(files.path);
    await again.ready();
    assert.deepEqual(await kept(again), before);
    assert.deepEqual(portsOf(await again.status()), ports);
    // The other side knows from the closed connection, not from the heartbeat that does not come.
    const up = systemClock.monotonic();
    await again.until('the control stream to be back', ({ peers }) => peers[0]?.state === 'active');
    assert.ok(
      systemClock.monotonic() - up < PEERING_MS_MAX,
      `the control stream took ${systemClock.monotonic() - up} ms`,
    );
    const risen = outcomes.length;
    await until('calls to work again', () => outcomes.slice(risen).filter((status) => status === 200).length > 50);
    stop = true;
    await traffic;
    assert.equal((await call(listener, HOST)).status, 200);
    const rest = readdirSync(join(files.path, 'state'), { recursive: true, encoding: 'utf8' });
    assert.deepEqual(
      rest.filter((name) => /tmp|\.new$|^\.lock/.test(name)),
      [],
      'no half-written file stays',
    );
  });
}

/** Starts a gateway that must not start; returns its exit code and the lines it printed that are no log lines. */
async function refused(directory: string): Promise<{ code: unknown; lines: readonly string[]; all: string }> {
  await using gateway = new GatewayProcess(directory);
  const code = await gateway.ended;
  return {
    code,
    lines: gateway.stderr
      .trimEnd()
      .split('\n')
      .filter((line) => !line.startsWith('{')),
    all: gateway.stderr,
  };
}

test('L7: a second process on the same state directory is refused with one line, and the first goes on', async () => {
  using files = new MeshDirectory({ 'mesh.yaml': mesh('east') });
  using other = new MeshDirectory({});
  other.write('mesh.yaml', mesh('east', { store: `{ files: { directory: ${files.path}/state } }` }));
  await using first = new GatewayProcess(files.path);
  await first.ready();
  for (const directory of [files.path, other.path]) {
    const { code, lines, all } = await refused(directory);
    assert.equal(code, 2);
    assert.equal(lines.length, 1, all);
    assert.match(lines[0] ?? '', new RegExp(`state directory .* in use by process ${first.child.pid}.*stop it`));
  }
  assert.equal((await first.status()).state, 'ready');
});

test('a port in use is one line that names the address, for each kind of listener', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  try {
    const { port } = taken.address() as AddressInfo;
    for (const listener of ['jump', 'bundle', 'outbound[0]', 'status']) {
      using files = new MeshDirectory({ 'mesh.yaml': mesh('east', { ports: { [listener]: port } }) });
      const { code, lines, all } = await refused(files.path);
      assert.equal(code, 2, `${listener}: ${all}`);
      assert.equal(lines.length, 1, `${listener}: ${all}`);
      assert.match(lines[0] ?? '', new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}: another process does`));
      // Nothing is left behind that keeps the next start away.
      files.write('mesh.yaml', mesh('east'));
      await using next = new GatewayProcess(files.path);
      await next.ready();
    }
  } finally {
    taken.close();
  }
});

test('a key that others can read is one line that says what to do', async () => {
  const fixtures = join(import.meta.dirname, '../fixtures/edge-tls');
  const spec = '{ address: "127.0.0.1:0", tls: { certificateFile: edge.crt, keyFile: edge.key } }';
  using files = new MeshDirectory({
    'mesh.yaml': mesh('east'),
    'edge.yaml': `apiVersion: jumpgate.dev/v1alpha1\nkind: Edge\nmetadata: { name: public }\nspec: ${spec}\n`,
    'edge.crt': readFileSync(join(fixtures, 'edge.crt'), 'utf8'),
  });
  const missing = await refused(files.path);
  assert.deepEqual([missing.code, missing.lines.length], [2, 1], missing.all);
  assert.match(missing.all, /edge\.yaml:\d+:\d+: .*edge\.key/);
  files.write('edge.key', readFileSync(join(fixtures, 'edge.key'), 'utf8'), 0o644);
  const wide = await refused(files.path);
  assert.deepEqual([wide.code, wide.lines.length], [2, 1], wide.all);
  assert.match(wide.all, /edge\.yaml:\d+:\d+: .*edge\.key.*(?:chmod )?0?600/);
  chmodSync(join(files.path, 'edge.key'), 0o600);
  {
    await using gateway = new GatewayProcess(files.path);
    await gateway.ready();
  }
  // The keys of the embedded CA likewise: whatever file of the state holds one.
  const state = join(files.path, 'state');
  const keys = readdirSync(state).filter((name) => /PRIVATE KEY/.test(textOf(join(state, name))));
  assert.equal(keys.length, 1, readdirSync(state).join());
  for (const name of readdirSync(state).filter((each) => statSync(join(state, each)).isFile()))
    assert.equal(statSync(join(state, name)).mode & 0o077, 0, name);
  chmodSync(join(state, keys[0] ?? ''), 0o644);
  const open = await refused(files.path);
  assert.deepEqual([open.code, open.lines.length], [2, 1], open.all);
  assert.match(open.all, /chmod 0?600|mode 0?600/);
});

function textOf(path: string): string {
  return statSync(path).isFile() ? readFileSync(path, 'utf8') : '';
}

test('L3: a damaged state file is refused with one line that names it, and nothing is overwritten', async () => {
  using files = new MeshDirectory({ 'mesh.yaml': mesh('east') });
  {
    await using gateway = new GatewayProcess(files.path);
    await gateway.ready();
  }
  const state = join(files.path, 'state');
  const name = readdirSync(state).find((each) => /PRIVATE KEY/.test(textOf(join(state, each)))) ?? '';
  writeFileSync(join(state, name), '{"half', { mode: 0o600 });
  const { code, lines, all } = await refused(files.path);
  assert.deepEqual([code, lines.length], [2, 1], all);
  assert.ok(all.includes(name), all);
  assert.equal(readFileSync(join(state, name), 'utf8'), '{"half');
});

test('with Redis as store, gateways join and call; when Redis dies calls go on, status answers, and a start without it says so', async () => {
  await using redis = await startRedis();
  await using service = await http1Service();
  using secrets = temporaryDirectory();
  const sealKeyFile = join(secrets.path, 'seal');
  writeFileSync(sealKeyFile, 'k'.repeat(43), { mode: 0o600 });
  const store = `{ redis: { url: "${redis.url}", sealKeyFile: ${sealKeyFile} } }`;
  using here = new MeshDirectory({ ...eastFiles(), 'mesh.yaml': mesh('east', { store }) });
  using there = new MeshDirectory({ ...westFiles(service.port), 'mesh.yaml': mesh('west', { store }) });
  await using east = new GatewayProcess(here.path);
  await using west = new GatewayProcess(there.path);
  await federate(east, west);
  await east.importIs('in', 'active');
  const listener = await east.address('outbound[0]');
  assert.equal((await call(listener, HOST)).status, 200);
  assert.match(await redis.command('KEYS', '*'), /jumpgate:east\.example:[^]*peers\/west/);
  await redis.kill();
  for (let count = 0; count < 200; count += 1) assert.equal((await call(listener, HOST)).status, 200);
  const ready = await fetch(`http://${await east.address('status')}/readyz`);
  assert.equal(ready.status, 200, await ready.text());
  // A new export still reaches the other mesh: catalogues go over links, not through the store.
  there.write('second.yaml', exported('second', 'http1', service.port, ANY));
  here.write('second.yaml', imported('second', 'west', 'second', 'spiffe://east.example/**'));
  await east.importIs('second', 'active');
  assert.equal((await call(listener, 'second.west.mesh.internal')).status, 200);
  const invite = await east.run('invite', ['--peer', 'third', '--trust-domain', 'third.example']);
  assert.equal(invite.code, 1, 'what needs the store says so');
  assert.match(invite.stderr, /redis/i);
  assert.equal(await east.kill('SIGTERM'), 0);
});

for (const stopped of ['exporting', 'importing'] as const) {
  test(`N6: SIGTERM at the ${stopped} gateway lets a slow call finish, takes nothing new, and exits with 0`, async () => {
    const held: ServerResponse[] = [];
    await using service = await http1Service((incoming, response) => {
      incoming.resume();
      if (incoming.url !== '/slow') {
        response.end('quick');
        return;
      }
      response.write('first half, ');
      held.push(response);
    });
    using here = new MeshDirectory(eastFiles());
    using there = new MeshDirectory(westFiles(service.port));
    await using east = new GatewayProcess(here.path);
    await using west = new GatewayProcess(there.path);
    await federate(east, west);
    await east.importIs('in', 'active');
    const listener = await east.address('outbound[0]');
    const slow: Promise<Answer> = call(listener, HOST, { path: '/slow' });
    await until('the service to have the call', () => held.length === 1);
    const gateway = stopped === 'exporting' ? west : east;
    gateway.child.kill('SIGTERM');
    await until('nothing new to be taken', async () => {
      const next = await call(listener, HOST).catch(() => undefined);
      return next?.status !== 200;
    });
    assert.equal(gateway.running, true, gateway.stderr);
    held[0]?.end('second half');
    const answer = await slow;
    assert.deepEqual([answer.status, answer.body], [200, 'first half, second half']);
    // The drain time of 30 s is for calls: a control stream or an idle link must not use it up.
    const answered = systemClock.monotonic();
    assert.equal(await gateway.ended, 0, gateway.stderr);
    assert.ok(
      systemClock.monotonic() - answered < STOP_MS_MAX,
      `ended ${systemClock.monotonic() - answered} ms after its last call`,
    );
    assert.ok(!gateway.stderr.includes('not drained in time'), gateway.stderr);
    assert.equal((await jumpgate(['status', '-f', gateway.directory])).code, 3);
  });
}

test('N7: a call that never ends does not hold a stopping gateway for longer than its drain time', async () => {
  const held: ServerResponse[] = [];
  await using service = await http1Service((_incoming, response) => void held.push(response));
  using here = new MeshDirectory(eastFiles());
  using there = new MeshDirectory(westFiles(service.port, '  drain: 1s\n'));
  await using east = new GatewayProcess(here.path);
  await using west = new GatewayProcess(there.path);
  await federate(east, west);
  await east.importIs('in', 'active');
  const endless = call(await east.address('outbound[0]'), HOST).catch(() => undefined);
  await until('the service to have the call', () => held.length === 1);
  assert.equal(await west.kill('SIGTERM'), 0);
  const answer = await endless;
  assert.ok(answer === undefined || answer.status >= 500, JSON.stringify(answer));
});

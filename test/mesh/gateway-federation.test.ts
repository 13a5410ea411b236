/** Two real gateways: calls across, and what changes of YAML and of peers do while they run. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, symlinkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { systemClock } from '../../base/clock.ts';
import {
  exported,
  federate,
  GatewayProcess,
  imported,
  mesh,
  MeshDirectory,
  until,
} from '../support/gateway-process.ts';
import { call, callHttp2, EchoClient, grpcService, http1Service, http2Service } from '../support/sample-services.ts';

const ANY = '{ peers: [east], who: ["spiffe://east.example/**"] }';
const ALL = 'spiffe://east.example/**';
/** Told at once, not found by the next poll or reconnection. What it takes is shown and not judged, since machines differ. */
const IN_EFFECT_MS_MAX = 10_000;

test('HTTP/1.1, HTTP/2 and all kinds of gRPC calls cross between two meshes that met by invite and join', async () => {
  await using plain = await http1Service();
  await using framed = await http2Service();
  await using echo = await grpcService();
  using eastFiles = new MeshDirectory({
    'mesh.yaml': mesh('east'),
    'a.yaml': imported('a', 'west', 'plain', ALL),
    'b.yaml': imported('b', 'west', 'framed', ALL),
    'c.yaml': imported('c', 'west', 'echo', ALL),
  });
  using westFiles = new MeshDirectory({
    'mesh.yaml': mesh('west'),
    'a.yaml': exported('plain', 'http1', plain.port, ANY),
    'b.yaml': exported('framed', 'http2', framed.port, ANY),
    'c.yaml': exported('echo', 'grpc', echo.port, ANY),
  });
  await using east = new GatewayProcess(eastFiles.path);
  await using west = new GatewayProcess(westFiles.path);
  await federate(east, west);
  for (const name of ['a', 'b', 'c']) await east.importIs(name, 'active');
  const listener = await east.address('outbound[0]');
  const caller = 'URI=spiffe://east.example/web';

  const one = await call(listener, 'plain.west.mesh.internal', {
    method: 'POST',
    path: '/x?y=1',
    body: Buffer.alloc(300_000),
  });
  assert.equal(one.status, 200);
  const seen = JSON.parse(one.body) as { method: string; path: string; caller: string; bytes: number };
  assert.deepEqual([seen.method, seen.path, seen.bytes], ['POST', '/x?y=1', 300_000]);
  assert.ok(seen.caller.includes(caller), seen.caller);
  const two = await callHttp2(listener, 'framed.west.mesh.internal', '/z', Buffer.alloc(300_000));
  assert.equal(two.status, 200);
  assert.match(two.body, /"bytes":300000/);
  assert.ok(two.body.includes(caller), two.body);
  // Either protocol of the caller reaches either protocol of the service.
  assert.equal((await call(listener, 'framed.west.mesh.internal')).status, 200);
  assert.equal((await callHttp2(listener, 'plain.west.mesh.internal', '/', Buffer.from('x'))).status, 200);

  using client = new EchoClient(listener, 'echo.west.mesh.internal');
  const said = await client.say('hello');
  assert.ok(said.startsWith('hello for ') && said.includes(caller), said);
  assert.deepEqual(await client.repeat('tick'), ['tick 1', 'tick 2', 'tick 3']);
  assert.equal(await client.join(['a', 'b', 'c']), 'a+b+c');
  assert.deepEqual(await client.chat(['a', 'b']), ['A', 'B']);
  const line = readFileSync(join(westFiles.path, 'access.log'), 'utf8');
  await until(
    'the access log of the exporter to name the caller',
    () => readFileSync(join(westFiles.path, 'access.log'), 'utf8').includes('spiffe://east.example/web'),
    () => line,
  );
  assert.equal((await call(listener, 'control.jumpgate')).reason, 'authority-reserved');
});

test('a new, a changed and a withdrawn export take effect at the importer in time, without a restart', async (t) => {
  await using service = await http1Service();
  using eastFiles = new MeshDirectory({
    'mesh.yaml': mesh('east'),
    'late.yaml': imported('late', 'west', 'late', ALL),
  });
  using westFiles = new MeshDirectory({ 'mesh.yaml': mesh('west') });
  await using east = new GatewayProcess(eastFiles.path);
  await using west = new GatewayProcess(westFiles.path);
  await federate(east, west);
  await east.importIs('late', 'withdrawn');
  const listener = await east.address('outbound[0]');
  const get = async () => call(listener, 'late.west.mesh.internal', { path: '/a' });
  assert.equal((await get()).reason, 'import-withdrawn');
  /** Milliseconds from the write to the first call with that outcome. */
  const took = async (change: () => void, outcome: string): Promise<number> => {
    change();
    const began = systemClock.monotonic();
    let last = '';
    await until(
      `calls to get ${outcome}`,
      async () => {
        const { status, reason } = await get();
        last = `${status} ${reason ?? ''}`;
        return (reason ?? String(status)) === outcome;
      },
      () => last,
    );
    return systemClock.monotonic() - began;
  };
  const pids = [east.child.pid, west.child.pid];
  const times = {
    added: await took(() => westFiles.write('late.yaml', exported('late', 'http1', service.port, ANY)), '200'),
    narrowed: await took(
      () =>
        westFiles.write(
          'late.yaml',
          exported('late', 'http1', service.port, '{ peers: [east], who: ["spiffe://east.example/batch"] }'),
        ),
      'denied-by-export',
    ),
    widened: await took(() => westFiles.write('late.yaml', exported('late', 'http1', service.port, ANY)), '200'),
    withdrawn: await took(() => westFiles.remove('late.yaml'), 'import-withdrawn'),
  };
  t.diagnostic(`milliseconds from write to effect: ${JSON.stringify(times)}`);
  for (const [what, ms] of Object.entries(times))
    assert.ok(ms <= IN_EFFECT_MS_MAX, `${what} took ${ms} ms: ${JSON.stringify(times)}`);
  assert.deepEqual([east.running, west.running, east.child.pid, west.child.pid], [true, true, ...pids]);
  const scrape = async (): Promise<string> => (await fetch(`http://${await west.address('status')}/metrics`)).text();
  await until('the last withdrawal to be acknowledged', async () =>
    (await scrape()).includes('jumpgate_catalog_lag_seconds{peer="east"} 0\n'),
  );
  const metrics = await scrape();
  const total = (series: string): number => Number(new RegExp(`^jumpgate_${series} (\\d+)$`, 'm').exec(metrics)?.[1]);
  // A changed rule is no news to the peer: nothing, the export, and nothing again.
  assert.ok(total('replication_acks_total{peer="east"}') >= 3, metrics);
  assert.ok(total('resyncs_total{peer="east",kind="sent"}') >= 1, metrics);
  assert.ok(total('resyncs_total{peer="east",kind="received"}') >= 1, metrics);
  assert.equal(total('replication_queue_depth{peer="east"}'), 0);
});

test('a change is in effect in time also when an editor leaves files without an extension beside the documents', async () => {
  await using service = await http1Service();
  using eastFiles = new MeshDirectory({
    'mesh.yaml': mesh('east'),
    'late.yaml': imported('late', 'west', 'late', ALL),
  });
  using westFiles = new MeshDirectory({ 'mesh.yaml': mesh('west') });
  await using east = new GatewayProcess(eastFiles.path);
  await using west = new GatewayProcess(westFiles.path);
  await federate(east, west);
  const listener = await east.address('outbound[0]');
  // vim tries whether it may write by making and removing a file 4913.
  for (const round of [1, 2, 3]) {
    writeFileSync(join(westFiles.path, '4913'), '');
    rmSync(join(westFiles.path, '4913'));
    const began = systemClock.monotonic();
    const wanted = round % 2 === 1 ? 200 : 403;
    const who = wanted === 200 ? 'web' : 'batch';
    westFiles.write(
      'late.yaml',
      exported('late', 'http1', service.port, `{ peers: [east], who: ["spiffe://east.example/${who}"] }`),
    );
    await until(`status ${wanted}`, async () => (await call(listener, 'late.west.mesh.internal')).status === wanted);
    const ms = systemClock.monotonic() - began;
    assert.ok(ms <= IN_EFFECT_MS_MAX, `round ${round} took ${ms} ms`);
  }
});

test('bad YAML keeps the old configuration serving, and reload names every problem and exits with 1', async () => {
  await using service = await http1Service();
  const own = exported('own', 'http1', service.port, '{ peers: [east], who: ["spiffe://east.example/web"] }');
  using eastFiles = new MeshDirectory({ 'mesh.yaml': mesh('east'), 'own.yaml': imported('own', 'west', 'own', ALL) });
  using westFiles = new MeshDirectory({ 'mesh.yaml': mesh('west'), 'own.yaml': own });
  await using east = new GatewayProcess(eastFiles.path);
  await using west = new GatewayProcess(westFiles.path);
  await federate(east, west);
  await east.importIs('own', 'active');
  const listener = await east.address('outbound[0]');
  const get = async (): Promise<number> => (await call(listener, 'own.west.mesh.internal')).status;
  assert.equal(await get(), 200);
  const before = (await west.status()).config.digest;
  westFiles.write('own.yaml', own.replace('protocol: http1', 'protocol: smoke').replace('backends', 'backend'));
  await west.until('the change to be refused', ({ config }) => config.lastReload.result === 'refused');
  const refused = await west.run('reload');
  assert.equal(refused.code, 1, refused.stdout);
  const problems = refused.stderr.split('\n').filter((line) => /own\.yaml:\d+:\d+: /.test(line));
  assert.ok(problems.length >= 2, refused.stderr);
  assert.ok(
    problems.some((line) => line.includes('smoke')),
    refused.stderr,
  );
  assert.equal((await west.run('validate')).code, 1);
  assert.equal((await west.status()).config.digest, before);
  assert.equal(await get(), 200);
  westFiles.write('own.yaml', 'kind: [unclosed');
  const broken = await west.run('reload');
  assert.equal(broken.code, 1);
  assert.match(broken.stderr, /own\.yaml:\d+:\d+: /);
  // What this version does not enforce is an error, and a directory without documents is no configuration.
  westFiles.write('own.yaml', own.replace('peers: [east]', 'peers: [east], when: "true"'));
  const unsupported = await west.run('reload');
  assert.equal(unsupported.code, 1);
  assert.match(unsupported.stderr, /own\.yaml:\d+:\d+: .*when/);
  const gone = join(westFiles.path, 'mesh.yaml');
  const text = readFileSync(gone, 'utf8');
  westFiles.remove('own.yaml');
  westFiles.remove('mesh.yaml');
  // The admin socket is where it was, but nothing tells the command line so: it is named.
  const empty = await west.run('reload', ['--admin', `unix:${join(westFiles.path, 'state/admin.sock')}`]);
  assert.equal(empty.code, 1, empty.stderr);
  assert.equal(await get(), 200);
  westFiles.write('own.yaml', own);
  westFiles.write('mesh.yaml', text);
  const again = await west.run('reload');
  assert.equal(again.code, 0, again.stderr);
  assert.equal(await get(), 200);
});

test('reload warns of a peer that nobody is, and not of one that has joined', async () => {
  await using service = await http1Service();
  using eastFiles = new MeshDirectory({ 'mesh.yaml': mesh('east'), 'own.yaml': imported('own', 'west', 'own', ALL) });
  using westFiles = new MeshDirectory({
    'mesh.yaml': mesh('west'),
    'own.yaml': exported('own', 'http1', service.port, ANY.replace('[east]', '[east, eats]')),
  });
  await using east = new GatewayProcess(eastFiles.path);
  await using west = new GatewayProcess(westFiles.path);
  await Promise.all([east.ready(), west.ready()]);
  const warned = async (gateway: GatewayProcess): Promise<readonly string[]> => {
    const { code, stderr } = await gateway.run('reload');
    assert.equal(code, 0, stderr);
    return [...stderr.matchAll(/no Peer document is named "?(\w+)"?/g)].map(([, name = '']) => name);
  };
  assert.deepEqual([await warned(east), await warned(west)], [['west'], ['east', 'eats']]);
  await federate(east, west);
  assert.deepEqual([await warned(east), await warned(west)], [[], ['eats']]);
  await east.command('peers', ['remove', 'west']);
  assert.deepEqual(await warned(east), ['west']);
});

test('a symlink swap as Kubernetes makes it is one reload', async () => {
  await using service = await http1Service();
  const own = exported('own', 'http1', service.port, ANY.replace('east]', 'self]'));
  using files = new MeshDirectory({});
  const version = (name: string, documents: Readonly<Record<string, string>>): void => {
    mkdirSync(join(files.path, name));
    for (const [file, text] of Object.entries(documents)) writeFileSync(join(files.path, name, file), text);
  };
  version('..2026_1', { 'mesh.yaml': mesh('east'), 'own.yaml': own });
  symlinkSync('..2026_1', join(files.path, '..data'));
  for (const file of ['mesh.yaml', 'own.yaml']) symlinkSync(join('..data', file), join(files.path, file));
  await using east = new GatewayProcess(files.path);
  const first = await east.ready();
  assert.deepEqual(
    first.exports.map(({ name }) => name),
    ['own'],
  );
  const applied = async (): Promise<number> => {
    const metrics = await fetch(`http://${await east.address('status')}/metrics`);
    const line = /^jumpgate_config_reloads_total\{[^}]*(?:applied|success|ok)[^}]*\} (\d+)/m.exec(await metrics.text());
    return Number(line?.[1] ?? 0);
  };
  const counted = await applied();
  version('..2026_2', { 'mesh.yaml': mesh('east'), 'own.yaml': own.replace('name: own', 'name: renamed') });
  symlinkSync('..2026_2', join(files.path, '..data_tmp'));
  const began = systemClock.monotonic();
  renameSync(join(files.path, '..data_tmp'), join(files.path, '..data'));
  rmSync(join(files.path, '..2026_1'), { recursive: true });
  const swapped = await east.until('the new export', ({ exports }) => exports.some(({ name }) => name === 'renamed'));
  assert.ok(systemClock.monotonic() - began < IN_EFFECT_MS_MAX);
  assert.deepEqual(
    swapped.exports.map(({ name }) => name),
    ['renamed'],
  );
  assert.equal(swapped.config.lastReload.result, 'applied');
  assert.equal(await applied(), counted + 1, 'one swap is one reload');
  assert.notEqual(swapped.config.digest, first.config.digest);
});

test('fields that need a restart are named, stay named, and the rest of the change is in effect', async () => {
  using files = new MeshDirectory({ 'mesh.yaml': mesh('east') });
  await using east = new GatewayProcess(files.path);
  const { listeners } = await east.ready();
  const added = exported('own', 'http1', 1, '{ peers: [self] }');
  files.write(
    'mesh.yaml',
    mesh('east', { callers: ['/web', '/batch'], more: '  logLevel: debug\n' })
      .replace('trustDomain: east', 'trustDomain: north')
      .replaceAll('spiffe://east', 'spiffe://north'),
  );
  files.write('own.yaml', added);
  const { code, stderr } = await east.run('reload');
  assert.equal(code, 0, stderr);
  assert.match(stderr, /needs a restart: .*spec\.trustDomain/);
  assert.match(stderr, /needs a restart: .*spec\.listeners\.outbound/);
  assert.ok(!stderr.includes('logLevel'), stderr);
  const status = await east.status();
  assert.deepEqual(
    status.exports.map(({ name }) => name),
    ['own'],
  );
  assert.deepEqual([status.trustDomain, status.listeners], ['east.example', listeners]);
  assert.equal((await east.command('log-level')).trim(), 'debug');
  assert.match((await east.run('reload')).stderr, /spec\.trustDomain/, 'a second reload still names them');
  files.write('own.yaml', added.replace('name: own', 'name: other'));
  assert.match((await east.run('reload')).stderr, /spec\.trustDomain/, 'a reload with another change still names them');
});

test('an edge whose address changed stays named as in need of a restart until it gets one', async () => {
  const fixtures = join(import.meta.dirname, '../fixtures/edge-tls');
  const edge = (address: string): string =>
    `apiVersion: jumpgate.dev/v1alpha1\nkind: Edge\nmetadata: { name: public }\nspec: { address: "${address}", tls: { certificateFile: edge.crt, keyFile: edge.key } }\n`;
  using files = new MeshDirectory({
    'mesh.yaml': mesh('east'),
    'edge.yaml': edge('127.0.0.1:0'),
    'edge.crt': readFileSync(join(fixtures, 'edge.crt'), 'utf8'),
    'edge.key': readFileSync(join(fixtures, 'edge.key'), 'utf8'),
  });
  await using east = new GatewayProcess(files.path);
  const { listeners } = await east.ready();
  files.write('edge.yaml', edge('127.0.0.2:0'));
  assert.match((await east.run('reload')).stderr, /needs a restart: Edge public: spec\.address/);
  files.write('own.yaml', exported('own', 'http1', 1, '{ peers: [self] }'));
  assert.match((await east.run('reload')).stderr, /needs a restart: Edge public: spec\.address/);
  assert.deepEqual((await east.status()).listeners, listeners);
});

test('T7 I25: a removed peer loses its links, and calls are refused on both sides within 5 s', async () => {
  await using service = await http1Service();
  const both = (own: string, other: string) => ({
    'mesh.yaml': mesh(own),
    'in.yaml': imported('in', other, 'svc', `spiffe://${own}.example/**`),
    'out.yaml': exported('svc', 'http1', service.port, `{ peers: [${other}], who: ["spiffe://${other}.example/**"] }`),
  });
  using eastFiles = new MeshDirectory(both('east', 'west'));
  using westFiles = new MeshDirectory(both('west', 'east'));
  await using east = new GatewayProcess(eastFiles.path);
  await using west = new GatewayProcess(westFiles.path);
  await federate(east, west);
  await Promise.all([east.importIs('in', 'active'), west.importIs('in', 'active')]);
  const fromEast = await east.address('outbound[0]');
  const fromWest = await west.address('outbound[0]');
  const outward = async () => call(fromEast, 'svc.west.mesh.internal');
  const inward = async () => call(fromWest, 'svc.east.mesh.internal');
  assert.deepEqual([(await outward()).status, (await inward()).status], [200, 200]);
  const began = systemClock.monotonic();
  assert.match(await east.command('peers', ['remove', 'west']), /removed west/);
  await until(
    'calls to be refused on both sides',
    async () => (await outward()).status !== 200 && (await inward()).status !== 200,
  );
  await until('links to be gone on both sides', async () => {
    const links = await Promise.all([east.ask('/v1/links'), west.ask('/v1/links')]);
    return links.every((each) => Array.isArray(each) && each.length === 0);
  });
  assert.ok(systemClock.monotonic() - began < 5_000, `took ${systemClock.monotonic() - began} ms`);
  const [here, there] = [await outward(), await inward()];
  assert.ok(here.status >= 400 && here.reason !== undefined, JSON.stringify(here));
  assert.ok(there.status >= 400 && there.reason !== undefined, JSON.stringify(there));
  assert.deepEqual(await east.ask('/v1/peers'), []);
  const [told] = (await west.ask('/v1/peers')) as readonly { readonly state: string }[];
  assert.equal(told?.state, 'terminated');
  await west.until('the other side to say why', ({ peers }) =>
    peers.some(({ name, message }) => name === 'east' && message !== null),
  );
  const stored = readdirSync(join(eastFiles.path, 'state'), { recursive: true, encoding: 'utf8' });
  assert.ok(!stored.some((path) => path.includes('west')), stored.join());
  // They can be peers again.
  await west.command('peers', ['remove', 'east']);
  await federate(east, west);
  await until('calls to work again', async () => (await outward()).status === 200 && (await inward()).status === 200);
  // Also when only one side has removed the other.
  await east.command('peers', ['remove', 'west']);
  await until('calls to be refused', async () => (await outward()).status !== 200 && (await inward()).status !== 200);
  await federate(east, west);
  await Promise.all([east.importIs('in', 'active'), west.importIs('in', 'active')]);
  await until('calls to pass again', async () => (await outward()).status === 200 && (await inward()).status === 200);
});

/** Real gateways of several processes: calls over all workers, and what the end of each kind of process costs. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';

import { type GatewayStatus } from '../../gateway/admin/operations.ts';
import {
  exported,
  federate,
  finished,
  GatewayProcess,
  imported,
  mesh,
  MeshDirectory,
  until,
} from '../support/gateway-process.ts';
import { call, http1Service } from '../support/sample-services.ts';
import { SteadyCalls } from '../support/steady-calls.ts';

const ANY = '{ peers: [east], who: ["spiffe://east.example/**"] }';
const HOST = 'svc.west.mesh.internal';
const WORKERS = '  workers: 2\n';
const ROOT = join(import.meta.dirname, '..', '..');
const FLAGS = process.execArgv.filter((flag) => flag.startsWith('--openssl-config='));

const eastFiles = (change = (text: string): string => text): Record<string, string> => ({
  'mesh.yaml': change(mesh('east', { more: WORKERS })),
  'in.yaml': imported('in', 'west', 'svc', 'spiffe://east.example/**'),
});
const westFiles = (port: number, change = (text: string): string => text): Record<string, string> => ({
  'mesh.yaml': change(mesh('west', { more: WORKERS })),
  'out.yaml': exported('svc', 'http1', port, ANY),
});

const serving = ({ processes }: GatewayStatus): boolean =>
  processes.length === 3 && processes.every(({ state }) => state === 'ready');

async function both(
  service: { readonly port: number },
  held: AsyncDisposableStack,
  change?: (text: string) => string,
): Promise<{ readonly east: GatewayProcess; readonly west: GatewayProcess; readonly listener: string }> {
  const west = held.use(new GatewayProcess(held.use(new MeshDirectory(westFiles(service.port, change))).path));
  const east = held.use(new GatewayProcess(held.use(new MeshDirectory(eastFiles(change))).path));
  await federate(east, west);
  await east.importIs('in', 'active');
  // Each worker has its own links.
  for (const gateway of [east, west]) {
    await gateway.until('every worker to serve with its links', (status) => {
      return serving(status) && status.peers.every(({ linksOutbound }) => linksOutbound >= 4);
    });
  }
  return { east, west, listener: await east.address('outbound[0]') };
}

async function counted(gateway: GatewayProcess, outcome: string): Promise<number> {
  const response = await fetch(`http://${await gateway.address('status')}/metrics`);
  const lines = (await response.text()).split('\n').filter((line) => line.startsWith('jumpgate_calls_total{'));
  return lines
    .filter((line) => line.includes(`"${outcome}"`))
    .reduce((sum, line) => sum + Number(line.split(' ')[1]), 0);
}

function open(listener: string): Socket {
  const [host = '', port = ''] = listener.split(':');
  return connect({ host, port: Number(port) });
}

const pidOf = ({ processes }: GatewayStatus, id: 'control' | number): number =>
  processes.find((each) => each.id === id)?.pid ?? assert.fail(`no process ${id}`);

test('calls go over all workers, are counted as one, and leave whole lines in one access log, also after SIGHUP', async () => {
  await using held = new AsyncDisposableStack();
  const service = held.use(await http1Service());
  const { east, west, listener } = await both(service, held);
  const sockets = Array.from({ length: 6 }, () => open(listener));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  await east.until('the connections to be spread evenly', ({ processes }) =>
    processes.filter(({ id }) => id !== 'control').every(({ connections }) => connections >= 3),
  );
  for (const socket of sockets) socket.destroy();
  await using calls = new SteadyCalls({ listener, host: HOST, atOnce: 8 });
  await calls.more(150);
  const log = join(east.directory, 'access.log');
  renameSync(log, `${log}.1`);
  east.child.kill('SIGHUP');
  await until('the log to be opened anew', () => {
    try {
      return readFileSync(log, 'utf8').length > 0;
    } catch {
      return false;
    }
  });
  await calls.more(150);
  const { 200: answered = 0, ...others } = await calls.stop();
  assert.deepEqual(others, {});
  assert.equal(await counted(east, 'ok'), answered);
  await until('the calls to be counted there too', async () => (await counted(west, 'ok')) === answered);
  const lines = (): readonly string[] => [`${log}.1`, log].flatMap((path) => readFileSync(path, 'utf8').split('\n'));
  await until('every call to have a line', () => lines().filter((line) => line !== '').length >= answered);
  const written = lines().filter((line) => line !== '');
  assert.equal(written.length, answered);
  for (const line of written) assert.doesNotThrow(() => void JSON.parse(line), line);
});

test('N5: kill -9 of a worker under load loses only its connections, and a replacement serves', async () => {
  await using held = new AsyncDisposableStack();
  const service = held.use(await http1Service());
  const { east, west, listener } = await both(service, held);
  const before = await east.status();
  await using calls = new SteadyCalls({ listener, host: HOST });
  await calls.more(50);
  process.kill(pidOf(before, 0), 'SIGKILL');
  await calls.more(50);
  const after = await east.until(
    'the replacement',
    (status) => serving(status) && pidOf(status, 0) !== pidOf(before, 0),
  );
  assert.equal(after.processes.find(({ id }) => id === 0)?.restarts, 1);
  await east.until('its links', ({ peers }) => peers.every(({ linksOutbound }) => linksOutbound >= 4));
  const west0 = pidOf(await west.status(), 0);
  process.kill(west0, 'SIGKILL');
  await calls.more(50);
  await west.until('the replacement', (status) => serving(status) && pidOf(status, 0) !== west0);
  await calls.more(50);
  const { 200: answered = 0, ...others } = await calls.stop();
  // Four callers were there at each of the two ends. A worker that has no link yet hands its calls to one that has.
  const { lost = 0, '502 link-failed': broken = 0, ...more } = others;
  assert.deepEqual(more, {});
  assert.ok(lost <= 4 && broken <= 4, JSON.stringify(others));
  const total = await counted(east, 'ok');
  assert.ok(total <= answered && total > answered / 4, `${total} of ${answered}: what a worker counted outlives it`);
});

test('links are spread over the workers of the peer, and a replacement gets its share within seconds', async () => {
  await using held = new AsyncDisposableStack();
  const service = held.use(await http1Service());
  const { west, listener } = await both(service, held);
  // Nothing but links connects to the gateway that is called: four, and one that was replaced and still carries the control
  // stream stays until its term ends.
  const linksOf = (status: GatewayStatus, index: number): number =>
    status.processes.find(({ id }) => id === index)?.connections ?? 0;
  const even = (status: GatewayStatus): boolean =>
    serving(status) && [0, 1].every((index) => linksOf(status, index) >= 2);
  await west.until('the links to be even', even);
  const before = pidOf(await west.status(), 0);
  process.kill(before, 'SIGKILL');
  await west.until('the replacement', (status) => serving(status) && pidOf(status, 0) !== before);
  // Links that are replaced for it lose no call.
  await using calls = new SteadyCalls({ listener, host: HOST });
  await west.until('the links to be even again', even);
  await calls.more(20);
  const { 200: answered, ...others } = await calls.stop();
  assert.deepEqual(others, {});
  assert.ok(answered !== undefined);
});

test('kill -9 of control costs no call, and it comes back with its peers', async () => {
  await using held = new AsyncDisposableStack();
  const service = held.use(await http1Service());
  const { east, listener } = await both(service, held);
  const before = await east.status();
  await using calls = new SteadyCalls({ listener, host: HOST });
  await calls.more(50);
  process.kill(pidOf(before, 'control'), 'SIGKILL');
  await calls.more(50);
  const after = await east.until('control to be back', (status) => {
    const control = status.processes.find(({ id }) => id === 'control');
    return control?.restarts === 1 && serving(status) && status.peers.every(({ state }) => state === 'active');
  });
  assert.deepEqual(
    [0, 1].map((index) => pidOf(after, index)),
    [0, 1].map((index) => pidOf(before, index)),
    'the workers have stayed',
  );
  await calls.more(50);
  const { 200: answered, ...others } = await calls.stop();
  assert.deepEqual(others, {});
  assert.ok(answered !== undefined && answered >= 150);
  await east.importIs('in', 'active');
});

test('a control process that comes back with documents that need a restart keeps its workers, and says so', async () => {
  await using held = new AsyncDisposableStack();
  const service = held.use(await http1Service());
  const { east, listener } = await both(service, held);
  const before = await east.status();
  await using calls = new SteadyCalls({ listener, host: HOST });
  await calls.more(20);
  const more = `${WORKERS}  linksPerPeer: 3\n`;
  writeFileSync(join(east.directory, 'mesh.yaml'), mesh('east', { more, callers: ['/web', '/late'] }));
  await east.until('the change to be read', ({ config }) => config.lastReload.needsRestart.length === 2);
  process.kill(pidOf(before, 'control'), 'SIGKILL');
  const after = await east.until('control to be back', (status) => {
    const control = status.processes.find(({ id }) => id === 'control');
    return control?.restarts === 1 && serving(status) && status.peers.every(({ state }) => state === 'active');
  });
  assert.deepEqual(after.config.lastReload.needsRestart, [
    'Mesh east: spec.listeners.outbound',
    'Mesh east: spec.linksPerPeer',
  ]);
  await calls.more(20);
  const again = await east.run('reload');
  assert.match(again.stderr, /needs a restart: Mesh east: spec.listeners.outbound/);
  await calls.more(20);
  const { 200: answered, ...others } = await calls.stop();
  assert.deepEqual(others, {}, 'no call is lost');
  assert.ok(answered !== undefined);
  const status = await east.status();
  for (const index of [0, 1]) assert.equal(pidOf(status, index), pidOf(before, index), 'the workers have stayed');
  assert.equal(await east.address('outbound[0]'), listener);
  assert.match(east.stderr, /have changed that wait for a restart/);
});

test('N6: SIGTERM loses nothing that is in flight', async () => {
  await using held = new AsyncDisposableStack();
  const waiting: ServerResponse[] = [];
  const server = createServer((_, response) => waiting.push(response)).listen(0, '127.0.0.1');
  held.defer(() => server.closeAllConnections());
  held.defer(() => void server.close());
  await once(server, 'listening');
  const { east, west, listener } = await both({ port: (server.address() as AddressInfo).port }, held);
  const answers = Array.from({ length: 12 }, () => call(listener, HOST));
  await until('the service to have all', () => waiting.length === 12);
  east.child.kill('SIGTERM');
  west.child.kill('SIGTERM');
  // A connection, and no call: one that is still accepted would be in flight as well.
  await until('nobody to listen', async () => {
    const socket = open(listener);
    const end = await Promise.race([
      once(socket, 'connect').then(() => 'connect'),
      once(socket, 'error').then(() => 'error'),
    ]).catch(() => 'error');
    socket.destroy();
    return end === 'error';
  });
  for (const response of waiting) response.end('late');
  for (const { status, body } of await Promise.all(answers)) assert.deepEqual([status, body], [200, 'late']);
  assert.deepEqual(await Promise.all([east.ended, west.ended]), [0, 0], east.stderr);
});

test('I25: when the verb returns, the calls of a removed peer are refused by every worker', async () => {
  await using held = new AsyncDisposableStack();
  const service = held.use(await http1Service());
  const { east, west, listener } = await both(service, held);
  const removed = JSON.parse(await west.command('peers', ['remove', 'east', '-o', 'json'])) as { linksClosed: number };
  assert.ok(removed.linksClosed >= 8, `${removed.linksClosed} links of two workers each way`);
  for (let index = 0; index < 20; index += 1) assert.notEqual((await call(listener, HOST)).status, 200);
  assert.deepEqual((await west.status()).peers, []);
  await east.command('peers', ['remove', 'west']);
  for (let index = 0; index < 20; index += 1) assert.notEqual((await call(listener, HOST)).status, 200);
});

test('a new SVID reaches every worker: each proves it on its links before theirs ends, and no call is lost', async () => {
  await using held = new AsyncDisposableStack();
  const service = held.use(await http1Service());
  const { east, listener } = await both(service, held, (text) =>
    text.replace('embedded: {}', 'embedded: { svidTtl: 10s }'),
  );
  const links = async (): Promise<readonly string[]> =>
    ((await east.ask('/v1/links')) as readonly { expiresAt: string; direction: string }[])
      .filter(({ direction }) => direction === 'outbound')
      .map(({ expiresAt }) => expiresAt);
  const lastEnd = (await links()).toSorted().at(-1) ?? '';
  await using calls = new SteadyCalls({ listener, host: HOST });
  await until('every link to end later than any did', async () => {
    const now = await links();
    return now.length >= 4 && now.every((end) => end > lastEnd);
  });
  await calls.more(50);
  const { 200: answered, ...others } = await calls.stop();
  assert.deepEqual(others, {});
  assert.ok(answered !== undefined);
});

test('the whole gateway is replaced on its port by socket activation, and every connection gets an answer', async () => {
  await using held = new AsyncDisposableStack();
  const directory = held.use(new MeshDirectory(eastFiles()));
  const words = [process.execPath, ...FLAGS, join(ROOT, 'gateway', 'main.ts'), 'run', '-f', directory.path];
  const standIn = join(ROOT, 'test', 'support', 'activation-stand-in.ts');
  const child: ChildProcess = spawn(process.execPath, [standIn, 'outbound[0]', '3', ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const ready = (): readonly Readonly<Record<string, unknown>>[] =>
    stderr
      .split('\n')
      .filter((line) => line.includes('"gateway is ready"'))
      .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
  const seen = (): string => stderr.slice(-2_000);
  await until('the first gateway', () => ready().length === 1, seen);
  const [at = ''] = (ready()[0]?.['listeners'] as readonly string[]).filter((each) => each.startsWith('outbound[0]'));
  const listener = at.split(' ').at(-1) ?? '';
  await using calls = new SteadyCalls({ listener, host: HOST });
  for (let run = 0; run < 3; run += 1) {
    await until(`gateway ${run}`, () => ready().length === run + 1, seen);
    await calls.more(50, '503 import-awaiting');
    if (run === 2) {
      const { lost = 0 } = await calls.stop();
      assert.equal(lost, 0);
    }
    const parent = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ')[0]);
    process.kill(parent, 'SIGTERM');
  }
  assert.equal(await ended, 0, stderr.slice(-2_000));
});

test('workers: 0 is one process, which refuses sockets that it would not take', async () => {
  await using held = new AsyncDisposableStack();
  const service = held.use(await http1Service());
  const one = (text: string): string => text.replace(WORKERS, '  workers: 0\n');
  const west = held.use(new GatewayProcess(held.use(new MeshDirectory(westFiles(service.port, one))).path));
  const directory = held.use(new MeshDirectory(eastFiles(one)));
  const east = held.use(new GatewayProcess(directory.path));
  await federate(east, west);
  await east.importIs('in', 'active');
  assert.deepEqual((await east.status()).processes, []);
  assert.equal((await call(await east.address('outbound[0]'), HOST)).status, 200);
  assert.deepEqual(await Promise.all([east.kill('SIGTERM'), west.kill('SIGTERM')]), [0, 0]);
  const words = [...FLAGS, join(ROOT, 'gateway', 'main.ts'), 'run', '-f', directory.path];
  const script = 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=jump exec "$@"';
  const child = spawn('sh', ['-c', script, 'sh', process.execPath, ...words]);
  const { code, stderr } = await finished(child);
  assert.equal(code, 2);
  assert.match(stderr, /^socket activation: expected workers of 1 or more.*\n$/);
});

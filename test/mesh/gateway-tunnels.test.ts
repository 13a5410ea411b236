/** Connections through two real gateways: what documents declare is served, shown, and ends when trust does. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { codeOf } from '../../base/errors.ts';
import { federate, GatewayProcess, mesh, MeshDirectory, until } from '../support/gateway-process.ts';
import { tcpService } from '../support/tunnel-rig.ts';

const WEB = 'spiffe://east.example/web';
const API = 'apiVersion: jumpgate.dev/v1alpha1';
/** From the command that removes a peer to the end of its last connection. */
const CUT_MS_MAX = 5_000;

function exportOf(name: string, port: number): string {
  const spec = `{ protocol: tcp, backends: [{ address: "127.0.0.1:${port}" }], allow: [{ peers: [east], who: ["${WEB}"] }] }`;
  return `${API}\nkind: Export\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
}

function importOf(name: string, service: string): string {
  return `${API}\nkind: Import\nmetadata: { name: ${name} }\nspec: { peer: west, export: ${service}, who: ["${WEB}"], listen: "127.0.0.1:0" }\n`;
}

async function dial(gateway: GatewayProcess, name: string): Promise<Socket> {
  const address = await gateway.address(`import ${name}`);
  return connect({ host: '127.0.0.1', port: Number(address.split(':')[1]), noDelay: true });
}

async function ending(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.resume().once('end', () => resolve('end'));
    socket.once('error', (error) => resolve(codeOf(error) ?? 'error'));
  });
}

async function echoed(socket: Socket, text: string): Promise<void> {
  socket.write(text);
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  assert.equal(chunk.toString(), text);
}

test('I25 A32: connections cross two gateways, are shown and logged, and end within seconds when the peer is removed', async (t) => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  using eastFiles = new MeshDirectory({ 'mesh.yaml': mesh('east'), 'db.yaml': importOf('db', 'store') });
  using westFiles = new MeshDirectory({ 'mesh.yaml': mesh('west'), 'db.yaml': exportOf('store', service.port) });
  await using east = new GatewayProcess(eastFiles.path);
  await using west = new GatewayProcess(westFiles.path);
  await Promise.all([east.ready(), west.ready()]);
  assert.equal(await ending(await dial(east, 'db')), 'ECONNRESET', 'before there is a peer');
  await federate(east, west);
  await east.importIs('db', 'active');
  await east.until('the protocol to be known', ({ imports }) => imports.some(({ protocol }) => protocol === 'tcp'));
  const caller = await dial(east, 'db');
  await echoed(caller, 'hello');

  const { listeners } = await east.status();
  const shown = listeners.find(({ name }) => name === 'import db');
  assert.deepEqual([shown?.kind, shown?.caller], ['import', WEB]);
  assert.match(await east.command('imports'), /db\s+west\s+store\s+active\s+tcp/);
  assert.match(await west.command('exports'), /store\s+tcp\s+east/);

  // A change of something else leaves it alone.
  eastFiles.write('other.yaml', importOf('other', 'nothing').replace(/, listen: "[^"]*"/, ''));
  await east.until('the change to be in force', ({ imports }) => imports.some(({ name }) => name === 'other'));
  await echoed(caller, 'still there');

  const [backend] = service.sockets;
  assert.ok(backend !== undefined);
  const both = Promise.all([ending(caller), ending(backend)]);
  const began = systemClock.monotonic();
  await west.command('peers', ['remove', 'east']);
  const how = await both;
  const tookMs = systemClock.monotonic() - began;
  t.diagnostic(`cut after ${Math.round(tookMs)} ms`);
  assert.deepEqual(how, ['ECONNRESET', 'ECONNRESET']);
  assert.ok(tookMs < CUT_MS_MAX, `${tookMs} ms`);
  const log = (files: MeshDirectory): string => readFileSync(join(files.path, 'access.log'), 'utf8');
  await until('both access logs to have it', () =>
    [eastFiles, westFiles].every((files) => /"method":"CONNECT".*"protocol":"tcp","status":200/.test(log(files))),
  );
  assert.equal(await ending(await dial(east, 'db')), 'ECONNRESET', 'after the peer is gone');
});

test('N7: a gateway that stops lets connections finish until its deadline, and resets what is left', async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  const files = { 'mesh.yaml': mesh('east', { more: '  drain: 1s\n' }), 'db.yaml': importOf('db', 'store') };
  using eastFiles = new MeshDirectory(files);
  using westFiles = new MeshDirectory({ 'mesh.yaml': mesh('west'), 'db.yaml': exportOf('store', service.port) });
  await using east = new GatewayProcess(eastFiles.path);
  await using west = new GatewayProcess(westFiles.path);
  await federate(east, west);
  await east.until('the protocol to be known', ({ imports }) => imports.some(({ protocol }) => protocol === 'tcp'));
  const caller = await dial(east, 'db');
  await echoed(caller, 'hello');
  const ended = east.kill('SIGTERM');
  await until('it to be draining', () => east.stderr.includes('drain') || !east.running || east.stderr.length > 0);
  await echoed(caller, 'while it drains');
  assert.equal(await ending(caller), 'ECONNRESET');
  assert.equal(await ended, 0);
  await until('the service to be told', () => service.sockets.size === 0);
});

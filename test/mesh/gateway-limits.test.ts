/** Limits in documents take effect in a real gateway: of the Mesh, a listener, an Edge and an Export, and each its own. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'node:test';
import { connect as connectTls } from 'node:tls';

import { http1Service } from '../support/forward-rig.ts';
import { GatewayProcess, mesh, MeshDirectory } from '../support/gateway-process.ts';

const API = 'apiVersion: jumpgate.dev/v1alpha1';
const EDGE = 'spiffe://east.example/jumpgate/edge/public';
const FIXTURES = join(import.meta.dirname, '../fixtures/edge-tls');

/** Two listeners, of which the second has a limit of its own. */
function meshWith(limits: string): string {
  const more = `  workers: 1\n  limits: ${limits}\n`;
  const document = mesh('east', { callers: ['/a', '/b'], more });
  return document.replace('east.example/b" }', 'east.example/b", limits: { targetBytes: 100 } }');
}

function exportOf(name: string, port: number, limits: string): string {
  const allow = `[{ peers: [self], who: ["${EDGE}"] }]`;
  const spec = `{ protocol: http1, backends: [{ address: "127.0.0.1:${port}" }], limits: ${limits}, allow: ${allow} }`;
  return `${API}\nkind: Export\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
}

function routeOf(name: string): string {
  const spec = `{ edge: public, hosts: [${name}.example], to: { export: ${name} } }`;
  return `${API}\nkind: Route\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
}

const EDGE_DOCUMENT = `${API}\nkind: Edge\nmetadata: { name: public }\nspec: { address: "127.0.0.1:0", tls: { certificateFile: edge.crt, keyFile: edge.key }, limits: { targetBytes: 200 } }\n`;

/** Sends a request whose target and number of fields are as given; the answer as it came. */
async function ask(port: number, host: string, { target = '/', fields = 2, tls = false } = {}): Promise<string> {
  const socket = tls
    ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
    : connect({ port, host: '127.0.0.1' });
  await once(socket, tls ? 'secureConnect' : 'connect');
  const more = Array.from({ length: fields - 2 }, (_, index) => `x-${index}: a\r\n`).join('');
  socket.write(`GET ${target} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n${more}\r\n`);
  return text(socket);
}

const statusOf = (answer: string): string => answer.slice(9, 12);
const targetOf = (bytes: number): string => `/${'a'.repeat(bytes - 1)}`;

test('the limits of the Mesh, of one of two listeners, of an Edge and of an Export hold where they stand', async () => {
  await using service = await http1Service((request, response) => {
    if (request.url !== '/never') response.end('ok');
  });
  const { port } = service;
  using files = new MeshDirectory({
    'mesh.yaml': meshWith('{ headerFields: 20, responseDeadlineMs: 3000 }'),
    'edge.yaml': EDGE_DOCUMENT,
    'edge.crt': readFileSync(join(FIXTURES, 'edge.crt'), 'utf8'),
    'edge.key': readFileSync(join(FIXTURES, 'edge.key'), 'utf8'),
    'quick.yaml': exportOf('quick', port, '{ responseDeadlineMs: 200 }'),
    'patient.yaml': exportOf('patient', port, '{ connectionsPerBackend: 5 }'),
    'routes.yaml': `${routeOf('quick')}---\n${routeOf('patient')}`,
  });
  await using east = new GatewayProcess(files.path);
  await east.ready();
  const portOf = async (name: string): Promise<number> => Number((await east.address(name)).split(':')[1]);
  const [first, second, edge] = [await portOf('outbound[0]'), await portOf('outbound[1]'), await portOf('public')];

  // Two listeners of one mesh: the second has its own, the first what a mesh has by default.
  const targets: readonly (readonly [port: number, bytes: number, status: string])[] = [
    [first, 101, '404'],
    [first, 8_192, '404'],
    [first, 8_193, '414'],
    [second, 99, '404'],
    [second, 100, '404'],
    [second, 101, '414'],
  ];
  for (const [at, bytes, status] of targets) {
    const answer = await ask(at, 'nobody.east.mesh.internal', { target: targetOf(bytes) });
    assert.equal(statusOf(answer), status, `${at === first ? 'first' : 'second'} ${bytes}`);
    const said = at === first ? 'over 8192 bytes' : 'over 100 bytes';
    if (status === '414') assert.ok(answer.includes(`limit-target: the request target is ${said}`), answer);
  }

  // The mesh's, at every listener.
  for (const at of [first, second]) {
    assert.equal(statusOf(await ask(at, 'a.example', { fields: 20 })), '404');
    const refused = await ask(at, 'a.example', { fields: 21 });
    assert.ok(refused.includes('limit-header-fields: there are more than 20 header fields'), refused);
  }
  assert.equal(statusOf(await ask(edge, 'quick.example', { fields: 20, tls: true })), '200');
  assert.equal(statusOf(await ask(edge, 'quick.example', { fields: 21, tls: true })), '431');

  // The edge's own; strangers are not told which.
  for (const [bytes, status] of [
    [199, '200'],
    [200, '200'],
    [201, '414'],
  ] as const) {
    const answer = await ask(edge, 'quick.example', { target: targetOf(bytes), tls: true });
    assert.equal(statusOf(answer), status, `${bytes}`);
    assert.equal(answer.includes('200 bytes'), false);
  }

  // The export's own comes before the mesh's.
  const order: string[] = [];
  const late = ['patient', 'quick'].map(async (name) => {
    const answer = await ask(edge, `${name}.example`, { target: '/never', tls: true });
    order.push(`${name} ${statusOf(answer)}`);
  });
  await Promise.all(late);
  assert.deepEqual(order, ['quick 504', 'patient 504']);

  // A reload takes an export's limits up, and names those that wait for a restart.
  files.write('quick.yaml', exportOf('quick', port, '{ responseDeadlineMs: 0 }'));
  files.write('patient.yaml', exportOf('patient', port, '{ responseDeadlineMs: 100 }'));
  files.write('mesh.yaml', meshWith('{ headerFields: 30, responseDeadlineMs: 3000 }'));
  files.write('edge.yaml', EDGE_DOCUMENT.replace('200', '300'));
  const { config } = await east.until(
    'all of it to be read',
    (status) => status.config.lastReload.needsRestart.length === 2,
  );
  await east.command('reload');
  assert.deepEqual([...config.lastReload.needsRestart].sort(), ['Edge public: spec.limits', 'Mesh east: spec.limits']);
  assert.equal(statusOf(await ask(first, 'a.example', { fields: 21 })), '431');
  assert.equal(statusOf(await ask(edge, 'quick.example', { target: targetOf(201), tls: true })), '414');
  const waits = ask(edge, 'quick.example', { target: '/never', tls: true });
  assert.equal(statusOf(await ask(edge, 'patient.example', { target: '/never', tls: true })), '504');
  await service[Symbol.asyncDispose]();
  assert.equal(statusOf(await waits), '502', 'it waited until the service went away');
});

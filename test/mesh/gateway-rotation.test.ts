/** Two real gateways whose SVIDs last for seconds: what is under way outlives them, as long as each end proves itself anew. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type Duplex } from 'node:stream';
import test from 'node:test';

import { asList, asRecord } from '../../base/brand.ts';
import { codeOf } from '../../base/errors.ts';
import {
  exported,
  federate,
  GatewayProcess,
  imported,
  mesh,
  MeshDirectory,
  until,
} from '../support/gateway-process.ts';
import { EchoClient, grpcService, http1Service } from '../support/sample-services.ts';
import { SteadyCalls } from '../support/steady-calls.ts';
import { tcpService } from '../support/tunnel-rig.ts';
import { openWebSocket, webSocketService } from '../support/web-socket.ts';

const ALL = 'spiffe://east.example/**';
const ALLOW = `{ peers: [east], who: ["${ALL}"] }`;
const SVID_MS = 6_000;

/** A Mesh document with SVIDs of six seconds, which are renewed every three. */
function shortLived(name: string, workers: number): string {
  const identity = `embedded: { svidTtl: ${SVID_MS / 1000}s }`;
  return mesh(name, { more: `  workers: ${workers}\n` }).replace('embedded: {}', identity);
}

interface Link {
  readonly direction: string;
  readonly endsAtMs: number;
}

async function linksOf(gateway: GatewayProcess): Promise<readonly Link[]> {
  return (asList(await gateway.ask('/v1/links')) ?? []).map((item) => {
    const { direction, expiresAt } = asRecord(item) ?? {};
    return { direction: String(direction), endsAtMs: Date.parse(String(expiresAt)) };
  });
}

async function echoed(duplex: Duplex, word: string): Promise<void> {
  duplex.write(word);
  const [chunk] = (await once(duplex, 'data')) as [Buffer];
  assert.equal(chunk.toString(), word);
}

async function tunnelTo(gateway: GatewayProcess): Promise<Socket> {
  const address = await gateway.address('import db');
  return connect({ host: '127.0.0.1', port: Number(address.split(':')[1]), noDelay: true });
}

async function ending(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.resume().once('end', () => resolve('end'));
    socket.once('error', (error) => resolve(codeOf(error) ?? 'error'));
  });
}

test('a TCP session, a WebSocket and a gRPC stream outlive three rotations at both ends; without re-proof a link ends', async () => {
  await using stack = new AsyncDisposableStack();
  const db = stack.use(await tcpService((socket) => socket.pipe(socket)));
  const ws = stack.use(await webSocketService('http1', (duplex) => duplex.pipe(duplex)));
  const echo = stack.use(await grpcService());
  const eastFiles = stack.use(
    new MeshDirectory({
      'mesh.yaml': shortLived('east', 0),
      'db.yaml': imported('db', 'west', 'db', 'spiffe://east.example/web').replace(
        '"] }',
        '"], listen: "127.0.0.1:0" }',
      ),
      'ws.yaml': imported('ws', 'west', 'ws', ALL),
      'echo.yaml': imported('echo', 'west', 'echo', ALL),
    }),
  );
  const westFiles = stack.use(
    new MeshDirectory({
      'mesh.yaml': shortLived('west', 1),
      'db.yaml': exported('db', 'http1', db.port, ALLOW).replace('http1', 'tcp'),
      'ws.yaml': exported('ws', 'http1', ws.port, ALLOW),
      'echo.yaml': exported('echo', 'grpc', echo.port, ALLOW),
    }),
  );
  const east = stack.use(new GatewayProcess(eastFiles.path));
  const west = stack.use(new GatewayProcess(westFiles.path));
  await federate(east, west);
  for (const name of ['db', 'ws', 'echo']) await east.importIs(name, 'active');
  await east.until('the protocol to be known', ({ imports }) => imports.some(({ protocol }) => protocol === 'tcp'));

  const listener = await east.address('outbound[0]');
  const session = await tunnelTo(east);
  stack.defer(() => void session.destroy());
  const port = Number(listener.split(':')[1]);
  const socket = stack.use(await openWebSocket('http1', port, { host: 'ws.west.mesh.internal' }));
  assert.equal(socket.status, 200, socket.reason);
  const client = stack.use(new EchoClient(listener, 'echo.west.mesh.internal'));
  const chat = client.converse();
  const allAnswer = async (word: string): Promise<void> => {
    await echoed(session, word);
    await echoed(socket.duplex, word);
    assert.equal(await chat.say(word), word.toUpperCase());
  };
  await allAnswer('before');

  const before = [...(await linksOf(east)), ...(await linksOf(west))];
  assert.equal(before.length, 8, 'both ends of two links each way');
  // Three times half of a life after all that was proved at the beginning has expired.
  const goal = Math.max(...before.map(({ endsAtMs }) => endsAtMs)) + 1.5 * SVID_MS;
  let seen: readonly Link[] = [];
  const areProvedUntilThen = async (): Promise<boolean> => {
    seen = [...(await linksOf(east)), ...(await linksOf(west))];
    return seen.length >= before.length && seen.every(({ endsAtMs }) => endsAtMs >= goal);
  };
  await until('every link to be proved by later SVIDs', areProvedUntilThen, () =>
    JSON.stringify({ before, goal, seen }),
  );
  await allAnswer('after three rotations');

  // A worker whose control process has stopped gets no new SVID: nothing else of the gateway stops.
  const control = (await west.status()).processes.find(({ id }) => id === 'control')?.pid;
  assert.ok(typeof control === 'number');
  process.kill(control, 'SIGSTOP');
  assert.equal(await ending(session), 'ECONNRESET');
  process.kill(control, 'SIGCONT');
  chat.end();
});

/** The root that signs, when none waits to. */
async function activeRoot(gateway: GatewayProcess): Promise<string | undefined> {
  const { activeFingerprint, nextFingerprint } = asRecord(await gateway.ask('/v1/rotation')) ?? {};
  return nextFingerprint === null ? String(activeFingerprint) : undefined;
}

/** Begins a rotation, and waits until the new root signs: the peer has fetched it by then. */
async function rotateRoot(gateway: GatewayProcess): Promise<void> {
  const before = await activeRoot(gateway);
  await gateway.ask('/v1/rotation', { force: false });
  let now: string | undefined;
  const isActivated = async (): Promise<boolean> => {
    now = await activeRoot(gateway);
    return now !== undefined && now !== before;
  };
  await until('the next root to sign', isActivated, () => `${now} after ${before}`);
}

test('I16 A31: roots and SVIDs rotate at both ends under load, three times in a row, and no call fails', async () => {
  await using stack = new AsyncDisposableStack();
  const service = stack.use(await http1Service());
  const files = (name: string, peer: string, workers: number): Record<string, string> => ({
    'mesh.yaml': shortLived(name, workers),
    'out.yaml': exported('svc', 'http1', service.port, `{ peers: [${peer}], who: ["spiffe://${peer}.example/**"] }`),
    'in.yaml': imported('in', peer, 'svc', `spiffe://${name}.example/**`),
  });
  const eastFiles = stack.use(new MeshDirectory(files('east', 'west', 0)));
  const westFiles = stack.use(new MeshDirectory(files('west', 'east', 1)));
  const east = stack.use(new GatewayProcess(eastFiles.path));
  const west = stack.use(new GatewayProcess(westFiles.path));
  await federate(east, west);
  const both = [east, west];
  for (const gateway of both) await gateway.importIs('in', 'active');
  const [eastward, westward] = [await west.address('outbound[0]'), await east.address('outbound[0]')];
  const calls = [
    stack.use(new SteadyCalls({ listener: westward, host: 'svc.west.mesh.internal', atOnce: 4, thinkMs: 40 })),
    stack.use(new SteadyCalls({ listener: eastward, host: 'svc.east.mesh.internal', atOnce: 4, thinkMs: 40 })),
  ];
  for (const some of calls) await some.more(20);
  for (let rotation = 1; rotation <= 3; rotation += 1) {
    await Promise.all(both.map(rotateRoot));
    for (const some of calls) await some.more(50);
  }
  for (const gateway of both) assert.equal((await gateway.run('rotate', ['--rehearse'])).code, 0);
  for (const some of calls) {
    const { 200: answered = 0, ...others } = await some.stop();
    assert.deepEqual(others, {});
    assert.ok(answered >= 170);
  }
});

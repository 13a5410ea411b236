/** The whole gateway is replaced on its ports under load, by real processes: what callers lose by it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { exported, federate, GatewayProcess, imported, mesh, MeshDirectory } from '../support/gateway-process.ts';
import { http1Service } from '../support/sample-services.ts';
import { SteadyCalls } from '../support/steady-calls.ts';

const HOST = 'svc.west.mesh.internal';
const WORKERS = '  workers: 2\n';
const STAND_IN = join(import.meta.dirname, '..', 'support', 'activation-stand-in.ts');

/** A mesh behind a stand-in for a service manager that holds its outbound listener, and the peer that it calls. */
async function held(stack: AsyncDisposableStack, runs: number): Promise<GatewayProcess> {
  const service = stack.use(await http1Service());
  const westFiles = {
    'mesh.yaml': mesh('west', { more: WORKERS }),
    'out.yaml': exported('svc', 'http1', service.port, '{ peers: [east], who: ["spiffe://east.example/**"] }'),
  };
  const eastFiles = {
    'mesh.yaml': mesh('east', { more: WORKERS }),
    'in.yaml': imported('in', 'west', 'svc', 'spiffe://east.example/**'),
  };
  const west = stack.use(new GatewayProcess(stack.use(new MeshDirectory(westFiles)).path));
  const activated = (words: readonly string[]): readonly string[] => [
    ...words.slice(0, 1),
    STAND_IN,
    'outbound[0]',
    String(runs),
    ...words,
  ];
  const directory = stack.use(new MeshDirectory(eastFiles));
  const east = stack.use(new GatewayProcess(directory.path, activated));
  // A test that fails ends the stand-in alone.
  stack.defer(() => {
    if (east.running) process.kill(primaryOf(east), 'SIGKILL');
  });
  await federate(east, west);
  await east.importIs('in', 'active');
  return east;
}

/** The primary, whose parent is the stand-in. */
function primaryOf(gateway: GatewayProcess): number {
  const { pid } = gateway.child;
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
}

/** The callers stop, then the last gateway: no call was lost, and it drained. */
async function endsWithoutLoss(gateway: GatewayProcess, calls: SteadyCalls): Promise<void> {
  const { 200: answered = 0, ...others } = await calls.stop();
  assert.deepEqual(others, {});
  assert.ok(answered >= 200);
  process.kill(primaryOf(gateway), 'SIGTERM');
  assert.equal(await gateway.ended, 0, gateway.stderr.slice(-2_000));
}

test('callers who keep their connections lose no call when the gateway is replaced', async () => {
  await using stack = new AsyncDisposableStack();
  const east = await held(stack, 2);
  const listener = await east.address('outbound[0]');
  // Somebody's next request is always on its way.
  await using calls = new SteadyCalls({ listener, host: HOST, atOnce: 20, thinkMs: 100 });
  await calls.more(100);
  const primary = primaryOf(east);
  process.kill(primary, 'SIGTERM');
  await east.until('the next gateway', ({ state }) => state === 'ready' && primaryOf(east) !== primary);
  await calls.more(100);
  await endsWithoutLoss(east, calls);
});

test('the gateway that callers use is replaced on its port under load, and no call is lost', async () => {
  await using stack = new AsyncDisposableStack();
  const east = await held(stack, 3);
  const listener = await east.address('outbound[0]');
  await using calls = new SteadyCalls({ listener, host: HOST });
  for (let run = 0; run < 2; run += 1) {
    const primary = primaryOf(east);
    process.kill(primary, 'SIGTERM');
    await east.until('the next gateway', ({ state }) => state === 'ready' && primaryOf(east) !== primary);
    await calls.more(100);
  }
  await endsWithoutLoss(east, calls);
});

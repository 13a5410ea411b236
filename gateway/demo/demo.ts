/** `jumpgate demo`: two meshes on this machine, as separate processes, that federate and call each other. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { certificatesToPem, privateKeyToPem } from '../../trust-bundles/x509/pem.ts';
import { selfSignedServerCertificate } from '../../trust-bundles/x509/issue.ts';
import { untilStopped } from '../process/signals.ts';
import { type Act, ACTS } from './acts.ts';
import { GatewayProcess, listed } from './gateway-process.ts';
import { startPayments } from './grpc-payments.ts';
import { startOrders, startStock } from './http-services.ts';
import { writeEuWest, writeUsEast } from './meshes.ts';
import { type Stage, stageOf } from './stage.ts';

/** How to show it. */
export interface DemoOptions {
  /** Show everything, clean up and return instead of staying up. */
  readonly once: boolean;
  readonly stdout: { write(text: string): unknown };
  readonly clock: Clock;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const EDGE_HOST = 'shop.example.org';

/** Runs the demo; resolves with 0 if every outcome was the expected one, else 1. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const say = (line = ''): void => void options.stdout.write(`${line}\n`);
  await using held = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'jumpgate-demo-'));
  held.defer(() => rm(directory, { recursive: true, force: true }));
  try {
    const stage = await build(directory, options.clock, held, say);
    const failed = await perform(stage, say);
    await showStatus(stage, say);
    if (!options.once) await stayUp(stage, say);
    say(failed === 0 ? 'every outcome was the expected one' : `${failed} outcomes were not the expected ones`);
    return failed === 0 ? 0 : 1;
  } catch (error) {
    say(`the demo failed: ${messageOf(error)}`);
    return 1;
  }
}

type Say = (line?: string) => void;

/** Starts the services and both gateways, and makes them peers by `invite | join`. */
async function build(directory: string, clock: Clock, held: AsyncDisposableStack, say: Say): Promise<Stage> {
  say('Two meshes with two owners, each with its own CA and trust domain: us-east and eu-west.');
  const orders = held.use(await startOrders());
  const stock = held.use(await startStock());
  const payments = held.use(await startPayments(clock));
  const ports = { orders: orders.port, stock: stock.port, payments: payments.port };
  say(`services: orders (HTTP/1.1) and stock (HTTP/2) in eu-west, payments (gRPC) in us-east`);
  const east = join(directory, 'us-east');
  const west = join(directory, 'eu-west');
  await writeUsEast(east, ports);
  await writeEuWest(west, ports);
  const edge = selfSignedServerCertificate({ dnsNames: [EDGE_HOST], nowMs: clock.now(), ttlMs: DAY_MS });
  await writeFile(join(east, 'edge.crt'), certificatesToPem([edge.certificate]));
  await writeFile(join(east, 'edge.key'), privateKeyToPem(edge.key), { mode: 0o600 });
  await chmod(join(east, 'edge.key'), 0o600);
  const us = held.use(new GatewayProcess(east, clock));
  const eu = held.use(new GatewayProcess(west, clock));
  await us.until('the gateway to be ready', ({ state }) => state === 'ready');
  await eu.until('the gateway to be ready', ({ state }) => state === 'ready');
  say();
  say('$ jumpgate invite -f us-east --peer eu-west --trust-domain eu-west.example.org | jumpgate join -f eu-west -');
  const token = await us.command('invite', ['--peer', 'eu-west', '--trust-domain', 'eu-west.example.org']);
  say((await eu.command('join', ['-'], token)).trimEnd());
  await us.until('its imports to be active', (status) => importsSettled(status, ['eu-ledger']));
  await eu.until('its imports to be active', (status) => importsSettled(status, []));
  return stageOf({
    us,
    eu,
    edgeCertificate: await readFile(join(east, 'edge.crt'), 'utf8'),
    edgeHost: EDGE_HOST,
    clock,
  });
}

/** All imports are active but those that the peer does not export, which are known as withdrawn. */
function importsSettled(status: Readonly<Record<string, unknown>>, withdrawn: readonly string[]): boolean {
  return listed(status, 'imports').every(
    ({ name, state }) => state === (typeof name === 'string' && withdrawn.includes(name) ? 'withdrawn' : 'active'),
  );
}

async function perform(stage: Stage, say: Say): Promise<number> {
  let failed = 0;
  for (const act of ACTS) {
    say();
    say(act.title);
    for (const line of act.asked(stage)) say(`  asked:     ${line}`);
    const outcome = await tried(act, stage);
    for (const line of outcome.came) say(`  came back: ${line}`);
    say(outcome.expected ? '  as expected' : `  NOT as expected: ${act.expectation}`);
    if (!outcome.expected) failed += 1;
  }
  return failed;
}

async function tried(act: Act, stage: Stage): Promise<Awaited<ReturnType<Act['play']>>> {
  try {
    return await act.play(stage);
  } catch (error) {
    return { came: [messageOf(error)], expected: false };
  }
}

async function showStatus({ us, eu }: Stage, say: Say): Promise<void> {
  for (const gateway of [us, eu]) {
    say();
    say(`$ jumpgate status -f ${gateway.directory}`);
    say((await gateway.command('status')).trimEnd());
  }
  say();
}

async function stayUp(stage: Stage, say: Say): Promise<void> {
  say('Try it by hand (Ctrl-C ends the demo):');
  const { directory } = stage.us;
  say(`  curl -i -H 'Host: orders.eu-west.mesh.internal' http://${stage.listener('us', 0)}/orders/1`);
  say(
    `  curl -i -H 'Host: orders.eu-west.mesh.internal' http://${stage.listener('us', 1)}/orders/1     # another caller: refused`,
  );
  say(
    `  curl -i --cacert ${join(directory, 'edge.crt')} --connect-to ${EDGE_HOST}:443:${stage.edge} https://${EDGE_HOST}/stock/7`,
  );
  await untilStopped({ onHangUp: () => undefined });
}

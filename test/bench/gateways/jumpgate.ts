/** Jumpgate with everything on that a user has by default: two gateways, made peers by invite and join. */
import { existsSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { CORES, freePort, type Running } from '../measure/running.ts';
import { processTree } from '../measure/process-tree.ts';
import { exported, federate, GatewayProcess, imported, mesh, MeshDirectory } from '../../support/gateway-process.ts';
import { jumpgate as command } from '../../support/gateway-process.ts';
import { readBuild } from '../../../gateway/cli/build.ts';
import { type Competitor, type HandshakeTarget, type StartOptions, type TwoJumps } from './competitor.ts';
import { type Service } from '../load/services.ts';

/** The name under which A knows B's export. */
export const HOST = 'bench.west.mesh.internal';
const CALLER = 'spiffe://east.example/web';
const CALLERS = `"${CALLER}", "spiffe://east.example/jumpgate/edge/public"`;
const OPEN = 'what: { http: [{ methods: [GET, POST], paths: ["/**"] }] }';
const GRPC = 'what: { grpc: ["bench.v1.Orders/*"] }';
/** Longer than a drain of connections that have all been closed. */
const STOP_MS_MAX = 5_000;
const MUTUAL_TLS = '      - { address: "127.0.0.1:0", mutualTls: {} }\n';
/** One data-plane process, as everybody has one worker here; releases without the field run as one process anyway. */
const ONE_WORKER = '  workers: 1\n';

/** What a workload of Jumpgate alone changes. */
export interface JumpgateOptions extends StartOptions {
  /** Further YAML of A, by file name. */
  readonly documents?: Readonly<Record<string, string>>;
  readonly linksPerPeer?: number;
  /** Environment variables of both gateways beside those of this process. */
  readonly environment?: NodeJS.ProcessEnv;
}

/** The competitor that this bench is about. */
export const jumpgate: Competitor = {
  name: 'jumpgate',
  install: 'npm ci',
  version: () => readBuild().version,
  without: () => undefined,
  start: startJumpgate,
};

/** Starts both. Throws what `jumpgate validate` says when this build does not know a field or a protocol. */
export async function startJumpgate(options: JumpgateOptions): Promise<TwoJumps> {
  const { running, service, documents = {}, linksPerPeer, environment } = options;
  await using stack = new AsyncDisposableStack();
  const tcpPort = service === 'tcp' ? await freePort() : undefined;
  const links = linksPerPeer === undefined ? '' : `  linksPerPeer: ${linksPerPeer}\n`;
  const east = stack.use(new MeshDirectory({ 'import.yaml': importOf(tcpPort), ...documents }));
  const west = stack.use(new MeshDirectory({ 'export.yaml': exportOf(service, options.backendPort) }));
  await Promise.all([writeMesh(east, 'east', links), writeMesh(west, 'west', links)]);
  const gatewayIn = (directory: MeshDirectory): GatewayProcess => {
    const gateway = new GatewayProcess(directory.path, undefined, environment);
    own(gateway, running, stack);
    return gateway;
  };
  const b = gatewayIn(west);
  const a = gatewayIn(east);
  await federate(a, b);
  await a.importIs('bench', 'active');
  // Both directions of links, bundles and counters settle.
  await delay(500);
  const port = tcpPort ?? portIn(await a.address('outbound[0]'));
  const owned = stack.move();
  return {
    a: pidOf(a),
    b: pidOf(b),
    port,
    host: HOST,
    // A few seconds of small calls fill gigabytes; the log is appended to, so it goes on from the start.
    tidy: () => {
      for (const { path } of [east, west]) {
        const log = join(path, 'access.log');
        if (existsSync(log)) truncateSync(log);
      }
    },
    handshakes: service === 'small' ? async (count) => handshakesOf(a, count) : undefined,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function own(gateway: GatewayProcess, running: Running, stack: AsyncDisposableStack): void {
  stack.use(new Gracefully(gateway));
  running.pin(pidOf(gateway), CORES.gateways);
}

/** Ends a gateway as its operator would, so that the processes that it started end with it. */
class Gracefully implements AsyncDisposable {
  readonly #gateway: GatewayProcess;

  constructor(gateway: GatewayProcess) {
    this.#gateway = gateway;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const started = processTree(pidOf(this.#gateway)).slice(1);
    this.#gateway.child.kill('SIGTERM');
    await Promise.race([this.#gateway.ended, delay(STOP_MS_MAX, undefined, { ref: false })]);
    await this.#gateway[Symbol.asyncDispose]();
    // A process of ours that outlived it would take the next one's core.
    for (const { pid, startedTicks } of started) {
      const left = processTree(pid).find((each) => each.pid === pid);
      if (left?.startedTicks === startedTicks) process.kill(pid, 'SIGKILL');
    }
  }
}

/** Writes the Mesh document, with the fields that this build knows. */
async function writeMesh(directory: MeshDirectory, name: string, more: string): Promise<void> {
  const document = mesh(name, { more: more + ONE_WORKER }).replace('    status:', `${MUTUAL_TLS}    status:`);
  directory.write('mesh.yaml', document);
  const validated = await command(['validate', '-f', directory.path]);
  if (validated.code === 0) return;
  directory.write('mesh.yaml', document.replace(ONE_WORKER, ''));
  const again = await command(['validate', '-f', directory.path]);
  if (again.code !== 0) throw new Error(again.stdout + again.stderr);
}

function exportOf(service: Service, port: number): string {
  const who = `peers: [east], who: [${CALLERS}]`;
  const whoAndWhat = (what: string): string => `{ ${who}, ${what} }`;
  if (service === 'grpc') return exported('bench', 'grpc', port, whoAndWhat(GRPC));
  if (service === 'http1') return exported('bench', 'http1', port, whoAndWhat(OPEN));
  if (service !== 'tcp') return exported('bench', 'http2', port, whoAndWhat(OPEN));
  return exported('bench', 'http2', port, `{ ${who} }`).replace('protocol: http2', 'protocol: tcp');
}

function importOf(tcpPort: number | undefined): string {
  const document = imported('bench', 'west', 'bench', CALLER).replace(`"${CALLER}"`, CALLERS);
  return tcpPort === undefined
    ? document
    : document.replace(/ \}\n$/, `, listen: { address: "127.0.0.1:${tcpPort}", as: "${CALLER}" } }\n`);
}

/** SVIDs of workloads of A, at its outbound listener for mutual TLS. */
async function handshakesOf(a: GatewayProcess, count: number): Promise<HandshakeTarget> {
  const issued: { readonly certificates: string; readonly key: string; readonly bundle: string }[] = [];
  for (let index = 0; index < count; index += 1)
    issued.push((await a.ask('/v1/svids', { id: `spiffe://east.example/c${index}` })) as (typeof issued)[number]);
  return {
    port: portIn(await a.address('outbound[1]')),
    serverPid: pidOf(a),
    serverName: 'localhost',
    ca: issued[0]?.bundle ?? '',
    identities: issued.map(({ certificates, key }) => ({ cert: certificates, key })),
  };
}

function pidOf(gateway: GatewayProcess): number {
  if (gateway.child.pid === undefined) throw new Error('the gateway did not start');
  return gateway.child.pid;
}

function portIn(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

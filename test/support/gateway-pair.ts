/** Two real gateways of several processes, peers of each other, with an HTTP and a TCP service behind the second. */
import { exported, federate, GatewayProcess, imported, mesh, MeshDirectory } from './gateway-process.ts';
import { type ResourceProbe } from './resources.ts';

/** The host name of the HTTP service. */
export const PAIR_HOST = 'svc.west.mesh.internal';
const WHO = 'spiffe://east.example/*';
const WORKERS = '  workers: 2\n';

/** Services on ports of loopback. */
export interface PairServices {
  readonly http1: { readonly port: number };
  readonly tcp: { readonly port: number };
}

/** See the head of this file. `east` calls, `west` is called. */
export interface GatewayPair extends AsyncDisposable {
  readonly east: GatewayProcess;
  readonly west: GatewayProcess;
  /** Of `east`: listeners for the caller `/web` and for a caller that nobody else is, and the import of the TCP service. */
  readonly outbound: number;
  readonly attacked: number;
  readonly tunnel: number;
  /** Of `west`. */
  readonly jump: number;
}

/** Starts both, with the probe in each process, and waits for the links of every worker. `more` is for the spec of `east`. */
export async function startPair(probe: ResourceProbe, services: PairServices, more = ''): Promise<GatewayPair> {
  await using stack = new AsyncDisposableStack();
  const allow = `{ peers: [east], who: ["${WHO}"] }`;
  const westFiles = {
    'mesh.yaml': mesh('west', { more: WORKERS }),
    'web.yaml': exported('svc', 'http1', services.http1.port, allow),
    'db.yaml': exported('db', 'http1', services.tcp.port, allow).replace('http1', 'tcp'),
  };
  const listen = 'listen: { address: "127.0.0.1:0", as: "spiffe://east.example/web" }';
  const eastFiles = {
    'mesh.yaml': mesh('east', { callers: ['/web', '/attacker'], more: WORKERS + more }),
    'web.yaml': imported('in', 'west', 'svc', WHO),
    'db.yaml': imported('db', 'west', 'db', WHO).replace(/ \}\n$/, `, ${listen} }\n`),
  };
  const start = (files: Readonly<Record<string, string>>): GatewayProcess =>
    stack.use(new GatewayProcess(stack.use(new MeshDirectory(files)).path, undefined, probe.environment));
  const [west, east] = [start(westFiles), start(eastFiles)];
  await federate(east, west);
  for (const name of ['in', 'db']) await east.importIs(name, 'active');
  const portOf = async (gateway: GatewayProcess, name: string): Promise<number> =>
    Number((await gateway.address(name)).split(':')[1]);
  for (const gateway of [east, west])
    await gateway.until('every worker to have its links', ({ peers }) =>
      peers.every(({ linksOutbound }) => linksOutbound >= 4),
    );
  const ports = {
    outbound: await portOf(east, 'outbound[0]'),
    attacked: await portOf(east, 'outbound[1]'),
    tunnel: await portOf(east, 'import db'),
    jump: await portOf(west, 'jump'),
  };
  const owned = stack.move();
  return { east, west, ...ports, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

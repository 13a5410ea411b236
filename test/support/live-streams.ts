/** What lasts between two real gateways of several workers: WebSockets, streamed responses and TCP tunnels, by who opened them. */
import { once } from 'node:events';
import http from 'node:http';
import { connect } from 'node:net';
import { type Duplex } from 'node:stream';

import { systemClock } from '../../base/clock.ts';
import { federate, GatewayProcess, imported, mesh, MeshDirectory, exported } from './gateway-process.ts';
import { http1Service } from './sample-services.ts';
import { tcpService } from './tunnel-rig.ts';
import { openWebSocket, webSocketService } from './web-socket.ts';

/** From the word to the end of all that it means, on all workers (security.md, promise 2). */
const CUT_MS_MAX = 5_000;
/** Several of each kind, so that every worker has some. */
const EACH = 4;
const WEST_WORKERS = 2;
const ANY = '{ peers: [east], who: ["spiffe://east.example/**"] }';

/** One that lasts, and echoes. */
export interface LiveStream {
  readonly kind: string;
  /** Whether it still carries bytes there and back. */
  echoes(): Promise<boolean>;
  readonly ended: Promise<void>;
}

/** Two peers: east imports, west exports. */
export interface LivePair {
  readonly east: GatewayProcess;
  readonly west: GatewayProcess;
  readonly eastFiles: MeshDirectory;
  readonly westFiles: MeshDirectory;
  /** The outbound listener whose caller is `spiffe://east.example/<caller>`. */
  listener(caller: 'web' | 'good'): Promise<string>;
  /** Opens several of each kind. */
  open(caller: 'web' | 'good'): Promise<readonly LiveStream[]>;
}

/** Starts both, west with two workers, and waits for the links of every worker. */
export async function livePair(held: AsyncDisposableStack, eastWorkers = 2): Promise<LivePair> {
  const echo = held.use(await tcpService((socket) => socket.pipe(socket)));
  const chat = held.use(await webSocketService('http1', (duplex) => duplex.pipe(duplex)));
  const lasting = held.use(
    await http1Service((request, response) => {
      response.flushHeaders();
      if (request.method === 'GET') response.end('ok');
      else request.pipe(response);
    }),
  );
  const more = (workers: number): string => `  workers: ${workers}\n`;
  const westFiles = held.use(
    new MeshDirectory({
      'mesh.yaml': mesh('west', { more: more(WEST_WORKERS) }),
      'db-web.yaml': tunnelTo('db-web', echo.port),
      'db-good.yaml': tunnelTo('db-good', echo.port),
      'chat.yaml': exported('chat', 'http1', chat.port, ANY),
      'svc.yaml': exported('svc', 'http1', lasting.port, ANY),
    }),
  );
  const tunnel = (name: string, caller: string): string =>
    imported(name, 'west', name, `spiffe://east.example/${caller}`).replace('"] }', '"], listen: "127.0.0.1:0" }');
  const eastFiles = held.use(
    new MeshDirectory({
      'mesh.yaml': mesh('east', { more: more(eastWorkers), callers: ['/web', '/good'] }),
      'db-web.yaml': tunnel('db-web', 'web'),
      'db-good.yaml': tunnel('db-good', 'good'),
      'chat.yaml': imported('chat', 'west', 'chat', 'spiffe://east.example/**'),
      'svc.yaml': imported('svc', 'west', 'svc', 'spiffe://east.example/**'),
    }),
  );
  const east = held.use(new GatewayProcess(eastFiles.path));
  const west = held.use(new GatewayProcess(westFiles.path));
  await federate(east, west);
  await east.until('the exports to be known', ({ imports }) =>
    imports.every(({ state, protocol }) => state === 'active' && protocol !== null),
  );
  await allLinks(east, eastWorkers);
  await allLinks(west, WEST_WORKERS);
  const listener = (caller: 'web' | 'good'): Promise<string> => east.address(`outbound[${caller === 'web' ? 0 : 1}]`);
  const portOf = (address: string): number => Number(address.split(':')[1]);
  const open = async (caller: 'web' | 'good'): Promise<readonly LiveStream[]> => {
    const outbound = portOf(await listener(caller));
    const db = portOf(await east.address(`import db-${caller}`));
    const streams: LiveStream[] = [];
    for (let index = 0; index < EACH; index += 1) {
      const socket = held.use(await openWebSocket('http1', outbound, { host: 'chat.west.mesh.internal' }));
      streams.push(liveStream('websocket', socket.duplex, socket.duplex));
      const tunnelled = connect({ host: '127.0.0.1', port: db });
      held.defer(() => void tunnelled.destroy());
      streams.push(liveStream('tunnel', tunnelled, tunnelled));
      streams.push(await openCall(outbound, held));
    }
    return streams;
  };
  return { east, west, eastFiles, westFiles, listener, open };
}

function tunnelTo(name: string, port: number): string {
  return exported(name, 'http1', port, ANY).replace('protocol: http1', 'protocol: tcp');
}

/** Makes a change, and waits for the end of what it means. Throws when that takes too long. */
export async function cutWithin(change: () => Promise<unknown>, meant: readonly LiveStream[]): Promise<void> {
  const ends = Promise.all(meant.map(({ ended }) => ended));
  const began = systemClock.monotonic();
  await change();
  const late = Promise.withResolvers<never>();
  const timer = systemClock.after(Math.max(0, began + CUT_MS_MAX - systemClock.monotonic()), () => {
    late.reject(new Error(`expected ${meant.length} streams to end within ${CUT_MS_MAX} ms`));
  });
  try {
    await Promise.race([ends, late.promise]);
  } finally {
    timer[Symbol.dispose]();
  }
}

/** How many of these still carry bytes. */
export async function echoing(streams: readonly LiveStream[]): Promise<number> {
  return (await Promise.all(streams.map((stream) => stream.echoes()))).filter(Boolean).length;
}

/** Waits until every worker serves and has its links. */
export async function allLinks(gateway: GatewayProcess, workers: number): Promise<void> {
  await gateway.until('every worker to have its links', ({ peers, processes }) => {
    const isServing =
      processes.length === (workers === 0 ? 0 : workers + 1) && processes.every(({ state }) => state === 'ready');
    return isServing && peers.every(({ linksOutbound }) => linksOutbound >= 2 * Math.max(1, workers));
  });
}

function liveStream(kind: string, into: NodeJS.WritableStream, from: Duplex | http.IncomingMessage): LiveStream {
  let turn = 0;
  const ended = new Promise<void>((resolve) => {
    from.once('end', resolve).once('close', () => resolve());
    from.once('error', () => resolve());
  });
  return {
    kind,
    ended,
    echoes: async () => {
      turn += 1;
      const text = `turn ${turn};`;
      const heard = new Promise<boolean>((resolve) => {
        let seen = '';
        const onData = (chunk: Buffer): void => {
          seen += chunk.toString();
          if (!seen.includes(text)) return;
          from.off('data', onData);
          resolve(true);
        };
        from.on('data', onData);
      });
      into.write(text);
      return Promise.race([heard, ended.then(() => false)]);
    },
  };
}

async function openCall(port: number, held: AsyncDisposableStack): Promise<LiveStream> {
  const headers = { host: 'svc.west.mesh.internal' };
  const request = http.request({ host: '127.0.0.1', port, method: 'POST', agent: false, headers });
  request.on('error', () => undefined);
  held.defer(() => void request.destroy());
  request.flushHeaders();
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  return liveStream('stream', request, response);
}

/** Callers that flood links: refused at their own gateway and at the peer's, while an innocent one beside them loses nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { type Duplex } from 'node:stream';
import test from 'node:test';

import { field } from '../../gateway/message/names.ts';
import { type ResponseHead } from '../../gateway/message/head.ts';
import { type ConnectedHttp2 } from '../../gateway/socket/http2-socket.ts';
import {
  exported,
  federate,
  GatewayProcess,
  imported,
  mesh,
  MeshDirectory,
  until,
} from '../support/gateway-process.ts';
import { get, http1Service, http2Service, startRig } from '../support/forward-rig.ts';

const HOST = 'svc.west.mesh.internal';
/** Half of what a link carries. */
const STREAMS_MAX = 5_000;
/** Streams of one connection of a caller. */
const STREAMS_PER_CONNECTION = 100;
/** Resets that a budget allows in ten seconds, and a few. */
const RESETS = 1_100;

/** Calls again and again on one connection; every call must be answered with 200. */
class Innocent implements AsyncDisposable {
  calls = 0;
  readonly failures: string[] = [];
  readonly #session: http2.ClientHttp2Session;
  #running = true;
  readonly #done: Promise<void>;

  constructor(port: number) {
    this.#session = http2.connect(`http://127.0.0.1:${port}`);
    this.#session.on('error', (error: Error) => this.failures.push(error.message));
    this.#done = this.#run();
  }

  /** Waits for calls that began after now. */
  async more(): Promise<void> {
    const target = this.calls + 3;
    await until('an innocent caller to be served', () => this.calls >= target || this.failures.length > 0);
    assert.deepEqual(this.failures, []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#running = false;
    await this.#done;
    this.#session.destroy();
  }

  async #run(): Promise<void> {
    while (this.#running && this.failures.length === 0) {
      const { status, reason } = await ask(this.#session, '/');
      if (status !== 200) this.failures.push(`${status} ${reason}`);
      this.calls += 1;
    }
  }
}

interface Asked {
  readonly status: number;
  readonly reason: string;
}

async function ask(session: http2.ClientHttp2Session, path: string): Promise<Asked> {
  const stream = session.request({ ':path': path, ':authority': HOST });
  return new Promise((resolve) => {
    stream.once('response', (headers) => {
      stream.resume();
      const asked = { status: Number(headers[':status']), reason: String(headers['jumpgate-reason']) };
      stream.once('close', () => resolve(asked));
    });
    stream.once('error', (error: Error) => resolve({ status: 0, reason: error.message }));
  });
}

async function reasonFor(port: number): Promise<string> {
  const { status, headers } = await get(port, { headers: { host: HOST } });
  return `${status} ${String(headers['jumpgate-reason'])}`;
}

/** Closed, whatever the reason. */
async function closeOf(stream: Duplex): Promise<void> {
  await new Promise<void>((resolve) => {
    stream.once('close', () => resolve());
  });
}

/** Opens and cancels as fast as it can; a connection is used up after a hundred. */
async function openAndCancel(port: number): Promise<void> {
  for (let left = RESETS; left > 0; left -= STREAMS_PER_CONNECTION) {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on('error', () => undefined);
    await once(session, 'remoteSettings');
    const streams = Array.from({ length: STREAMS_PER_CONNECTION }, () =>
      session.request({ ':path': '/hold', ':authority': HOST }),
    );
    const closed = streams.map((stream) => {
      stream.on('error', () => undefined);
      stream.close(http2.constants.NGHTTP2_CANCEL);
      return closeOf(stream);
    });
    await Promise.all(closed);
    session.destroy();
  }
}

async function hangUp(port: number): Promise<void> {
  for (let left = RESETS; left > 0; left -= STREAMS_PER_CONNECTION) {
    const sockets = Array.from({ length: STREAMS_PER_CONNECTION }, async () => {
      const socket = connect({ host: '127.0.0.1', port });
      socket.on('error', () => undefined);
      socket.end(`GET /hold HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
      await closeOf(socket.resume());
    });
    await Promise.all(sockets);
  }
}

/** A gRPC call without a deadline: it may be open for ever. */
const HELD = { ':method': 'POST', 'content-type': 'application/grpc', ':path': '/test.Slow/Hold', ':authority': HOST };

/** Begins calls that are never answered until one is refused; returns what it was told, and how many are open. */
async function hold(port: number, sessions: http2.ClientHttp2Session[]): Promise<readonly [string, number]> {
  for (let open = 0; open <= STREAMS_MAX;) {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on('error', () => undefined);
    sessions.push(session);
    await once(session, 'remoteSettings');
    const refused: string[] = [];
    for (let each = 0; each < STREAMS_PER_CONNECTION; each += 1) {
      const stream = session.request(HELD);
      stream.on('error', () => undefined);
      stream.once('response', (headers) => refused.push(String(headers['jumpgate-reason'])));
    }
    // node:http2 may send a ping before requests that were made before it, not before those of a round trip ago.
    for (let each = 0; each < 2; each += 1) await new Promise<void>((resolve) => session.ping(() => resolve()));
    open += STREAMS_PER_CONNECTION - refused.length;
    const [told] = refused;
    if (told !== undefined) return [told, open];
  }
  return ['none', Infinity];
}

test('callers that cancel, hang up or stall at full rate are refused at their own gateway, beside innocent ones', async () => {
  await using service = await http2Service((stream, headers) => {
    if (headers[':path'] === '/hold' || headers[':path'] === HELD[':path']) return;
    stream.respond({ ':status': 200 });
    stream.end('ok');
  });
  const callers = ['/innocent', '/cancels', '/hangs-up', '/stalls'];
  using eastFiles = new MeshDirectory({
    'mesh.yaml': mesh('east', { callers }),
    'svc.yaml': imported('svc', 'west', 'svc', 'spiffe://east.example/*'),
  });
  using westFiles = new MeshDirectory({
    'mesh.yaml': mesh('west'),
    'svc.yaml': exported('svc', 'http2', service.port, '{ peers: [east] }'),
  });
  await using east = new GatewayProcess(eastFiles.path);
  await using west = new GatewayProcess(westFiles.path);
  await federate(east, west);
  await east.importIs('svc', 'active');
  const port = async (index: number): Promise<number> =>
    Number((await east.address(`outbound[${index}]`)).split(':')[1]);
  const [free, cancels, hangsUp, stalls] = [await port(0), await port(1), await port(2), await port(3)];
  const links = async (): Promise<readonly string[]> =>
    (await east.command('links', ['-o', 'json'])).match(/"since": *"[^"]*"/g) ?? [];
  const before = await links();
  await using innocent = new Innocent(free);
  await innocent.more();

  await openAndCancel(cancels);
  await until('the canceller to be refused', async () => (await reasonFor(cancels)) === '429 limit-caller-resets');
  await innocent.more();

  await hangUp(hangsUp);
  await until('who hangs up to be refused', async () => (await reasonFor(hangsUp)) === '429 limit-caller-resets');
  await innocent.more();

  const sessions: http2.ClientHttp2Session[] = [];
  assert.deepEqual(await hold(stalls, sessions), ['limit-caller-streams', STREAMS_MAX]);
  await innocent.more();
  for (const session of sessions) session.destroy();
  await innocent.more();

  assert.deepEqual(innocent.failures, []);
  assert.deepEqual(await links(), before, 'no link was lost');
  assert.match(east.stderr, /caller refused for a while.*east\.example\/cancels/);
  assert.match(
    await (await fetch(`http://${await east.address('status')}/metrics`)).text(),
    /reason="limit-caller-resets"/,
  );
});

/** What a peer's gateway that does not hold its callers to anything sends on a link. */
function callAs(link: ConnectedHttp2, caller: string, onEnd: (how: string) => void): { cancel(): void } {
  const head = {
    method: field(':method', 'GET'),
    scheme: field(':scheme', 'https'),
    authority: field(':authority', 'web.eu.test'),
    path: field(':path', '/'),
    protocol: undefined,
    fields: [field('jumpgate-caller', caller), field('jumpgate-hops', 'us.test')],
  };
  const stream = link.open(head, true, {
    onInterim: () => undefined,
    onResponse: ({ status, fields }: ResponseHead) =>
      onEnd(`${status} ${fields.find(({ name }) => name.text === 'jumpgate-reason')?.value ?? ''}`),
    onData: (bytes) => stream?.credit(bytes.length),
    onTrailers: () => undefined,
    onReset: () => onEnd('reset'),
    onSent: () => undefined,
  });
  return { cancel: () => stream?.reset(8) };
}

test('a caller that its own gateway does not hold back is refused by name at the peer’s, and the link stays', async () => {
  await using service = await http1Service((_request, response) => response.end('ok'));
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const { link } = rig;
  const [bad, good] = ['spiffe://us.test/bad', 'spiffe://us.test/good'];
  const answer = (caller: string): Promise<string> => new Promise((resolve) => callAs(link, caller, resolve));
  for (let each = 0; each < RESETS; each += 1) {
    callAs(link, bad, () => undefined).cancel();
    if (each % STREAMS_PER_CONNECTION === 0) assert.equal(await answer(good), '200 ');
  }
  assert.equal(await answer(bad), '429 limit-caller-resets');
  assert.equal(await answer(good), '200 ');
  assert.equal(link.usable, true);
});

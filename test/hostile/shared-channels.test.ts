/** One HTTP/2 connection of a caller that many calls share: those that are cancelled take none of the others with them. */
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { test } from 'node:test';

import { silentLog } from '../../base/log.ts';
import { openEdge } from '../../gateway/edge/listener.ts';
import { STRANGER_CONNECTION } from '../../gateway/http2/limits.ts';
import { http2Service, startRig } from '../support/forward-rig.ts';
import { pem, testDomain } from '../support/trust.ts';

const LIMIT = { timeout: 30_000 };
const { resetsMax } = STRANGER_CONNECTION;

/** Answers at once, but for `/long` (when it is told) and `/open` (which begins an answer and never ends it). */
async function startService(): ReturnType<typeof http2Service> {
  return http2Service((stream, headers) => {
    stream.respond({ ':status': 200 });
    if (headers[':path'] === '/open') stream.write('begun');
    else if (headers[':path'] === '/long') stream.on('data', (bytes: Buffer) => stream.end(bytes));
    else stream.end('done');
  });
}

/** A caller's channel, and a call on it that nobody cancels. */
class Channel implements Disposable {
  readonly goaways: number[] = [];
  readonly #session: http2.ClientHttp2Session;
  readonly #authority: string;
  readonly #long: http2.ClientHttp2Stream;
  readonly #ended: Promise<unknown>;
  #answer = '';

  constructor(url: string, authority: string) {
    this.#authority = authority;
    this.#session = http2.connect(url, { rejectUnauthorized: false });
    this.#session.on('error', () => undefined);
    this.#session.on('goaway', (code: number) => this.goaways.push(code));
    this.#long = this.#request('/long');
    this.#long.on('data', (bytes: Buffer) => (this.#answer += bytes.toString()));
    this.#ended = new Promise((resolve) => this.#long.once('close', resolve));
  }

  /** Whether another call can be made on it. */
  get open(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  /** One call: answered, or cancelled under way. */
  async call(isCancelled: boolean): Promise<void> {
    const stream = this.#request(isCancelled ? '/open' : '/');
    // One that comes after GOAWAY is refused, and could be made elsewhere.
    const closed = new Promise((resolve) => stream.once('close', resolve));
    if (!isCancelled) stream.end().resume();
    else stream.once('data', () => stream.close(http2.constants.NGHTTP2_CANCEL));
    await closed;
  }

  /** Ends the long call; what it was answered. */
  async finish(): Promise<string> {
    this.#long.end('late');
    await this.#ended;
    return this.#answer;
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }

  #request(path: string): http2.ClientHttp2Stream {
    const stream = this.#session.request({ ':method': 'POST', ':path': path, ':authority': this.#authority });
    stream.on('error', () => undefined);
    return stream;
  }
}

test(
  'a channel of an own workload goes on, however many of its calls are cancelled, up to one in five',
  LIMIT,
  async () => {
    await using service = await startService();
    await using rig = await startRig([{ name: 'web', protocol: 'grpc', port: service.port }]);
    using channel = new Channel(`http://127.0.0.1:${rig.port}`, 'web.eu.mesh.internal');
    const calls = 8 * (resetsMax + 20);
    for (let made = 0; made < calls; made += 1) await channel.call(made % 8 === 0);
    assert.deepEqual([channel.goaways, channel.open], [[], true]);
    assert.equal(await channel.finish(), 'late');
  },
);

test(
  'a channel of an own workload that cancels nearly all takes no more calls, and ends those under way',
  LIMIT,
  async () => {
    await using service = await startService();
    await using rig = await startRig([{ name: 'web', protocol: 'grpc', port: service.port }]);
    using channel = new Channel(`http://127.0.0.1:${rig.port}`, 'web.eu.mesh.internal');
    for (let made = 0; made <= resetsMax; made += 1) await channel.call(true);
    assert.equal(await channel.finish(), 'late');
    assert.deepEqual(channel.goaways, [http2.constants.NGHTTP2_NO_ERROR]);
    assert.equal(channel.open, false);
  },
);

test(
  'a channel of a stranger takes no more calls at the number of resets, and ends those under way',
  LIMIT,
  async () => {
    await using service = await startService();
    await using rig = await startRig([{ name: 'web', protocol: 'grpc', port: service.port }]);
    await using edge = await openEdge({
      name: 'front',
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      credentials: pem(testDomain('edge.test').svid('/front')),
      deps: rig.edgeDeps,
      host: rig.listenHost,
      log: silentLog,
    });
    const port = edge.address.kind === 'tcp' ? edge.address.port : 0;
    using channel = new Channel(`https://127.0.0.1:${port}`, 'web.example.com');
    let made = 0;
    for (; channel.open; made += 1) await channel.call(made % 2 === 0);
    assert.ok(made > 2 * resetsMax && made <= 2 * resetsMax + 5, `${made} calls`);
    assert.equal(await channel.finish(), 'late');
    assert.deepEqual(channel.goaways, [http2.constants.NGHTTP2_NO_ERROR]);
  },
);

/** Many stalled readers of one caller hold back their own streams and nobody else's. */
import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import http2 from 'node:http2';
import test from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { LINK_CONNECTION } from '../../gateway/http2/limits.ts';
import { field } from '../../gateway/message/names.ts';
import { type ResponseReceiver, type ServerStream, type StreamReceiver } from '../../gateway/message/stream.ts';
import { type ConnectedHttp2, connectHttp2, serveHttp2 } from '../../gateway/socket/http2-socket.ts';
import { send } from '../support/client-call.ts';
import { get, http1Service, http2Service, startRig } from '../support/forward-rig.ts';

const LIMIT = { timeout: 60_000 };
/** With the call beside them all that a link takes. */
const STALLED = LINK_CONNECTION.streamsMax - 1;
const READERS = 2_000;
/** Of a stream: of its service 256 KiB, and of a link 64 KiB if none of it has grown, as nobody drains it. */
const WINDOWS_BYTES_MIN = 256 * 1024;
/** And what the writers and the kernel keep. */
const WINDOWS_BYTES_MAX = 512 * 1024;
/** Of one caller's connection (STRANGER_CONNECTION). */
const STREAMS = 100;
const SMALL_BYTES = 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024);

/** Sends without end, as fast as what it sends leaves. */
class Endless implements StreamReceiver {
  readonly #stream: ServerStream;

  constructor(stream: ServerStream) {
    this.#stream = stream;
    stream.respond({ status: 200, fields: [] }, false);
    stream.write(CHUNK, false);
  }

  onData(): void {
    // Requests here have no body.
  }

  onTrailers(): void {
    // Nor trailers.
  }

  onReset(): void {
    // The end of the test.
  }

  onSent(): void {
    this.#stream.write(CHUNK, false);
  }
}

/** Gives no credit for what comes, and forgets it: the stream fills its window and stands. */
class Stalled implements ResponseReceiver {
  bytes = 0;
  resetCode: number | undefined;
  #onFull: (() => void) | undefined;

  /** Resolves when the window is full, or the stream reset. */
  begin(link: ConnectedHttp2): Promise<void> {
    const head = { method: field(':method', 'GET'), path: field(':path', '/big'), scheme: field(':scheme', 'https') };
    const authority = field(':authority', 'big.example.org');
    assert.ok(link.open({ ...head, authority, protocol: undefined, fields: [] }, true, this) !== undefined);
    return new Promise((resolve) => {
      this.#onFull = resolve;
    });
  }

  onInterim(): void {
    // None are sent.
  }

  onResponse(): void {
    // Without an end.
  }

  onData(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    if (this.bytes >= LINK_CONNECTION.streamWindowBytes) this.#onFull?.();
  }

  onTrailers(): void {
    // Without an end.
  }

  onReset(code: number): void {
    this.resetCode = code;
    this.#onFull?.();
  }

  onSent(): void {
    // Nothing is sent.
  }
}

test('as many stalled downloads as a link takes leave room for a call beside them', LIMIT, async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    serveHttp2(socket, {
      clock: systemClock,
      scheme: 'https',
      limits: LINK_CONNECTION,
      listener: {
        onRequest: (stream, head) => {
          if (head.path.value !== '/small') return new Endless(stream);
          stream.respond({ status: 200, fields: [] }, false);
          stream.write(Buffer.from('small'), true);
          return { onData: nothing, onTrailers: nothing, onReset: nothing, onSent: nothing };
        },
        onRefused: nothing,
      },
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const link = connectHttp2(connect((server.address() as AddressInfo).port, '127.0.0.1'), {
    clock: systemClock,
    limits: LINK_CONNECTION,
  });
  try {
    await link.ready;
    const stalled = Array.from({ length: STALLED }, () => new Stalled());
    await Promise.all(stalled.map((download) => download.begin(link)));
    const { response, done } = send(link, { authority: 'big.example.org', path: '/small' });
    await done;
    assert.deepEqual([response.head?.status, response.body, response.ended], [200, 'small', true]);
    for (const { bytes, resetCode } of stalled) {
      assert.equal(bytes, LINK_CONNECTION.streamWindowBytes);
      assert.equal(resetCode, undefined);
    }
  } finally {
    link.destroy();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

test(
  'N9: 2,000 stalled readers behind one link leave room for an innocent call, and hold no more than their windows',
  LIMIT,
  async () => {
    let begun = 0;
    let sent = 0;
    await using big = await http2Service((stream) => {
      begun += 1;
      stream.respond({ ':status': 200 });
      const more = (): void => {
        while (!stream.destroyed) {
          sent += CHUNK.length;
          if (!stream.write(CHUNK)) return;
        }
      };
      stream.on('drain', more);
      more();
    });
    await using small = await http1Service((_request, response) => response.end(Buffer.alloc(SMALL_BYTES, 's')));
    await using rig = await startRig([
      { name: 'big', protocol: 'http2', port: big.port },
      { name: 'small', protocol: 'http1', port: small.port },
    ]);
    const sessions = Array.from({ length: READERS / STREAMS }, () => stalledSession(rig.port));
    while (begun < READERS) await turn();
    for (let still = 0, last = -1; still < 2_000; still += 1) {
      if (sent !== last) still = 0;
      last = sent;
      await turn();
    }
    const answer = await get(rig.port, { headers: { host: 'small.eu.mesh.internal' } });
    assert.deepEqual([answer.status, answer.body.length], [200, SMALL_BYTES]);
    assert.ok(sent > READERS * WINDOWS_BYTES_MIN && sent < READERS * WINDOWS_BYTES_MAX, `${sent / READERS} bytes each`);
    // They stand because of their readers, not because they were cut.
    assert.ok(rig.records.every(({ verdict }) => verdict === 'permit'));
    for (const session of sessions) session.destroy();
  },
);

/** Reads nothing of as many streams as one caller may have at once. */
function stalledSession(port: number): http2.ClientHttp2Session {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  for (let index = 0; index < STREAMS; index += 1) {
    const stream = session.request({ ':path': '/', ':authority': 'big.eu.mesh.internal' });
    stream.on('error', () => undefined);
    stream.pause();
  }
  return session;
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function nothing(): void {
  // Whoever answers at once is told nothing more that matters.
}

/** Many stalled readers of one caller hold back their own streams and nobody else's. */
import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import http2 from 'node:http2';
import test from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { LINK_CONNECTION } from '../../gateway/http2/limits.ts';
import { type ServerStream, type StreamReceiver } from '../../gateway/message/stream.ts';
import { connectHttp2, serveHttp2 } from '../../gateway/socket/http2-socket.ts';
import { send } from '../support/client-call.ts';
import { get, http1Service, http2Service, startRig } from '../support/forward-rig.ts';

const LIMIT = { timeout: 60_000 };
const STALLED = 400;
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

test('400 stalled downloads on a link leave room for a call beside them', LIMIT, async () => {
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
    // Nobody gives credit for what comes: each stream fills its window and stands.
    const stalled = Array.from({ length: STALLED }, () => send(link, { authority: 'big.example.org', path: '/big' }));
    for (const { response } of stalled) {
      const full = (): boolean => sizeOf(response.chunks) >= LINK_CONNECTION.streamWindowBytes;
      while (!full()) {
        await new Promise<void>((resolve) => {
          response.onChunk = resolve;
        });
      }
    }
    const { response, done } = send(link, { authority: 'big.example.org', path: '/small' });
    await done;
    assert.deepEqual([response.head?.status, response.body, response.ended], [200, 'small', true]);
    for (const { response: each } of stalled) {
      assert.equal(sizeOf(each.chunks), LINK_CONNECTION.streamWindowBytes);
      assert.equal(each.resetCode, undefined);
    }
  } finally {
    link.destroy();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

// The windows of the streams, 256 KiB each, all but fill the window of the link, 256 MiB; 2,000 hold as much with less each.
for (const [readers, bytesEach] of [
  [1_000, Infinity],
  [2_000, 120 * 1024],
] as const) {
  test(`${readers} stalled readers behind one link leave room for an innocent call`, LIMIT, async () => {
    let begun = 0;
    let sent = 0;
    await using big = await http2Service((stream) => {
      begun += 1;
      stream.respond({ ':status': 200 });
      let left: number = bytesEach;
      const more = (): void => {
        while (!stream.destroyed && left > 0) {
          const bytes = Math.min(left, CHUNK.length);
          left -= bytes;
          sent += bytes;
          if (!stream.write(CHUNK.subarray(0, bytes))) return;
        }
        stream.end();
      };
      stream.on('drain', more);
      more();
    });
    await using small = await http1Service((_request, response) => response.end(Buffer.alloc(SMALL_BYTES, 's')));
    await using rig = await startRig([
      { name: 'big', protocol: 'http2', port: big.port },
      { name: 'small', protocol: 'http1', port: small.port },
    ]);
    const sessions = Array.from({ length: readers / STREAMS }, () => stalledSession(rig.port));
    while (begun < readers) await turn();
    for (let still = 0, last = -1; still < 2_000; still += 1) {
      if (sent !== last) still = 0;
      last = sent;
      await turn();
    }
    const answer = await get(rig.port, { headers: { host: 'small.eu.mesh.internal' } });
    assert.deepEqual([answer.status, answer.body.length], [200, SMALL_BYTES]);
    // They stand because of their readers, not because they were cut.
    assert.ok(rig.records.every(({ verdict }) => verdict === 'permit'));
    for (const session of sessions) session.destroy();
  });
}

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

function sizeOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((bytes, { length }) => bytes + length, 0);
}

/** Many stalled readers of one caller hold back their own streams and nobody else's. */
import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import test from 'node:test';

import { http2Client } from '../../gateway/http2/client.ts';
import { LINK_LIMITS, serveHttp2 } from '../../gateway/http2/server.ts';

const STALLED = 400;
const CHUNK = Buffer.alloc(64 * 1024);

const head = {
  method: 'GET',
  authority: 'big.example.org',
  scheme: 'https',
  headers: [],
  neverIndexed: [],
  hasBody: false,
} as const;

test('400 stalled downloads on a link leave room for a call beside them', async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    serveHttp2(socket, {
      scheme: 'https',
      remoteAddress: '',
      limits: LINK_LIMITS,
      onCall: (call) => {
        const { body } = call.respond(200, []);
        if (call.path === '/small') body.end('small');
        else {
          body.on('error', () => undefined);
          const fill = (): void => {
            while (!body.destroyed && body.write(CHUNK));
          };
          body.on('drain', fill);
          fill();
        }
      },
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const link = http2Client(connect((server.address() as AddressInfo).port, '127.0.0.1'), LINK_LIMITS);
  const cancel = new AbortController();
  try {
    await link.ready;
    const stalled = Array.from({ length: STALLED }, () => link.request({ ...head, path: '/big' }, cancel.signal));
    for (const { response } of stalled) {
      const answer = await response;
      answer.body.on('error', () => undefined);
      // One chunk is taken, and then nothing more: the stream fills its window and stands.
      await once(answer.body, 'readable');
    }
    const small = await link.request({ ...head, path: '/small' }, cancel.signal).response;
    assert.equal(small.status, 200);
    assert.equal(Buffer.concat(await small.body.toArray()).toString(), 'small');
  } finally {
    cancel.abort();
    link.destroy();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

/** What crosses from workers to control: joins with what was shown, and nothing from whoever lacks the token. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { text } from 'node:stream/consumers';

import { systemClock } from '../../base/clock.ts';
import { HandedListeners } from '../../gateway/process/handed-listeners.ts';
import { type JoinConnection } from '../../gateway/link/join-connection.ts';
import { listenForJoins } from '../../gateway/link/join-relay.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const TOKEN = 'a'.repeat(64);

function head(value: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json]);
}

async function rig(
  held: AsyncDisposableStack,
): Promise<{ readonly joins: JoinConnection[]; readonly open: () => Socket }> {
  const joinSocket = join(held.use(temporaryDirectory()).path, 'join.sock');
  const joins: JoinConnection[] = [];
  const onJoin = (connection: JoinConnection): void => {
    joins.push(connection);
    connection.socket.pipe(connection.socket);
  };
  held.use(await listenForJoins({ joinSocket, token: TOKEN, onJoin, clock: systemClock }));
  const open = (): Socket => {
    const socket = connect(joinSocket);
    socket.on('error', () => undefined);
    return socket;
  };
  return { joins, open };
}

test('a join crosses with its chain, however its bytes are cut, and what follows is carried both ways', async () => {
  await using held = new AsyncDisposableStack();
  const { joins, open } = await rig(held);
  const socket = open();
  const bytes = Buffer.concat([head({ token: TOKEN, chain: ['AQI='] }), Buffer.from('hello')]);
  for (const byte of bytes) socket.write(Buffer.from([byte]));
  socket.end(' there');
  assert.equal(await text(socket), 'hello there');
  assert.deepEqual(joins[0]?.peer, { kind: 'chain', chain: [new Uint8Array([1, 2])] });
});

test('what is not exactly a head, or lacks the token, is closed without a word', async () => {
  await using held = new AsyncDisposableStack();
  const { joins, open } = await rig(held);
  const wrong = [
    head({ token: 'b'.repeat(64), chain: [] }),
    head({ chain: [] }),
    head({ token: TOKEN }),
    head([TOKEN]),
    Buffer.from([0, 0, 0, 1, 0x7b]),
    Buffer.from([0xff, 0xff, 0xff, 0xff]),
  ];
  for (const bytes of wrong) {
    const socket = open();
    socket.write(bytes);
    assert.equal(await text(socket), '');
  }
  assert.deepEqual(joins, []);
});

test('connections handed over are served by name as if accepted, up to the limit of their server, until it closes', async () => {
  await using held = new AsyncDisposableStack();
  const outside = createServer((socket) => arrived.push(socket)).listen(0, '127.0.0.1');
  held.defer(() => void outside.close());
  await once(outside, 'listening');
  const arrived: Socket[] = [];
  const address = outside.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const at = { kind: 'tcp', host: '127.0.0.1', port } as const;
  const handed = new HandedListeners([{ name: 'jump', address: at }]);
  const served: Socket[] = [];
  const dropped: unknown[] = [];
  const server = createServer({ noDelay: true, keepAlive: true, allowHalfOpen: true }, (socket) => served.push(socket));
  server.maxConnections = 2;
  server.on('drop', (drop) => dropped.push(drop));
  assert.deepEqual(await handed.bind('jump')(server, { kind: 'tcp', host: '0.0.0.0', port: 0 }), at);
  const clients: Socket[] = [];
  const next = async (): Promise<Socket> => {
    const client = connect(port, '127.0.0.1').on('error', () => undefined);
    clients.push(client);
    const count = arrived.length;
    if (count === clients.length - 1) await once(outside, 'connection');
    return arrived[clients.length - 1] ?? assert.fail('no connection');
  };
  const first = await next();
  assert.equal(handed.serve('edge', first), false);
  assert.equal(handed.serve('jump', first), true);
  assert.equal(first.allowHalfOpen, true);
  assert.equal(handed.serve('jump', await next()), true);
  const third = await next();
  assert.equal(handed.serve('jump', third), true);
  assert.equal(third.destroyed, true);
  assert.deepEqual([served.length, dropped.length], [2, 1]);
  first.destroy();
  await once(first, 'close');
  assert.equal(handed.serve('jump', await next()), true);
  assert.equal(served.length, 3);
  server.close();
  await once(server, 'close');
  assert.equal(handed.serve('jump', await next()), false);
  for (const socket of [...clients, ...arrived]) socket.destroy();
});

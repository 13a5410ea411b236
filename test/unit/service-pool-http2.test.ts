/** Shared connections to backends: how many calls on each, how many of them, and how long without calls. */
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { type Socket } from 'node:net';
import test from 'node:test';

import { DEFAULT_LIMITS, type ExportLimits, type Limits } from '../../federation/resources/limits.ts';
import { type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { type Taken } from '../../gateway/forward/destination.ts';
import { BufferPool } from '../../gateway/message/output.ts';
import { type ResponseReceiver, type StreamSender } from '../../gateway/message/stream.ts';
import { createServicePools } from '../../gateway/routing/service-pool.ts';
import { backendTls } from '../support/backend-tls.ts';
import { headOf } from '../support/call-heads.ts';
import { at } from '../support/federation-values.ts';
import { listen } from '../support/forward-rig.ts';
import { until } from '../support/gateways.ts';
import { ManualClock } from '../support/manual-clock.ts';

const RECEIVER: ResponseReceiver = {
  onInterim: () => undefined,
  onResponse: () => undefined,
  onData: () => undefined,
  onTrailers: () => undefined,
  onReset: () => undefined,
  onSent: () => undefined,
};

/** A pool of one export whose backend answers nothing. */
async function rig(
  own: ExportLimits,
  mesh: Partial<Limits> = {},
  onStream?: (stream: http2.ServerHttp2Stream) => unknown,
) {
  const open = new Set<Socket>();
  const server = http2.createServer({ settings: { maxConcurrentStreams: 1_000 } });
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  server.on('stream', (stream) => {
    stream.on('error', () => undefined);
    onStream?.(stream);
  });
  const to: SnapshotExport = {
    name: 'web',
    protocol: 'http2',
    backends: [{ host: '127.0.0.1', port: await listen(server) }],
    authority: undefined,
    serverNames: [],
    limits: own,
    allow: [],
    origin: at(1),
  };
  const clock = new ManualClock();
  const made = { limits: { ...DEFAULT_LIMITS, ...mesh }, tls: backendTls(clock) };
  const pools = createServicePools({ ...made, clock, buffers: new BufferPool() });
  return {
    open,
    clock,
    free: () => pools.take(to, []),
    /** Takes a connection, waiting for one if there is none. */
    taken: async (): Promise<Taken> => {
      for (;;) {
        const free = pools.take(to, []);
        if (free !== undefined) return free;
        await new Promise<void>((resolve, reject) => {
          pools.wait(to, { onConnection: resolve, onUnreachable: () => reject(new Error('unreachable')) });
        });
      }
    },
    [Symbol.asyncDispose]: async () => {
      pools[Symbol.dispose]();
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function send({ connection, authority }: Taken): StreamSender {
  const sent = connection.open({ ...headOf(), authority }, true, RECEIVER);
  assert.ok(sent !== undefined, 'the connection takes a request');
  return sent;
}

test('a connection takes as many calls as the export says, one more makes another, and no more than may be', async () => {
  await using pool = await rig({ streamsPerBackendConnection: 2, connectionsPerBackend: 2 });
  const used = new Set<unknown>();
  const calls: StreamSender[] = [];
  for (const connections of [1, 1, 2, 2]) {
    const taken = await pool.taken();
    used.add(taken.connection);
    calls.push(send(taken));
    assert.equal(used.size, connections);
  }
  assert.equal(pool.free(), undefined, 'both are full');
  const waits = pool.taken();
  pool.clock.advance(1_000);
  assert.equal(pool.free(), undefined, 'and no more may be made');
  assert.equal(pool.open.size, 2);
  calls[0]?.reset(8);
  pool.clock.advance(20);
  send(await waits);
});

test('without a limit of the export a connection takes what its service allows', async () => {
  await using pool = await rig({});
  for (let count = 0; count < 300; count += 1) send(await pool.taken());
  assert.equal(pool.open.size, 1);
});

test('a connection without calls is closed after its limit, and one with calls is not', async () => {
  await using pool = await rig({}, { backendIdleMs: 1_500 });
  const taken = await pool.taken();
  pool.clock.advance(1_499);
  assert.equal(taken.connection.usable, true);
  const call = send(taken);
  pool.clock.advance(5_000);
  assert.equal(taken.connection.usable, true);
  call.reset(8);
  pool.clock.advance(1_000);
  assert.equal(taken.connection.usable, true);
  pool.clock.advance(1_000);
  assert.equal(taken.connection.usable, false);
  await until('the connection to be closed', () => pool.open.size === 0);
});

test('a connection on which the service asks for calm takes no more calls, and those under way finish', async () => {
  const streams: http2.ServerHttp2Stream[] = [];
  await using pool = await rig({}, {}, (stream) => streams.push(stream));
  const { connection, authority } = await pool.taken();
  const ends: string[] = [];
  const receiver = (name: string): ResponseReceiver => ({
    ...RECEIVER,
    onResponse: ({ status }, end) => void ends.push(`${name} ${status} ${end}`),
    onReset: (code) => void ends.push(`${name} reset ${code}`),
  });
  for (const name of ['first', 'second']) connection.open({ ...headOf(), authority }, true, receiver(name));
  await until('both at the service', () => streams.length === 2);
  streams[0]?.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
  await until('the refusal', () => ends.length === 1);
  assert.deepEqual([ends[0], connection.usable], [`first reset ${http2.constants.NGHTTP2_ENHANCE_YOUR_CALM}`, false]);
  assert.notEqual((await pool.taken()).connection, connection, 'the next call has another');
  streams[1]?.respond({ ':status': 200 }, { endStream: true });
  await until('the other answer', () => ends.length === 2);
  assert.equal(ends[1], 'second 200 true');
});

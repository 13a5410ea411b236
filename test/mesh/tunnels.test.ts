/** TCP tunnels through two gateways: what a connection is made of arrives as what it was. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';

import { until } from '../support/gateways.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { startRedis } from '../support/redis-server.ts';
import { startTunnels, tcpService } from '../support/tunnel-rig.ts';
import { dial, ending, expectBytes, read } from '../support/tunnel-socket.ts';

const LIMIT = { timeout: 30_000 };
const MIB = 1024 * 1024;
/** Longer than a stall or a stranger's connection without calls is borne. */
const IDLE_SECONDS = 600;

test('what each side says arrives, and so does the end of each half, in either order', LIMIT, async () => {
  await using service = await tcpService((socket) => {
    let said = '';
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
    // Answers only once the caller has said all: a half-close that is not carried hangs here.
    socket.once('end', () => socket.end(`you said ${said}`));
  });
  await using first = await tcpService((socket) => {
    socket.end('goodbye');
    socket.resume();
  });
  await using rig = await startTunnels([
    { name: 'db', ports: [service.port] },
    { name: 'first', ports: [first.port] },
  ]);
  const caller = dial(rig);
  caller.end('hello');
  assert.equal((await buffer(caller)).toString(), 'you said hello');
  const outbound = await rig.record('outbound');
  assert.deepEqual(
    [outbound.protocol, outbound.method, outbound.host, outbound.status, outbound.verdict, outbound.reason],
    ['tcp', 'CONNECT', 'db.eu.test:443', 200, 'permit', undefined],
  );
  assert.deepEqual([outbound.bytesIn, outbound.bytesOut, outbound.import, outbound.peer], [5, 14, 'db', 'eu']);
  const inbound = await rig.record('inbound');
  assert.deepEqual([inbound.bytesIn, inbound.bytesOut, inbound.status, inbound.verdict], [5, 14, 200, 'permit']);
  assert.equal(inbound.caller, 'spiffe://us.test/ns/shop/sa/web');
  assert.equal(inbound.rule, 'db.allow[0]');

  const other = dial(rig, 'first');
  const heard = await buffer(other);
  assert.equal(heard.toString(), 'goodbye');
  // The service has ended its half; ours is still open and carries.
  other.write('still here');
  await until('the service to hear it', () => [...first.sockets].some(({ bytesRead }) => bytesRead === 10));
  other.end();
  assert.equal((await rig.record('outbound', 1)).verdict, 'permit');
  await until('both gateways to be done', () => rig.live.us.size + rig.live.eu.size + rig.link.streams === 0);
});

test('a service that speaks first is heard before the caller has said a word', LIMIT, async () => {
  await using service = await tcpService((socket) => {
    socket.write('220 ready\r\n');
    socket.on('data', (chunk: Buffer) => socket.write(chunk));
  });
  await using rig = await startTunnels([{ name: 'db', ports: [service.port] }]);
  const caller = dial(rig);
  await expectBytes(caller, '220 ready\r\n');
  caller.write('HELO');
  await expectBytes(caller, 'HELO');
  caller.destroy();
});

test('a reset arrives as a reset at the other end, in both directions', LIMIT, async () => {
  await using service = await tcpService((socket) => {
    socket.once('data', (chunk: Buffer) => {
      if (chunk.toString() === 'reset me') socket.resetAndDestroy();
      else socket.write('ok');
    });
  });
  await using rig = await startTunnels([{ name: 'db', ports: [service.port] }]);
  const victim = dial(rig);
  victim.write('reset me');
  assert.equal(await ending(victim), 'ECONNRESET');
  assert.equal((await rig.record('outbound')).reason, 'service-failed');
  assert.equal((await rig.record('inbound')).reason, 'service-failed');

  const rude = dial(rig);
  rude.write('hello');
  await expectBytes(rude, 'ok');
  const [backend] = service.sockets;
  assert.ok(backend !== undefined);
  const ended = ending(backend);
  rude.resetAndDestroy();
  assert.equal(await ended, 'ECONNRESET');
  assert.equal((await rig.record('outbound', 1)).reason, 'caller-gone');
  assert.equal((await rig.record('inbound', 1)).reason, 'caller-gone');
});

test('what was sent before an end is never lost, however much it is and however slow its reader', LIMIT, async () => {
  const content = randomBytes(8 * MIB);
  await using service = await tcpService((socket) => {
    socket.resume();
    socket.end(content);
  });
  await using rig = await startTunnels([{ name: 'db', ports: [service.port] }]);
  const caller = dial(rig);
  caller.end();
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of caller) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(bytes, content.length);
  assert.equal(hash.digest('hex'), createHash('sha256').update(content).digest('hex'));
});

test('100 MB each way at once come out as they went in', LIMIT, async (t) => {
  const block = randomBytes(MIB);
  const blocks = 100;
  const pour = async (socket: Socket): Promise<void> => {
    for (let sent = 0; sent < blocks; sent += 1) if (!socket.write(block)) await once(socket, 'drain');
    socket.end();
  };
  const drink = async (socket: Socket): Promise<string> => {
    const hash = createHash('sha256');
    for await (const chunk of socket) hash.update(chunk as Buffer);
    return hash.digest('hex');
  };
  const whole = createHash('sha256');
  for (let count = 0; count < blocks; count += 1) whole.update(block);
  const expected = whole.digest('hex');
  const heard = Promise.withResolvers<string>();
  await using service = await tcpService((socket) => {
    void pour(socket);
    void drink(socket).then(heard.resolve, heard.reject);
  });
  await using rig = await startTunnels([{ name: 'db', ports: [service.port] }]);
  const began = process.hrtime.bigint();
  const caller = dial(rig);
  void pour(caller);
  assert.equal(await drink(caller), expected);
  assert.equal(await heard.promise, expected);
  const { bytesIn, bytesOut } = await rig.record('outbound');
  assert.deepEqual([bytesIn, bytesOut], [blocks * MIB, blocks * MIB]);
  t.diagnostic(`200 MB in ${Number((process.hrtime.bigint() - began) / 1_000_000n)} ms, all ends in one process`);
});

test('N11: slow readers hold no more than windows and buffers, and stop nobody else', LIMIT, async () => {
  let taken = 0;
  await using flood = await tcpService((socket) => {
    const block = Buffer.alloc(64 * 1024);
    const more = (): void => {
      while (!socket.destroyed && socket.write(block)) taken += block.length;
      taken += block.length;
      socket.once('drain', more);
    };
    more();
  });
  await using echo = await tcpService((socket) => socket.pipe(socket));
  await using rig = await startTunnels([
    { name: 'db', ports: [flood.port] },
    { name: 'echo', ports: [echo.port] },
  ]);
  const stalled = Array.from({ length: 20 }, () => dial(rig, 'db').pause());
  let before = -1;
  await until('the flood to stand still', async () => {
    const still = before === taken && taken > 0;
    before = taken;
    await new Promise((resolve) => setTimeout(resolve, 100));
    return still && flood.sockets.size === stalled.length;
  });
  const caller = dial(rig, 'echo');
  caller.write('ping');
  await expectBytes(caller, 'ping');
  // Kernel buffers of four sockets, the window of the stream, and what the pumps may hold.
  assert.ok(taken / stalled.length < 16 * MIB, `${taken / stalled.length} bytes for each`);
  assert.ok(rig.link.queuedBytes < 2 * MIB, `${rig.link.queuedBytes} bytes wait on the link`);
  const [one] = stalled;
  assert.ok(one !== undefined);
  const had = taken;
  one.resume();
  await until('the one that reads again to get more', () => taken > had + 16 * MIB);
  for (const socket of [...stalled, caller]) socket.destroy();
  await until('all tunnels to be gone', () => rig.live.us.size + rig.live.eu.size + rig.link.streams === 0);
});

test('200 connections at once, each with its own bytes, leave nothing behind', LIMIT, async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  await using rig = await startTunnels([{ name: 'db', ports: [service.port] }]);
  await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const caller = dial(rig);
      const sent = randomBytes(1 + index * 97);
      const answer = buffer(caller);
      caller.end(sent);
      assert.ok((await answer).equals(sent), `connection ${index}`);
    }),
  );
  await until('all records', () => rig.records.length === 400);
  assert.deepEqual([...new Set(rig.records.map(({ verdict }) => verdict))], ['permit']);
  await until('both gateways to be done', () => rig.live.us.size + rig.live.eu.size + rig.link.streams === 0);
});

test('a Unix socket carries as well as a port', LIMIT, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'jg-tunnel-'));
  try {
    await using service = await tcpService((socket) => socket.pipe(socket));
    const path = join(directory, 'db.sock');
    await using rig = await startTunnels([{ name: 'db', ports: [service.port] }], { address: { kind: 'unix', path } });
    const caller = connect({ path, allowHalfOpen: true });
    const answer = buffer(caller);
    caller.end('by file');
    assert.equal((await answer).toString(), 'by file');
    await rig.record('outbound');
    const refused = connect({ path });
    rig.cutLink();
    await until('the link to be gone', () => !rig.link.usable);
    refused.on('error', () => undefined).resume();
    await once(refused, 'close');
    assert.equal((await buffer(connect({ path }).on('error', () => undefined)).catch(() => Buffer.alloc(0))).length, 0);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test(
  'a real Redis: commands, ten thousand of them in one piece, and messages to a subscriber that is idle',
  LIMIT,
  async () => {
    await using redis = await startRedis();
    const clock = new ManualClock();
    await using rig = await startTunnels([{ name: 'db', ports: [redis.port] }], { clock });
    const caller = dial(rig);
    const count = 10_000;
    const commands = Array.from({ length: count }, (_, index) => `SET k${index} ${'v'.repeat(1 + (index % 200))}\r\n`);
    caller.write(commands.join(''));
    await expectBytes(caller, '+OK\r\n'.repeat(count));
    caller.write('GET k198\r\n');
    await expectBytes(caller, `$199\r\n${'v'.repeat(199)}\r\n`);

    const subscriber = dial(rig);
    subscriber.write('SUBSCRIBE news\r\n');
    await read(subscriber, '*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n'.length);
    for (let second = 0; second < IDLE_SECONDS; second += 1) {
      clock.advance(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const heard = read(subscriber, '*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n'.length);
    caller.write('PUBLISH news hi\r\n');
    assert.match((await heard).toString(), /message\r\n\$4\r\nnews\r\n\$2\r\nhi/);
    const big = 'x'.repeat(5 * MIB);
    await expectBytes(caller, ':1\r\n');
    caller.write(`*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$${big.length}\r\n${big}\r\n`);
    await expectBytes(caller, '+OK\r\n');
    caller.write('GET big\r\n');
    await expectBytes(caller, `$${big.length}\r\n${big}\r\n`);
    const ended = Promise.all([ending(caller), ending(subscriber)]);
    await redis.kill();
    for (const how of await ended) assert.match(how, /^(?:end|ECONNRESET)$/);
  },
);

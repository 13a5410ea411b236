/** The split of one port by server name, byte by byte. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

import { splitByServerName } from '../../gateway/listen/server-name-split.ts';
import { until } from '../support/gateways.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ended, rawTcp, rawTls } from '../support/tls.ts';

interface Split {
  readonly port: number;
  readonly clock: ManualClock;
  /** What went on to the listener itself. */
  readonly kept: Socket[];
  /** What came to the other server. */
  relayed: string;
}

async function split(t: TestContext): Promise<Split> {
  const path = await mkdtemp(join(tmpdir(), 'jg-split-'));
  const clock = new ManualClock();
  const seen = { relayed: '', kept: [] as Socket[] };
  const other = createServer((socket) => socket.on('data', (data) => (seen.relayed += data.toString('latin1'))));
  other.listen(join(path, 's'));
  const divert = splitByServerName({ serverName: 'b.test', socketPath: join(path, 's'), clock });
  const server = createServer((raw) => {
    raw.on('error', () => undefined);
    divert(raw, { withinMs: 5_000, proceed: () => seen.kept.push(raw) });
  });
  server.listen(0, '127.0.0.1');
  await Promise.all([once(other, 'listening'), once(server, 'listening')]);
  t.after(async () => {
    for (const socket of seen.kept) socket.destroy();
    server.close();
    other.close();
    await rm(path, { recursive: true, force: true });
  });
  const address = server.address();
  return Object.assign(seen, { clock, port: typeof address === 'object' && address !== null ? address.port : 0 });
}

/** The first bytes of a client that asks for `servername`. */
async function helloFor(servername: string): Promise<Buffer> {
  const taken = Promise.withResolvers<Buffer>();
  const server = createServer((socket) => {
    socket.once('data', (data) => {
      taken.resolve(data);
      socket.destroy();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const client = rawTls(typeof address === 'object' && address !== null ? address.port : 0, { servername });
  client.on('error', () => undefined);
  const hello = await taken.promise;
  client.destroy();
  server.close();
  return hello;
}

test('a hello for the name is passed on whole, in whatever pieces it comes', async (t) => {
  const at = await split(t);
  const hello = await helloFor('B.test');
  const client = await rawTcp(at.port);
  client.setNoDelay(true);
  for (const byte of hello.subarray(0, 50)) client.write(Buffer.from([byte]));
  client.write(hello.subarray(50));
  await until('the hello', () => at.relayed.length >= hello.length);
  assert.equal(at.relayed, hello.toString('latin1'));
  assert.equal(at.kept.length, 0);
  client.destroy();
});

test('a hello for any other name, without one, and what is no hello go on as they came', async (t) => {
  const at = await split(t);
  const others = [await helloFor('b.test.evil.test'), await helloFor('ab.test'), Buffer.from('GET / HTTP/1.1\r\n\r\n')];
  for (const [index, bytes] of others.entries()) {
    const client = await rawTcp(at.port);
    client.write(bytes);
    await until('the connection', () => at.kept.length === index + 1);
    assert.deepEqual(at.kept.at(-1)?.read(), bytes);
    client.destroy();
  }
  assert.equal(at.relayed, '');
});

test('A26: a connection that does not finish its hello is closed in time', async (t) => {
  const at = await split(t);
  const hello = await helloFor('b.test');
  const silent = await rawTcp(at.port);
  const slow = await rawTcp(at.port);
  slow.write(hello.subarray(0, 20));
  await until('both to be awaited', () => at.clock.pending === 2);
  at.clock.advance(5_000);
  await Promise.all([ended(silent), ended(slow)]);
  assert.equal(at.kept.length, 0);
});

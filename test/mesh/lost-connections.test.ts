/** Connections that close under calls: no call is lost that can be sent again, and none is sent twice that cannot. */
import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { LINK_CONNECTION } from '../../gateway/http2/limits.ts';
import { connectHttp2 } from '../../gateway/socket/http2-socket.ts';
import { get, http1Service, listen, startRig } from '../support/forward-rig.ts';

const LIMIT = { timeout: 20_000 };
const HOST = 'pay.eu.mesh.internal';
const headers = { host: HOST };
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

/** Answers the first request of each connection and closes, without a word, when the second comes: its keep-alive was over. */
async function forgetful(): Promise<{ port: number; requests: string[] } & AsyncDisposable> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let served = 0;
    socket.on('error', () => undefined);
    socket.on('data', (data: Buffer) => {
      requests.push(data.toString().slice(0, data.indexOf(' ')));
      served += 1;
      if (served > 1) socket.destroy();
      else socket.write(OK);
    });
  });
  const port = await listen(server);
  return {
    port,
    requests,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('a backend that closes as we write costs no idempotent call', LIMIT, async () => {
  await using service = await forgetful();
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }]);
  for (let turn = 0; turn < 20; turn += 1) {
    const answer = await get(rig.port, { headers, path: `/${turn}` });
    assert.deepEqual([answer.status, answer.body], [200, 'ok']);
  }
  // The first found a new connection, the others a stale one before it.
  assert.equal(service.requests.length, 20 + 19);
  assert.ok(rig.records.every(({ verdict }) => verdict === 'permit'));
});

test('a call that may not be done twice is told of the closed connection, and is sent once', LIMIT, async () => {
  await using service = await forgetful();
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }]);
  assert.equal((await get(rig.port, { headers })).status, 200);
  const answer = await get(rig.port, { headers, method: 'POST', body: 'x' });
  assert.deepEqual([answer.status, answer.headers['jumpgate-reason']], [502, 'service-failed']);
  assert.deepEqual(service.requests, ['GET', 'POST']);
});

test('a link that closes with GOAWAY moves new calls, and those under way end well', LIMIT, async () => {
  const paths: string[] = [];
  await using service = await http1Service((request, response) => {
    paths.push(request.url ?? '');
    setImmediate(() => response.end('ok'));
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }], { linkCount: 2 });
  const calls: Promise<string>[] = [];
  let went = false;
  for (let turn = 0; turn < 200; turn += 1) {
    calls.push(get(rig.port, { headers, path: `/${turn}`, method: 'POST', body: 'x' }).then(({ body }) => body));
    if (turn % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (turn !== 100) continue;
    rig.links[0]?.server.finish();
    went = true;
  }
  assert.deepEqual([...new Set(await Promise.all(calls))], ['ok']);
  assert.ok(went);
  await rig.links[0]?.client.closed;
  assert.equal((await get(rig.port, { headers, path: '/last' })).body, 'ok');
  assert.deepEqual([rig.links[0]?.client.usable, rig.links[1]?.client.usable], [false, true]);
  // Each once.
  assert.deepEqual([paths.length, new Set(paths).size], [201, 201]);
});

/** An HTTP/2 server that says with its first request that it has processed none. */
async function departing(): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    let seen: Buffer = Buffer.alloc(0);
    let gone = false;
    socket.on('data', (data: Buffer) => {
      seen = Buffer.concat([seen, data]);
      if (gone || !hasHeaders(seen)) return;
      gone = true;
      socket.write(Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    });
  });
  const port = await listen(server);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function hasHeaders(bytes: Buffer): boolean {
  for (let at = 24; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) if (bytes[at + 3] === 1) return true;
  return false;
}

test('what a GOAWAY names as unprocessed is sent again with its body, and is processed once', LIMIT, async () => {
  await using going = await departing();
  const link = connectHttp2(connect(going.port, '127.0.0.1'), { clock: systemClock, limits: LINK_CONNECTION });
  await link.ready;
  const bodies: string[] = [];
  await using service = await http1Service((request, response) => {
    let body = '';
    request.on('data', (data: Buffer) => (body += data.toString()));
    request.on('end', () => {
      bodies.push(body);
      response.end('ok');
    });
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }], { before: [link] });
  const names = Array.from({ length: 20 }, (_, index) => `body ${index}`);
  const answers = await Promise.all(names.map((body) => get(rig.port, { headers, method: 'POST', body })));
  assert.deepEqual([...new Set(answers.map(({ body }) => body))], ['ok']);
  assert.deepEqual(bodies.sort(), names.sort());
  assert.equal(link.usable, false);
  link.destroy();
});

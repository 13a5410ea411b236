/** WebSocket across two gateways: callers and services of both protocols, in all four combinations. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { type Duplex } from 'node:stream';

import { get, http2Service, startRig } from '../support/forward-rig.ts';
import { openWebSocket, webSocketService } from '../support/web-socket.ts';

const LIMIT = { timeout: 20_000 };
const HOST = 'ws.eu.mesh.internal';
const COMBINATIONS = [
  ['http1', 'http1'],
  ['http1', 'http2'],
  ['http2', 'http1'],
  ['http2', 'http2'],
] as const;
const LARGE_BYTES = 3 * 1024 * 1024;

function echo(duplex: Duplex): void {
  duplex.pipe(duplex);
}

for (const [caller, service] of COMBINATIONS) {
  const way = `a WebSocket of an ${caller} caller to an ${service} service`;

  test(`${way} carries bytes both ways under one identity and subprotocol`, LIMIT, async () => {
    await using ws = await webSocketService(service, echo);
    await using rig = await startRig([{ name: 'ws', protocol: service, port: ws.port }]);
    using socket = await openWebSocket(caller, rig.port, { host: HOST, path: '/chat?room=1' });
    assert.deepEqual([socket.status, socket.subprotocol], [200, 'chat']);
    assert.deepEqual(ws.openings, [
      {
        path: '/chat?room=1',
        caller: 'By=spiffe://eu.test/jumpgate;URI=spiffe://us.test/ns/shop/sa/web',
        subprotocol: 'chat',
        version: '13',
      },
    ]);
    for (const word of ['one', 'two']) {
      socket.duplex.write(word);
      const [data] = (await once(socket.duplex, 'data')) as [Buffer];
      assert.equal(data.toString(), word);
    }
    const large = Buffer.alloc(LARGE_BYTES, 'abc');
    socket.duplex.end(large);
    assert.ok(large.equals(Buffer.from(await text(socket.duplex))));
    const [outbound, inbound] = [await rig.record('outbound'), await rig.record('inbound')];
    for (const record of [outbound, inbound]) {
      assert.deepEqual([record.verdict, record.bytesIn, record.bytesOut], ['permit', 6 + LARGE_BYTES, 6 + LARGE_BYTES]);
    }
    assert.equal(rig.live.size, 0);
  });

  test(`${way} ends one half at a time`, LIMIT, async () => {
    await using ws = await webSocketService(service, (duplex) => {
      duplex.write('hello');
      duplex.on('data', () => undefined);
      duplex.on('end', () => duplex.end('bye'));
    });
    await using rig = await startRig([{ name: 'ws', protocol: service, port: ws.port }]);
    using socket = await openWebSocket(caller, rig.port, { host: HOST });
    const [data] = (await once(socket.duplex, 'data')) as [Buffer];
    assert.equal(data.toString(), 'hello');
    socket.duplex.end();
    assert.equal(await text(socket.duplex), 'bye');
  });

  test(`${way} goes on from the caller when the service has ended its half`, LIMIT, async () => {
    const { promise: heard, resolve } = Promise.withResolvers<string>();
    await using ws = await webSocketService(service, (duplex) => {
      let all = '';
      duplex.on('data', (data: Buffer) => (all += data.toString()));
      duplex.on('end', () => resolve(all));
      duplex.end('that is all');
    });
    await using rig = await startRig([{ name: 'ws', protocol: service, port: ws.port }]);
    using socket = await openWebSocket(caller, rig.port, { host: HOST });
    const { duplex } = socket;
    duplex.allowHalfOpen = true;
    assert.equal(await text(duplex), 'that is all');
    duplex.write('one ');
    duplex.end('two');
    assert.equal(await heard, 'one two');
    while (rig.live.size > 0) await new Promise((next) => setImmediate(next));
    assert.deepEqual(
      rig.records.map(({ verdict, bytesIn, bytesOut }) => [verdict, bytesIn, bytesOut]),
      [
        ['permit', 7, 11],
        ['permit', 7, 11],
      ],
    );
  });

  test(`${way} that is refused by the service arrives as that refusal`, LIMIT, async () => {
    await using ws = await webSocketService(service, echo);
    await using rig = await startRig([{ name: 'ws', protocol: service, port: ws.port }]);
    using socket = await openWebSocket(caller, rig.port, { host: HOST, path: '/no' });
    assert.deepEqual([socket.status, await text(socket.duplex)], [403, 'nope']);
    using dropped = await openWebSocket(caller, rig.port, { host: HOST, path: '/drop' });
    assert.deepEqual([dropped.status, dropped.reason], [502, 'service-failed']);
    using denied = await openWebSocket(caller, rig.port, { host: 'denied.eu.mesh.internal' });
    assert.deepEqual([denied.status, denied.reason], [403, 'denied-by-import']);
    using ambiguous = await openWebSocket(caller, rig.port, { host: HOST, path: '/a/../b' });
    assert.deepEqual([ambiguous.status, ambiguous.reason], [400, 'path-ambiguous']);
  });

  test(`${way} is cut at one end when it is cut at the other`, LIMIT, async () => {
    const tunnels: Duplex[] = [];
    await using ws = await webSocketService(service, (duplex) => {
      tunnels.push(duplex);
      // On TCP whoever is gone has only ended his half, until somebody writes to him.
      duplex.on('end', () => duplex.end());
      duplex.resume();
      duplex.write('hello');
    });
    await using rig = await startRig([{ name: 'ws', protocol: service, port: ws.port }]);
    using first = await openWebSocket(caller, rig.port, { host: HOST });
    await once(first.duplex, 'data');
    const closed = new Promise((resolve) => first.duplex.once('close', resolve));
    tunnels[0]?.destroy(new Error('cut'));
    first.duplex.on('end', () => first.duplex.end());
    first.duplex.resume();
    await closed;
    using second = await openWebSocket(caller, rig.port, { host: HOST });
    await once(second.duplex, 'data');
    const told = new Promise((resolve) => tunnels[1]?.once('close', resolve));
    second.duplex.destroy();
    await told;
    while (rig.live.size > 0) await new Promise((resolve) => setImmediate(resolve));
  });
}

test('a service that answers 200 to an Upgrade is no tunnel: 502', LIMIT, async () => {
  await using ws = await webSocketService('http1', echo);
  await using rig = await startRig([{ name: 'ws', protocol: 'http1', port: ws.port }]);
  for (const caller of ['http1', 'http2'] as const) {
    using socket = await openWebSocket(caller, rig.port, { host: HOST, path: '/deaf' });
    assert.deepEqual([socket.status, socket.reason], [502, 'service-malformed']);
  }
});

test(
  'a service without extended CONNECT does not speak the protocol of the call, and is not dialled again for it',
  LIMIT,
  async () => {
    await using service = await http2Service(
      (stream) => stream.respond({ ':status': 200 }, { endStream: true }),
      false,
    );
    await using rig = await startRig([{ name: 'ws', protocol: 'http2', port: service.port }]);
    for (const caller of ['http1', 'http2'] as const) {
      using socket = await openWebSocket(caller, rig.port, { host: HOST });
      assert.deepEqual([socket.status, socket.reason], [502, 'protocol-mismatch']);
    }
    for (const record of rig.records) assert.deepEqual([record.verdict, record.reason], ['error', 'protocol-mismatch']);
    assert.deepEqual([rig.records.length, rig.live.size, service.sessionCount()], [4, 0, 1]);
    assert.equal((await get(rig.port, { headers: { host: HOST } })).status, 200);
  },
);

test('an Upgrade to anything but WebSocket is refused, and one to h2c is passed over', LIMIT, async () => {
  await using ws = await webSocketService('http1', echo);
  await using rig = await startRig([{ name: 'ws', protocol: 'http1', port: ws.port }]);
  const ask = (upgrade: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const headers = { host: HOST, connection: 'Upgrade, HTTP2-Settings', upgrade, 'http2-settings': 'AAMAAABk' };
      const request = http.get({ host: '127.0.0.1', port: rig.port, agent: false, headers }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      request.on('upgrade', () => reject(new Error('upgraded')));
      request.on('error', reject);
    });
  assert.equal(await ask('irc'), 501);
  assert.equal(await ask('h2c'), 200);
  assert.equal(ws.openings.length, 0);
});

test('a head that HTTP/2 carries and HTTP/1.1 cannot is refused, and the gateway goes on', LIMIT, async () => {
  await using ws = await webSocketService('http1', echo);
  await using rig = await startRig([{ name: 'ws', protocol: 'http1', port: ws.port }]);
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  await once(session, 'remoteSettings');
  const pseudo = {
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':scheme': 'http',
    ':path': '/',
    ':authority': HOST,
  };
  const stream = session.request({ ...pseudo, 'content-length': '5' }, { endStream: false });
  stream.on('error', () => undefined);
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  assert.deepEqual([headers[':status'], headers['jumpgate-reason']], [400, 'header-malformed']);
  session.destroy();
  using socket = await openWebSocket('http2', rig.port, { host: HOST });
  assert.equal(socket.status, 200);
});

/** Which tunnels come about and how they end: refusals, backends, links that fail, cuts, draining, idleness. */
import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';

import { ERROR_CODE } from '../../gateway/message/error-code.ts';
import { type ClientConnection } from '../../gateway/message/stream.ts';
import { until } from '../support/gateways.ts';
import { deadPort, startTunnels, tcpService } from '../support/tunnel-rig.ts';
import { dial, ending, expectBytes } from '../support/tunnel-socket.ts';

const LIMIT = { timeout: 30_000 };

test('who is refused is reset at once, and both gateways say why', LIMIT, async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  const dead = await deadPort();
  const { port } = service;
  await using rig = await startTunnels([
    { name: 'db', ports: [port] },
    { name: 'dead', ports: [dead, dead] },
    { name: 'hidden', ports: [port], peers: ['other'] },
    { name: 'denied', ports: [port], imported: { who: [] } },
    { name: 'down', ports: [port], imported: { peer: 'gone' } },
    { name: 'gone', ports: [port], imported: { state: 'withdrawn', protocol: undefined } },
    { name: 'unknown', ports: [port], imported: { state: 'awaiting', protocol: undefined } },
    { name: 'calls', ports: [port], imported: { protocol: 'http1' } },
    { name: 'became-calls', ports: [port], exported: { protocol: 'http1' } },
    { name: 'absent', ports: [port], imported: { export: 'nothing' } },
  ]);
  const cases = [
    ['dead', 'service-unavailable', 503],
    ['hidden', 'no-route', 404],
    ['denied', 'denied-by-import', 403],
    ['down', 'peer-unavailable', 503],
    ['gone', 'import-withdrawn', 503],
    ['unknown', 'import-awaiting', 503],
    ['calls', 'protocol-mismatch', 502],
    ['became-calls', 'protocol-mismatch', 502],
    ['absent', 'no-route', 404],
  ] as const;
  for (const [index, [name, reason, status]] of cases.entries()) {
    const caller = dial(rig, name);
    caller.write('anybody?');
    assert.equal(await ending(caller), 'ECONNRESET', name);
    const record = await rig.record('outbound', index);
    assert.deepEqual([record.reason, record.status, record.protocol], [reason, status, 'tcp'], name);
  }
  const inbound = rig.records.filter(({ direction }) => direction === 'inbound').map(({ reason }) => reason);
  assert.deepEqual(inbound, ['service-unavailable', 'no-route', 'protocol-mismatch', 'no-route']);
  assert.equal(service.sockets.size, 0);
});

test('backends take turns, and one that accepts nothing costs no connection', LIMIT, async () => {
  await using one = await tcpService((socket) => socket.end('one'));
  await using two = await tcpService((socket) => socket.end('two'));
  const dead = await deadPort();
  await using rig = await startTunnels([{ name: 'db', ports: [one.port, dead, two.port] }]);
  const heard: string[] = [];
  for (let count = 0; count < 6; count += 1) {
    const caller = dial(rig);
    heard.push((await buffer(caller)).toString());
    caller.end();
  }
  assert.deepEqual([...new Set(heard)].sort(), ['one', 'two']);
});

test(
  'a link that goes under resets its tunnels at both ends, and the next connection is refused at once',
  LIMIT,
  async () => {
    await using service = await tcpService((socket) => socket.pipe(socket));
    await using rig = await startTunnels([{ name: 'db', ports: [service.port] }]);
    const caller = dial(rig);
    caller.write('x');
    await expectBytes(caller, 'x');
    const [backend] = service.sockets;
    assert.ok(backend !== undefined);
    const both = Promise.all([ending(caller), ending(backend)]);
    rig.cutLink();
    assert.deepEqual(await both, ['ECONNRESET', 'ECONNRESET']);
    assert.equal((await rig.record('outbound')).reason, 'link-failed');
    assert.equal(await ending(dial(rig)), 'ECONNRESET');
    assert.equal((await rig.record('outbound', 1)).reason, 'peer-unavailable');
  },
);

test('a link that did not take the tunnel costs nothing: another gets it with all that was said', LIMIT, async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  let asked = 0;
  const refusing: ClientConnection = {
    usable: true,
    streams: 0,
    open: (_head, _end, receiver) => {
      asked += 1;
      const stream = {
        write: () => undefined,
        finish: () => undefined,
        reset: () => undefined,
        credit: () => undefined,
      };
      setTimeout(() => receiver.onReset(ERROR_CODE.refusedStream), 50);
      return stream;
    },
  };
  await using rig = await startTunnels([{ name: 'db', ports: [service.port] }], { before: [refusing] });
  const caller = dial(rig);
  caller.write('all of it');
  await expectBytes(caller, 'all of it');
  assert.equal(asked, 1);
  caller.destroy();
});

test('a tunnel can be found and cut by whom it is for, at either gateway', LIMIT, async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  await using rig = await startTunnels([{ name: 'db', ports: [service.port] }]);
  for (const side of ['us', 'eu'] as const) {
    const caller = dial(rig);
    caller.write('x');
    await expectBytes(caller, 'x');
    const [backend] = service.sockets;
    assert.ok(backend !== undefined);
    const both = Promise.all([ending(caller), ending(backend)]);
    assert.equal(
      rig.live[side].cut(({ facts }) => facts.peer === 'nobody', 'draining'),
      0,
    );
    assert.equal(
      rig.live[side].cut(({ facts }) => facts.export === 'db', 'draining'),
      1,
    );
    assert.deepEqual(await both, ['ECONNRESET', 'ECONNRESET'], side);
    await until('the backend to be gone', () => service.sockets.size === 0);
  }
  assert.deepEqual(
    rig.records.map(({ direction, reason }) => `${direction} ${reason}`).filter((each) => each.endsWith('draining')),
    ['outbound draining', 'inbound draining'],
  );
});

test('draining waits for tunnels, takes no new ones, and cuts at its deadline', LIMIT, async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  await using rig = await startTunnels([{ name: 'db', ports: [service.port] }]);
  const listener = rig.listeners.get('db');
  assert.ok(listener !== undefined);
  const caller = dial(rig);
  caller.write('x');
  await expectBytes(caller, 'x');
  const drained = listener.drain(300);
  assert.equal(await ending(dial(rig)), 'ECONNREFUSED');
  caller.write('y');
  await expectBytes(caller, 'y');
  assert.equal(await ending(caller), 'ECONNRESET');
  await drained;
  assert.equal((await rig.record('outbound')).reason, 'draining');
});

test('nothing ends an idle tunnel but the limit that is set, and traffic puts it off', LIMIT, async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  await using rig = await startTunnels([{ name: 'db', ports: [service.port] }], { limits: { tunnelIdleMs: 400 } });
  const caller = dial(rig);
  for (let count = 0; count < 8; count += 1) {
    caller.write('x');
    await expectBytes(caller, 'x');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(await ending(caller), 'ECONNRESET');
  await rig.record('outbound');
  assert.ok(rig.records.some(({ reason }) => reason === 'limit-tunnel-idle'));
});

test('a backend takes as many tunnels as its export says, and one more when one has ended', LIMIT, async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  const exported = { limits: { connectionsPerBackend: 2 } };
  await using rig = await startTunnels([{ name: 'db', ports: [service.port], exported }]);
  const callers = [dial(rig), dial(rig)];
  for (const caller of callers) {
    caller.write('x');
    await expectBytes(caller, 'x');
  }
  assert.equal(await ending(dial(rig)), 'ECONNRESET');
  const refused = await rig.record('inbound');
  assert.deepEqual([refused.status, refused.verdict, refused.reason], [503, 'error', 'limit-backend-connections']);
  assert.equal(service.sockets.size, 2);
  callers[0]?.end();
  await until('the first to be gone', () => service.sockets.size === 1);
  await rig.record('inbound', 1);
  const next = dial(rig);
  next.write('y');
  await expectBytes(next, 'y');
  for (const caller of [...callers, next]) caller.destroy();
});

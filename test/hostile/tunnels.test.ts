/** What a peer's gateway can ask for by CONNECT, and what it gets: only tunnels that policy admits, and no hint of others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ERROR_CODE } from '../../gateway/message/error-code.ts';
import { type ResponseHead } from '../../gateway/message/head.ts';
import { field } from '../../gateway/message/names.ts';
import { type StreamSender } from '../../gateway/message/stream.ts';
import { until } from '../support/gateways.ts';
import { startTunnels, tcpService, type TunnelRig } from '../support/tunnel-rig.ts';

const LIMIT = { timeout: 30_000 };
const WEB = 'spiffe://us.test/ns/shop/sa/web';

/** What a CONNECT came to: what is sent as one text, and the code of a reset. */
interface Asked {
  readonly stream: StreamSender;
  readonly settled: Promise<string>;
  heard: string;
}

function ask(rig: TunnelRig, authority: string, fields: Readonly<Record<string, string>>, end = false): Asked {
  const done = Promise.withResolvers<string>();
  const asked = { heard: '', settled: done.promise };
  let told = '';
  const receiver = {
    onInterim: () => undefined,
    onResponse: (head: ResponseHead, isEnd: boolean) => {
      told = [head.status, ...head.fields.map(({ name, value }) => `${name.text}=${value}`)].join(' ');
      if (isEnd) done.resolve(told);
    },
    onData: (bytes: Uint8Array, isEnd: boolean) => {
      asked.heard += Buffer.from(bytes).toString();
      if (isEnd) done.resolve(`${told} ${asked.heard}`);
    },
    onTrailers: () => undefined,
    onReset: (code: number) => done.resolve(`${told} reset ${code}`.trim()),
    onSent: () => undefined,
  };
  const head = {
    method: field(':method', 'CONNECT'),
    path: field(':path', ''),
    authority: field(':authority', authority),
    scheme: field(':scheme', 'https'),
    protocol: undefined,
    fields: Object.entries(fields).map(([name, value]) => field(name, value)),
  };
  const stream = rig.link.open(head, end, receiver);
  assert.ok(stream !== undefined);
  return Object.assign(asked, { stream });
}

test(
  "a CONNECT that is malformed, a loop, or of a caller who is not the peer's own is refused by name",
  LIMIT,
  async () => {
    await using service = await tcpService((socket) => socket.pipe(socket));
    await using rig = await startTunnels([{ name: 'db', ports: [service.port] }]);
    const good = { 'jumpgate-caller': WEB, 'jumpgate-hops': 'us.test' };
    const cases: readonly (readonly [string, Readonly<Record<string, string>>, string])[] = [
      ['db.eu.test', good, 'authority-malformed'],
      ['db.eu.test:', good, 'authority-malformed'],
      ['db.eu.test:0', good, 'authority-malformed'],
      ['db.eu.test:065', good, 'authority-malformed'],
      ['db.eu.test:65536', good, 'authority-malformed'],
      ['[::1]:443', good, 'authority-malformed'],
      ['127.0.0.1:443', good, 'no-route'],
      ['db.us.test:443', good, 'no-route'],
      ['DB.eu.test:443', good, 'no-route'],
      ['db.eu.test.:443', good, 'no-route'],
      ['db.eu.test:443', { 'jumpgate-hops': 'us.test' }, 'caller-missing'],
      ['db.eu.test:443', { ...good, 'jumpgate-caller': 'nobody' }, 'caller-missing'],
      ['db.eu.test:443', { ...good, 'jumpgate-caller': 'spiffe://eu.test/admin' }, 'caller-foreign'],
      ['db.eu.test:443', { ...good, 'jumpgate-hops': 'us.test,eu.test' }, 'loop'],
    ];
    for (const [authority, fields, reason] of cases) {
      const answer = await ask(rig, authority, fields).settled;
      assert.match(answer, new RegExp(`^[45]\\d\\d .*jumpgate-reason=${reason}`), authority);
    }
    assert.equal(service.sockets.size, 0);
    assert.match(await ask(rig, 'db.eu.test:443', good, true).settled, /^200/);
    assert.deepEqual([rig.live.eu.size, rig.link.streams], [0, 0]);
  },
);

test('an export that is hidden from the peer answers as one that is not there', LIMIT, async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  await using rig = await startTunnels([{ name: 'db', ports: [service.port], peers: ['other'] }]);
  const good = { 'jumpgate-caller': WEB, 'jumpgate-hops': 'us.test' };
  const hidden = await ask(rig, 'db.eu.test:443', good).settled;
  assert.equal(hidden, await ask(rig, 'nothing.eu.test:443', good).settled);
  assert.match(hidden, /^404 /);
});

test(
  'a client that says no name in time, another name, or no TLS at all never reaches a service of TLS',
  LIMIT,
  async () => {
    await using service = await tcpService((socket) => socket.pipe(socket));
    await using rig = await startTunnels([{ name: 'db', ports: [service.port], serverNames: ['db.example'] }], {
      limits: { handshakeMs: 200 },
    });
    const good = { 'jumpgate-caller': WEB, 'jumpgate-hops': 'us.test' };
    const reset = `200 reset ${ERROR_CODE.connectError}`;
    const silent = ask(rig, 'db.eu.test:443', good);
    assert.equal(await silent.settled, reset);
    const plain = ask(rig, 'db.eu.test:443', good);
    plain.stream.write(Buffer.from('SELECT 1'), false);
    assert.equal(await plain.settled, reset);
    const short = ask(rig, 'db.eu.test:443', good);
    short.stream.write(Buffer.from([22, 3]), true);
    assert.equal(await short.settled, reset);
    assert.equal(await ask(rig, 'db.eu.test:443', good, true).settled, reset);
    assert.equal(service.sockets.size, 0);
    await until('nothing to be left', () => rig.live.eu.size + rig.link.streams === 0);
  },
);

test('a flood of tunnels that are asked for and given up leaves no connection and no tunnel', LIMIT, async () => {
  await using service = await tcpService((socket) => socket.pipe(socket));
  await using rig = await startTunnels([{ name: 'db', ports: [service.port] }]);
  const good = { 'jumpgate-caller': WEB, 'jumpgate-hops': 'us.test' };
  const steady = ask(rig, 'db.eu.test:443', good);
  steady.stream.write(Buffer.from('innocent'), false);
  await until('the innocent to be served', () => steady.heard === 'innocent');
  for (let count = 0; count < 300; count += 1) {
    const { stream } = ask(rig, 'db.eu.test:443', good);
    stream.write(Buffer.from('x'), false);
    if (count % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    stream.reset(ERROR_CODE.cancel);
  }
  await until('only the innocent to be left', () => rig.live.eu.size === 1 && service.sockets.size === 1);
  steady.stream.write(Buffer.from(' still'), false);
  await until('the innocent to be served again', () => steady.heard === 'innocent still');
});

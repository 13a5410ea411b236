/** Calls that a worker hands to a sibling, over the socket between them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { createRuntimeDirectory } from '../../federation/peering/runtime-directory.ts';
import { LINK_CONNECTION } from '../../gateway/http2/limits.ts';
import { openPeeringBridge } from '../../gateway/link/peering-bridge.ts';
import { LinkPool } from '../../gateway/link/pool.ts';
import { SiblingLinks } from '../../gateway/link/siblings.ts';
import { ERROR_CODE } from '../../gateway/message/error-code.ts';
import { type RequestListener, type ResponseReceiver, type StreamSender } from '../../gateway/message/stream.ts';
import { type Http2Socket, serveHttp2 } from '../../gateway/socket/http2-socket.ts';
import { headOf } from '../support/call-heads.ts';
import { fakeLink } from '../support/fake-links.ts';

const ignore = (): void => undefined;
const SENDER: StreamSender = { write: ignore, finish: ignore, reset: ignore, credit: ignore };
const UNHEARD: ResponseReceiver = {
  onInterim: ignore,
  onResponse: ignore,
  onData: ignore,
  onTrailers: ignore,
  onReset: ignore,
  onSent: ignore,
};

test('a sibling goes on carrying calls however many of them their callers give up', async () => {
  await using runtime = await createRuntimeDirectory();
  const pool = new LinkPool();
  let carried = 0;
  const carry = (): StreamSender => {
    carried += 1;
    return SENDER;
  };
  pool.add({ ...fakeLink('eu', 'a'), open: carry });
  const shared = { limits: LINK_CONNECTION, clock: systemClock };
  await using bridge = await openPeeringBridge({ ...shared, runtime, pool, log: silentLog });
  assert.ok(bridge);
  const siblings = new SiblingLinks({
    ...shared,
    pool: new LinkPool(),
    socketOf: () => runtime.clientSocket,
    token: runtime.token,
  });
  siblings.replaceHolders(new Map([['eu', [1]]]));
  const broken: number[] = [];
  const open = (receiver: ResponseReceiver): StreamSender | undefined =>
    siblings.pick('eu', [])?.open(headOf([], { authority: 'web.eu.test' }), false, receiver);
  const isUp = (): boolean => broken.length === 0 && siblings.pick('eu', []) !== undefined;
  assert.notEqual(open({ ...UNHEARD, onReset: (code) => broken.push(code) }), undefined);
  // As many calls as the sibling takes may leave when its settings are in.
  while (carried < 1) await new Promise(setImmediate);
  for (let batch = 1; batch <= 11; batch += 1) {
    const given = Array.from({ length: 1_000 }, () => open(UNHEARD));
    while (carried < 1 + batch * 1_000 && isUp()) await new Promise(setImmediate);
    for (const each of given) each?.reset(ERROR_CODE.cancel);
  }
  // A call behind all those resets shows that they have been counted.
  assert.notEqual(open(UNHEARD), undefined);
  while (carried < 11_002 && isUp()) await new Promise(setImmediate);
  assert.ok(isUp(), 'the call that nobody gave up stands, and others are taken');
});

test('a sibling that takes no calls on a connection any more is given them on another, while one goes on', async () => {
  await using runtime = await createRuntimeDirectory();
  const socketPath = join(runtime.clientSocket, '..', 'sibling.sock');
  const shared = { limits: LINK_CONNECTION, clock: systemClock };
  const served: Http2Socket[] = [];
  let requests = 0;
  const listener: RequestListener = {
    onRequest: () => {
      requests += 1;
      return UNHEARD;
    },
    onRefused: ignore,
  };
  const server = createServer((socket) => served.push(serveHttp2(socket, { ...shared, listener })));
  server.listen(socketPath);
  await once(server, 'listening');
  const siblings = new SiblingLinks({ ...shared, pool: new LinkPool(), socketOf: () => socketPath, token: '' });
  siblings.replaceHolders(new Map([['eu', [1]]]));
  const resets: number[] = [];
  const open = (): StreamSender | undefined =>
    siblings
      .pick('eu', [])
      ?.open(headOf([], { authority: 'web.eu.test' }), true, { ...UNHEARD, onReset: (code) => resets.push(code) });
  assert.notEqual(open(), undefined);
  while (requests < 1) await new Promise(setImmediate);
  served[0]?.finish();
  while (served.length < 2) {
    open();
    await new Promise(setImmediate);
  }
  assert.ok((served[0]?.streams ?? 0) > 0, 'what was taken before goes on');
  assert.deepEqual(resets, []);
  for (const each of served) each.destroy();
  server.close();
  await once(server, 'close');
});

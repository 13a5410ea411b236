/** Hostile callers of a Workload API socket: floods, huge messages, nothing sent, nothing read. Others are served meanwhile. */
import assert from 'node:assert/strict';
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2';
import { connect, type Socket } from 'node:net';
import test from 'node:test';

import {
  FETCH_JWT_SVID,
  FETCH_X509_BUNDLES,
  FETCH_X509_SVID,
  VALIDATE_JWT_SVID,
} from '../../trust-bundles/workload-api-proto/methods.ts';
import { REFLECTION_V1 } from '../../trust-bundles/workload-api-proto/reflection.ts';
import { until } from '../support/gateways.ts';
import { testDomain } from '../support/trust.ts';
import { callWorkloadApi, serveTestWorkload, SPREAD_MS, type WorkloadRig } from '../support/workload-api.ts';

const LIST_SERVICES = { case: 'listServices', value: '' } as const;

async function isServed(rig: WorkloadRig): Promise<void> {
  using caller = callWorkloadApi(rig.path);
  const stream = caller.stream(FETCH_X509_SVID, {});
  assert.equal((await stream.next()).svids.length, 1);
  stream.cancel();
}

/** A session by hand, whose streams can be left as no library leaves them. */
function session(path: string, windowBytes = 65_535): ClientHttp2Session {
  const made = connectHttp2('http://localhost', {
    createConnection: () => connect({ path }),
    settings: { initialWindowSize: windowBytes },
  });
  made.on('error', () => undefined);
  return made;
}

function begin(made: ClientHttp2Session, path: string, end: boolean): ReturnType<ClientHttp2Session['request']> {
  const stream = made.request(
    {
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'workload.spiffe.io': 'true',
    },
    { endStream: false },
  );
  stream.on('error', () => undefined);
  if (end) stream.end(Buffer.alloc(5));
  return stream;
}

test('a flood of calls is Unavailable beyond the rate, and the rate comes back', async () => {
  await using rig = await serveTestWorkload({ limits: { requestsPerSecondMax: 10 } });
  using caller = callWorkloadApi(rig.path);
  const outcomes = await Promise.allSettled(
    Array.from({ length: 100 }, () => caller.unary(FETCH_JWT_SVID, { audience: ['a'] })),
  );
  const served = outcomes.filter(({ status }) => status === 'fulfilled').length;
  assert.equal(served, 20);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected')
      assert.match(String(outcome.reason), /UNAVAILABLE: more requests than this socket takes/);
  }
  assert.equal(rig.server.turnedAway(), 80);
  rig.clock.advance(1_000);
  await isServed(rig);
});

test('a flood of questions within one call is Unavailable beyond the rate, and the rate comes back', async () => {
  await using rig = await serveTestWorkload({ limits: { requestsPerSecondMax: 10 } });
  using caller = callWorkloadApi(rig.path);
  const questions = Array.from({ length: 100 }, () => ({ messageRequest: LIST_SERVICES }));
  await assert.rejects(caller.exchange(REFLECTION_V1, questions), /UNAVAILABLE: more requests than this socket takes/);
  assert.equal(rig.server.turnedAway(), 1);
  rig.clock.advance(1_000);
  await isServed(rig);
});

test('streams beyond the limit are Unavailable; one that ends makes room', async () => {
  await using rig = await serveTestWorkload({ limits: { streamsMax: 5 } });
  using caller = callWorkloadApi(rig.path);
  const streams = Array.from({ length: 5 }, () => caller.stream(FETCH_X509_SVID, {}));
  await Promise.all(streams.map((stream) => stream.next()));
  const end = await caller.stream(FETCH_X509_SVID, {}).ended;
  assert.deepEqual(end, { status: 'UNAVAILABLE', message: 'more streams than this socket takes' });
  streams[0]?.cancel();
  await until('one to be gone', () => rig.server.streams() === 4);
  assert.equal((await caller.stream(FETCH_X509_SVID, {}).next()).svids.length, 1);
});

test('connections beyond the limit are closed', async () => {
  await using rig = await serveTestWorkload({ limits: { connectionsMax: 3 } });
  const sockets = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const socket: Socket = connect({ path: rig.path });
      await new Promise((resolve) => socket.once('connect', resolve));
      return socket;
    }),
  );
  const fourth = connect({ path: rig.path });
  fourth.on('error', () => undefined);
  await new Promise((resolve) => fourth.once('close', resolve));
  assert.equal(rig.server.turnedAway(), 1);
  for (const socket of sockets) socket.destroy();
  await isServed(rig);
});

test('messages that are too large, malformed or of another service are refused, and the socket serves on', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  const huge = { audience: 'a', svid: 'x'.repeat(10 * 1024 * 1024) };
  await assert.rejects(caller.unary(VALIDATE_JWT_SVID, huge), /RESOURCE_EXHAUSTED/);
  const raw = (path: string, bytes: Buffer): Promise<unknown> =>
    caller.unary({ path, requestSerialize: () => bytes, responseDeserialize: (answer) => answer }, {});
  await assert.rejects(
    raw(FETCH_JWT_SVID.path, Buffer.from([0xff, 0xff, 0xff])),
    /INVALID_ARGUMENT: expected a request of/,
  );
  await assert.rejects(raw('/SpiffeWorkloadAPI/FetchEverything', Buffer.alloc(0)), /UNIMPLEMENTED/);
  await assert.rejects(raw('/__proto__/constructor', Buffer.alloc(0)), /UNIMPLEMENTED/);
  await isServed(rig);
});

test('bytes that are not HTTP/2 end their connection alone', async () => {
  await using rig = await serveTestWorkload();
  for (const bytes of ['GET / HTTP/1.1\r\nhost: x\r\n\r\n', '\0'.repeat(1000)]) {
    const socket = connect({ path: rig.path });
    socket.on('error', () => undefined);
    socket.write(Buffer.from(bytes, 'latin1'));
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
  }
  await isServed(rig);
});

test('a request that does not end is Unavailable after ten seconds, and nothing is issued for it', async () => {
  await using rig = await serveTestWorkload();
  const made = session(rig.path);
  const stream = begin(made, FETCH_X509_SVID.path, false);
  const status = new Promise((resolve) => stream.once('response', (headers) => resolve(headers['grpc-status'])));
  await until('the call to be there', () => rig.server.streams() === 1);
  rig.clock.advance(9_999);
  assert.equal(rig.server.streams(), 1);
  rig.clock.advance(1);
  assert.equal(await status, '14');
  await until('it to be gone', () => rig.server.streams() === 0);
  assert.equal(rig.issued.length, 0);
  made.destroy();
});

test('a caller that never reads holds one message, and is cut off after a minute; the others are told', async () => {
  await using rig = await serveTestWorkload();
  rig.federated = Array.from({ length: 40 }, (_, index) => testDomain(`d${index}.test`, rig.clock.now()).bundle);
  const made = session(rig.path, 0);
  begin(made, FETCH_X509_BUNDLES.path, true);
  await until('the stream to be open', () => rig.server.streams() === 1);
  using caller = callWorkloadApi(rig.path);
  const reader = caller.stream(FETCH_X509_BUNDLES, {});
  await reader.next();
  for (let turn = 0; turn < 20; turn += 1) {
    rig.federated = [...rig.federated].reverse();
    rig.changed();
    rig.clock.advance(SPREAD_MS);
    await reader.next();
  }
  assert.equal(made.destroyed, false);
  rig.clock.advance(60_000);
  await until('it to be cut off', () => made.destroyed);
  await until('its stream to be gone', () => rig.server.streams() === 1);
  await isServed(rig);
});

test('whoever asks reflection thousands of times and reads no answer does not keep others from theirs', async () => {
  await using rig = await serveTestWorkload();
  const made = session(rig.path, 0);
  const stream = begin(made, REFLECTION_V1.path, false);
  const question = REFLECTION_V1.requestSerialize({
    messageRequest: { case: 'fileByFilename', value: 'reflection.proto' },
  });
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, question.length]), question]);
  for (let turn = 0; turn < 2_000; turn += 1) stream.write(frame);
  await isServed(rig);
  await isServed(rig);
  made.destroy();
  await until('it to be gone', () => rig.server.streams() === 0);
});

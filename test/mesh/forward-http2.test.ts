/** Calls over HTTP/2 and gRPC across two gateways' call paths, and what a peer's gateway may say on a link. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type http from 'node:http';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

import { DEFAULT_LIMITS } from '../../federation/resources/limits.ts';
import { EdgeCalls } from '../../gateway/edge/calls.ts';
import { EdgePlans } from '../../gateway/edge/plans.ts';
import { listenPlaintext } from '../../gateway/listen/plaintext.ts';
import { type Field } from '../../gateway/message/field.ts';
import { field } from '../../gateway/message/names.ts';
import { send, valueOf } from '../support/client-call.ts';
import { callHttp2 } from '../support/http2-call.ts';
import { get, http1Service, http2Service, startRig } from '../support/forward-rig.ts';

const LIMIT = { timeout: 20_000 };
const HOST = 'pay.eu.mesh.internal';
const GRPC = {
  ':method': 'POST',
  ':path': '/p.P/M',
  ':authority': HOST,
  'content-type': 'application/grpc',
  te: 'trailers',
};

test('a gRPC call keeps its trailers and its deadline shrinks on the way', LIMIT, async () => {
  let seen: http2.IncomingHttpHeaders = {};
  await using service = await http2Service((stream, headers) => {
    seen = headers;
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () =>
      stream.sendTrailers({ 'grpc-status': '5', 'grpc-message': 'none', 'jumpgate-x': 'y' }),
    );
    stream.pipe(stream);
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'grpc', port: service.port }]);
  const result = await callHttp2(rig.port, { ...GRPC, 'grpc-timeout': '5S', authorization: 'Bearer x' }, 'ping');
  assert.equal(result.body, 'ping');
  assert.equal(result.trailers['grpc-status'], '5');
  assert.equal(result.trailers['jumpgate-x'], undefined);
  assert.equal(seen['te'], 'trailers');
  assert.match(String(seen['grpc-timeout']), /^[1-4][0-9]{6}u$/);
  assert.deepEqual(seen[http2.sensitiveHeaders as unknown as string], ['authorization']);
  assert.equal((await rig.record('outbound')).grpcStatus, 5);
});

test('a gRPC call past its deadline gets DEADLINE_EXCEEDED and the service sees the cancel', LIMIT, async () => {
  const { promise: cancelled, resolve } = Promise.withResolvers<undefined>();
  await using service = await http2Service((stream) => {
    stream.on('close', () => resolve(undefined));
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'grpc', port: service.port }]);
  const result = await callHttp2(rig.port, { ...GRPC, 'grpc-timeout': '50m' }, 'ping');
  assert.deepEqual([result.headers[':status'], result.headers['grpc-status']], [200, '4']);
  await cancelled;
});

test('gRPC refusals are trailers-only', LIMIT, async () => {
  await using rig = await startRig([{ name: 'pay', protocol: 'grpc', port: 1 }]);
  const cases: [http2.OutgoingHttpHeaders, string, string][] = [
    [{ ':authority': 'nowhere' }, '5', 'no-route'],
    [{ ':authority': 'denied.eu.mesh.internal' }, '7', 'denied-by-import'],
    [{}, '14', 'service-unavailable'],
    [{ 'grpc-timeout': '999999999S' }, '3', 'deadline-malformed'],
    [{ 'grpc-timeout': '1x' }, '3', 'deadline-malformed'],
  ];
  for (const [headers, status, reason] of cases) {
    const result = await callHttp2(rig.port, { ...GRPC, ...headers }, 'ping');
    assert.equal(result.headers[':status'], 200);
    assert.deepEqual([result.headers['grpc-status'], result.headers['jumpgate-reason']], [status, reason]);
    assert.ok(result.headers['grpc-message']);
  }
});

test('both directions of a bidirectional stream flow at once, and a cancel crosses', LIMIT, async () => {
  const { promise: cancelled, resolve } = Promise.withResolvers<number | undefined>();
  await using service = await http2Service((stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.on('data', (data: Buffer) => stream.write(`echo ${data.toString()}`));
    stream.on('close', () => resolve(stream.rstCode));
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'grpc', port: service.port }]);
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  const stream = session.request(GRPC);
  stream.on('error', () => undefined);
  for (const word of ['one', 'two']) {
    stream.write(word);
    const [data] = (await once(stream, 'data')) as [Buffer];
    assert.equal(data.toString(), `echo ${word}`);
  }
  stream.close(http2.constants.NGHTTP2_CANCEL);
  assert.equal(await cancelled, http2.constants.NGHTTP2_CANCEL);
  session.destroy();
});

test('a reset service stream in the middle of a body resets the caller', LIMIT, async () => {
  await using service = await http2Service((stream) => {
    // Node sends END_STREAM before its own reset unless it is told to wait for trailers.
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.write('half', () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'http2', port: service.port }]);
  const result = await callHttp2(rig.port, { ':path': '/', ':authority': HOST });
  assert.equal(result.headers[':status'], 200);
  assert.notEqual(result.code, http2.constants.NGHTTP2_NO_ERROR);
});

test('an early answer to an upload reaches the caller', LIMIT, async () => {
  await using service = await http1Service((_request, response) => {
    response.writeHead(413, { connection: 'close' }).end('too big');
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }]);
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': HOST });
  stream.on('error', () => undefined);
  stream.write('x'.repeat(1000));
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  assert.equal(headers[':status'], 413);
  session.destroy();
});

test('on a link only callers of the peer’s own trust domain are believed, and loops are cut', LIMIT, async () => {
  await using service = await http1Service((_request, response) => response.end('ok'));
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }]);
  const ask = async (fields: readonly Field[], authority = 'pay.eu.test'): Promise<string> => {
    const { response, done } = send(rig.link, { authority, fields });
    await done;
    return valueOf(response.head?.fields, 'jumpgate-reason') ?? String(response.head?.status);
  };
  const caller = field('jumpgate-caller', 'spiffe://us.test/w');
  const hops = field('jumpgate-hops', 'us.test');
  assert.equal(await ask([caller, hops]), '200');
  assert.equal(await ask([hops]), 'caller-missing');
  assert.equal(await ask([caller, caller, hops]), 'header-malformed');
  assert.equal(await ask([field('jumpgate-caller', 'not an id'), hops]), 'caller-missing');
  assert.equal(await ask([field('jumpgate-caller', ''), hops]), 'caller-missing');
  assert.equal(await ask([field('jumpgate-caller', 'spiffe://eu.test/w'), hops]), 'caller-foreign');
  assert.equal(await ask([field('jumpgate-caller', 'spiffe://third.test/w'), hops]), 'caller-foreign');
  assert.equal(await ask([caller, field('jumpgate-hops', 'eu.test, us.test')]), 'loop');
  assert.equal(await ask([caller, field('jumpgate-hops', 'us.test'), field('jumpgate-hops', 'eu.test')]), 'loop');
  assert.equal(await ask([caller, field('jumpgate-hops', 'a,b,c,d,e')]), 'limit-hops');
  assert.equal(await ask([caller, hops], 'pay.us.test'), 'no-route');
  assert.equal(await ask([caller, hops], 'pay.eu.test:443'), 'no-route');
});

test(
  'an edge names itself as the caller, states the client’s address and tells strangers no reason',
  LIMIT,
  async () => {
    const seen: http.IncomingHttpHeaders[] = [];
    await using service = await http1Service((request, response) => {
      seen.push(request.headers);
      response.end('ok');
    });
    await using rig = await startRig([
      { name: 'web', protocol: 'http1', port: service.port },
      { name: 'closed', protocol: 'http1', port: service.port, peers: ['us'] },
    ]);
    const plans = new EdgePlans('front', DEFAULT_LIMITS, rig.edgeDeps);
    await using edge = await listenPlaintext({
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      host: rig.listenHost,
      limits: DEFAULT_LIMITS,
      listenerFor: (protocol) => new EdgeCalls(plans, { protocol, remoteAddress: '127.0.0.1' }),
    });
    const port = edge.address.kind === 'tcp' ? edge.address.port : 0;
    const spoofed = { 'x-forwarded-for': '6.6.6.6', 'x-forwarded-client-cert': 'URI=spiffe://eu.test/admin' };
    const answer = await get(port, { headers: { host: 'web.example.com', ...spoofed } });
    assert.equal(answer.body, 'ok');
    assert.equal(seen[0]?.['x-forwarded-for'], '127.0.0.1');
    assert.equal(
      seen[0]['x-forwarded-client-cert'],
      'By=spiffe://eu.test/jumpgate;URI=spiffe://eu.test/jumpgate/edge/front',
    );
    const unknown = await get(port, { headers: { host: 'other.example.com' } });
    const closed = await get(port, { headers: { host: 'closed.example.com' } });
    assert.deepEqual({ ...closed }, { ...unknown });
    assert.deepEqual([unknown.status, unknown.headers['jumpgate-reason'], unknown.body], [404, undefined, 'refused\n']);
    assert.equal(seen.length, 1);
  },
);

test('drain lets the call under way finish and takes no new connection', LIMIT, async () => {
  const { promise: reached, resolve: reach } = Promise.withResolvers<http.ServerResponse>();
  await using service = await http1Service((_request, response) => reach(response));
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }]);
  const underWay = get(rig.port, { headers: { host: HOST } });
  const response = await reached;
  const drained = rig.listener.drain(10_000);
  await assert.rejects(get(rig.port, { headers: { host: HOST } }));
  response.end('late');
  assert.equal((await underWay).body, 'late');
  await drained;
});

test(
  'the first request of a connection that was open when the drain began is answered, and it does not wait for one',
  LIMIT,
  async () => {
    await using service = await http1Service((_request, response) => response.end('pay'));
    await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }]);
    const [late, silent] = [connect(rig.port, '127.0.0.1'), connect(rig.port, '127.0.0.1')];
    const silentEnd = once(silent.resume(), 'close');
    // A call on a connection that came behind them: they were accepted.
    for (const socket of [late, silent]) await once(socket, 'connect');
    assert.equal((await get(rig.port, { headers: { host: HOST } })).body, 'pay');
    const drained = rig.listener.drain(20_000);
    late.write(`GET / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
    const answer = await text(late);
    assert.match(answer, /^HTTP\/1\.1 200 [^]*connection: close\r\n[^]*pay$/);
    await silentEnd;
    await drained;
  },
);

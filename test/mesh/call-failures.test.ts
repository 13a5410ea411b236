/** What breaks under a call: links that refuse, services that die, deadlines, and what the caller then sees. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { LINK_CONNECTION } from '../../gateway/http2/limits.ts';
import { type ConnectedHttp2, connectHttp2 } from '../../gateway/socket/http2-socket.ts';
import { callHttp2 } from '../support/http2-call.ts';
import { get, http1Service, http2Service, listen, startRig } from '../support/forward-rig.ts';

const LIMIT = { timeout: 20_000 };
const HOST = 'pay.eu.mesh.internal';
/** What a gateway keeps of a body that it has sent (gateway/forward/held-body). */
const KEPT_BYTES_MAX = 64 * 1024;
const { NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = http2.constants;

interface Seen {
  readonly status: string;
  readonly reason: string | undefined;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: string;
  readonly code: number | undefined;
}

async function ask(port: number, fields: http2.OutgoingHttpHeaders, body?: string): Promise<Seen> {
  const { headers, ...seen } = await callHttp2(port, { ':path': '/', ':authority': HOST, ...fields }, body);
  return { ...seen, status: String(headers[':status']), reason: headers['jumpgate-reason']?.toString() };
}

/** A link whose other end does to each stream what `treat` does. */
async function oddLink(
  treat: (stream: http2.ServerHttp2Stream) => void,
): Promise<{ link: ConnectedHttp2 } & AsyncDisposable> {
  const service = await http2Service(treat);
  const link = connectHttp2(connect(service.port, '127.0.0.1'), { clock: systemClock, limits: LINK_CONNECTION });
  await link.ready;
  return {
    link,
    [Symbol.asyncDispose]: async () => {
      link.destroy();
      await service[Symbol.asyncDispose]();
    },
  };
}

const refuse = (stream: http2.ServerHttp2Stream): void => stream.close(NGHTTP2_REFUSED_STREAM);

test('a stream that one link refuses goes to another link', LIMIT, async () => {
  let refusals = 0;
  await using odd = await oddLink((stream) => {
    refusals += 1;
    refuse(stream);
  });
  await using service = await http1Service((_request, response) => response.end('ok'));
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }], { before: [odd.link] });
  const seen = await ask(rig.port, {});
  assert.deepEqual([seen.status, seen.body, refusals], ['200', 'ok', 1]);
});

test('a body of which nothing was read goes with the call to the other link', LIMIT, async () => {
  const { promise: refused, resolve } = Promise.withResolvers<undefined>();
  await using odd = await oddLink((stream) => {
    refuse(stream);
    resolve(undefined);
  });
  const learnt = async (): Promise<void> => {
    while (odd.link.streams > 0) await new Promise((next) => setImmediate(next));
  };
  await using service = await http1Service((request, response) => request.pipe(response));
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }], { before: [odd.link] });
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': HOST });
  await refused;
  await learnt();
  stream.end('late');
  const [data] = (await once(stream, 'data')) as [Buffer];
  assert.equal(data.toString(), 'late');
  session.destroy();
});

test('a body that was refused half-way goes whole to another link, up to what is kept of it', LIMIT, async () => {
  let refusals = 0;
  await using odd = await oddLink((stream) => {
    let taken = 0;
    stream.on('data', (data: Buffer) => {
      taken += data.length;
      if (taken !== KEPT_BYTES_MAX) return;
      refusals += 1;
      refuse(stream);
    });
  });
  const bodies: string[] = [];
  await using service = await http1Service((request, response) => {
    let body = '';
    request.on('data', (data: Buffer) => (body += data.toString()));
    request.on('end', () => {
      bodies.push(body);
      response.end('ok');
    });
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }], { before: [odd.link] });
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': HOST });
  const body = Buffer.alloc(KEPT_BYTES_MAX, 'abcdefg').toString();
  stream.write(body);
  const learnt = once(stream, 'response');
  while (bodies.length === 0) {
    await new Promise((next) => setImmediate(next));
    if (refusals === 1 && odd.link.streams === 0 && !stream.writableEnded) stream.end('!');
  }
  const [headers] = (await learnt) as [http2.IncomingHttpHeaders];
  assert.equal(headers[':status'], 200);
  assert.deepEqual([refusals, bodies.length, bodies[0] === `${body}!`], [1, 1, true]);
  session.destroy();
});

test('a call of whose body more was sent than is kept is not sent twice: 503 with the reason', LIMIT, async () => {
  await using odd = await oddLink((stream) => {
    let taken = 0;
    stream.on('data', (data: Buffer) => {
      taken += data.length;
      // Node would answer by itself for a stream whose request has ended.
      if (taken === KEPT_BYTES_MAX + 1) refuse(stream);
    });
  });
  let reached = 0;
  await using service = await http1Service((_request, response) => {
    reached += 1;
    response.end();
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }], { before: [odd.link] });
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': HOST });
  stream.on('error', () => undefined);
  stream.write(Buffer.alloc(KEPT_BYTES_MAX + 1, 'x'));
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  assert.deepEqual([headers[':status'], headers['jumpgate-reason'], reached], [503, 'link-refused', 0]);
  session.destroy();
});

test(
  'links that all refuse give 503, and a link that breaks under a call gives 502 and no second try',
  LIMIT,
  async () => {
    let broken = 0;
    let refusals = 0;
    const count = (stream: http2.ServerHttp2Stream): void => {
      refusals += 1;
      refuse(stream);
    };
    await using breaking = await oddLink((stream) => {
      broken += 1;
      stream.session?.destroy();
    });
    {
      await using one = await oddLink(count);
      await using two = await oddLink(count);
      await using three = await oddLink(count);
      await using four = await oddLink(count);
      const before = [one.link, two.link, three.link, four.link];
      await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: 1 }], { before });
      const seen = await ask(rig.port, {});
      assert.deepEqual([seen.status, seen.reason, refusals], ['503', 'link-refused', 4]);
    }
    await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: 1 }], { before: [breaking.link] });
    const seen = await ask(rig.port, {});
    assert.deepEqual([seen.status, seen.reason, broken], ['502', 'link-failed', 1]);
  },
);

test('a gRPC deadline in the middle of a stream ends it with status 4 and cancels the service', LIMIT, async () => {
  const { promise: cancelled, resolve } = Promise.withResolvers<number | undefined>();
  await using service = await http2Service((stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.write('first');
    stream.on('close', () => resolve(stream.rstCode));
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'grpc', port: service.port }]);
  const grpc = { ':method': 'POST', ':path': '/p.P/M', 'content-type': 'application/grpc', te: 'trailers' };
  const headers = { ...grpc, 'grpc-timeout': '300m' };
  const seen = await ask(rig.port, headers, 'x');
  assert.deepEqual([seen.status, seen.body, seen.trailers['grpc-status']], ['200', 'first', '4']);
  assert.equal(await cancelled, http2.constants.NGHTTP2_CANCEL);
  assert.equal((await rig.record('outbound')).grpcStatus, 4);
});

test('a service stream reset with NO_ERROR inside its body is no clean end', LIMIT, async () => {
  await using service = await http2Service((stream) => {
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.write('half', () => stream.close(NGHTTP2_NO_ERROR));
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'http2', port: service.port }]);
  const seen = await ask(rig.port, {});
  assert.equal(seen.body, 'half');
  assert.notEqual(seen.code, NGHTTP2_NO_ERROR);
  await assert.rejects(get(rig.port, { headers: { host: HOST } }));
});

test('a service or a link that dies inside a body cuts callers of both protocols', LIMIT, async () => {
  await using service = await http2Service((stream) => {
    stream.respond({ ':status': 200 });
    stream.write('half', () => stream.session?.destroy());
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'http2', port: service.port }]);
  assert.notEqual((await ask(rig.port, {})).code, NGHTTP2_NO_ERROR);
  await assert.rejects(get(rig.port, { headers: { host: HOST } }));

  await using quiet = await http2Service((stream) => {
    stream.respond({ ':status': 200 });
    stream.write('half');
  });
  await using other = await startRig([{ name: 'pay', protocol: 'http2', port: quiet.port }]);
  const request = http.get({ host: '127.0.0.1', port: other.port, agent: false, headers: { host: HOST } });
  request.on('error', () => undefined);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  response.on('error', () => undefined);
  const closed = new Promise((resolve) => response.once('close', resolve));
  await once(response, 'data');
  other.link.destroy();
  await closed;
  assert.equal(response.complete, false);
});

test('an upload that is reset with NO_ERROR does not look complete to the service', LIMIT, async () => {
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  const { promise: reached, resolve: reach } = Promise.withResolvers<undefined>();
  await using service = await http1Service((request) => {
    request.on('end', () => resolve('clean'));
    request.on('error', () => resolve('cut'));
    request.once('data', () => reach(undefined));
  });
  await using rig = await startRig([{ name: 'pay', protocol: 'http1', port: service.port }]);
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': HOST }, { waitForTrailers: true });
  stream.on('error', () => undefined);
  stream.write('half');
  await reached;
  stream.close(NGHTTP2_NO_ERROR);
  assert.equal(await ended, 'cut');
  session.destroy();
});

test('a service that stops in the middle of a chunked body over HTTP/1.1 cuts an HTTP/2 caller', LIMIT, async () => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n'));
  });
  const port = await listen(server);
  {
    await using rig = await startRig([{ name: 'pay', protocol: 'http1', port }]);
    assert.notEqual((await ask(rig.port, {})).code, NGHTTP2_NO_ERROR);
  }
  await new Promise((resolve) => server.close(resolve));
});

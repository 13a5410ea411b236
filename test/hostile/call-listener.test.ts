/** What listeners for calls do with bytes that are no call, and with connections that stop half-way. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { get, http1Service, http2Service, type Rig, startRig } from '../support/forward-rig.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { ended } from '../support/tls.ts';

const LIMIT = { timeout: 20_000 };
const HOST = 'web.eu.mesh.internal';
const SHORT = { limits: { headersMs: 300 } };
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

async function send(rig: Rig, ...parts: (string | Buffer)[]): Promise<Socket> {
  const socket = connect(rig.port, '127.0.0.1');
  await once(socket, 'connect');
  for (const part of parts) socket.write(part);
  return socket;
}

test('what the parser refuses is answered, told why and recorded', LIMIT, async () => {
  const cases: [string, number, string][] = [
    ['CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n', 405, 'method-unsupported'],
    [`GET / HTTP/1.1\r\nhost: a\r\nx: ${'a'.repeat(40_000)}\r\n\r\n`, 431, 'limit-header-bytes'],
    ['GET / HTTP/1.1\r\nhost : a\r\n\r\n', 400, 'header-malformed'],
    ['\0\0\0\0', 400, 'request-malformed'],
    ['\x16\x03\x01\x02\0\x01', 400, 'request-malformed'],
    ['GET /a b HTTP/1.1\r\n', 400, 'request-malformed'],
  ];
  for (const [bytes, status, reason] of cases) {
    await using rig = await startRig([]);
    const { received } = await ended(await send(rig, bytes));
    assert.ok(received.startsWith(`HTTP/1.1 ${status} `), `${reason}: ${received}`);
    assert.match(received, new RegExp(`\r\njumpgate-reason: ${reason}\r\n`));
    const record = await rig.record('outbound');
    assert.deepEqual([record.status, record.reason, record.verdict], [status, reason, 'denial']);
    assert.equal(record.caller, 'spiffe://us.test/ns/shop/sa/web');
    assert.equal(rig.records.length, 1);
  }
});

test('a refusal never lands inside the response to an earlier request', LIMIT, async () => {
  const { promise: reached, resolve: reach } = Promise.withResolvers<http.ServerResponse>();
  await using service = await http1Service((_request, response) => reach(response));
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const socket = await send(rig, `GET / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 'no request\r\n\r\n');
  const all = ended(socket);
  (await reached).end('good');
  const { received } = await all;
  assert.match(received, /^HTTP\/1\.1 200 OK\r\n[^]*good[^]*HTTP\/1\.1 400 /);
});

test('a broken chunk gives 400 before the response has begun and cuts the connection after', LIMIT, async () => {
  await using service = await http1Service((request, response) => {
    if (request.url === '/answer') response.write('begun');
    request.on('error', () => undefined);
    request.resume();
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const head = (path: string): string => `POST ${path} HTTP/1.1\r\nhost: ${HOST}\r\ntransfer-encoding: chunked\r\n\r\n`;
  const before = await ended(await send(rig, head('/'), '0x5\r\nhello\r\n'));
  assert.match(before.received, /^HTTP\/1\.1 400 /);
  const socket = await send(rig, head('/answer'));
  const all = ended(socket);
  await once(socket, 'data');
  socket.write('0x5\r\nhello\r\n');
  assert.doesNotMatch((await all).received, /HTTP\/1\.1 400 |0\r\n\r\n$/);
});

test('connections that stop before or inside their headers are closed at the limit', LIMIT, async () => {
  const stalled: [string, (string | Buffer)[], RegExp, string | undefined][] = [
    ['silence', [], /^(HTTP\/1\.1 408 [^]*)?$/, undefined],
    ['half a request', ['GET / HTTP/1.1\r\nhost: a\r\n'], /^HTTP\/1\.1 408 /, 'headers-timeout'],
    ['half a preface', ['PRI * HT'], /^$/, undefined],
    ['a preface without settings', [PREFACE], /./, 'headers-timeout'],
    [
      'half a header block',
      [PREFACE, SETTINGS, Buffer.from([0, 0, 2, 1, 0, 0, 0, 0, 1, 0x82, 0x86])],
      /./,
      'headers-timeout',
    ],
  ];
  await using rig = await startRig([], SHORT);
  for (const [name, parts, answer, reason] of stalled) {
    const before = rig.records.length;
    const { received } = await ended(await send(rig, ...parts));
    assert.match(received, answer, name);
    assert.equal(rig.records.at(before)?.reason, reason, name);
  }
});

test('the limit on headers leaves slow bodies, idle connections and streams alone', LIMIT, async () => {
  await using service = await http1Service((request, response) => {
    response.flushHeaders();
    request.pipe(response);
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }], SHORT);
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': HOST });
  const slow = http.request({ host: '127.0.0.1', port: rig.port, method: 'POST', headers: { host: HOST } });
  slow.write('a');
  await Promise.all([once(stream, 'response'), once(slow, 'response')]);
  // Longer than the limit: a connection that is silent lives that long.
  await ended(await send(rig));
  await ended(await send(rig));
  slow.end('b');
  stream.end('c');
  const [data] = (await once(stream, 'data')) as [Buffer];
  assert.equal(data.toString(), 'c');
  session.destroy();
  slow.destroy();
});

test('HTTP/2 bytes that break the protocol are recorded', LIMIT, async () => {
  await using rig = await startRig([]);
  await ended(await send(rig, PREFACE, SETTINGS, Buffer.from([0, 0, 1, 0, 0, 0, 0, 0, 0, 1])));
  const record = await rig.record('outbound');
  assert.deepEqual([record.protocol, record.reason], ['http2', 'request-malformed']);
});

test('curl calls over HTTP/1.0, and without a host it is told what is missing', LIMIT, async () => {
  await using service = await http1Service((_request, response) => {
    response.write('two ');
    response.end('parts');
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const url = `http://127.0.0.1:${rig.port}/`;
  const { stdout } = await promisify(execFile)('curl', ['-sSi', '--http1.0', '-H', `host: ${HOST}`, url]);
  assert.match(stdout, /^HTTP\/1\.1 200 OK\r\n[^]*two parts$/);
  assert.doesNotMatch(stdout, /transfer-encoding/i);
  const { received } = await ended(await send(rig, 'GET / HTTP/1.0\r\n\r\n'));
  assert.match(received, /^HTTP\/1\.1 400 [^]*jumpgate-reason: authority-malformed/);
});

test('IP literals in brackets are refused with a reason, in both protocols', LIMIT, async () => {
  await using rig = await startRig([]);
  for (const host of ['[::1]', '[::1]:8080', '[2001:db8::1]']) {
    const answer = await get(rig.port, { headers: { host } });
    assert.deepEqual([answer.status, answer.headers['jumpgate-reason']], [400, 'authority-malformed']);
    const session = http2.connect(`http://127.0.0.1:${rig.port}`);
    const stream = session.request({ ':path': '/', ':authority': host });
    stream.resume();
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    assert.deepEqual([headers[':status'], headers['jumpgate-reason']], [400, 'authority-malformed']);
    session.destroy();
  }
});

test('a Unix socket carries calls, is private, and a cut reaches its callers', LIMIT, async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, 'out.sock');
  await using service = await http1Service((request, response) => {
    if (request.url === '/die') response.write('half', () => response.destroy());
    else response.end('ok');
  });
  const address = { kind: 'unix', path } as const;
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }], { address });
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const unix = { socketPath: path, host: undefined, headers: { host: HOST } };
  assert.equal((await get(0, unix)).body, 'ok');
  assert.equal((await rig.record('outbound')).listener, `unix:${path}`);
  await assert.rejects(get(0, { ...unix, path: '/die' }));
  assert.equal((await get(0, unix)).body, 'ok');
});

test('trailers lose identity and framing in both directions over HTTP/2', LIMIT, async () => {
  const forged = { 'jumpgate-caller': 'a', 'x-forwarded-client-cert': 'b', 'x-forwarded-for': 'c', authorization: 'd' };
  const { promise: seen, resolve } = Promise.withResolvers<http2.IncomingHttpHeaders>();
  await using service = await http2Service((stream) => {
    stream.on('trailers', resolve);
    stream.resume();
    stream.on('end', () => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ ...forged, 'x-sum': '1', 'jumpgate-reason': 'no-route' }));
      stream.end('x');
    });
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http2', port: service.port }]);
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  const stream = session.request(
    { ':method': 'POST', ':path': '/', ':authority': HOST },
    { endStream: false, waitForTrailers: true },
  );
  stream.on('wantTrailers', () => stream.sendTrailers({ ...forged, 'x-mine': '2' }));
  stream.end('x');
  stream.resume();
  const [trailers] = (await once(stream, 'trailers')) as [http2.IncomingHttpHeaders];
  assert.deepEqual(Object.keys(trailers), ['x-sum']);
  assert.deepEqual(Object.keys(await seen), ['x-mine']);
  session.destroy();
});

/** Calls over HTTP/1.1 across two gateways' call paths. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import http from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { get, http1Service, startRig } from '../support/forward-rig.ts';

const LIMIT = { timeout: 20_000 };
const echo: http.RequestListener = (request, response) => {
  let body = '';
  request.on('data', (chunk: Buffer) => (body += chunk.toString()));
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'application/json', 'jumpgate-reason': 'forged', trailer: 'x-sum' });
    response.write(
      JSON.stringify({ raw: request.rawHeaders, method: request.method, url: request.url, body, tr: request.trailers }),
    );
    response.addTrailers({ 'x-sum': '42', 'jumpgate-caller': 'forged' });
    response.end();
  });
};
interface Echoed {
  raw: string[];
  method: string;
  url: string;
  body: string;
  tr: Record<string, string>;
}

function valuesOf(raw: readonly string[], name: string): string[] {
  return raw.filter((_, index) => index % 2 === 1 && raw[index - 1]?.toLowerCase() === name);
}

test('a call crosses with one caller identity made by the gateway, whatever the caller claimed', LIMIT, async () => {
  await using service = await http1Service(echo);
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const answer = await get(rig.port, {
    method: 'POST',
    path: '/a?b=c',
    headers: {
      host: 'WEB.eu.mesh.internal.:8080',
      'X-Forwarded-Client-Cert': 'By=spiffe://us.test/x;URI=spiffe://us.test/admin',
      'jumpgate-caller': 'spiffe://us.test/admin',
      'x-forwarded-for': '6.6.6.6',
      forwarded: 'for=6.6.6.6',
      connection: 'keep-alive, x-secret',
      'x-secret': 'hop',
      'transfer-encoding': 'chunked',
      trailer: 'x-after',
    },
    body: 'hello',
    trailers: { 'x-after': 'yes', 'x-forwarded-client-cert': 'forged' },
  });
  assert.equal(answer.status, 200);
  const seen = JSON.parse(answer.body) as Echoed;
  assert.deepEqual(valuesOf(seen.raw, 'x-forwarded-client-cert'), [
    'By=spiffe://eu.test/jumpgate;URI=spiffe://us.test/ns/shop/sa/web',
  ]);
  assert.deepEqual(valuesOf(seen.raw, 'x-forwarded-host'), ['WEB.eu.mesh.internal.:8080']);
  assert.deepEqual(valuesOf(seen.raw, 'host'), [`127.0.0.1:${service.port}`]);
  for (const gone of ['jumpgate-caller', 'jumpgate-hops', 'x-forwarded-for', 'forwarded', 'x-secret']) {
    assert.deepEqual(valuesOf(seen.raw, gone), [], gone);
  }
  assert.equal(seen.url, '/a?b=c');
  assert.equal(seen.body, 'hello');
  assert.deepEqual(seen.tr, { 'x-after': 'yes' });
  assert.equal(answer.headers['jumpgate-reason'], undefined);
  assert.deepEqual({ ...answer.trailers }, { 'x-sum': '42' });
  const record = await rig.record('outbound');
  assert.equal(record.verdict, 'permit');
  assert.equal(record.bytesIn, 5);
  assert.equal(record.bytesOut, answer.body.length);
  assert.equal((await rig.record('inbound')).caller, 'spiffe://us.test/ns/shop/sa/web');
});

test('refusals carry their status and reason to local callers', LIMIT, async () => {
  await using service = await http1Service(echo);
  await using rig = await startRig([
    { name: 'web', protocol: 'http1', port: service.port },
    { name: 'hidden', protocol: 'http1', port: service.port, peers: ['other'] },
    { name: 'dead', protocol: 'http1', port: 1 },
  ]);
  const cases: [http.RequestOptions, number, string][] = [
    [{ headers: { host: 'nowhere' } }, 404, 'no-route'],
    [{ headers: { host: 'peering.jumpgate' } }, 403, 'authority-reserved'],
    [{ headers: { host: 'web.eu.mesh.internal:00443' } }, 400, 'authority-malformed'],
    [{ headers: { host: 'denied.eu.mesh.internal' } }, 403, 'denied-by-import'],
    [{ headers: { host: 'down.gone.mesh.internal' } }, 503, 'peer-unavailable'],
    [{ headers: { host: 'missing.eu.mesh.internal' } }, 404, 'no-route'],
    [{ headers: { host: 'dead.eu.mesh.internal' } }, 503, 'service-unavailable'],
    [{ headers: { host: 'web.eu.mesh.internal' }, path: '/a/../b' }, 400, 'path-ambiguous'],
    [{ headers: { host: 'web.eu.mesh.internal' }, path: 'http://x/y' }, 400, 'target-malformed'],
    [{ headers: { host: 'web.eu.mesh.internal' }, path: `/${'a'.repeat(8192)}` }, 414, 'limit-target'],
    [{ headers: { host: 'web.eu.mesh.internal', 'x-big': 'a'.repeat(17_000) } }, 431, 'limit-header-bytes'],
    [{ headers: { host: 'web.eu.mesh.internal' }, method: 'TRACE' }, 405, 'method-unsupported'],
    [{ headers: { host: 'web.eu.mesh.internal', ...Object.fromEntries(numbers(120)) } }, 431, 'limit-header-fields'],
  ];
  for (const [options, status, reason] of cases) {
    const answer = await get(rig.port, options);
    assert.deepEqual([answer.status, answer.headers['jumpgate-reason']], [status, reason], JSON.stringify(options));
  }
  const missing = await get(rig.port, { headers: { host: 'missing.eu.mesh.internal' } });
  const hidden = await get(rig.port, { headers: { host: 'hidden.eu.mesh.internal' } });
  assert.deepEqual({ ...hidden }, { ...missing });
});

function numbers(count: number): [string, string][] {
  return Array.from({ length: count }, (_, index) => [`x-${index}`, 'v']);
}

test('HEAD, 204 and 304 end without a body, and content-length stays honest', LIMIT, async () => {
  await using service = await http1Service((request, response) => {
    if (request.url === '/204') response.writeHead(204).end();
    else if (request.url === '/304') response.writeHead(304, { etag: 'x' }).end();
    else response.writeHead(200, { 'content-length': '7' }).end('content');
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const headers = { host: 'web.eu.mesh.internal' };
  assert.equal((await get(rig.port, { headers, path: '/204' })).status, 204);
  assert.equal((await get(rig.port, { headers, path: '/304' })).headers.etag, 'x');
  const head = await get(rig.port, { headers, method: 'HEAD', path: '/' });
  assert.deepEqual([head.status, head.headers['content-length'], head.body], [200, '7', '']);
  const whole = await get(rig.port, { headers, path: '/' });
  assert.deepEqual([whole.headers['content-length'], whole.body], ['7', 'content']);
});

test('a service that dies in the middle of a body gives the caller a reset, not an end', LIMIT, async () => {
  await using service = await http1Service((_request, response) => {
    response.write('half', () => response.destroy());
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  await assert.rejects(get(rig.port, { headers: { host: 'web.eu.mesh.internal' } }));
  assert.equal((await rig.record('inbound')).verdict, 'error');
});

test('a caller that goes away cancels the request at the service', LIMIT, async () => {
  const { promise: cancelled, resolve } = Promise.withResolvers<undefined>();
  const { promise: reached, resolve: reach } = Promise.withResolvers<undefined>();
  await using service = await http1Service((_request, response) => {
    response.on('close', () => resolve(undefined));
    reach(undefined);
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const request = http.get({
    host: '127.0.0.1',
    port: rig.port,
    agent: false,
    headers: { host: 'web.eu.mesh.internal' },
  });
  request.on('error', () => undefined);
  await reached;
  request.destroy();
  await cancelled;
  assert.equal((await rig.record('outbound')).reason, 'caller-gone');
});

test('a slow reader holds the service back instead of filling memory', LIMIT, async () => {
  const total = 50 * 1024 * 1024;
  const chunk = Buffer.alloc(64 * 1024, 'x');
  let sent = 0;
  await using service = await http1Service((_request, response) => {
    const more = (): void => {
      while (sent < total) {
        sent += chunk.length;
        if (!response.write(chunk)) {
          response.once('drain', more);
          return;
        }
      }
      response.end();
    };
    more();
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const request = http.get({
    host: '127.0.0.1',
    port: rig.port,
    agent: false,
    headers: { host: 'web.eu.mesh.internal' },
  });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  await settled(() => sent);
  assert.ok(sent < total / 2, `the service sent ${sent} bytes to a reader that read nothing`);
  let received = 0;
  for await (const part of response as AsyncIterable<Buffer>) received += part.length;
  assert.equal(received, total);
});

test('N10: a service that does not read holds a fast upload back instead of filling memory', LIMIT, async () => {
  const total = 50 * 1024 * 1024;
  const chunk = Buffer.alloc(64 * 1024, 'x');
  const read = Promise.withResolvers<undefined>();
  await using service = await http1Service((request, response) => {
    request.pause();
    let received = 0;
    request.on('end', () => response.end(String(received)));
    void read.promise.then(() => request.on('data', (bytes: Buffer) => (received += bytes.length)).resume());
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const headers = { host: 'web.eu.mesh.internal' };
  const request = http.request({ host: '127.0.0.1', port: rig.port, agent: false, method: 'POST', headers });
  let sent = 0;
  const more = (): void => {
    while (sent < total) {
      sent += chunk.length;
      if (!request.write(chunk)) {
        request.once('drain', more);
        return;
      }
    }
    request.end();
  };
  more();
  await settled(() => sent);
  assert.ok(sent < total / 2, `the caller sent ${sent} bytes to a service that read nothing`);
  read.resolve(undefined);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  assert.equal(await text(response), String(total));
});

/** Until a counter has not moved for many turns of the event loop. */
async function settled(read: () => number): Promise<void> {
  for (let still = 0, last = -1; still < 2_000; still += 1) {
    if (read() !== last) still = 0;
    last = read();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('hostile bytes are answered or cut, and the listener goes on', LIMIT, async () => {
  await using service = await http1Service(echo);
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const payloads = [
    'CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
    'GET / HTTP/1.1\r\nhost: web.eu.mesh.internal\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n\r\n',
    'POST / HTTP/1.1\r\nhost: web.eu.mesh.internal\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame at all',
    'PRI * HTTP/1.1\r\nconnection: close\r\n\r\n',
    '\0\0\0\0',
  ];
  for (const payload of payloads) {
    const socket = connect(rig.port, '127.0.0.1');
    let text = '';
    socket.on('data', (data: Buffer) => (text += data.toString('latin1')));
    socket.on('error', () => undefined);
    socket.end(payload);
    await once(socket, 'close');
    assert.doesNotMatch(text, /HTTP\/1\.1 200/, payload);
  }
  assert.equal((await get(rig.port, { headers: { host: 'web.eu.mesh.internal' } })).status, 200);
});

test('curl calls over HTTP/1.1 and over HTTP/2 with prior knowledge', LIMIT, async () => {
  await using service = await http1Service(echo);
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  for (const version of ['--http1.1', '--http2-prior-knowledge', '--http2']) {
    const url = `http://127.0.0.1:${rig.port}/x`;
    const { stdout } = await promisify(execFile)('curl', ['-sS', version, '-H', 'host: web.eu.mesh.internal', url]);
    assert.equal((JSON.parse(stdout) as Echoed).url, '/x', version);
  }
});

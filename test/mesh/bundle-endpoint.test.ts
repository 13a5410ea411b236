/** The bundle endpoint and its client, over real TLS. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer, request, type RequestOptions, type Server } from 'node:https';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';

import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { serveBundle } from '../../trust-bundles/serve/bundle-endpoint.ts';
import {
  type BundleEndpoint,
  bundleEndpoint,
  type BundleEndpointOptions,
} from '../../trust-bundles/source/bundle-endpoint.ts';
import { type TlsListener } from '../../trust-bundles/tls/accept.ts';
import { credentialsOf } from '../../trust-bundles/tls/context.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ended, portOf, rawTcp, rawTls } from '../support/tls.ts';
import { bundleOf, forgingDomain, svidSource, testDomain, type TestSvidSource, trustIn } from '../support/trust.ts';

const us = testDomain('us.test');
const forger = forgingDomain('eu.test', 'us.test');
const eu = forger.domain;
const usGateway = parseSpiffeId('spiffe://us.test/jumpgate');
const never = new AbortController().signal;

interface Rig extends AsyncDisposable {
  readonly listener: TlsListener;
  readonly port: number;
  readonly svid: TestSvidSource;
  bundle: Bundle;
}

async function rig(options: Partial<Parameters<typeof serveBundle>[0]> = {}): Promise<Rig> {
  const svid = svidSource(us.svid('/jumpgate'));
  const state = { bundle: us.bundle };
  const listener = await serveBundle({
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    svid,
    bundle: () => state.bundle,
    log: silentLog,
    clock: systemClock,
    ...options,
  });
  return Object.assign(state, {
    listener,
    port: portOf(listener),
    svid,
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  });
}

function clientOf(port: number, options: Partial<BundleEndpointOptions> = {}): BundleEndpoint {
  return bundleEndpoint({
    url: `https://gw.us.test:${port}/`,
    spiffeId: usGateway,
    trustDomain: us.trustDomain,
    trust: () => trustIn(us, eu),
    clock: systemClock,
    lookup: async () => ['127.0.0.1'],
    ...options,
  });
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What a stranger without any credential gets. */
async function ask(port: number, options: RequestOptions = {}, body = ''): Promise<Answer> {
  const call = request({ host: '127.0.0.1', port, rejectUnauthorized: false, agent: false, ...options });
  call.end(body);
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

test('a client fetches the bundle of a peer whose endpoint proves the configured identity', async () => {
  await using server = await rig();
  const { bundle, ignored } = await clientOf(server.port).fetch(never);
  assert.deepEqual(bundle, us.bundle);
  assert.equal(ignored, 0);
});

test('anyone may GET and HEAD the document, uncached and with an ETag', async () => {
  await using server = await rig();
  const got = await ask(server.port);
  assert.equal(got.status, 200);
  assert.equal(got.headers['content-type'], 'application/json');
  assert.equal(got.headers['cache-control'], 'no-cache');
  const document = JSON.parse(got.body) as { keys: { use: string }[]; spiffe_refresh_hint: number };
  assert.deepEqual(
    document.keys.map(({ use }) => use),
    ['x509-svid'],
  );
  assert.equal(document.spiffe_refresh_hint, 300);
  const head = await ask(server.port, { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(head.body, '');
  assert.equal(head.headers['content-length'], String(Buffer.byteLength(got.body)));
  assert.equal(head.headers.etag, got.headers.etag);
  const { etag } = got.headers;
  assert.ok(etag !== undefined);
  const same = await ask(server.port, { headers: { 'if-none-match': `"other", ${etag}` } });
  assert.equal(same.status, 304);
  assert.equal(same.body, '');
  assert.equal((await ask(server.port, { path: '/?x=1', headers: { 'if-none-match': '"other"' } })).status, 200);
});

test('other paths are 404 and other methods 405, with and without a body', async () => {
  await using server = await rig();
  for (const path of ['/x', '//', '/..', '/%2e', '/bundle', '/index.html', '*']) {
    assert.equal((await ask(server.port, { path })).status, 404, path);
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND', 'QUERY']) {
    for (const body of ['', '{"keys":[]}']) {
      const headers = body === '' ? {} : { 'content-type': 'application/x-anything' };
      const refused = await ask(server.port, { method, headers }, body);
      assert.equal(refused.status, 405, method);
      assert.equal(refused.headers.allow, 'GET, HEAD');
    }
  }
});

test('the endpoint speaks TLS 1.2 and 1.3, asks for no certificate, and resumes nothing', async () => {
  await using server = await rig();
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const only = { minVersion: version, maxVersion: version };
    assert.equal((await ask(server.port, only)).status, 200);
    const first = rawTls(server.port, only);
    await once(first, 'secureConnect');
    const session = first.getSession();
    first.destroy();
    const second = rawTls(server.port, session === undefined ? only : { ...only, session });
    await once(second, 'secureConnect');
    assert.equal(second.isSessionReused(), false);
    second.destroy();
  }
  const old = rawTls(server.port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' });
  assert.equal((await ended(old)).received, '');
});

test('headers over the limit, slow requests and silent connections are cut', async () => {
  await using server = await rig({ limits: { handshakeTimeoutMs: 100, requestTimeoutMs: 100 } });
  const big = await ask(server.port, { headers: { 'x-big': 'x'.repeat(9_000) } });
  assert.equal(big.status, 431);
  const silent = await rawTcp(server.port);
  const slow = rawTls(server.port, {});
  slow.write('GET / HTTP/1.1\r\nx-slow: ');
  await Promise.all([ended(silent), ended(slow)]);
  assert.equal((await ask(server.port)).status, 200);
});

test('connections over the limit are closed', async () => {
  await using server = await rig({ limits: { connectionsMax: 1 } });
  const first = rawTls(server.port, {});
  await once(first, 'secureConnect');
  await ended(await rawTcp(server.port));
  first.destroy();
});

test('a new bundle is served at once, and an unchanged one is not sent twice', async () => {
  await using server = await rig();
  const client = clientOf(server.port);
  const first = await client.fetch(never);
  assert.equal((await client.fetch(never)).bundle, first.bundle);
  const next = testDomain('us.test').root;
  server.bundle = bundleOf(us.trustDomain, [us.root, next], 2n);
  assert.deepEqual((await client.fetch(never)).bundle, server.bundle);
});

test('the endpoint follows the rotation of its svid, and keeps the old one if the new one is unusable', async () => {
  await using server = await rig();
  const serial = async (): Promise<string | undefined> => {
    const socket = rawTls(server.port, {});
    await once(socket, 'secureConnect');
    const shown = socket.getPeerX509Certificate()?.serialNumber;
    socket.destroy();
    return shown;
  };
  const before = await serial();
  server.svid.rotate(us.svid('/jumpgate'));
  const after = await serial();
  assert.notEqual(after, before);
  server.svid.rotate({ ...us.svid('/jumpgate'), key: eu.svid('/x').key });
  assert.equal(await serial(), after);
});

test('another svid of the same domain, and one forged by another federated domain, are refused', async () => {
  await using other = await rig({ svid: svidSource(us.svid('/ns/shop/sa/web')) });
  await assert.rejects(clientOf(other.port).fetch(never), { code: 'untrusted', message: /wrong-identity/ });
  await using forged = await rig({ svid: svidSource(forger.svid('/jumpgate')) });
  await assert.rejects(clientOf(forged.port).fetch(never), { code: 'untrusted', message: /not-vouched-for/ });
});

test('without a bundle of the endpoint domain there is no trust on first use', async () => {
  await using server = await rig();
  await assert.rejects(clientOf(server.port, { trust: () => trustIn(eu) }).fetch(never), { code: 'untrusted' });
});

test('the newest stored bundle authenticates each fetch, not the first one', async () => {
  await using server = await rig();
  let stored = trustIn(us);
  const client = clientOf(server.port, { trust: () => stored });
  await client.fetch(never);
  const next = testDomain('us.test');
  stored = trustIn(next);
  await assert.rejects(client.fetch(never), { code: 'untrusted' });
  server.svid.rotate(next.svid('/jumpgate'));
  await client.fetch(never);
});

test('an endpoint of another domain than that of its document is authenticated by its own domain', async () => {
  await using server = await rig();
  const served = testDomain('eu.test').bundle;
  server.bundle = served;
  const client = clientOf(server.port, { trustDomain: eu.trustDomain });
  assert.deepEqual((await client.fetch(never)).bundle, served);
  await assert.rejects(clientOf(server.port, { trustDomain: eu.trustDomain, trust: () => trustIn(eu) }).fetch(never), {
    code: 'untrusted',
  });
});

/** An endpoint with the right identity and manners of its own. */
async function rude(listener: RequestListener): Promise<AsyncDisposable & { port: number; server: Server }> {
  const server = createServer(credentialsOf(us.svid('/jumpgate')), listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    port: address.port,
    server,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

test('every answer but a whole document with status 200 is refused with a code of its own', async () => {
  const answers: Readonly<Record<string, RequestListener>> = {
    'http-status': (_request, response) => response.writeHead(500).end('{}'),
    'too-large': (_request, response) => response.writeHead(200, { 'content-length': 2 ** 21 }).end('x'),
    'bundle-malformed': (_request, response) => response.end('{}'),
    'http-malformed': (_request, response) => {
      response.writeHead(200, { 'content-length': 100 }).write('{');
      response.socket?.end();
    },
  };
  for (const [code, answer] of Object.entries(answers)) {
    await using server = await rude(answer);
    await assert.rejects(clientOf(server.port).fetch(never), { code }, code);
  }
  await using endless = await rude((_request, response) => {
    const pump = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20))) continue;
    };
    response.on('drain', pump);
    pump();
  });
  await assert.rejects(clientOf(endless.port).fetch(never), { code: 'too-large' });
  await using coded = await rude((_request, response) => response.setHeader('content-encoding', 'gzip').end('x'));
  await assert.rejects(clientOf(coded.port).fetch(never), { code: 'http-malformed' });
  await using unasked = await rude((_request, response) => response.writeHead(304).end());
  await assert.rejects(clientOf(unasked.port).fetch(never), { code: 'http-status' });
  await using raw = await rude((request) => request.socket.end('HTTP/1.1 200 OK\r\nx y: z\r\n\r\n'));
  await assert.rejects(clientOf(raw.port).fetch(never), { code: 'http-malformed' });
});

test('redirects are followed three times at most, on https and on the same host only', async () => {
  await using target = await rig();
  const chain =
    (hops: number): RequestListener =>
    (request, response) => {
      const left = Number(request.url?.slice(1) === '' ? hops : request.url?.slice(1));
      const location = left > 1 ? `/${left - 1}` : `https://gw.us.test:${target.port}/`;
      response.writeHead(302, { location }).end();
    };
  await using three = await rude(chain(3));
  assert.deepEqual((await clientOf(three.port).fetch(never)).bundle, us.bundle);
  await using four = await rude(chain(4));
  await assert.rejects(clientOf(four.port).fetch(never), { code: 'redirect-refused' });
  for (const location of [
    `http://gw.us.test:${target.port}/`,
    `https://elsewhere.test:${target.port}/`,
    `https://user@gw.us.test:${target.port}/`,
    `//127.0.0.1:${target.port}/`,
    'file:///etc/passwd',
  ]) {
    await using server = await rude((_request, response) => response.writeHead(302, { location }).end());
    await assert.rejects(clientOf(server.port).fetch(never), { code: 'redirect-refused' }, location);
  }
  await using nowhere = await rude((_request, response) => response.writeHead(302).end());
  await assert.rejects(clientOf(nowhere.port).fetch(never), { code: 'redirect-refused' });
});

test('the target of a redirect must prove the same identity', async () => {
  await using target = await rig({ svid: svidSource(us.svid('/ns/shop/sa/web')) });
  const location = `https://gw.us.test:${target.port}/`;
  await using server = await rude((_request, response) => response.writeHead(302, { location }).end());
  await assert.rejects(clientOf(server.port).fetch(never), { code: 'untrusted', message: /wrong-identity/ });
});

test('an endpoint that does not finish its answer is left at the deadline', async () => {
  const clock = new ManualClock(systemClock.now());
  await using server = await rude((_request, response) => response.writeHead(200).write('{'));
  const asked = once(server.server, 'request');
  const failed = assert.rejects(clientOf(server.port, { clock }).fetch(never), { code: 'timeout' });
  await asked;
  clock.advance(10_000);
  await failed;
});

test('a fetch that is called off ends with the reason of its signal', async () => {
  const controller = new AbortController();
  await using server = await rude(() => undefined);
  const asked = once(server.server, 'request');
  const failed = assert.rejects(clientOf(server.port).fetch(controller.signal), /enough/);
  await asked;
  controller.abort(new Error('enough'));
  await failed;
});

test('an endpoint that is not https or carries a user name is refused as configuration', async () => {
  for (const url of ['http://gw.us.test/', 'https://user@gw.us.test/', 'gw.us.test']) {
    await assert.rejects(clientOf(1, { url }).fetch(never), { code: 'url-refused' });
  }
});

test('disposing of the endpoint closes idle and silent connections', async () => {
  const server = await rig();
  const idle = rawTls(server.port, {});
  await once(idle, 'secureConnect');
  const silent = await rawTcp(server.port);
  const gone = Promise.all([ended(idle), ended(silent)]);
  await server[Symbol.asyncDispose]();
  await gone;
});

/** The bundle endpoint as strangers see it, over real TLS: spiffe.md BS. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';

import { ask, bundleServer, eu, us } from '../support/bundle-endpoints.ts';
import { ended, rawTcp, rawTls } from '../support/tls.ts';

test('BS-5 BS-7 BS-11: anyone may GET and HEAD the document, JSON, uncached and with an ETag', async () => {
  await using server = await bundleServer();
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

test('BS-6 BS-19: other paths are 404 and other methods 405, with and without a body', async () => {
  await using server = await bundleServer();
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

test('BS-1 BS-2 BS-5: the endpoint speaks TLS 1.2 and 1.3, asks for no certificate, and resumes nothing', async () => {
  await using server = await bundleServer();
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

test('BS-19: headers over the limit, slow requests and silent connections are cut', async () => {
  await using server = await bundleServer({ limits: { handshakeTimeoutMs: 100, requestTimeoutMs: 100 } });
  const big = await ask(server.port, { headers: { 'x-big': 'x'.repeat(9_000) } });
  assert.equal(big.status, 431);
  const silent = await rawTcp(server.port);
  const slow = rawTls(server.port, {});
  slow.write('GET / HTTP/1.1\r\nx-slow: ');
  await Promise.all([ended(silent), ended(slow)]);
  assert.equal((await ask(server.port)).status, 200);
});

test('BS-19: connections over the limit are closed', async () => {
  await using server = await bundleServer({ limits: { connectionsMax: 1 } });
  const first = rawTls(server.port, {});
  await once(first, 'secureConnect');
  await ended(await rawTcp(server.port));
  first.destroy();
});

test('BS-4: the endpoint follows the rotation of its svid, and keeps the old one if the new one is unusable', async () => {
  await using server = await bundleServer();
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

test('disposing of the endpoint closes idle and silent connections', async () => {
  const server = await bundleServer();
  const idle = rawTls(server.port, {});
  await once(idle, 'secureConnect');
  const silent = await rawTcp(server.port);
  const gone = Promise.all([ended(idle), ended(silent)]);
  await server[Symbol.asyncDispose]();
  await gone;
});

test('BS-8 BS-19: our endpoint answers where it is asked, and redirects nobody', async () => {
  await using server = await bundleServer();
  for (const path of ['/', '/?x', '/x', 'https://elsewhere.test/']) {
    const { status = 0, headers } = await ask(server.port, { path });
    assert.ok(status < 300 || status >= 400, `${path}: ${status}`);
    assert.equal(headers.location, undefined);
  }
});

test('BS-6 BS-9 BS-10: what is served is the bundle of this moment, an empty one too', async () => {
  await using server = await bundleServer();
  const before = await ask(server.port);
  server.bundle = { ...us.bundle, x509Authorities: [], sequence: 2n ** 64n - 1n };
  const after = await ask(server.port, { headers: { 'if-none-match': before.headers.etag } });
  assert.equal(after.status, 200);
  assert.equal(after.body, '{"spiffe_sequence":18446744073709551615,"spiffe_refresh_hint":300,"keys":[]}');
});

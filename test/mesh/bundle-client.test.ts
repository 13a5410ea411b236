/** The client of https_spiffe endpoints, over real TLS: spiffe.md BC, security.md I. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type RequestListener } from 'node:http';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { bundleServer, clientOf, eu, forger, never, rudeServer, us } from '../support/bundle-endpoints.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { bundleOf, svidSource, testDomain, trustIn } from '../support/trust.ts';

test('BC-1 BC-7: a client fetches the bundle of a peer whose endpoint proves the configured identity', async () => {
  await using server = await bundleServer();
  const { bundle, ignored } = await clientOf(server.port).fetch(never);
  assert.deepEqual(bundle, us.bundle);
  assert.equal(ignored, 0);
});

test('BS-6 BC-20: a new bundle is served at once, and an unchanged one is not sent twice', async () => {
  await using server = await bundleServer();
  const client = clientOf(server.port);
  const first = await client.fetch(never);
  assert.equal((await client.fetch(never)).bundle, first.bundle);
  const next = testDomain('us.test').root;
  server.bundle = bundleOf(us.trustDomain, [us.root, next], 2n);
  assert.deepEqual((await client.fetch(never)).bundle, server.bundle);
});

test('BC-7 BC-15: another svid of the same domain, and one forged by another federated domain, are refused', async () => {
  await using other = await bundleServer({ svid: svidSource(us.svid('/ns/shop/sa/web')) });
  await assert.rejects(clientOf(other.port).fetch(never), { code: 'untrusted', message: /wrong-identity/ });
  await using forged = await bundleServer({ svid: svidSource(forger.svid('/jumpgate')) });
  await assert.rejects(clientOf(forged.port).fetch(never), { code: 'untrusted', message: /not-vouched-for/ });
});

test('BC-6: without a bundle of the endpoint domain there is no trust on first use', async () => {
  await using server = await bundleServer();
  await assert.rejects(clientOf(server.port, { trust: () => trustIn(eu) }).fetch(never), { code: 'untrusted' });
});

test('BC-8: the newest stored bundle authenticates each fetch, not the first one', async () => {
  await using server = await bundleServer();
  let stored = trustIn(us);
  const client = clientOf(server.port, { trust: () => stored });
  await client.fetch(never);
  const next = testDomain('us.test');
  stored = trustIn(next);
  await assert.rejects(client.fetch(never), { code: 'untrusted' });
  server.svid.rotate(next.svid('/jumpgate'));
  await client.fetch(never);
});

test('BC-9: an endpoint of another domain than that of its document is authenticated by its own domain', async () => {
  await using server = await bundleServer();
  const served = testDomain('eu.test').bundle;
  server.bundle = served;
  const client = clientOf(server.port, { trustDomain: eu.trustDomain });
  assert.deepEqual((await client.fetch(never)).bundle, served);
  await assert.rejects(clientOf(server.port, { trustDomain: eu.trustDomain, trust: () => trustIn(eu) }).fetch(never), {
    code: 'untrusted',
  });
});

test('I12: every answer but a whole document with status 200 is refused with a code of its own', async () => {
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
    await using server = await rudeServer(answer);
    await assert.rejects(clientOf(server.port).fetch(never), { code }, code);
  }
  await using endless = await rudeServer((_request, response) => {
    const pump = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20))) continue;
    };
    response.on('drain', pump);
    pump();
  });
  await assert.rejects(clientOf(endless.port).fetch(never), { code: 'too-large' });
  await using coded = await rudeServer((_request, response) => response.setHeader('content-encoding', 'gzip').end('x'));
  await assert.rejects(clientOf(coded.port).fetch(never), { code: 'http-malformed' });
  await using unasked = await rudeServer((_request, response) => response.writeHead(304).end());
  await assert.rejects(clientOf(unasked.port).fetch(never), { code: 'http-status' });
  const upgrade = 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n';
  await using switching = await rudeServer((request) => request.socket.write(upgrade));
  await assert.rejects(clientOf(switching.port).fetch(never), { code: 'http-malformed' });
  await using raw = await rudeServer((request) => request.socket.end('HTTP/1.1 200 OK\r\nx y: z\r\n\r\n'));
  await assert.rejects(clientOf(raw.port).fetch(never), { code: 'http-malformed' });
});

test('BC-10 I13: redirects are followed three times at most, on https and on the same host only', async () => {
  await using target = await bundleServer();
  const chain =
    (hops: number): RequestListener =>
    (request, response) => {
      const left = Number(request.url?.slice(1) === '' ? hops : request.url?.slice(1));
      const location = left > 1 ? `/${left - 1}` : `https://gw.us.test:${target.port}/`;
      response.writeHead(302, { location }).end();
    };
  await using three = await rudeServer(chain(3));
  assert.deepEqual((await clientOf(three.port).fetch(never)).bundle, us.bundle);
  await using four = await rudeServer(chain(4));
  await assert.rejects(clientOf(four.port).fetch(never), { code: 'redirect-refused' });
  for (const location of [
    `http://gw.us.test:${target.port}/`,
    `https://elsewhere.test:${target.port}/`,
    `https://user@gw.us.test:${target.port}/`,
    `//127.0.0.1:${target.port}/`,
    'file:///etc/passwd',
  ]) {
    await using server = await rudeServer((_request, response) => response.writeHead(302, { location }).end());
    await assert.rejects(clientOf(server.port).fetch(never), { code: 'redirect-refused' }, location);
  }
  await using nowhere = await rudeServer((_request, response) => response.writeHead(302).end());
  await assert.rejects(clientOf(nowhere.port).fetch(never), { code: 'redirect-refused' });
});

test('BC-10 I13: the target of a redirect must prove the same identity', async () => {
  await using target = await bundleServer({ svid: svidSource(us.svid('/ns/shop/sa/web')) });
  const location = `https://gw.us.test:${target.port}/`;
  await using server = await rudeServer((_request, response) => response.writeHead(302, { location }).end());
  await assert.rejects(clientOf(server.port).fetch(never), { code: 'untrusted', message: /wrong-identity/ });
});

test('I12: an endpoint that does not finish its answer is left at the deadline', async () => {
  const clock = new ManualClock(systemClock.now());
  await using server = await rudeServer((_request, response) => response.writeHead(200).write('{'));
  const asked = once(server.server, 'request');
  const failed = assert.rejects(clientOf(server.port, { clock }).fetch(never), { code: 'timeout' });
  await asked;
  clock.advance(10_000);
  await failed;
});

test('a fetch that is called off ends with the reason of its signal', async () => {
  const controller = new AbortController();
  await using server = await rudeServer(() => undefined);
  const asked = once(server.server, 'request');
  const failed = assert.rejects(clientOf(server.port).fetch(controller.signal), /enough/);
  await asked;
  controller.abort(new Error('enough'));
  await failed;
});

test('BC-3 I14: an endpoint that is not https or carries a user name is refused as configuration', async () => {
  for (const url of ['http://gw.us.test/', 'https://user@gw.us.test/', 'gw.us.test']) {
    await assert.rejects(clientOf(1, { url }).fetch(never), { code: 'url-refused' });
  }
});

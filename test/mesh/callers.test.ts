/** Callers of all kinds across two gateways: old ones, careful ones, patient ones, and those who end their half early. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';

import { DEFAULT_LIMITS } from '../../federation/resources/limits.ts';
import { EdgeCalls } from '../../gateway/edge/calls.ts';
import { EdgePlans } from '../../gateway/edge/plans.ts';
import { listenPlaintext } from '../../gateway/listen/plaintext.ts';
import { get, http1Service, http2Service, startRig } from '../support/forward-rig.ts';
import { ended } from '../support/tls.ts';

const LIMIT = { timeout: 20_000 };
const HOST = 'web.eu.mesh.internal';

test(
  'an HTTP/1.0 caller gets a body until the close, and keeps its connection where the length is known',
  LIMIT,
  async () => {
    await using service = await http1Service((request, response) => {
      if (request.url === '/known') response.setHeader('content-length', '5');
      response.write('two');
      response.end(request.url === '/known' ? '!!' : ' parts');
    });
    await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
    const ask = (path: string, more: string): string => `GET ${path} HTTP/1.0\r\nhost: ${HOST}\r\n${more}\r\n`;
    const once10 = connect(rig.port, '127.0.0.1');
    once10.write(ask('/', ''));
    const { received } = await ended(once10);
    assert.match(received, /^HTTP\/1\.1 200 OK\r\n[^]*\r\nconnection: close\r\n\r\ntwo parts$/);
    assert.doesNotMatch(received, /transfer-encoding/);

    const kept = connect(rig.port, '127.0.0.1');
    let seen = '';
    kept.on('data', (data: Buffer) => (seen += data.toString()));
    for (const turn of [1, 2]) {
      kept.write(ask('/known', 'connection: keep-alive\r\n'));
      while (seen.split('two!!').length <= turn) await once(kept, 'data');
    }
    assert.equal(seen.match(/connection: keep-alive\r\n/g)?.length, 2);
    // Of unknown length: the close is its end, whatever the caller would like.
    kept.write(ask('/', 'connection: keep-alive\r\n'));
    await ended(kept);
    assert.match(seen, /connection: close\r\n[^]*two parts$/);
  },
);

test('100 (Continue) is said once when the call has a way, and not where it is refused', LIMIT, async () => {
  let bodies = 0;
  await using service = await http1Service((request, response) => {
    request.resume();
    request.on('end', () => {
      bodies += 1;
      response.end(String(request.headers.expect));
    });
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const ask = (host: string): http.ClientRequest =>
    http.request({
      host: '127.0.0.1',
      port: rig.port,
      method: 'POST',
      agent: false,
      headers: { host, expect: '100-continue', 'content-length': '4' },
    });
  const allowed = ask(HOST);
  let continues = 0;
  allowed.on('continue', () => {
    continues += 1;
    allowed.end('body');
  });
  allowed.flushHeaders();
  const [response] = (await once(allowed, 'response')) as [http.IncomingMessage];
  const [body] = (await once(response, 'data')) as [Buffer];
  // The expectation is met here, and is nobody's behind us.
  assert.deepEqual([response.statusCode, body.toString(), continues, bodies], [200, 'undefined', 1, 1]);

  const denied = ask('denied.eu.mesh.internal');
  denied.on('continue', () => assert.fail('invited a body for nobody'));
  denied.on('error', () => undefined);
  denied.flushHeaders();
  const [refusal] = (await once(denied, 'response')) as [http.IncomingMessage];
  assert.equal(refusal.statusCode, 403);
  denied.destroy();
});

test('a service that answers without wanting the body is heard, and the body never asked for', LIMIT, async () => {
  await using service = await http1Service((_request, response) => {
    response.writeHead(413, { connection: 'close' }).end('too big');
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const request = http.request({
    host: '127.0.0.1',
    port: rig.port,
    method: 'POST',
    agent: false,
    headers: { host: HOST, expect: '100-continue', 'content-length': '1000000' },
  });
  request.on('error', () => undefined);
  request.flushHeaders();
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const [body] = (await once(response, 'data')) as [Buffer];
  assert.deepEqual([response.statusCode, body.toString()], [413, 'too big']);
  request.destroy();
});

for (const protocol of ['http1', 'http2'] as const) {
  test(
    `server-sent events of an ${protocol} service arrive one by one, each before the next is sent`,
    LIMIT,
    async () => {
      const { promise: opened, resolve: open } = Promise.withResolvers<(text: string) => void>();
      const over1 = (_request: http.IncomingMessage, response: http.ServerResponse): void => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        open((text) => response.write(text));
      };
      await using service =
        protocol === 'http1'
          ? await http1Service(over1)
          : await http2Service((stream) => {
              stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
              open((text) => stream.write(text));
            });
      await using rig = await startRig([{ name: 'web', protocol, port: service.port }]);
      const request = http.get({ host: '127.0.0.1', port: rig.port, agent: false, headers: { host: HOST } });
      request.on('error', () => undefined);
      const answered = once(request, 'response') as Promise<[http.IncomingMessage]>;
      const tell = await opened;
      const [response] = protocol === 'http2' ? await answered : [undefined];
      for (let turn = 0; turn < 50; turn += 1) {
        tell(`data: ${turn}\n\n`);
        const [from] = response === undefined ? await answered : [response];
        const [event] = (await once(from, 'data')) as [Buffer];
        assert.equal(event.toString(), `data: ${turn}\n\n`);
      }
      request.destroy();
    },
  );
}

test('a caller that ends its half behind a request is taken for gone, and its call is cancelled', LIMIT, async () => {
  const { promise: reached, resolve: reach } = Promise.withResolvers<undefined>();
  const { promise: cancelled, resolve } = Promise.withResolvers<undefined>();
  await using service = await http1Service((request, response) => {
    reach(undefined);
    request.on('close', () => resolve(undefined));
    response.on('close', () => resolve(undefined));
  });
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const socket = connect({ port: rig.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.write(`GET / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
  // Cancelled on its way it would never be seen there.
  await reached;
  socket.end();
  const { received } = await ended(socket);
  await cancelled;
  assert.equal(received, '');
  const record = await rig.record('outbound');
  assert.deepEqual([record.status, record.reason], [499, 'caller-gone']);
});

test(
  'a call from outside goes through an edge, an import and an export under the identity of the edge',
  LIMIT,
  async () => {
    const seen: http.IncomingHttpHeaders[] = [];
    await using service = await http1Service((request, response) => {
      seen.push(request.headers);
      response.end('ok');
    });
    await using rig = await startRig([
      { name: 'web', protocol: 'http1', port: service.port },
      { name: 'hidden', protocol: 'http1', port: service.port, peers: ['other'] },
    ]);
    // What the mesh lets its workloads import does not open it to the edge: `who` names it, or not.
    const plans = new EdgePlans('front', DEFAULT_LIMITS, rig.importerDeps);
    await using edge = await listenPlaintext({
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      host: rig.listenHost,
      limits: DEFAULT_LIMITS,
      listenerFor: (protocol) => new EdgeCalls(plans, { protocol, remoteAddress: '192.0.2.7' }),
    });
    const port = edge.address.kind === 'tcp' ? edge.address.port : 0;
    const forged = {
      'jumpgate-caller': 'spiffe://us.test/admin',
      'x-forwarded-for': '6.6.6.6',
      'jumpgate-hops': 'eu.test',
    };
    const answer = await get(port, { headers: { host: 'web.outside.example.com', ...forged } });
    assert.deepEqual([answer.status, answer.body], [200, 'ok']);
    assert.equal(
      seen[0]?.['x-forwarded-client-cert'],
      'By=spiffe://eu.test/jumpgate;URI=spiffe://us.test/jumpgate/edge/front',
    );
    assert.deepEqual(
      [seen[0]['x-forwarded-for'], seen[0]['x-forwarded-host'], seen[0]['x-forwarded-proto']],
      ['192.0.2.7', 'web.outside.example.com', 'https'],
    );
    const hidden = await get(port, { headers: { host: 'hidden.outside.example.com' } });
    const unknown = await get(port, { headers: { host: 'unknown.outside.example.com' } });
    assert.deepEqual({ ...hidden }, { ...unknown });
    assert.deepEqual([hidden.status, hidden.headers['jumpgate-reason'], seen.length], [404, undefined, 1]);
    assert.deepEqual(rig.records.map(({ direction, caller, export: name }) => [direction, caller, name]).slice(0, 2), [
      ['inbound', 'spiffe://us.test/jumpgate/edge/front', 'web'],
      ['edge', 'spiffe://us.test/jumpgate/edge/front', 'web'],
    ]);
  },
);

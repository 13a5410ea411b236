/** Outbound listeners over mutual TLS and edges over public TLS, with real handshakes. */
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import https from 'node:https';
import { once } from 'node:events';
import { test } from 'node:test';

import { silentLog } from '../../base/log.ts';
import { Views } from '../../gateway/forward/view.ts';
import { openEdge } from '../../gateway/edge/listener.ts';
import { openOutboundListener } from '../../gateway/outbound/listener.ts';
import { ReplaceableSnapshot } from '../../federation/snapshot/source.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { http1Service, startRig } from '../support/forward-rig.ts';
import { bundleMap, pem, svidSource, testDomain } from '../support/trust.ts';

const LIMIT = { timeout: 20_000 };

test('an edge takes HTTP/1.1 and HTTP/2 over TLS', LIMIT, async () => {
  await using service = await http1Service((request, response) => response.end(request.headers['x-forwarded-proto']));
  await using rig = await startRig([{ name: 'web', protocol: 'http1', port: service.port }]);
  const credentials = pem(testDomain('edge.test').svid('/front'));
  const address = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
  await using edge = await openEdge({
    name: 'front',
    address,
    credentials,
    deps: rig.edgeDeps,
    host: rig.listenHost,
    log: silentLog,
  });
  const port = edge.address.kind === 'tcp' ? edge.address.port : 0;
  const tls = { port, host: '127.0.0.1', rejectUnauthorized: false, agent: false } as const;
  const status = await new Promise((resolve, reject) => {
    const request = https.get({ ...tls, headers: { host: 'web.example.com' } }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode));
    });
    request.on('error', reject);
  });
  assert.equal(status, 200);
  const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
  const stream = session.request({ ':path': '/', ':authority': 'web.example.com' });
  const [data] = (await once(stream, 'data')) as [Buffer];
  assert.equal(data.toString(), 'https');
  session.destroy();
});

test('a mutual-TLS outbound listener takes its caller from an SVID of our own domain and no other', LIMIT, async () => {
  const own = testDomain('eu.test');
  const other = testDomain('us.test');
  await using rig = await startRig([]);
  const snapshots = new ReplaceableSnapshot({ ...rig.edgeSnapshots.current(), bundles: bundleMap(own, other) });
  await using listener = await openOutboundListener({
    spec: { address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, caller: { kind: 'mutual-tls' } },
    deps: { ...rig.edgeDeps, views: new Views(snapshots) },
    host: rig.listenHost,
    snapshots,
    svid: svidSource(own.svid('/jumpgate')),
    log: silentLog,
  });
  const port = listener.address.kind === 'tcp' ? listener.address.port : 0;
  const ask = (svid?: X509Svid): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const options = {
        port,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        agent: false,
        headers: { host: 'x' },
      } as const;
      const request = https.get({ ...options, ...(svid === undefined ? {} : pem(svid)) }, (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode));
      });
      request.on('error', reject);
    });
  assert.equal(await ask(own.svid('/w')), 404);
  assert.equal((await rig.record('outbound')).caller, 'spiffe://eu.test/w');
  await assert.rejects(ask(other.svid('/w')));
  await assert.rejects(ask());
});

test('a live mutual-TLS connection is cut when the root behind its SVID is no longer ours', LIMIT, async () => {
  const own = testDomain('eu.test');
  const renewed = testDomain('eu.test');
  await using rig = await startRig([]);
  const trusting = { ...rig.edgeSnapshots.current(), trustDomain: own.trustDomain, bundles: bundleMap(own) };
  const snapshots = new ReplaceableSnapshot(trusting);
  await using listener = await openOutboundListener({
    spec: { address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, caller: { kind: 'mutual-tls' } },
    deps: { ...rig.edgeDeps, views: new Views(snapshots) },
    host: rig.listenHost,
    snapshots,
    svid: svidSource(own.svid('/jumpgate')),
    log: silentLog,
  });
  const port = listener.address.kind === 'tcp' ? listener.address.port : 0;
  const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, ...pem(own.svid('/w')) });
  session.on('error', () => undefined);
  const ask = async (): Promise<unknown> => {
    const stream = session.request({ ':path': '/', ':authority': 'x' });
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    stream.resume();
    return headers[':status'];
  };
  assert.equal(await ask(), 404);
  snapshots.replace({ ...trusting, mesh: 'the same trust' });
  assert.equal(await ask(), 404);
  const closed = once(session, 'close');
  snapshots.replace({ ...trusting, bundles: bundleMap(renewed) });
  await closed;
});

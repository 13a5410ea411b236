/** TLS to the last hop: whom a backend must prove to be, whom it sees, and what becomes of connections when that changes. */
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

import { asRecord } from '../../base/brand.ts';
import { systemClock } from '../../base/clock.ts';
import { type BackendTlsSpec } from '../../federation/resources/values.ts';
import { ReplaceableSnapshot } from '../../federation/snapshot/source.ts';
import { compileDistrust } from '../../trust-bundles/distrust/distrust.ts';
import { parseTarget } from '../../trust-bundles/distrust/target.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { certificatesToPem } from '../../trust-bundles/x509/pem.ts';
import { backendTls } from '../support/backend-tls.ts';
import { TEST_NOW_MS, testBundles, testRoot, testSvid } from '../support/certificates.ts';
import { get, type RigOptions, startRig } from '../support/forward-rig.ts';
import { euSnapshot } from '../support/forward-snapshots.ts';
import { until } from '../support/gateways.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { poolsOn, request, taken, waiting } from '../support/service-pool.ts';
import { https1Service, https2Service, type ServiceCredentials, tlsStreamService } from '../support/tls-service.ts';
import { bundleMap, bundleOf, pem, svidSource, testDomain } from '../support/trust.ts';
import { startTunnels, tcpService } from '../support/tunnel-rig.ts';

const LIMIT = { timeout: 30_000 };
const OURS = testDomain('eu.test');
const GATEWAY = 'spiffe://eu.test/jumpgate';
const SHOP = 'spiffe://eu.test/ns/shop/sa/shop';
const BY_ID: BackendTlsSpec = { trust: { kind: 'spiffe', id: parseSpiffeId(SHOP) }, sni: undefined };

function byName(anchors: readonly string[], sni?: string): BackendTlsSpec {
  return { trust: { kind: 'ca', file: '/ca.pem', anchors }, sni };
}

/** One call through both jumps to a service of these credentials: status, and the fields that it saw. */
async function call(
  credentials: ServiceCredentials,
  tls: BackendTlsSpec,
  protocol: 'http1' | 'http2' = 'http1',
  options: RigOptions = { eu: { bundles: bundleMap(OURS) } },
) {
  await using service = await (protocol === 'http1' ? https1Service : https2Service)(credentials);
  const svid = svidSource(OURS.svid('/jumpgate'));
  await using rig = await startRig([{ name: 'shop', protocol, port: service.port, tls }], { svid, ...options });
  const answer = await get(rig.port, { path: '/', headers: { host: 'shop.eu.mesh.internal' } });
  const seen = answer.status === 200 ? (asRecord(JSON.parse(answer.body)) ?? {}) : {};
  const { reason } = await rig.record('inbound');
  return { status: answer.status, reason, seen, clients: [...service.clients], names: [...service.names] };
}

for (const protocol of ['http1', 'http2'] as const) {
  test(`a backend over ${protocol} that proves its SPIFFE ID is called, and sees the gateway's`, LIMIT, async () => {
    const found = await call(pem(OURS.svid('/ns/shop/sa/shop')), BY_ID, protocol);
    assert.equal(found.status, 200);
    assert.deepEqual(found.clients, [GATEWAY], 'our SVID tells our identity header from a forged one');
    assert.equal(found.seen['x-forwarded-client-cert'], `By=${GATEWAY};URI=spiffe://us.test/ns/shop/sa/web`);
    if (protocol === 'http2') assert.equal(found.seen[':scheme'], 'https');
  });
}

const stranger = testDomain('eu.test');
for (const [who, credentials, options] of [
  ['of another identity', pem(OURS.svid('/ns/shop/sa/other')), undefined],
  ['whose identity another root vouches for', pem(stranger.svid('/ns/shop/sa/shop')), undefined],
  ['of a domain without a bundle', pem(OURS.svid('/ns/shop/sa/shop')), { eu: { bundles: new Map() } }],
  ['of another domain, whose bundle is known', pem(testDomain('us.test').svid('/ns/shop/sa/shop')), undefined],
] as const) {
  test(`a backend ${who} is sent no request`, LIMIT, async () => {
    const { status, reason, seen } = await call(credentials, BY_ID, 'http1', options);
    assert.deepEqual([status, reason, seen], [503, 'service-unavailable', {}]);
  });
}

test('a backend in the clear behind an export that wants TLS hears a ClientHello and no request', LIMIT, async () => {
  const heard: string[] = [];
  await using service = await tcpService((socket) => {
    socket.on('data', (bytes) => heard.push(bytes.subarray(0, 2).toString('hex')));
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
  });
  await using rig = await startRig([{ name: 'shop', protocol: 'http1', port: service.port, tls: BY_ID }], {
    svid: svidSource(OURS.svid('/jumpgate')),
    eu: { bundles: bundleMap(OURS) },
  });
  const answer = await get(rig.port, { path: '/', headers: { host: 'shop.eu.mesh.internal' } });
  assert.equal(answer.status, 503);
  assert.ok(heard.length > 0 && heard.every((start) => start === '1603' || start === '1503'), heard.join());
});

test(
  'under ca the backend must have the name that is dialled, or the one of sni, by these anchors alone',
  LIMIT,
  async () => {
    const valid = { notBeforeMs: systemClock.now() - 60_000, notAfterMs: systemClock.now() + 3_600_000 };
    const authority = testRoot('ca.test', valid);
    const anchors = [certificatesToPem([authority.certificate])];
    const named = pem(testSvid(authority, 'spiffe://ca.test/unused', { ...valid, uris: [], dns: ['shop.internal'] }));
    const good = await call(named, byName(anchors, 'shop.internal'));
    assert.deepEqual([good.status, good.clients, good.names], [200, [GATEWAY], ['shop.internal']]);
    assert.equal((await call(named, byName(anchors, 'other.internal'))).status, 503, 'another name');
    assert.equal((await call(named, byName(anchors))).status, 503, 'an address is no name of it');
    const leaf = new X509Certificate(named.cert).publicKey.export({ type: 'spki', format: 'der' });
    const tainted = new Set([createHash('sha256').update(leaf).digest('hex')]);
    const quarantined = await call(named, byName(anchors, 'shop.internal'), 'http1', { eu: { tainted } });
    assert.equal(quarantined.status, 503, 'a quarantined key');
    const others = [certificatesToPem([testRoot('ca.test', valid).certificate])];
    assert.equal((await call(named, byName(others, 'shop.internal'))).status, 503, 'other anchors');
    assert.equal(
      (await call(named, byName([], 'shop.internal'))).status,
      503,
      'no anchor is no trust, not the public roots',
    );
  },
);

test('a tunnel to a backend over TLS carries bytes both ways, and either half ends alone', LIMIT, async () => {
  await using service = await tlsStreamService(pem(OURS.svid('/ns/shop/sa/shop')), (socket) => {
    socket.write('hello\n');
    void text(socket).then((said) => socket.end(`heard ${said}`));
  });
  const backends = [{ host: '127.0.0.1', port: service.port, tls: BY_ID }];
  await using rig = await startTunnels([{ name: 'db', ports: [service.port], exported: { backends } }], {
    exporterSvid: svidSource(OURS.svid('/jumpgate')),
    eu: { bundles: bundleMap(OURS) },
  });
  const socket = connect(rig.port('db'), '127.0.0.1');
  socket.end('all I say');
  assert.equal(await text(socket), 'hello\nheard all I say');
  assert.deepEqual(service.clients, [GATEWAY]);
});

test('a tunnel to a backend that is not the one is refused, not hung', LIMIT, async () => {
  let bytes = 0;
  await using service = await tlsStreamService(pem(OURS.svid('/ns/shop/sa/other')), (socket) => {
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
  });
  const backends = [{ host: '127.0.0.1', port: service.port, tls: BY_ID }];
  await using rig = await startTunnels([{ name: 'db', ports: [service.port], exported: { backends } }], {
    exporterSvid: svidSource(OURS.svid('/jumpgate')),
    eu: { bundles: bundleMap(OURS) },
  });
  const socket = connect(rig.port('db'), '127.0.0.1');
  socket.write('secret');
  await assert.rejects(text(socket), { code: 'ECONNRESET' });
  assert.equal((await rig.record('inbound')).reason, 'service-unavailable');
  assert.equal(bytes, 0);
});

test(
  'a connection whose root leaves the bundle is cut at once, and so is one whose backend is quarantined',
  LIMIT,
  async () => {
    const second = testDomain('eu.test');
    const both = bundleOf(OURS.trustDomain, [OURS.root, second.root]);
    const services = [OURS, second].map((domain) =>
      tlsStreamService(pem(domain.svid('/ns/shop/sa/shop')), (socket) =>
        socket.resume().once('end', () => socket.destroy()),
      ),
    );
    await using first = await services[0]!;
    await using other = await services[1]!;
    const tunnelTo = (name: string, port: number) => {
      return { name, ports: [port], exported: { backends: [{ host: '127.0.0.1', port, tls: BY_ID }] } };
    };
    const bundles = new Map([[OURS.trustDomain, both]]);
    await using rig = await startTunnels([tunnelTo('first', first.port), tunnelTo('other', other.port)], {
      exporterSvid: svidSource(OURS.svid('/jumpgate')),
      eu: { bundles },
    });
    const sockets = ['first', 'other'].map((name) => connect(rig.port(name), '127.0.0.1').on('error', () => undefined));
    await until('both tunnels', () => first.sockets.size === 1 && other.sockets.size === 1);
    const now = rig.snapshots.eu.current();
    const left = new Map([[OURS.trustDomain, bundleOf(OURS.trustDomain, [OURS.root], 2n)]]);
    rig.snapshots.eu.replace({ ...now, bundles: left, generations: { ...now.generations, trust: 2 } });
    await until('the cut', () => other.sockets.size === 0);
    assert.equal(first.sockets.size, 1);
    const quarantine = compileDistrust([parseTarget('spiffe', SHOP)]);
    const distrusting = { distrust: quarantine, generations: { ...now.generations, trust: 3 } };
    rig.snapshots.eu.replace({ ...rig.snapshots.eu.current(), ...distrusting });
    await until('the quarantine to cut it', () => first.sockets.size === 0);
    for (const socket of sockets) socket.destroy();
  },
);

test(
  'a connection takes no new calls once the proof of its backend, or the SVID that it showed, is over',
  LIMIT,
  async () => {
    const clock = new ManualClock(TEST_NOW_MS);
    const root = testRoot('eu.test');
    // Sooner than a connection that rests would be closed anyway.
    await using service = await https1Service(pem(testSvid(root, SHOP, { notAfterMs: TEST_NOW_MS + 2_000 })));
    const shown = svidSource(testSvid(root, GATEWAY));
    const snapshots = new ReplaceableSnapshot({ ...euSnapshot([]), bundles: testBundles(root) });
    const { exports } = euSnapshot([{ name: 'shop', protocol: 'http1', port: service.port, tls: BY_ID }]);
    const exported = exports.get('shop');
    assert.ok(exported);
    const { pools } = poolsOn(clock, backendTls(clock, shown, snapshots));
    using held = new DisposableStack();
    held.use(pools);
    const first = await taken(pools, exported);
    assert.equal(await request(first), 'data');
    assert.equal((await taken(pools, exported)).connection, first.connection, 'it is used again');
    shown.rotate(testSvid(root, GATEWAY));
    pools.keep(exports);
    const second = await taken(pools, exported);
    assert.notEqual(second.connection, first.connection, 'the new SVID is shown');
    await until('the old connection to end', () => service.sockets.size === 1);
    clock.advance(1_999);
    assert.equal(pools.take(exported, [])?.connection, second.connection);
    clock.advance(1);
    assert.equal(pools.take(exported, []), undefined);
    clock.advance(1);
    const { waiter, told } = waiting();
    pools.wait(exported, waiter);
    assert.equal(await told, 'unreachable', 'nor does another, whose certificate has expired');
  },
);

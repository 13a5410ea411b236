/** The X.509-SVID profile of the Workload API, over a real socket: each WS line that it is about. */
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import test from 'node:test';

import { JumpgateError } from '../../base/errors.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import {
  FETCH_WIT_BUNDLES,
  FETCH_WIT_SVID,
  FETCH_X509_BUNDLES,
  FETCH_X509_SVID,
} from '../../trust-bundles/workload-api-proto/methods.ts';
import { until } from '../support/gateways.ts';
import { testDomain } from '../support/trust.ts';
import { callWorkloadApi, endText, serveTestWorkload, SPREAD_MS, TTL_MS } from '../support/workload-api.ts';

const HEADER_EXPECTED =
  'INVALID_ARGUMENT: expected the metadata workload.spiffe.io: true, which only a client of this API sends';

test('WS-1, WS-3: SVIDs come over a Unix socket, without TLS and without any credential', async () => {
  await using rig = await serveTestWorkload();
  assert.ok(statSync(rig.path).isSocket());
  using caller = callWorkloadApi(rig.path);
  const { svids } = await caller.stream(FETCH_X509_SVID, {}).next();
  assert.equal(svids[0]?.spiffeId, rig.id);
});

test('WS-2: a call without the header, or with another value, is refused InvalidArgument, and nothing is issued', async () => {
  await using rig = await serveTestWorkload();
  const values: readonly Readonly<Record<string, string>>[] = [
    {},
    { 'workload.spiffe.io': '' },
    { 'workload.spiffe.io': 'True' },
    { 'workload.spiffe.io': 'TRUE' },
    { 'workload.spiffe.io': '1' },
    { 'workload.spiffe.io': 'true, true' },
    { 'x-workload.spiffe.io': 'true' },
  ];
  for (const header of values) {
    using caller = callWorkloadApi(rig.path, header);
    for (const stream of [caller.stream(FETCH_X509_SVID, {}), caller.stream(FETCH_X509_BUNDLES, {})])
      assert.equal(endText(await stream.ended), HEADER_EXPECTED, JSON.stringify(header));
  }
  assert.equal(rig.issued.length, 0);
});

test('WS-4: the WIT-SVID profile is Unimplemented', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  for (const stream of [caller.stream(FETCH_WIT_SVID, {}), caller.stream(FETCH_WIT_BUNDLES, {})])
    assert.equal((await stream.ended).status, 'UNIMPLEMENTED');
});

test('WS-6: the first message comes without delay, and each is the whole state', async () => {
  await using rig = await serveTestWorkload();
  const eu = testDomain('eu.test', rig.clock.now());
  const asia = testDomain('asia.test', rig.clock.now());
  rig.federated = [eu.bundle];
  using caller = callWorkloadApi(rig.path);
  const stream = caller.stream(FETCH_X509_SVID, {});
  // The clock stands still: whatever waited would never come.
  const first = await stream.next();
  assert.deepEqual(Object.keys(first.federatedBundles), ['spiffe://eu.test']);
  rig.federated = [eu.bundle, asia.bundle];
  rig.changed();
  rig.clock.advance(SPREAD_MS);
  const second = await stream.next();
  assert.deepEqual(Object.keys(second.federatedBundles), ['spiffe://eu.test', 'spiffe://asia.test']);
  assert.deepEqual(second.svids, first.svids);
  rig.federated = [];
  rig.changed();
  rig.clock.advance(SPREAD_MS);
  assert.deepEqual((await stream.next()).federatedBundles, {});
});

test('WS-6: what follows half of the SVID\u2019s life is another SVID with another key, as long as somebody listens', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  const stream = caller.stream(FETCH_X509_SVID, {});
  const [first] = (await stream.next()).svids;
  rig.clock.advance(TTL_MS / 2 - 1);
  assert.equal(rig.issued.length, 1);
  rig.clock.advance(1 + SPREAD_MS);
  const [second] = (await stream.next()).svids;
  assert.notDeepEqual(second?.x509Svid, first?.x509Svid);
  assert.notDeepEqual(second?.x509SvidKey, first?.x509SvidKey);
  stream.cancel();
  await until('the stream is gone', () => rig.server.streams() === 0);
  rig.clock.advance(3 * TTL_MS);
  assert.equal(rig.issued.length, 2);
});

test('WS-6: pushes to many are spread over two seconds, and the newest state is what arrives', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  const streams = Array.from({ length: 40 }, () => caller.stream(FETCH_X509_BUNDLES, {}));
  await Promise.all(streams.map((stream) => stream.next()));
  const timersBefore = rig.clock.pending;
  rig.federated = [testDomain('eu.test', rig.clock.now()).bundle];
  rig.changed();
  rig.federated = [testDomain('asia.test', rig.clock.now()).bundle];
  rig.changed();
  assert.equal(rig.clock.pending, timersBefore + streams.length);
  rig.clock.advance(SPREAD_MS / 2);
  const left = rig.clock.pending - timersBefore;
  assert.ok(left > 0 && left < streams.length * 2, `${left} of ${streams.length} pushes wait`);
  rig.clock.advance(SPREAD_MS / 2);
  for (const stream of streams) {
    assert.deepEqual(Object.keys((await stream.next()).bundles), ['spiffe://us.test', 'spiffe://asia.test']);
  }
});

test('WS-6: a change that changes nothing of the state is not told', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  const stream = caller.stream(FETCH_X509_BUNDLES, {});
  await stream.next();
  const timersBefore = rig.clock.pending;
  rig.ownBundle = { ...rig.ownBundle, sequence: 9n };
  rig.changed();
  assert.equal(rig.clock.pending, timersBefore);
});

test('WS-6: another signer replaces the SVID', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  const stream = caller.stream(FETCH_X509_SVID, {});
  const [first] = (await stream.next()).svids;
  rig.signer = 'second';
  rig.changed();
  rig.clock.advance(SPREAD_MS);
  assert.notDeepEqual((await stream.next()).svids[0]?.x509Svid, first?.x509Svid);
});

test('WS-7: an identity that gets nothing is PermissionDenied, at once on streams that are open, and is served again after', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  const open = [caller.stream(FETCH_X509_SVID, {}), caller.stream(FETCH_X509_BUNDLES, {})];
  await Promise.all(open.map((stream) => stream.next()));
  rig.refusal = 'it is quarantined';
  rig.changed();
  const expected = `PERMISSION_DENIED: no identity for ${rig.id}: it is quarantined`;
  for (const stream of open) assert.equal(endText(await stream.ended), expected);
  assert.equal(endText(await caller.stream(FETCH_X509_SVID, {}).ended), expected);
  rig.refusal = undefined;
  rig.changed();
  assert.equal((await caller.stream(FETCH_X509_SVID, {}).next()).svids.length, 1);
});

test('WS-7: whoever asks before SVIDs can be issued hears Unavailable, and nothing of why', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  rig.failure = new JumpgateError('no-root', 'the root is in /secret/place', { source: 'local', retry: 'later' });
  assert.equal(endText(await caller.stream(FETCH_X509_SVID, {}).ended), 'UNAVAILABLE: the server cannot answer now');
  rig.failure = undefined;
  assert.equal((await caller.stream(FETCH_X509_SVID, {}).next()).svids.length, 1);
  rig.ownBundle = { ...rig.ownBundle, x509Authorities: [] };
  assert.equal((await caller.stream(FETCH_X509_BUNDLES, {}).ended).status, 'UNAVAILABLE');
});

test('WS-7: a renewal that fails leaves the SVID in use until it ends', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  const stream = caller.stream(FETCH_X509_SVID, {});
  await stream.next();
  rig.failure = new JumpgateError('disk-full', 'no', { source: 'local', retry: 'later' });
  rig.clock.advance(TTL_MS - 1);
  assert.equal((await caller.stream(FETCH_X509_SVID, {}).next()).svids.length, 1);
  rig.clock.advance(2 * SPREAD_MS);
  assert.equal((await stream.ended).status, 'UNAVAILABLE');
});

test('WS-8: there is one SVID, with its hint, its chain in DER, its key in PKCS#8 and a bundle that verifies it', async () => {
  await using rig = await serveTestWorkload({ hint: 'internal' });
  using caller = callWorkloadApi(rig.path);
  const { svids } = await caller.stream(FETCH_X509_SVID, {}).next();
  const [svid, ...more] = svids;
  assert.ok(svid !== undefined && more.length === 0);
  assert.equal(svid.hint, 'internal');
  const leaf = new X509Certificate(svid.x509Svid);
  const key = createPrivateKey({ key: Buffer.from(svid.x509SvidKey), format: 'der', type: 'pkcs8' });
  assert.ok(leaf.publicKey.equals(createPublicKey(key)));
  assert.deepEqual(Buffer.from(svid.bundle), Buffer.from(rig.own.root.certificate));
  const bundles = new Map([[rig.own.trustDomain, rig.own.bundle]]);
  const trust = { bundles, tainted: new Set<string>() };
  const verdict = verifySvid({ chain: [svid.x509Svid], trust, role: 'client', nowMs: rig.clock.now() });
  assert.equal(verdict.kind === 'verified' ? verdict.id : verdict.code, rig.id);
});

test('WS-9: X.509 bundles hold our own domain and those it may know, by the domain\u2019s SPIFFE ID; an empty one is left out', async () => {
  await using rig = await serveTestWorkload();
  const eu = testDomain('eu.test', rig.clock.now());
  const gone = { ...testDomain('gone.test', rig.clock.now()).bundle, x509Authorities: [] };
  rig.federated = [eu.bundle, gone];
  using caller = callWorkloadApi(rig.path);
  const { bundles } = await caller.stream(FETCH_X509_BUNDLES, {}).next();
  assert.deepEqual(Object.keys(bundles), ['spiffe://us.test', 'spiffe://eu.test']);
  assert.deepEqual(Buffer.from(bundles['spiffe://eu.test'] ?? []), Buffer.from(eu.root.certificate));
  const { federatedBundles } = await caller.stream(FETCH_X509_SVID, {}).next();
  assert.deepEqual(Object.keys(federatedBundles), ['spiffe://eu.test']);
});

test('streams end Unavailable when the server stops, and the socket is gone', async () => {
  const rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  const stream = caller.stream(FETCH_X509_SVID, {});
  await stream.next();
  await rig[Symbol.asyncDispose]();
  assert.equal((await stream.ended).status, 'UNAVAILABLE');
  assert.equal(statSync(rig.path, { throwIfNoEntry: false }), undefined);
});

/** What is remembered of a chain that was verified before never decides more than its signatures did. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type TrustStore } from '../../trust-bundles/verify/trust-store.ts';
import { type Verification } from '../../trust-bundles/verify/verified-identity.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { chainKey, Vouched, vouchedBy } from '../../trust-bundles/verify/vouched.ts';
import { keyFingerprintOf, readCertificate } from '../../trust-bundles/x509/certificate.ts';
import {
  oids,
  TEST_NOW_MS,
  testBundle,
  testBundles,
  testIntermediate,
  testKeys,
  testRoot,
  testSvid,
} from '../support/certificates.ts';

const root = testRoot('a.test');
const intermediate = testIntermediate(root);
const { chain } = testSvid(intermediate, 'spiffe://a.test/w');
const ID = 'spiffe://a.test/w';

function trustIn(bundles = testBundles(root), tainted: readonly string[] = []): TrustStore {
  return { bundles, tainted: new Set(tainted) };
}

function check(
  trust: TrustStore,
  change: { readonly of?: readonly Uint8Array[]; readonly nowMs?: number; readonly role?: 'client' | 'server' } = {},
): string {
  const { of = chain, nowMs = TEST_NOW_MS, role = 'client' } = change;
  const verdict: Verification = verifySvid({ chain: of, trust, role, nowMs });
  return verdict.kind === 'verified' ? 'verified' : verdict.code;
}

test('a chain that was verified before gives the same identity, with the chain that was sent now', () => {
  const trust = trustIn();
  const first = verifySvid({ chain, trust, role: 'client', nowMs: TEST_NOW_MS });
  const copy = chain.map((der) => Uint8Array.from(der));
  const again = verifySvid({ chain: copy, trust, role: 'client', nowMs: TEST_NOW_MS });
  assert.deepEqual(again, first);
  assert.equal(again.kind === 'verified' && again.chain, copy);
  const bundle = trust.bundles.get(root.trustDomain);
  assert.ok(bundle !== undefined);
  assert.notEqual(vouchedBy(bundle).find(chainKey(chain, 'client')), undefined);
  assert.equal(vouchedBy(bundle).find(chainKey(chain, 'server')), undefined);
});

test('a chain that was verified before is refused when it has expired since, and before it is valid', () => {
  const trust = trustIn();
  const [leaf = new Uint8Array()] = chain;
  const { notBeforeMs, notAfterMs } = readCertificate(leaf);
  assert.equal(check(trust), 'verified');
  assert.equal(check(trust, { nowMs: notAfterMs + 1 }), 'expired');
  assert.equal(check(trust, { nowMs: notBeforeMs - 60_001 }), 'not-yet-valid');
  assert.equal(check(trust, { nowMs: notAfterMs }), 'verified');
});

test('a chain that was verified before is refused when one of its keys has been tainted since', () => {
  const bundles = testBundles(root);
  assert.equal(check(trustIn(bundles)), 'verified');
  for (const der of [...chain, root.certificate]) {
    const key = keyFingerprintOf(readCertificate(der));
    assert.equal(check(trustIn(bundles, [key])), 'key-tainted');
  }
  assert.equal(check(trustIn(bundles)), 'verified');
});

test('a chain that was verified before is refused when the bundle is another, is empty or has gone', () => {
  assert.equal(check(trustIn()), 'verified');
  assert.equal(check(trustIn(testBundles(testRoot('a.test')))), 'not-vouched-for');
  const empty = testBundle([root], { x509Authorities: [] });
  assert.equal(check(trustIn(new Map([[root.trustDomain, empty]]))), 'empty-bundle');
  assert.equal(check(trustIn(new Map())), 'unknown-trust-domain');
});

test('one role does not vouch for the other', () => {
  const trust = trustIn(testBundles(root));
  const { chain: of } = testSvid(testIntermediate(root, { extendedKeyUsage: [oids.clientAuth] }), ID);
  assert.equal(check(trust, { of }), 'verified');
  assert.equal(check(trust, { of, role: 'server' }), 'extended-key-usage');
});

test('another leaf over the same intermediate, a chain cut elsewhere and a changed octet are other chains', () => {
  const trust = trustIn();
  assert.equal(check(trust), 'verified');
  const [leaf = new Uint8Array(), upper = new Uint8Array()] = chain;
  const changed = Uint8Array.from(leaf);
  changed[changed.length - 1]! ^= 1;
  assert.equal(check(trust, { of: [changed, upper] }), 'not-vouched-for');
  assert.equal(check(trust, { of: [leaf] }), 'not-vouched-for');
  assert.equal(check(trust, { of: [Buffer.concat([leaf, upper])] }), 'certificate-malformed');
  const cut = [Buffer.concat([leaf, upper.subarray(0, 1)]), upper.subarray(1)];
  assert.notEqual(chainKey(cut, 'client'), chainKey(chain, 'client'));
});

test('when the anchor of a remembered path has expired, another anchor of the same key is found', () => {
  const same = { keys: testKeys(), commonName: 'one ca, two certificates' };
  const short = testRoot('a.test', { ...same, notAfterMs: TEST_NOW_MS + 1_000 });
  const long = testRoot('a.test', same);
  const trust = trustIn(new Map([[root.trustDomain, testBundle([short, long])]]));
  const { chain: of } = testSvid(short, ID);
  const by = (nowMs: number): string | undefined => {
    const verdict = verifySvid({ chain: of, trust, role: 'client', nowMs });
    return verdict.kind === 'verified' ? verdict.anchorFingerprint : verdict.code;
  };
  assert.equal(by(TEST_NOW_MS), short.fingerprint);
  assert.equal(by(TEST_NOW_MS + 1_001), long.fingerprint);
  assert.equal(check(trustIn(testBundles(short)), { of, nowMs: TEST_NOW_MS + 1_001 }), 'expired');
});

test('what refused is not remembered, and of what held the oldest goes when there are 1,025', () => {
  const bundle = testBundle([root]);
  const trust = trustIn(new Map([[root.trustDomain, bundle]]));
  const foreign = testSvid(testRoot('a.test'), ID).chain;
  assert.equal(check(trust, { of: foreign }), 'not-vouched-for');
  assert.equal(vouchedBy(bundle).find(chainKey(foreign, 'client')), undefined);
  const vouched = new Vouched(bundle);
  assert.equal(check(trust), 'verified');
  const proof = vouchedBy(bundle).find(chainKey(chain, 'client'));
  assert.ok(proof !== undefined);
  for (let index = 0; index < 1_025; index += 1) vouched.keep(String(index), proof);
  assert.equal(vouched.find('0'), undefined);
  assert.equal(vouched.find('1'), proof);
  assert.equal(vouched.find('1024'), proof);
});

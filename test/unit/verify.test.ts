/** The verifier against honest and hostile chains: spiffe.md XV-1 to XV-10, security.md A1, A7 to A10, A14. */
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { suite, test } from 'node:test';

import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { type Verification } from '../../trust-bundles/verify/verified-identity.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { createRoot, issueSvid } from '../../trust-bundles/x509/issue.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import {
  type CertificateOverrides,
  oids,
  TEST_NOW_MS,
  type TestAuthority,
  testBundle,
  testBundles,
  testIntermediate,
  testKeys,
  testRoot,
  testSvid,
  usage,
} from '../support/certificates.ts';
import { der, derBits, derOidOf, derSequenceOf } from '../support/der-writer.ts';

const ID = 'spiffe://a.test/ns/shop/sa/web';
const rootA = testRoot('a.test');
const rootB = testRoot('b.test');
const both = testBundles(rootA, rootB);

function check(
  chain: readonly Uint8Array[],
  bundles: ReadonlyMap<TrustDomain, Bundle> = both,
  options: { role?: 'client' | 'server'; nowMs?: number; tainted?: ReadonlySet<string> } = {},
): Verification {
  return verifySvid({
    chain,
    trust: { bundles, tainted: options.tainted ?? new Set() },
    role: options.role ?? 'client',
    nowMs: options.nowMs ?? TEST_NOW_MS,
  });
}

function outcome(verification: Verification): string {
  return verification.kind === 'verified' ? 'verified' : verification.code;
}

function leafOutcome(overrides: CertificateOverrides, root: TestAuthority = rootA, id = ID): string {
  return outcome(check(testSvid(root, id, overrides).chain, testBundles(root, rootB)));
}

test('XV-8: an honest SVID is verified, with its domain, its anchor, its chain and the earliest end', () => {
  const svid = testSvid(rootA, ID);
  const verification = check(svid.chain);
  assert.equal(verification.kind, 'verified');
  assert.equal(verification.id, ID);
  assert.equal(verification.trustDomain, 'a.test');
  assert.equal(verification.anchorFingerprint, rootA.fingerprint);
  assert.equal(verification.expiresAtMs, svid.notAfterMs);
  assert.deepEqual(verification.chain, svid.chain);
});

test('XI-8: what the embedded CA issues is verified in both roles', () => {
  const trustDomain = parseTrustDomain('a.test');
  const root = createRoot({ trustDomain, nowMs: TEST_NOW_MS, ttlMs: 86_400_000 });
  const svid = issueSvid({ root, id: parseSpiffeId(ID), nowMs: TEST_NOW_MS, ttlMs: 3_600_000 });
  const authority = { der: root.certificate, fingerprint: root.fingerprint };
  const bundles = new Map([[trustDomain, { ...testBundle([rootA]), x509Authorities: [authority] }]]);
  assert.equal(outcome(check(svid.chain, bundles)), 'verified');
  assert.equal(outcome(check(svid.chain, bundles, { role: 'server' })), 'verified');
});

test("XV-9 A1: a leaf that names domain A but is signed by B's root is refused although both bundles are loaded", () => {
  assert.equal(outcome(check(testSvid(rootB, ID).chain)), 'not-vouched-for');
});

test('XV-8 XV-10: a domain without a bundle is unknown, and an empty bundle revokes everything', () => {
  const chain = testSvid(rootA, ID).chain;
  assert.equal(outcome(check(chain, testBundles(rootB))), 'unknown-trust-domain');
  const mislabelled = new Map([[rootA.trustDomain, testBundle([rootA], { trustDomain: rootB.trustDomain })]]);
  assert.equal(outcome(check(chain, mislabelled)), 'unknown-trust-domain');
  const empty = new Map([[rootA.trustDomain, testBundle([rootA], { x509Authorities: [] })]]);
  assert.equal(outcome(check(chain, empty)), 'empty-bundle');
});

test('XV-1: a root that copies name and key identifier of another does not lock the honest one out, in either order', () => {
  const copy = testRoot('a.test', { commonName: 'same', subjectKeyId: '01' });
  const honest = testRoot('a.test', { commonName: 'same', subjectKeyId: '01' });
  const chain = testSvid(honest, ID).chain;
  for (const roots of [
    [copy, honest],
    [honest, copy],
  ]) {
    assert.equal(outcome(check(chain, new Map([[honest.trustDomain, testBundle(roots)]]))), 'verified');
  }
  assert.equal(outcome(check(chain, testBundles(copy))), 'not-vouched-for');
});

test('a wrong authority key identifier is a hint and does not decide', () => {
  assert.equal(leafOutcome({ authorityKeyId: 'ffff' }), 'verified');
  assert.equal(leafOutcome({ authorityKeyId: null }), 'verified');
});

test('XV-2 A7: a leaf that is a CA is refused, whatever else it may be used for', () => {
  assert.equal(leafOutcome({ ca: true }), 'leaf-constraints');
  assert.equal(leafOutcome({ ca: true, commonName: 'web' }), 'leaf-constraints');
  assert.equal(leafOutcome({ ca: false }), 'verified');
});

test('XI-10: a certificate that signs others authenticates nobody, also with an ID that has a path', () => {
  assert.equal(outcome(check([rootA.certificate])), 'spiffe-id-malformed');
  const signing = testIntermediate(rootA, { uris: [ID], keyUsage: usage.digitalSignature | usage.keyCertSign });
  assert.equal(outcome(check([signing.certificate])), 'leaf-constraints');
});

test('XV-3 A7: a leaf that may sign certificates or revocation lists is refused', () => {
  assert.equal(leafOutcome({ keyUsage: usage.digitalSignature | usage.keyCertSign }), 'leaf-constraints');
  assert.equal(leafOutcome({ keyUsage: usage.digitalSignature | usage.crlSign }), 'leaf-constraints');
  assert.equal(leafOutcome({ permittedUris: ['a.test'] }), 'leaf-constraints');
});

test('A7 XV-7: a leaf without critical key usage or without digitalSignature is refused, further leaf bits are not', () => {
  assert.equal(leafOutcome({ keyUsage: null }), 'leaf-constraints');
  assert.equal(leafOutcome({ keyUsageCritical: false }), 'leaf-constraints');
  assert.equal(leafOutcome({ keyUsage: 0x20 }), 'leaf-constraints');
  assert.equal(leafOutcome({ keyUsage: usage.digitalSignature | 0x20 | 0x08 }), 'verified');
});

test('XV-6 XV-7 A8 A9: a leaf has exactly one URI name and any number of others', () => {
  assert.equal(leafOutcome({ uris: [ID, 'spiffe://a.test/other'] }), 'leaf-names');
  assert.equal(leafOutcome({ uris: [ID, 'https://a.test/'] }), 'leaf-names');
  assert.equal(leafOutcome({ uris: [], dns: ['a.test'], commonName: ID }), 'leaf-names');
  assert.equal(leafOutcome({ uris: [], commonName: ID }), 'leaf-names');
  assert.equal(leafOutcome({ dns: ['web.shop.internal'] }), 'verified');
  assert.equal(leafOutcome({ commonName: 'web' }), 'verified');
  assert.equal(leafOutcome({ sanCritical: false }), 'leaf-names');
});

for (const [line, id] of [
  ['XV-4', 'https://a.test/w'],
  ['XV-4', 'SPIFFE://a.test/w'],
  ['XV-4', ''],
  ['XV-5 A10', 'spiffe://a.test'],
  ['XV-5 A10', 'spiffe://a.test/'],
  ['A10', 'spiffe://a.test:443/w'],
  ['A10', 'spiffe://a.test:/w'],
  ['A10', 'spiffe://user@a.test/w'],
  ['A10', 'spiffe://a.test/w?x=1'],
  ['A10', 'spiffe://a.test/w?'],
  ['A10', 'spiffe://a.test/w#'],
  ['A10', 'spiffe://a.test/%77'],
  ['A10', 'spiffe://a.test/a/../w'],
  ['A10', 'spiffe://a.test//w'],
  ['A10', 'spiffe://a.test/w/'],
  ['A10', 'spiffe://A.test/w'],
  ['A10', 'spiffe:///w'],
  ['A10', 'spiffe://a.test/w\u0000'],
  ['A10', 'spiffe://a.test/\u00fc'],
  ['A10', `spiffe://${'a'.repeat(256)}/w`],
] as const) {
  test(`${line}: a leaf with the URI ${JSON.stringify(id.slice(0, 40))} is refused`, () => {
    assert.equal(leafOutcome({ uris: [id] }), 'spiffe-id-malformed');
  });
}

test('A10: an ID of 2,048 octets is accepted, one of 2,049 is not', () => {
  const id = `spiffe://a.test/${'a'.repeat(2048 - 'spiffe://a.test/'.length)}`;
  assert.equal(leafOutcome({}, rootA, id), 'verified');
  assert.equal(leafOutcome({}, rootA, `${id}a`), 'spiffe-id-malformed');
});

test('A13 XV-7: extended key usage, if there is any, names the role', () => {
  const serverOnly = testSvid(rootA, ID, { extendedKeyUsage: [oids.serverAuth] }).chain;
  assert.equal(outcome(check(serverOnly, both, { role: 'client' })), 'extended-key-usage');
  assert.equal(outcome(check(serverOnly, both, { role: 'server' })), 'verified');
  assert.equal(leafOutcome({ extendedKeyUsage: null }), 'verified');
  assert.equal(leafOutcome({ extendedKeyUsage: [oids.codeSigning] }), 'extended-key-usage');
  assert.equal(leafOutcome({}, testRoot('a.test', { extendedKeyUsage: [oids.serverAuth] })), 'extended-key-usage');
});

test('A4 A5: the clock has 60 s of tolerance before notBefore and none after notAfter', () => {
  const { chain } = testSvid(rootA, ID, { notBeforeMs: TEST_NOW_MS, notAfterMs: TEST_NOW_MS + 60_000 });
  const at = (nowMs: number): string => outcome(check(chain, both, { nowMs }));
  assert.equal(at(TEST_NOW_MS - 60_001), 'not-yet-valid');
  assert.equal(at(TEST_NOW_MS - 60_000), 'verified');
  assert.equal(at(TEST_NOW_MS + 60_000), 'verified');
  assert.equal(at(TEST_NOW_MS + 60_001), 'expired');
});

test('A5: an expired leaf, intermediate or authority is refused, and the reason names which', () => {
  const reason = (root: TestAuthority, leaf: CertificateOverrides, issuer = root): string => {
    const verification = check(testSvid(issuer, ID, leaf).chain, testBundles(root));
    assert.equal(verification.kind, 'rejected');
    assert.equal(verification.code, 'expired');
    return verification.message.split(' has expired')[0] ?? '';
  };
  const ended = { notAfterMs: TEST_NOW_MS - 1000 };
  assert.equal(reason(rootA, ended), 'the leaf');
  assert.equal(reason(rootA, {}, testIntermediate(rootA, ended)), 'an intermediate certificate');
  assert.equal(reason(testRoot('a.test', ended), {}), 'the authority that vouches');
});

test('XV-1: a chain over intermediates is verified, and ends with the earliest of its certificates', () => {
  const upper = testIntermediate(rootA);
  const lower = testIntermediate(upper, { notAfterMs: TEST_NOW_MS + 5_000 });
  const { chain } = testSvid(lower, ID);
  assert.equal(chain.length, 3);
  const verification = check(chain);
  assert.equal(verification.kind, 'verified');
  assert.equal(verification.expiresAtMs, TEST_NOW_MS + 5_000);
  assert.equal(outcome(check([...chain, rootA.certificate])), 'verified');
  assert.equal(outcome(check(chain.slice(0, 1))), 'not-vouched-for');
  assert.equal(outcome(check(chain.slice(0, 2))), 'not-vouched-for');
});

test('XV-1: an intermediate in the bundle is an anchor although it is not self-signed', () => {
  const intermediate = testIntermediate(rootA);
  assert.equal(outcome(check(testSvid(intermediate, ID).chain, testBundles(intermediate))), 'verified');
});

test('XV-1 XI-4 XI-7: an issuer that is no CA, may not sign, or is too deep is refused', () => {
  const through = (overrides: CertificateOverrides, root = rootA): string =>
    outcome(check(testSvid(testIntermediate(root, overrides), ID).chain, testBundles(root)));
  assert.equal(through({}), 'verified');
  assert.equal(through({ ca: null }), 'ca-constraints');
  assert.equal(through({ ca: false }), 'ca-constraints');
  assert.equal(through({ keyUsage: usage.digitalSignature }), 'ca-constraints');
  assert.equal(through({ keyUsage: null }), 'ca-constraints');
  assert.equal(through({}, testRoot('a.test', { pathLength: 0 })), 'ca-constraints');
  assert.equal(through({}, testRoot('a.test', { pathLength: 1 })), 'verified');
});

test('XV-1: a workload cannot issue: a leaf as issuer is refused', () => {
  const workload = testSvid(rootA, 'spiffe://a.test/thief');
  const asIssuer: TestAuthority = {
    ...rootA,
    certificate: workload.chain[0]!,
    key: workload.key,
    subject: derSequenceOf(),
    intermediates: workload.chain,
  };
  // Its subject is empty, and an empty issuer does not even parse.
  assert.equal(outcome(check(testSvid(asIssuer, ID).chain)), 'certificate-malformed');
  const named = testIntermediate(rootA, {
    ca: null,
    keyUsage: usage.digitalSignature,
    uris: ['spiffe://a.test/thief'],
  });
  assert.equal(outcome(check(testSvid(named, ID).chain)), 'ca-constraints');
});

test('XI-9: an issuer with the identity of another trust domain is refused', () => {
  const foreign = testIntermediate(rootA, { uris: ['spiffe://b.test'] });
  assert.equal(outcome(check(testSvid(foreign, ID).chain)), 'foreign-authority');
  assert.equal(leafOutcome({}, testRoot('a.test', { uris: ['spiffe://b.test'] })), 'foreign-authority');
  assert.equal(leafOutcome({}, testRoot('a.test', { uris: [] })), 'verified');
});

test('XV-1 XI-11 A13: URI name constraints are enforced, and constraints that are not understood refuse what they touch', () => {
  const under = (overrides: CertificateOverrides, leaf: CertificateOverrides = {}): string =>
    leafOutcome(leaf, testRoot('a.test', { uris: [], ...overrides }));
  assert.equal(under({ permittedUris: ['a.test'] }), 'verified');
  assert.equal(under({ permittedUris: ['b.test'] }), 'name-constraints');
  assert.equal(under({ permittedUris: ['.a.test'] }), 'name-constraints');
  assert.equal(under({ permittedUris: ['.test'] }), 'verified');
  assert.equal(under({ excludedUris: ['a.test'] }), 'name-constraints');
  assert.equal(under({ excludedUris: ['b.test'] }), 'verified');
  assert.equal(under({ permittedDns: ['a.test'] }), 'verified');
  assert.equal(under({ permittedDns: ['a.test'] }, { dns: ['a.test'] }), 'name-constraints');
});

test('XV-1: an unknown critical extension anywhere on the path is refused, an uncritical one is not', () => {
  const extension = (critical: boolean): CertificateOverrides => ({
    extraExtensions: [{ oid: '1.3.6.1.4.1.99999.1', critical, value: der(0x05) }],
  });
  assert.equal(leafOutcome(extension(true)), 'unknown-critical-extension');
  assert.equal(leafOutcome(extension(false)), 'verified');
  assert.equal(leafOutcome({}, testRoot('a.test', extension(true))), 'unknown-critical-extension');
});

test('A14: weak keys are refused, in the leaf and in the authority', () => {
  const rsa = (modulusLength: number): CertificateOverrides => ({
    keys: generateKeyPairSync('rsa', { modulusLength }),
  });
  assert.equal(leafOutcome(rsa(1024)), 'weak-key');
  assert.equal(leafOutcome(rsa(2048)), 'verified');
  assert.equal(leafOutcome({}, testRoot('a.test', rsa(1024))), 'not-vouched-for');
  assert.equal(leafOutcome({}, testRoot('a.test', rsa(2048))), 'verified');
  const curve = (namedCurve: string): CertificateOverrides => ({ keys: generateKeyPairSync('ec', { namedCurve }) });
  assert.equal(leafOutcome(curve('P-384')), 'verified');
  assert.equal(leafOutcome(curve('P-521')), 'weak-key');
  assert.equal(leafOutcome(curve('secp256k1')), 'weak-key');
  assert.equal(leafOutcome({ keys: generateKeyPairSync('ed25519') }), 'verified');
  assert.equal(leafOutcome({}, testRoot('a.test', { keys: generateKeyPairSync('ed25519') })), 'verified');
  assert.equal(leafOutcome({ keys: generateKeyPairSync('ed448') }), 'weak-key');
});

test('A14: explicit curve parameters and points off the curve are refused', () => {
  const point = testKeys().publicKey.export({ format: 'der', type: 'spki' }).subarray(-65);
  const parameters = derSequenceOf(der(0x02, Buffer.from([1])), derSequenceOf(derOidOf('1.2.840.10045.1.1')));
  const spki = derSequenceOf(derSequenceOf(derOidOf('1.2.840.10045.2.1'), parameters), derBits(point));
  assert.equal(leafOutcome({ spki }), 'weak-key');
  const offCurve = Uint8Array.from(testKeys().publicKey.export({ format: 'der', type: 'spki' }));
  offCurve[offCurve.length - 1]! ^= 1;
  assert.equal(leafOutcome({ spki: offCurve }), 'weak-key');
});

test('A14: signatures with SHA-1 are refused', () => {
  assert.equal(leafOutcome({ signature: { oid: oids.ecdsaSha1, digest: 'sha1' } }), 'weak-signature');
  const rsaRoot = testRoot('a.test', { keys: generateKeyPairSync('rsa', { modulusLength: 2048 }) });
  const signature = { oid: oids.rsaSha1, digest: 'sha1', parameters: der(0x05) };
  assert.equal(leafOutcome({ signature }, rsaRoot), 'weak-signature');
});

test('XV-1: a certificate altered after signing is refused', () => {
  const mutate = (bytes: Uint8Array): Uint8Array => {
    const at = Buffer.from(bytes).indexOf('sa/web');
    return Buffer.concat([bytes.subarray(0, at), Buffer.from('sa/adm'), bytes.subarray(at + 6)]);
  };
  assert.equal(leafOutcome({ mutate }), 'not-vouched-for');
});

test('chains beyond the limits are refused before they are read', () => {
  assert.equal(outcome(check([])), 'chain-limits');
  assert.equal(outcome(check(Array.from({ length: 9 }, () => rootA.certificate))), 'chain-limits');
  assert.equal(outcome(check([new Uint8Array(32 * 1024 + 1)])), 'chain-limits');
  assert.equal(outcome(check([new Uint8Array(16 * 1024 + 1)])), 'certificate-malformed');
});

test('a certificate that is not strict DER is refused', () => {
  const trailing = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, Buffer.from([0])]);
  assert.equal(leafOutcome({ mutate: trailing }), 'certificate-malformed');
  assert.equal(leafOutcome({ mutate: (bytes) => bytes.subarray(0, -1) }), 'certificate-malformed');
  assert.equal(leafOutcome({ serial: Buffer.from([0x80, 1]) }), 'certificate-malformed');
  assert.equal(leafOutcome({ serial: Buffer.alloc(22, 1) }), 'certificate-malformed');
  const twice = { oid: '2.5.29.14', value: der(0x04, Buffer.from([1])) };
  assert.equal(leafOutcome({ extraExtensions: [twice] }), 'certificate-malformed');
});

suite('a tainted key', () => {
  const keyOf = (der: Uint8Array): string =>
    createHash('sha256')
      .update(new X509Certificate(der).publicKey.export({ format: 'der', type: 'spki' }))
      .digest('hex');
  const intermediate = testIntermediate(rootA);
  const { chain } = testSvid(intermediate, ID);
  const against = (tainted: readonly string[], bundles = both): string =>
    outcome(check(chain, bundles, { tainted: new Set(tainted) }));

  test('is refused in the leaf, in an intermediate and in the anchor, and another key is not', () => {
    for (const der of [...chain, rootA.certificate]) assert.equal(against([keyOf(der)]), 'key-tainted');
    assert.equal(against([keyOf(rootB.certificate)]), 'verified');
  });

  test('is refused although it stands above the anchor that vouches', () => {
    const upper = testIntermediate(rootA);
    const long = testSvid(testIntermediate(upper), ID).chain;
    const tainted = new Set([keyOf(long[2] ?? long[0]!)]);
    const bundles = new Map([[rootA.trustDomain, testBundle([upper])]]);
    assert.equal(outcome(check(long, bundles, { tainted: new Set() })), 'verified');
    assert.equal(outcome(check(long, bundles, { tainted })), 'key-tainted');
  });

  test('in one anchor does not harm a chain that another anchor of the bundle vouches for', () => {
    const bundles = new Map([[rootA.trustDomain, testBundle([rootA, intermediate])]]);
    assert.equal(against([keyOf(rootA.certificate)], bundles), 'verified');
    assert.equal(against([keyOf(rootA.certificate)]), 'key-tainted');
  });
});

/** Bundle documents and their merge: spiffe.md BS and BC lines, security.md I1 to I12. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';

import { readBundleDocument, writeBundleDocument, x509Authority } from '../../trust-bundles/bundle/document.ts';
import { mergeBundle, sharedAuthority } from '../../trust-bundles/bundle/merge.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { testBundle, testKeys, testRoot, testSvid } from '../support/certificates.ts';

const domain = parseTrustDomain('a.test');
const root = testRoot('a.test');
const second = testRoot('a.test');
const malformed = { code: 'bundle-malformed' };

function entry(der: Uint8Array, more: object = {}): object {
  return { kty: 'EC', use: 'x509-svid', x5c: [Buffer.from(der).toString('base64')], ...more };
}

function read(keys: unknown, more = ''): ReturnType<typeof readBundleDocument> {
  return readBundleDocument(`{"keys":${JSON.stringify(keys)}${more}}`, domain);
}

test('BS-10 BC-21 I7: a bundle comes back from its document as it went in, the sequence exact to 64 bits', () => {
  const jwk = testKeys().publicKey.export({ format: 'jwk' });
  const { bundle: first } = read([{ ...jwk, use: 'jwt-svid', kid: 'k1' }, entry(root.certificate)]);
  for (const sequence of [0n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
    const bundle = { ...first, sequence, refreshHintSeconds: 60 };
    const text = writeBundleDocument(bundle);
    assert.ok(text.includes(`"spiffe_sequence":${sequence},`));
    assert.deepEqual(readBundleDocument(Buffer.from(text), domain), { bundle, ignored: 0 });
  }
});

test('BS-9 BS-12 BS-13 BS-15: what is written has a key type, a case-exact use, one x5c and no kid for X.509', () => {
  const text = writeBundleDocument(testBundle([root, second]));
  const document = JSON.parse(text) as { keys: Record<string, unknown>[] };
  assert.equal(document.keys.length, 2);
  for (const key of document.keys) {
    assert.equal(key['kty'], 'EC');
    assert.equal(key['use'], 'x509-svid');
    assert.equal('kid' in key, false);
    assert.equal('d' in key, false);
    assert.equal(Array.isArray(key['x5c']) && key['x5c'].length, 1);
  }
});

test('BS-19: private members of a key are neither kept nor served', () => {
  const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  const { bundle } = read([{ ...jwk, use: 'jwt-svid', kid: 'k1' }]);
  assert.equal(bundle.jwtAuthorities.length, 1);
  assert.equal(writeBundleDocument(bundle).includes(jwk.d ?? 'none'), false);
});

test('BC-17 I10: of several x5c values the first counts', () => {
  const [one, two] = [root, second].map(({ certificate }) => Buffer.from(certificate).toString('base64'));
  const { bundle, ignored } = read([entry(root.certificate, { x5c: [one, two] })]);
  assert.equal(ignored, 0);
  assert.deepEqual(
    bundle.x509Authorities.map(({ fingerprint }) => fingerprint),
    [root.fingerprint],
  );
});

test('BC-16 BC-17 I10: entries that are not understood are passed over and counted, the rest is kept', () => {
  const leaf = testSvid(root, 'spiffe://a.test/w').chain[0]!;
  const jwk = testKeys().publicKey.export({ format: 'jwk' });
  const odd = [
    entry(root.certificate, { use: 'X509-SVID' }),
    entry(root.certificate, { use: 'wit-svid' }),
    entry(root.certificate, { use: undefined }),
    entry(root.certificate, { kty: 'oct' }),
    entry(root.certificate, { kty: undefined }),
    entry(root.certificate, { x5c: [] }),
    entry(root.certificate, { x5c: undefined }),
    entry(root.certificate, { x5c: 'text' }),
    entry(root.certificate, { x5c: ['!!!!'] }),
    entry(root.certificate.subarray(0, -1)),
    entry(leaf),
    { ...jwk, use: 'jwt-svid' },
    { ...jwk, use: 'jwt-svid', kid: '' },
    { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', use: 'jwt-svid', kid: 'k' },
    'text',
    null,
  ];
  const { bundle, ignored } = read([...odd, entry(root.certificate)]);
  assert.equal(ignored, odd.length);
  assert.equal(bundle.x509Authorities.length, 1);
  assert.equal(bundle.jwtAuthorities.length, 0);
});

test('BS-9 BC-18 I9: empty keys is a bundle that revokes everything', () => {
  assert.deepEqual(readBundleDocument('{"keys":[]}', domain), {
    bundle: {
      trustDomain: domain,
      x509Authorities: [],
      jwtAuthorities: [],
      sequence: undefined,
      refreshHintSeconds: undefined,
    },
    ignored: 0,
  });
});

for (const text of [
  '{}',
  '[]',
  'null',
  '{"keys":null}',
  '{"keys":{}}',
  '{"keys":[],"keys":[]}',
  '<html>',
  '',
  '{"keys":[],"spiffe_sequence":"1"}',
  '{"keys":[],"spiffe_sequence":1.5}',
  '{"keys":[],"spiffe_sequence":9007199254740993.0}',
  '{"keys":[],"spiffe_sequence":-1}',
  '{"keys":[],"spiffe_sequence":null}',
  '{"keys":[],"spiffe_sequence":18446744073709551616}',
  '{"keys":[],"spiffe_refresh_hint":"60"}',
  '{"keys":[],"spiffe_refresh_hint":0.5}',
]) {
  test(`BC-19 BC-21 I7: ${JSON.stringify(text)} is refused`, () => {
    assert.throws(() => readBundleDocument(text, domain), malformed);
  });
}

test('I12: more than 256 keys or 1 MiB are refused', () => {
  assert.equal(read(Array.from({ length: 256 }, () => ({}))).ignored, 256);
  assert.throws(() => read(Array.from({ length: 257 }, () => ({}))), malformed);
  assert.throws(() => readBundleDocument(`{"keys":[]}${' '.repeat(1024 * 1024)}`, domain), malformed);
});

test('I15: a refresh hint out of any range is held within it', () => {
  assert.equal(read([], ',"spiffe_refresh_hint":-1').bundle.refreshHintSeconds, 0);
  assert.equal(read([], ',"spiffe_refresh_hint":1000000000000').bundle.refreshHintSeconds, 1e12);
  const huge = read([], ',"spiffe_refresh_hint":100000000000000000000').bundle.refreshHintSeconds;
  assert.equal(huge, Number.MAX_SAFE_INTEGER);
});

test("BC-15 I1: a document with another domain's authority is refused whole", () => {
  assert.throws(() => read([entry(root.certificate), entry(testRoot('b.test').certificate)]), malformed);
});

test('an authority is made from a CA certificate only', () => {
  assert.equal(x509Authority(root.certificate).fingerprint, root.fingerprint);
  assert.throws(() => x509Authority(testSvid(root, 'spiffe://a.test/w').chain[0]!), { code: 'authority-unusable' });
});

test('BC-13: a higher sequence replaces, the same with the same keys in any order changes nothing', () => {
  const stored = testBundle([root, second], { sequence: 5n });
  assert.deepEqual(mergeBundle(undefined, stored), { kind: 'replace' });
  assert.deepEqual(mergeBundle(stored, testBundle([second, root], { sequence: 5n })), { kind: 'same' });
  assert.deepEqual(mergeBundle(stored, testBundle([second], { sequence: 6n })), { kind: 'replace' });
  assert.deepEqual(mergeBundle(stored, { ...stored, refreshHintSeconds: 10 }), { kind: 'replace' });
  const revoked = { ...stored, sequence: 6n, x509Authorities: [] };
  assert.deepEqual(mergeBundle(stored, revoked), { kind: 'replace' });
});

test('BC-13 I4 I5 I6: a roll-back, a conflict and a lost sequence are refused', () => {
  const stored = testBundle([root], { sequence: 5n });
  const codeOf = (offered: Parameters<typeof mergeBundle>[1]): string => {
    const outcome = mergeBundle(stored, offered);
    return outcome.kind === 'refuse' ? outcome.code : outcome.kind;
  };
  assert.equal(codeOf({ ...stored, sequence: 4n }), 'bundle-rollback');
  assert.equal(codeOf(testBundle([second], { sequence: 5n })), 'bundle-conflict');
  assert.equal(codeOf(testBundle([root, second], { sequence: 5n })), 'bundle-conflict');
  assert.equal(codeOf({ ...stored, sequence: undefined }), 'bundle-sequence-lost');
});

test('BC-13: without sequences the last fetched wins', () => {
  const stored = testBundle([root], { sequence: undefined });
  assert.deepEqual(mergeBundle(stored, { ...stored }), { kind: 'same' });
  assert.deepEqual(mergeBundle(stored, testBundle([second], { sequence: undefined })), { kind: 'replace' });
  assert.deepEqual(mergeBundle(stored, { ...stored, sequence: 1n }), { kind: 'replace' });
});

test('BC-15: bundles of two trust domains are never merged', () => {
  assert.throws(() => mergeBundle(testBundle([root]), testBundle([testRoot('b.test')])), /invariant/);
});

test('A3 I3: an authority bound to another domain is found, also under another certificate of its key', () => {
  const keys = testKeys();
  const ours = testRoot('a.test', { keys });
  const theirs = testBundle([testRoot('b.test', { keys })]);
  assert.equal(sharedAuthority(theirs, [testBundle([root]), testBundle([ours])]), 'a.test');
  assert.equal(sharedAuthority(theirs, [testBundle([root])]), undefined);
  assert.equal(sharedAuthority(testBundle([root]), [testBundle([root])]), undefined);
});

test('BS-14 BS-15: a JWT authority is written with its key id and public members alone', () => {
  const jwk = testKeys().publicKey.export({ format: 'jwk' });
  const { bundle } = read([{ ...jwk, use: 'jwt-svid', kid: 'k1', key_ops: ['verify'], other: 1 }]);
  const document = JSON.parse(writeBundleDocument(bundle)) as { keys: unknown[] };
  assert.deepEqual(document.keys, [{ crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y, use: 'jwt-svid', kid: 'k1' }]);
});

test('BS-11: both members of the set are written as integers, and left out where they are not known', () => {
  const text = writeBundleDocument(testBundle([root], { sequence: 7n, refreshHintSeconds: 60 }));
  assert.match(text, /^\{"spiffe_sequence":7,"spiffe_refresh_hint":60,"keys":\[/);
  const bare = writeBundleDocument(testBundle([], { sequence: undefined, refreshHintSeconds: undefined }));
  assert.equal(bare, '{"keys":[]}');
});

test('BC-20: a document needs nothing but keys, and what else stands in it counts for nothing', () => {
  const bare = readBundleDocument(`{"keys":${JSON.stringify([entry(root.certificate)])}}`, domain);
  const more = `,"trust_domain":"b.test","spiffe_id":"spiffe://b.test","kid":"x","signature":{"a":[1]}`;
  assert.deepEqual(read([entry(root.certificate, { kid: 'odd', alg: 'none' })], more), bare);
});

test('I12: nesting of 10,000 levels ends at the limit', () => {
  const deep = `${'['.repeat(10_000)}${']'.repeat(10_000)}`;
  assert.throws(() => readBundleDocument(`{"keys":[],"x":${deep}}`, domain), malformed);
});

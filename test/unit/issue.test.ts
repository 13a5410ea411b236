/** The embedded CA's certificates (spiffe.md XI lines), and PEM. */
import assert from 'node:assert/strict';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';

import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { hasEmptySubject, readCertificate, urisOf } from '../../trust-bundles/x509/certificate.ts';
import { createRoot, issueSvid, loadRoot } from '../../trust-bundles/x509/issue.ts';
import {
  certificatesFromPem,
  certificatesToPem,
  privateKeyFromPem,
  privateKeyToPem,
} from '../../trust-bundles/x509/pem.ts';
import { TEST_NOW_MS } from '../support/certificates.ts';

const trustDomain = parseTrustDomain('a.test');
const id = parseSpiffeId('spiffe://a.test/ns/shop/sa/web');
const root = createRoot({ trustDomain, nowMs: TEST_NOW_MS, ttlMs: 86_400_000 });

test('XI-4 XI-7 XI-9 XI-12: a root is a CA of its trust domain for SVIDs only, with a name and a key identifier of its own', () => {
  const { extensions, issuer, subject, serial } = readCertificate(root.certificate);
  assert.deepEqual(extensions.basicConstraints, { ca: true, pathLength: 0 });
  assert.deepEqual(extensions.keyUsage, { critical: true, digitalSignature: false, keyCertSign: true, crlSign: false });
  assert.deepEqual(urisOf(readCertificate(root.certificate)), ['spiffe://a.test']);
  assert.deepEqual(issuer, subject);
  assert.ok(serial.length <= 40 && /^[4-7]/.test(serial));
  const other = readCertificate(createRoot({ trustDomain, nowMs: TEST_NOW_MS, ttlMs: 1000 }).certificate);
  assert.notDeepEqual(other.subject, subject);
  assert.notEqual(other.extensions.subjectKeyId, extensions.subjectKeyId);
});

test('XI-1 XI-3 XI-4 XI-5 XI-6 XI-8: a leaf has the shape that X.509-SVID asks for', () => {
  const svid = issueSvid({ root, id, nowMs: TEST_NOW_MS, ttlMs: 3_600_000 });
  assert.equal(svid.chain.length, 1);
  const leaf = readCertificate(svid.chain[0]!);
  const { extensions } = leaf;
  assert.deepEqual(urisOf(leaf), [id]);
  assert.ok(hasEmptySubject(leaf));
  assert.equal(extensions.subjectAltName?.critical, true);
  assert.equal(extensions.basicConstraints, undefined);
  assert.deepEqual(extensions.keyUsage, { critical: true, digitalSignature: true, keyCertSign: false, crlSign: false });
  assert.deepEqual(extensions.extendedKeyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  assert.equal(extensions.authorityKeyId, readCertificate(root.certificate).extensions.subjectKeyId);
  assert.equal(svid.notBeforeMs, TEST_NOW_MS - 600_000);
  assert.equal(svid.notAfterMs, TEST_NOW_MS + 3_600_000);
  assert.ok(createPublicKey(svid.key).equals(new X509Certificate(svid.chain[0]!).publicKey));
  assert.ok(new X509Certificate(svid.chain[0]!).verify(new X509Certificate(root.certificate).publicKey));
});

test('an SVID never outlives its root, and an ended root issues nothing', () => {
  const late = TEST_NOW_MS + 86_000_000;
  assert.equal(issueSvid({ root, id, nowMs: late, ttlMs: 3_600_000 }).notAfterMs, root.notAfterMs);
  const ended = { root, id, nowMs: root.notAfterMs + 1, ttlMs: 1000 };
  assert.throws(() => issueSvid(ended), { code: 'svid-refused' });
});

test('XI-2 XI-9 XI-11: an ID without a path, of another trust domain or beyond 2,048 octets is not issued', () => {
  for (const other of ['spiffe://a.test', 'spiffe://b.test/w']) {
    const request = { root, id: parseSpiffeId(other), nowMs: TEST_NOW_MS, ttlMs: 1000 };
    assert.throws(() => issueSvid(request), { code: 'svid-refused' });
  }
  assert.throws(() => parseSpiffeId(`spiffe://a.test/${'w'.repeat(2033)}`), { code: 'spiffe-id-malformed' });
});

test('a root that ends after 2049 has a date that is read back', () => {
  const lasting = createRoot({ trustDomain, nowMs: TEST_NOW_MS, ttlMs: 40 * 365 * 86_400_000 });
  assert.equal(lasting.notAfterMs, TEST_NOW_MS + 40 * 365 * 86_400_000);
});

test('a stored root is loaded with its own key only', () => {
  assert.deepEqual(loadRoot(root.certificate, root.key), root);
  const stranger = createRoot({ trustDomain, nowMs: TEST_NOW_MS, ttlMs: 1000 });
  assert.throws(() => loadRoot(root.certificate, stranger.key), { code: 'root-malformed' });
});

test('certificates and keys come back from PEM as they went in, whatever stands around them', () => {
  const svid = issueSvid({ root, id, nowMs: TEST_NOW_MS, ttlMs: 1000 });
  const pem = certificatesToPem([...svid.chain, root.certificate]);
  assert.deepEqual(certificatesFromPem(`# comment\r\n${pem.replaceAll('\n', '\r\n')}`, 'chain.pem'), [
    ...svid.chain,
    root.certificate,
  ]);
  assert.equal(new X509Certificate(pem).fingerprint256, new X509Certificate(svid.chain[0]!).fingerprint256);
  const key = privateKeyToPem(svid.key);
  assert.ok(privateKeyFromPem(key, 'key.pem').equals(svid.key));
  assert.deepEqual(certificatesFromPem(key + pem, 'both.pem').length, 2);
});

test('PEM that is cut short, altered, empty or too long is refused by name, and no key material is told', () => {
  const pem = certificatesToPem([root.certificate]);
  for (const text of [
    '',
    'text',
    pem.slice(0, 200),
    pem + pem.slice(0, -30),
    pem.replace('MI', 'M!'),
    pem.replace('MII', 'MIJ'),
  ]) {
    assert.throws(() => certificatesFromPem(text, 'chain.pem'), { code: 'pem-malformed', message: /chain\.pem/ });
  }
  assert.throws(() => certificatesFromPem(pem.repeat(257), 'chain.pem'), { code: 'pem-malformed' });
  const key = privateKeyToPem(root.key);
  assert.throws(() => privateKeyFromPem(key.slice(0, 100), 'key.pem'), {
    code: 'pem-malformed',
    message: 'expected an unencrypted PEM private key in key.pem',
  });
});

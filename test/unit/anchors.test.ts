/** Anchors in the containers of enterprises, read from and by the real openssl, and what is none. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { readAnchors, writeAnchors } from '../../trust-bundles/x509/anchors.ts';
import { certificatesToPem } from '../../trust-bundles/x509/pem.ts';
import { testRoot, testSvid } from '../support/certificates.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { pem } from '../support/trust.ts';

const WORD = 'pass word';
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ROOTS = [testRoot('one.test'), testRoot('two.test', { keys: RSA })];
const DERS = ROOTS.map(({ certificate }) => Buffer.from(certificate));
const SVID = testSvid(ROOTS[0]!, 'spiffe://one.test/w');

const dersOf = (bytes: Uint8Array, password?: string): readonly Buffer[] =>
  readAnchors(bytes, 'a file', password).anchors.map((der) => Buffer.from(der));

/** What openssl writes for these arguments, with the anchors in `anchors.pem`, a key pair in `leaf.pem` and `leaf.key`. */
function openssl(...args: readonly string[]): Buffer {
  using temporary = temporaryDirectory();
  const at = (name: string): string => join(temporary.path, name);
  writeFileSync(at('anchors.pem'), certificatesToPem(DERS));
  writeFileSync(at('leaf.pem'), pem(SVID).cert);
  writeFileSync(at('leaf.key'), pem(SVID).key);
  execFileSync('openssl', [...args, '-out', 'out'], { cwd: temporary.path, stdio: 'pipe' });
  return readFileSync(at('out'));
}

const P7 = ['crl2pkcs7', '-nocrl', '-certfile', 'anchors.pem'];
const P12 = ['pkcs12', '-export', '-passout', `pass:${WORD}`];
const STORE = [...P12, '-nokeys', '-in', 'anchors.pem'];

for (const [name, args] of [
  ['PKCS#7 in PEM', P7],
  ['PKCS#7 in DER', [...P7, '-outform', 'DER']],
  ['PKCS#12 as it is by default', STORE],
  ['PKCS#12 of old', [...STORE, '-certpbe', 'PBE-SHA1-3DES', '-macalg', 'sha1']],
  ['PKCS#12 that is not encrypted', [...STORE, '-certpbe', 'NONE', '-macalg', 'sha512']],
] as const) {
  test(`anchors of EC and RSA are read from openssl's ${name}, to the octet`, () => {
    assert.deepEqual(dersOf(openssl(...args), WORD), DERS);
  });
}

test('PKCS#12 of a key pair gives the CAs of its chain, and says what it left out', () => {
  const pair = openssl(...P12, '-in', 'leaf.pem', '-inkey', 'leaf.key', '-certfile', 'anchors.pem');
  const { anchors, format, leftOut } = readAnchors(pair, 'pair.p12', WORD);
  assert.deepEqual([anchors.map((der) => Buffer.from(der)), format, leftOut], [DERS, 'pkcs12', 1]);
});

test('what is written is read by openssl and by us, to the octet', () => {
  using temporary = temporaryDirectory();
  const path = join(temporary.path, 'anchors');
  const shown = (...args: readonly string[]): readonly Buffer[] =>
    dersOf(execFileSync('openssl', [...args, '-in', path], { stdio: ['ignore', 'pipe', 'pipe'] }));
  for (const [format, ...args] of [
    ['pem', 'crl2pkcs7', '-nocrl', '-certfile', path],
    ['pkcs7', 'pkcs7', '-inform', 'DER', '-print_certs'],
    ['pkcs12', 'pkcs12', '-nokeys', '-passin', `pass:${WORD}`],
  ] as const) {
    const bytes = writeAnchors(format, DERS, WORD);
    assert.deepEqual(dersOf(bytes, WORD), DERS, format);
    writeFileSync(path, bytes);
    if (format !== 'pem') assert.deepEqual(shown(...args), DERS, format);
  }
  const [first = Buffer.alloc(0)] = DERS;
  assert.deepEqual(dersOf(writeAnchors('der', [first])), [first]);
});

test('a certificate that stands twice is one anchor', () => {
  const [first = Buffer.alloc(0)] = DERS;
  assert.deepEqual(dersOf(writeAnchors('pkcs7', [first, first])), [first]);
});

test('what is no container of anchors is refused with what was expected', () => {
  const p12 = openssl(...STORE);
  const refused = (bytes: Uint8Array, message: RegExp, password?: string): void => {
    assert.throws(() => readAnchors(bytes, 'x', password), { code: /anchors-malformed|pem-malformed/, message });
  };
  refused(Buffer.alloc(0), /certificates as PEM, DER, PKCS#7 or PKCS#12 in x/);
  refused(Buffer.from('hello'), /certificates as PEM, DER, PKCS#7 or PKCS#12 in x/);
  refused(Buffer.alloc(1024 * 1024 + 1, 0x30), /at most 1048576 bytes in x, found: 1048577/);
  refused(p12, /PKCS#12 that its password opens in x, found: .*password/, 'wrong');
  refused(p12, /PKCS#12 that its password opens/);
  refused(p12, /a password of ASCII in x/, 'pässword');
  refused(p12.subarray(0, -1), /certificates as PEM, DER, PKCS#7 or PKCS#12/, WORD);
  refused(Buffer.from(certificatesToPem(SVID.chain)), /the certificate of a CA in x, found: 1 of others/);
  refused(Buffer.from('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'), /certificate 1 of x/);
  refused(Buffer.from([0x30, 0x03, 0x06, 0x01, 0x2a]), /PKCS#7 signed data in x/);
  refused(Buffer.from('30'.repeat(400), 'hex'), /certificates as PEM, DER, PKCS#7 or PKCS#12/);
  const many = writeAnchors(
    'pkcs7',
    Array.from({ length: 257 }, () => DERS[0]!),
  );
  refused(many, /at most 256 certificates in x, found: 257/);
});

test('PKCS#12 that asks for more rounds than anybody writes is refused before a round is made', () => {
  const honest = Buffer.from(writeAnchors('pkcs12', DERS, WORD));
  const rounds = honest.lastIndexOf(Buffer.from('02022710', 'hex'));
  assert.ok(rounds > 0);
  const greedy = Buffer.concat([honest.subarray(0, rounds), Buffer.from('02047fffffff', 'hex')]);
  // Two octets longer, in the two lengths above it.
  for (const at of [lengthAt(greedy, 0), greedy.lastIndexOf(Buffer.from('3031300d0609', 'hex')) - 1])
    greedy[at] = (greedy[at] ?? 0) + 2;
  assert.throws(() => readAnchors(greedy, 'x', WORD), {
    message: /at most 1000000 rounds of key derivation in x, found: 2147483647/,
  });
});

/** Where the last octet of the length of the element at `start` stands. */
function lengthAt(bytes: Buffer, start: number): number {
  const first = bytes[start + 1] ?? 0;
  return first < 0x80 ? start + 1 : start + 1 + (first & 0x7f);
}

test('nothing is written without an anchor, two in DER, or PKCS#12 without a password', () => {
  const code = 'anchors-unwritable';
  assert.throws(() => writeAnchors('pem', []), { code });
  assert.throws(() => writeAnchors('der', DERS), { code, message: /holds one certificate, found 2: choose pem/ });
  assert.throws(() => writeAnchors('pkcs12', DERS), { code, message: /a password/ });
});

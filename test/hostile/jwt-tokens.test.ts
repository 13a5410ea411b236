/** Hostile tokens (catalogue H): each attack is refused, and nothing is thrown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { jwkOf, jwtBundle, jwtBundles, jwtVerdict, testJwtKey, testToken, unreadBundles } from '../support/jwt.ts';

const key = testJwtKey('one');
const bundles = jwtBundles(key);
/** Of P-256: as r or s it is zero in disguise. */
const ORDER = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');

test('H1, H2, H3: none, HMAC with the public key, and every algorithm off the list are refused by name', () => {
  const others = ['none', 'None', 'NONE', '', 'HS256', 'HS384', 'HS512', 'EdDSA', 'ES256K', 'es256', 'RS1', 'ES256 '];
  for (const alg of others) {
    const signed = alg.startsWith('HS') ? testToken(key, alg) : testToken(key, 'ES256', { header: { alg } });
    assert.equal(jwtVerdict(signed, { bundles }), 'algorithm-refused', alg);
  }
  for (const alg of [undefined, null, 256, ['ES256'], { alg: 'ES256' }]) {
    assert.equal(jwtVerdict(testToken(key, 'ES256', { header: { alg } }), { bundles }), 'algorithm-refused');
  }
});

test('H4, H5: a key or the address of a key in the header is refused, not used', () => {
  const attacker = testJwtKey('one');
  for (const header of [
    { jwk: jwkOf(attacker) },
    { jku: 'http://127.0.0.1/' },
    { x5u: 'http://127.0.0.1/' },
    { x5c: ['AA=='] },
  ]) {
    assert.equal(jwtVerdict(testToken(attacker, 'ES256', { header }), { bundles }), 'header-refused');
  }
});

test('H7: a key published for x509-svid verifies no token', () => {
  const bundle = jwtBundle('a.test', [{ ...jwkOf(key), use: 'x509-svid' }, jwkOf(testJwtKey('two'))]);
  const held = new Map([[bundle.trustDomain, bundle]]);
  assert.equal(jwtVerdict(testToken(key), { bundles: held }), 'unknown-key');
  assert.equal(
    jwtVerdict(testToken(key, 'ES256', { header: { kid: undefined } }), { bundles: held }),
    'signature-invalid',
  );
});

test('WI-2: a WIT-SVID is refused, whoever signed it', () => {
  assert.equal(jwtVerdict(testToken(key, 'ES256', { header: { typ: 'wit+jwt' } }), { bundles }), 'header-refused');
});

test('H12: signatures of zeros, of other lengths and in DER are refused', () => {
  const shapes: readonly ((honest: Buffer) => Buffer)[] = [
    () => Buffer.alloc(64),
    (honest) => Buffer.concat([Buffer.alloc(32), honest.subarray(32)]),
    (honest) => Buffer.concat([honest.subarray(0, 32), Buffer.alloc(32)]),
    (honest) => honest.subarray(0, 63),
    (honest) => Buffer.concat([Buffer.alloc(1), honest]),
    (honest) => Buffer.concat([honest, Buffer.alloc(1)]),
    (honest) =>
      Buffer.concat([
        Buffer.from([0x30, 68, 2, 32]),
        honest.subarray(0, 32),
        Buffer.from([2, 32]),
        honest.subarray(32),
      ]),
    () => Buffer.alloc(64, 0xff),
    () => Buffer.concat([ORDER, ORDER]),
    (honest) => Buffer.concat([ORDER, honest.subarray(32)]),
    (honest) => Buffer.concat([honest.subarray(0, 32), ORDER]),
  ];
  for (const signature of shapes) {
    assert.equal(jwtVerdict(testToken(key, 'ES256', { signature }), { bundles }), 'signature-invalid');
  }
});

test('H12: malformed keys are passed over, and tokens under their name are refused without an exception', () => {
  const jwk = jwkOf(key);
  const x = String(jwk['x']);
  for (const change of [
    { x: jwk['y'], y: x },
    { x: '' },
    { x: 'AAAA' },
    { x: `${x}=` },
    { crv: 'P-384' },
    { crv: 'secp256k1' },
    { kty: 'RSA' },
    { kty: 'oct', k: 'AAAA' },
  ]) {
    const spoiled = { ...jwk, ...change };
    assert.equal(jwtBundle('a.test', [spoiled]).jwtAuthorities.length, 0, JSON.stringify(change));
    const unread = unreadBundles([{ keyId: 'one', jwk: JSON.stringify(spoiled) }]);
    assert.equal(jwtVerdict(testToken(key), { bundles: unread }), 'unknown-key');
  }
  assert.equal(jwtBundle('a.test', [jwkOf(testJwtKey('weak', { bits: 1024 }))]).jwtAuthorities.length, 0);
  for (const text of ['', '{', 'null', '[]', '{"kty":"EC","kty":"RSA"}', '\ud800']) {
    assert.equal(jwtVerdict(testToken(key), { bundles: unreadBundles([{ keyId: 'one', jwk: text }]) }), 'unknown-key');
  }
});

test('H12: a key whose key_ops do not say verify is passed over', () => {
  const published = (key_ops: unknown): number =>
    jwtBundle('a.test', [{ ...jwkOf(key), key_ops }]).jwtAuthorities.length;
  for (const operations of [undefined, ['verify'], ['sign', 'verify']]) assert.equal(published(operations), 1);
  for (const operations of [['encrypt'], ['sign'], [], 'verify', null]) assert.equal(published(operations), 0);
});

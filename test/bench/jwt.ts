/**
 * Times validation and issue of JWT-SVIDs, processor µs per token; prints and asserts nothing. Every token is another one;
 * the bundle is the same, as it is between two fetches. The floor decides nothing.
 */
import { verify } from 'node:crypto';

import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { issueJwtSvid } from '../../trust-bundles/jwt/issue.ts';
import { JWT_AUDIENCE, JWT_NOW_MS, jwtBundles, jwtVerdict, testJwtKey, testToken } from '../support/jwt.ts';
import { itemsFor, printProcessorUs } from './measure/processor-us.ts';

const COUNT = itemsFor(200);
const ids = Array.from({ length: COUNT }, (_, index) => parseSpiffeId(`spiffe://a.test/ns/shop/sa/w${index}`));
const p256 = testJwtKey('p256');
const others = ['prepared', 'retired'].map((keyId) => testJwtKey(keyId));
const shapes = [
  { name: 'ES256, kid given, three keys', key: p256, alg: 'ES256', header: {} },
  { name: 'ES256, no kid, the third of three keys', key: p256, alg: 'ES256', header: { kid: undefined } },
  { name: 'ES384', key: testJwtKey('p384', { curve: 'P-384' }), alg: 'ES384', header: {} },
  { name: 'RS256, 2,048 bits', key: testJwtKey('rsa', { bits: 2048 }), alg: 'RS256', header: {} },
  { name: 'PS256, 4,096 bits', key: testJwtKey('rsa', { bits: 4096 }), alg: 'PS256', header: {} },
];

for (const { name, key, alg, header } of shapes) {
  const bundles = jwtBundles(...others, key);
  const tokens = ids.map((sub) => testToken(key, alg, { claims: { sub }, header }));
  printProcessorUs(`validate: ${name}`, tokens, (token) => jwtVerdict(token, { bundles }).startsWith('spiffe:'));
}

const forged = ids.map((sub) => testToken(testJwtKey('p256'), 'ES256', { claims: { sub } }));
const bundles = jwtBundles(...others, p256);
printProcessorUs(
  'refuse: ES256 by another key',
  forged,
  (token) => jwtVerdict(token, { bundles }) === 'signature-invalid',
);
const unsigned = ids.map((sub) => testToken(p256, 'none', { claims: { sub } }));
printProcessorUs('refuse: alg none', unsigned, (token) => jwtVerdict(token, { bundles }) === 'algorithm-refused');

const signed = ids.map((sub) => {
  const token = testToken(p256, 'ES256', { claims: { sub } });
  const end = token.lastIndexOf('.');
  return { input: Buffer.from(token.slice(0, end)), signature: Buffer.from(token.slice(end + 1), 'base64url') };
});
const verifying = { key: p256.publicKey, dsaEncoding: 'ieee-p1363' } as const;
printProcessorUs('floor: one ES256 signature', signed, ({ input, signature }) =>
  verify('sha256', input, verifying, signature),
);

printProcessorUs('issue: ES256', ids, (id) => {
  const { privateKey: key, keyId } = p256;
  const issued = issueJwtSvid({ key, keyId, id, audience: [JWT_AUDIENCE], nowMs: JWT_NOW_MS, ttlMs: 300_000 });
  return issued.token !== '';
});

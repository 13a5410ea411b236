/** JWT-SVIDs: each requirement of JWT-SVID as a test, the forbidden beside the allowed. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { issueJwtSvid } from '../../trust-bundles/jwt/issue.ts';
import { validateJwtSvid } from '../../trust-bundles/jwt/jwt-svid.ts';
import { jwtAuthorityOf } from '../../trust-bundles/jwt/keys.ts';
import {
  JWT_AUDIENCE,
  JWT_NOW_MS,
  JWT_NOW_SECONDS,
  jwtBundle,
  jwtBundles,
  jwtVerdict,
  jwkOf,
  testJwtKey,
  testToken,
} from '../support/jwt.ts';

const ID = 'spiffe://a.test/web';
const key = testJwtKey('one');
const bundles = jwtBundles(key);

function claimsVerdict(claims: Readonly<Record<string, unknown>>): string {
  return jwtVerdict(testToken(key, 'ES256', { claims }), { bundles });
}

test('JW-1: compact serialization is accepted, JWS JSON and every other number of parts is refused', () => {
  const token = testToken(key);
  assert.equal(jwtVerdict(token, { bundles }), ID);
  const [header = '', payload = '', signature = ''] = token.split('.');
  const general = JSON.stringify({ payload, signatures: [{ protected: header, signature }] });
  const flattened = JSON.stringify({ payload, protected: header, signature });
  const others = [
    general,
    flattened,
    '',
    '.',
    '..',
    '...',
    header,
    `${header}.${payload}`,
    `${header}.${payload}.`,
    `.${payload}.${signature}`,
    `${header}..${signature}`,
    `${token}.`,
    `.${token}`,
    `${token}.${signature}`,
    `${token}..`,
    ` ${token}`,
    `${token}\n`,
    `Bearer ${token}`,
  ];
  for (const other of others) assert.equal(jwtVerdict(other, { bundles }), 'token-malformed', other);
});

test('JW-1: a part has one spelling: padding, white space, other alphabets and loose bits are refused', () => {
  const token = testToken(key, 'ES256', { claims: { note: '>>>???' } });
  assert.equal(jwtVerdict(token, { bundles }), ID);
  const parts = token.split('.');
  const spoil: readonly ((part: string) => string)[] = [
    (part) => `${part}=`,
    (part) => `${part}==`,
    (part) => `${part.slice(0, 4)} ${part.slice(4)}`,
    (part) => `${part.slice(0, 4)}\n${part.slice(4)}`,
    (part) => `${part.slice(0, 4)}%${part.slice(4)}`,
    (part) => `${part}\0`,
    (part) => `${part.slice(0, 4)}\u{1F600}${part.slice(4)}`,
  ];
  for (const index of parts.keys()) {
    for (const change of spoil) {
      const changed = parts.map((part, at) => (at === index ? change(part) : part)).join('.');
      assert.equal(jwtVerdict(changed, { bundles }), 'token-malformed', changed);
    }
  }
  assert.match(parts[1] ?? '', /[-_]/);
  const plain = (parts[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
  assert.equal(jwtVerdict([parts[0], plain, parts[2]].join('.'), { bundles }), 'token-malformed');
  // The last character of 64 octets carries two bits; another pair of the four loose bits says the same octets.
  const last = parts[2]?.at(-1) ?? '';
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const loose = alphabet[alphabet.indexOf(last) + 1] ?? '';
  assert.equal(jwtVerdict(`${token.slice(0, -1)}${loose}`, { bundles }), 'token-malformed');
});

test('JW-1: a token of 16 KiB is read, one character more is refused before anything is decoded', () => {
  const roomy = testToken(key, 'ES256', { claims: { pad: 'x'.repeat(11_000) } });
  assert.ok(roomy.length < 16 * 1024);
  assert.equal(jwtVerdict(roomy, { bundles }), ID);
  assert.equal(jwtVerdict('x'.repeat(16 * 1024), { bundles }), 'token-malformed');
  assert.equal(jwtVerdict('x'.repeat(16 * 1024 + 1), { bundles }), 'token-too-large');
});

test('JW-2: a header holds alg, kid and typ and nothing else', () => {
  const others = ['crit', 'jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'b64', 'cty', 'zip', 'enc', 'iss', 'private'];
  for (const name of others) {
    const token = testToken(key, 'ES256', { header: { [name]: name === 'crit' ? ['exp'] : 'x' } });
    assert.equal(jwtVerdict(token, { bundles }), 'header-refused', name);
  }
  const empty = testToken(key, 'ES256', { header: { crit: [] } });
  assert.equal(jwtVerdict(empty, { bundles }), 'header-refused');
});

test('JW-2: the header and the claims are JSON objects without duplicates, in UTF-8', () => {
  const alg = '"alg":"ES256","kid":"one"';
  const headers = [
    `{${alg},"alg":"ES256"}`,
    `{${alg},"kid":"two"}`,
    '[]',
    'null',
    '"ES256"',
    `{${alg}}x`,
    `{${alg},}`,
    `\ufeff{${alg}}`,
  ];
  for (const headerText of headers) {
    assert.equal(jwtVerdict(testToken(key, 'ES256', { headerText }), { bundles }), 'token-malformed', headerText);
  }
  const claims = `"sub":"${ID}","aud":"reports","exp":${JWT_NOW_SECONDS + 300}`;
  const payloads = [`{${claims},"sub":"spiffe://a.test/admin"}`, `{${claims},"exp":1e99999}`, `[{${claims}}]`, 'true'];
  for (const claimsText of payloads) {
    assert.equal(jwtVerdict(testToken(key, 'ES256', { claimsText }), { bundles }), 'token-malformed', claimsText);
  }
  assert.equal(
    jwtVerdict(testToken(key, 'ES256', { headerText: `{${alg}}`, claimsText: `{${claims}}` }), { bundles }),
    ID,
  );
  const deep = `{${claims},"deep":${'['.repeat(20)}${']'.repeat(20)}}`;
  assert.equal(jwtVerdict(testToken(key, 'ES256', { claimsText: deep }), { bundles }), 'token-malformed');
});

test('JW-3: the nine algorithms verify with keys of their type and curve only', () => {
  const keys = {
    ES256: testJwtKey('p256'),
    ES384: testJwtKey('p384', { curve: 'P-384' }),
    ES512: testJwtKey('p521', { curve: 'P-521' }),
    RSA: testJwtKey('rsa', { bits: 2048 }),
  };
  const all = jwtBundles(...Object.values(keys));
  const rsa = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
  const fitting: readonly (readonly [string, keyof typeof keys])[] = [
    ['ES256', 'ES256'],
    ['ES384', 'ES384'],
    ['ES512', 'ES512'],
    ...rsa.map((alg) => [alg, 'RSA'] as const),
  ];
  for (const [alg, name] of fitting) {
    assert.equal(jwtVerdict(testToken(keys[name], alg), { bundles: all }), ID, alg);
    for (const other of Object.keys(keys) as (keyof typeof keys)[]) {
      if (other === name) continue;
      const token = testToken(keys[name], alg, { header: { kid: keys[other].keyId } });
      assert.equal(jwtVerdict(token, { bundles: all }), 'unknown-key', `${alg} with ${other}`);
    }
  }
  for (const made of rsa) {
    for (const said of rsa) {
      const token = testToken(keys.RSA, made, { header: { alg: said } });
      assert.equal(jwtVerdict(token, { bundles: all }), made === said ? ID : 'signature-invalid', `${made} as ${said}`);
    }
  }
});

test('JW-3: a key whose own alg names another algorithm verifies nothing', () => {
  const rsa = testJwtKey('rsa', { bits: 2048 });
  for (const [alg, expected] of [
    ['PS256', ID],
    ['RS256', 'unknown-key'],
  ] as const) {
    const bundle = jwtBundle('a.test', [{ ...jwkOf(rsa), alg: 'PS256' }]);
    assert.equal(jwtVerdict(testToken(rsa, alg), { bundles: new Map([[bundle.trustDomain, bundle]]) }), expected);
  }
});

test('JW-4: typ is absent, JWT or JOSE', () => {
  for (const typ of [undefined, 'JWT', 'JOSE']) {
    assert.equal(jwtVerdict(testToken(key, 'ES256', { header: { typ } }), { bundles }), ID, String(typ));
  }
  for (const typ of ['jwt', 'at+jwt', 'wit+jwt', '', null, 1, ['JWT'], { JWT: 'JWT' }]) {
    assert.equal(
      jwtVerdict(testToken(key, 'ES256', { header: { typ } }), { bundles }),
      'header-refused',
      JSON.stringify(typ),
    );
  }
});

test('JW-4: without kid the keys of the domain that fit are tried, and with one only that one', () => {
  const many = Array.from({ length: 8 }, (_, index) => testJwtKey(`p256-${index}`));
  const rsa = testJwtKey('rsa', { bits: 2048 });
  const all = jwtBundles(rsa, ...many);
  for (const each of many) {
    assert.equal(jwtVerdict(testToken(each, 'ES256', { header: { kid: undefined } }), { bundles: all }), ID);
  }
  const ninth = testJwtKey('ninth');
  const unnamed = testToken(ninth, 'ES256', { header: { kid: undefined } });
  assert.equal(jwtVerdict(unnamed, { bundles: jwtBundles(...many, ninth) }), 'signature-invalid', 'eight are tried');
  const [first, second] = many;
  const swapped = testToken(first!, 'ES256', { header: { kid: second!.keyId } });
  assert.equal(jwtVerdict(swapped, { bundles: all }), 'signature-invalid');
  assert.equal(jwtVerdict(testToken(first!, 'ES256', { header: { kid: 'gone' } }), { bundles: all }), 'unknown-key');
  for (const kid of ['', null, 7, ['one'], 'x'.repeat(257)]) {
    assert.equal(jwtVerdict(testToken(key, 'ES256', { header: { kid } }), { bundles }), 'header-refused', String(kid));
  }
});

test('JW-5: sub is the SPIFFE ID of a workload', () => {
  const refused = [
    undefined,
    null,
    '',
    'web',
    'spiffe://a.test',
    'spiffe://a.test/',
    'SPIFFE://a.test/web',
    'https://a.test/web',
    'spiffe://a.test/web/',
    'spiffe://a.test/../web',
    'spiffe://a.test/%77eb',
    'spiffe://a.test/web?x',
    [ID],
    { id: ID },
    7,
  ];
  for (const sub of refused) assert.equal(claimsVerdict({ sub }), 'subject-malformed', JSON.stringify(sub));
});

test('JW-6: aud is one text or a list that holds exactly the name of the validator', () => {
  for (const aud of [JWT_AUDIENCE, [JWT_AUDIENCE], ['other', JWT_AUDIENCE]]) assert.equal(claimsVerdict({ aud }), ID);
  for (const aud of [
    undefined,
    null,
    '',
    [],
    [''],
    [JWT_AUDIENCE, ''],
    [JWT_AUDIENCE, 7],
    7,
    { reports: true },
    true,
  ]) {
    assert.equal(claimsVerdict({ aud }), 'audience-missing', JSON.stringify(aud));
  }
  const hundred = Array.from({ length: 100 }, () => JWT_AUDIENCE);
  assert.equal(claimsVerdict({ aud: hundred }), 'audience-missing');
  for (const aud of ['other', 'Reports', 'reports/', 'report', 'reports ', '*', [JWT_AUDIENCE.repeat(2)]]) {
    assert.equal(claimsVerdict({ aud }), 'audience-mismatch', JSON.stringify(aud));
  }
  assert.equal(
    jwtVerdict(testToken(key), { bundles, audience: '' }),
    'audience-mismatch',
    'a validator without a name',
  );
});

test('JW-7: exp is there, whole seconds, and not past; nbf and iat are at most a minute ahead', () => {
  const now = JWT_NOW_SECONDS;
  for (const exp of [undefined, null, String(now + 60), now + 60.5, -1, 2 ** 53, 1e300, [now + 60], true, {}]) {
    assert.equal(claimsVerdict({ exp }), 'expiry-missing', JSON.stringify(exp));
  }
  for (const exp of [0, now - 1, now]) assert.equal(claimsVerdict({ exp }), 'expired', String(exp));
  assert.equal(claimsVerdict({ exp: now + 1 }), ID);
  for (const name of ['nbf', 'iat']) {
    for (const early of [now - 3600, now, now + 60]) assert.equal(claimsVerdict({ [name]: early }), ID, name);
    assert.equal(claimsVerdict({ [name]: now + 61 }), 'not-yet-valid', name);
    for (const wrong of [null, String(now), now + 0.5, 2 ** 60]) {
      assert.equal(claimsVerdict({ [name]: wrong }), 'token-malformed', `${name} ${String(wrong)}`);
    }
    assert.equal(claimsVerdict({ [name]: undefined }), ID, `${name} is optional`);
  }
});

test('JW-8: the key comes from the bundle of the domain in sub, and without a bundle nothing is trusted', () => {
  const other = testJwtKey('one');
  const foreign = jwtBundle('b.test', [jwkOf(other)]);
  const both = new Map([...bundles, [foreign.trustDomain, foreign]]);
  assert.equal(jwtVerdict(testToken(key), { bundles: both }), ID);
  assert.equal(jwtVerdict(testToken(other), { bundles: both }), 'signature-invalid');
  const theirs = testToken(other, 'ES256', { claims: { sub: 'spiffe://b.test/web' } });
  assert.equal(jwtVerdict(theirs, { bundles: both }), 'spiffe://b.test/web');
  assert.equal(jwtVerdict(theirs, { bundles }), 'unknown-trust-domain');
  assert.equal(jwtVerdict(testToken(key), { bundles: new Map() }), 'unknown-trust-domain');
  const [own] = bundles.keys();
  assert.equal(jwtVerdict(testToken(key), { bundles: new Map([[own!, foreign]]) }), 'unknown-trust-domain');
  assert.equal(jwtVerdict(testToken(key), { bundles: new Map([[own!, jwtBundle('a.test', [])]]) }), 'empty-bundle');
});

test('a tainted key vouches for nothing, and the others still do', () => {
  const second = testJwtKey('two');
  const fingerprint = createHash('sha256')
    .update(key.publicKey.export({ format: 'der', type: 'spki' }))
    .digest('hex');
  const request = { bundles: jwtBundles(key, second), tainted: new Set([fingerprint]) };
  assert.equal(jwtVerdict(testToken(key), request), 'key-tainted');
  assert.equal(jwtVerdict(testToken(key, 'ES256', { header: { kid: undefined } }), request), 'key-tainted');
  assert.equal(jwtVerdict(testToken(second), request), ID);
});

test('JW-2, JW-4, JW-5, JW-6, JW-7: an issued token names its key, subject, audience and end, and validates', () => {
  const authority = jwtAuthorityOf(key.privateKey);
  const id = parseSpiffeId(ID);
  const issued = issueJwtSvid({
    key: key.privateKey,
    keyId: authority.keyId,
    id,
    audience: ['reports', 'spiffe://a.test/reports'],
    nowMs: JWT_NOW_MS + 999,
    ttlMs: 300_000,
  });
  const [header, claims] = issued.token
    .split('.')
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as unknown);
  assert.deepEqual(header, { alg: 'ES256', kid: authority.keyId, typ: 'JWT' });
  assert.deepEqual(claims, {
    sub: ID,
    aud: ['reports', 'spiffe://a.test/reports'],
    exp: JWT_NOW_SECONDS + 300,
    iat: JWT_NOW_SECONDS,
  });
  assert.equal(issued.expiresAtMs, JWT_NOW_MS + 300_000);
  const bundle = { ...jwtBundle('a.test', []), jwtAuthorities: [authority] };
  const outcome = validateJwtSvid({
    token: issued.token,
    audience: 'spiffe://a.test/reports',
    trust: { bundles: new Map([[bundle.trustDomain, bundle]]), tainted: new Set() },
    nowMs: JWT_NOW_MS,
  });
  assert.ok(outcome.kind === 'verified');
  assert.deepEqual(
    { ...outcome },
    {
      kind: 'verified',
      id,
      audience: ['reports', 'spiffe://a.test/reports'],
      expiresAtMs: issued.expiresAtMs,
      keyFingerprint: authority.keyId,
      claims,
    },
  );
});

test('JW-6: a token without an audience, or with one that no validator accepts, is not issued', () => {
  const issue = (audience: readonly string[]) =>
    issueJwtSvid({
      key: key.privateKey,
      keyId: 'one',
      id: parseSpiffeId(ID),
      audience,
      nowMs: JWT_NOW_MS,
      ttlMs: 60_000,
    });
  const long = Array.from({ length: 9 }, (_, index) => `${index}`.repeat(2048));
  for (const audience of [[], [''], ['reports', ''], ['x'.repeat(2049)], Array<string>(65).fill('a'), long]) {
    assert.throws(() => issue(audience), { code: 'jwt-audience' });
  }
  assert.ok(issue(['x'.repeat(2048)]).token.length <= 16 * 1024);
});

/** Tokens whose signature holds and whose claims do not (catalogue H), and keys that cannot be had. */
import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { test } from 'node:test';

import { silentLog } from '../../base/log.ts';
import { memoryStore } from '../../base/store/memory.ts';
import { type FetchedBundle } from '../../trust-bundles/source/bundle-endpoint.ts';
import { BundlePoll } from '../../trust-bundles/source/bundle-poll.ts';
import { BundleSet } from '../../trust-bundles/source/bundle-set.ts';
import { until } from '../support/gateways.ts';
import {
  JWT_AUDIENCE,
  JWT_NOW_SECONDS,
  jwkOf,
  jwtBundle,
  jwtBundles,
  jwtVerdict,
  testJwtKey,
  testToken,
} from '../support/jwt.ts';
import { ManualClock } from '../support/manual-clock.ts';

const ID = 'spiffe://a.test/web';
const now = JWT_NOW_SECONDS;
const key = testJwtKey('one');
const bundles = jwtBundles(key);

function claimsVerdict(claims: Readonly<Record<string, unknown>>): string {
  return jwtVerdict(testToken(key, 'ES256', { claims }), { bundles });
}

test('H8: a token without an audience, for another or for everybody is refused', () => {
  assert.equal(claimsVerdict({}), ID);
  for (const aud of [undefined, [], '', {}, 0]) assert.equal(claimsVerdict({ aud }), 'audience-missing');
  const broad = ['*', '**', 'report*', 'spiffe://a.test', 'spiffe://a.test/**', 'any', 'https://', JWT_AUDIENCE[0]];
  for (const aud of [...broad, broad, [[JWT_AUDIENCE].join()].concat('other').join(' ')]) {
    assert.equal(claimsVerdict({ aud }), 'audience-mismatch', JSON.stringify(aud));
  }
  assert.equal(claimsVerdict({ aud: [[JWT_AUDIENCE]] }), 'audience-missing');
  assert.equal(claimsVerdict({ aud: undefined, AUD: JWT_AUDIENCE, audience: JWT_AUDIENCE }), 'audience-missing');
});

test('H8: a token without an end, past it, or with one that is no whole number is refused', () => {
  for (const exp of [undefined, null, now + 60.5, `${now + 60}`, '', true, [now + 60], 1e21, -60]) {
    assert.equal(claimsVerdict({ exp }), 'expiry-missing', JSON.stringify(exp));
  }
  for (const exp of [0, now - 86_400, now]) assert.equal(claimsVerdict({ exp }), 'expired', String(exp));
  const claims = (exp: string): string => `{"sub":"${ID}","aud":"${JWT_AUDIENCE}","exp":${exp}}`;
  for (const exp of [`${now + 60}.5`, '18446744073709551616', '1e400', '-1', 'true']) {
    const verdict = jwtVerdict(testToken(key, 'ES256', { claimsText: claims(exp) }), { bundles });
    assert.match(verdict, /^(expiry-missing|token-malformed)$/, exp);
  }
  for (const exp of ['0', '-0', '0.0', '1e-400']) {
    const verdict = jwtVerdict(testToken(key, 'ES256', { claimsText: claims(exp) }), { bundles });
    assert.match(verdict, /^(expired|expiry-missing)$/, exp);
  }
});

test('H8: a token that begins later, or was issued later, is refused beyond a minute of skew', () => {
  for (const name of ['nbf', 'iat']) {
    for (const time of [now + 61, now + 86_400]) assert.equal(claimsVerdict({ [name]: time }), 'not-yet-valid');
    for (const time of [`${now}`, now + 0.5, null, [now], -1]) {
      assert.equal(claimsVerdict({ [name]: time }), 'token-malformed', JSON.stringify(time));
    }
  }
});

test('H9: a subject that is no SPIFFE ID, or of another domain than the key, is refused', () => {
  for (const sub of [
    'root',
    'https://a.test/web',
    'spiffe://A.test/web',
    'spiffe://a.test',
    '*',
    ` ${ID}`,
    `${ID}\n`,
  ]) {
    assert.equal(claimsVerdict({ sub }), 'subject-malformed', sub);
  }
  const other = testJwtKey('one');
  const theirs = jwtBundle('b.test', [jwkOf(other)]);
  const both = { bundles: new Map([...bundles, [theirs.trustDomain, theirs]]) };
  const foreign = (sub: string): string => jwtVerdict(testToken(key, 'ES256', { claims: { sub } }), both);
  assert.equal(foreign('spiffe://b.test/web'), 'signature-invalid');
  assert.equal(foreign('spiffe://c.test/web'), 'unknown-trust-domain');
  assert.equal(foreign('spiffe://a.test.b.test/web'), 'unknown-trust-domain');
  // The issuer is no identity here: whose key counts is decided by the subject alone.
  const issuer = testToken(other, 'ES256', { claims: { iss: 'spiffe://b.test' } });
  assert.equal(jwtVerdict(issuer, both), 'signature-invalid');
});

test('H11: while the keys of a domain cannot be fetched, its tokens are refused, and no other key stands in', async () => {
  const clock = new ManualClock();
  const own = jwtBundle('a.test', [jwkOf(key)]);
  const theirs = testJwtKey('one');
  const bundle = { ...jwtBundle('b.test', [jwkOf(theirs)]), sequence: 1n };
  await using set = await BundleSet.open({
    store: memoryStore(),
    log: silentLog,
    own: () => own,
    trustDomain: own.trustDomain,
    clock,
  });
  let reachable = false;
  let asked = 0;
  const fetch = async (): Promise<FetchedBundle> => {
    asked += 1;
    if (!reachable) throw new Error('connection refused');
    return { bundle, ignored: 0 };
  };
  await using poll = new BundlePoll({ set, fetch, intervalMs: () => 60_000, clock, log: silentLog });
  await poll.follow(new Set([bundle.trustDomain]));
  await until('the first attempt to fail', () => asked === 1 && clock.pending > 0);
  const believed = (): typeof bundles => {
    const held = set.get(bundle.trustDomain);
    return new Map([...bundles, ...(held === undefined ? [] : [[held.trustDomain, held] as const])]);
  };
  const claims = { sub: 'spiffe://b.test/web' };
  for (const signer of [key, theirs, testJwtKey('one')]) {
    for (const header of [{}, { kid: undefined }]) {
      const token = testToken(signer, 'ES256', { claims, header });
      assert.equal(jwtVerdict(token, { bundles: believed() }), 'unknown-trust-domain');
    }
  }
  reachable = true;
  clock.advance(600_000);
  await until('the bundle to be there', () => set.get(bundle.trustDomain) !== undefined);
  assert.equal(jwtVerdict(testToken(theirs, 'ES256', { claims }), { bundles: believed() }), claims.sub);
});

test('H11: a bundle whose keys are all unusable vouches for nothing', () => {
  const ed25519 = { kty: 'OKP', crv: 'Ed25519', x: 'AAAA', use: 'jwt-svid', kid: 'one' };
  for (const entries of [[], [ed25519], [{ ...jwkOf(key), use: undefined }], [{ ...jwkOf(key), kid: undefined }]]) {
    const bundle = jwtBundle('a.test', entries);
    assert.equal(jwtVerdict(testToken(key), { bundles: new Map([[bundle.trustDomain, bundle]]) }), 'empty-bundle');
  }
});

test('WI-1: a well-formed WIT-SVID is refused as a bearer token, with its type and in the dress of a JWT-SVID', () => {
  const holder = createPublicKey(testJwtKey('holder').privateKey).export({ format: 'jwk' });
  const claims = { aud: undefined, cnf: { jwk: { ...holder, alg: 'ES256' } } };
  const wit = testToken(key, 'ES256', { header: { typ: 'wit+jwt' }, claims });
  assert.equal(jwtVerdict(wit, { bundles }), 'header-refused');
  assert.equal(jwtVerdict(testToken(key, 'ES256', { claims }), { bundles }), 'audience-missing');
  assert.equal(
    jwtVerdict(testToken(key, 'ES256', { header: { typ: undefined }, claims }), { bundles }),
    'audience-missing',
  );
});

test('WI-1: a key of use wit-svid verifies no JWT-SVID', () => {
  const bundle = jwtBundle('a.test', [{ ...jwkOf(key), use: 'wit-svid' }]);
  assert.equal(bundle.jwtAuthorities.length, 0);
});

test('JW-10: a token is good for each audience that it names and no other, however often it is shown', () => {
  const token = testToken(key, 'ES256', { claims: { aud: [JWT_AUDIENCE, 'ledger'], jti: 'once' } });
  for (const audience of [JWT_AUDIENCE, JWT_AUDIENCE, 'ledger']) {
    assert.equal(jwtVerdict(token, { bundles, audience }), ID, 'no jti is remembered');
  }
  for (const audience of ['reports,ledger', 'reports ledger', 'ledge', 'ledgers', 'payments']) {
    assert.equal(jwtVerdict(token, { bundles, audience }), 'audience-mismatch', audience);
  }
});

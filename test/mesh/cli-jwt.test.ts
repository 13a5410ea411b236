/** `jumpgate svid jwt`, `svid validate` and `rotate --jwt` against a real admin server: what is sent, shown and refused. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { cliBench } from '../support/cli-bench.ts';

const ID = 'spiffe://us-east.example.org/web';
const AT = '2026-01-02T03:04:05.000Z';

test('svid jwt prints the token alone on standard output, and whose it is beside it', async () => {
  await using b = await cliBench();
  const { code, err, out } = await b.cli(['svid', 'jwt', ID, '--audience', 'reports,ledger', '--ttl', '5m']);
  assert.deepEqual([code, out], [0, 'header.claims.secret-signature\n']);
  assert.equal(err, `${ID} for reports, ledger until ${AT}\n`);
  const json = await b.cli(['svid', 'jwt', ID, '--audience', 'reports', '-o', 'json']);
  assert.deepEqual(JSON.parse(json.out), { id: ID, token: 'header.claims.secret-signature', expiresAt: AT });
  assert.deepEqual(b.operations.told, [
    ['issueJwtSvid', { id: ID, audience: ['reports', 'ledger'], ttlSeconds: 300 }],
    ['issueJwtSvid', { id: ID, audience: ['reports'] }],
  ]);
});

test('svid validate reads the token from standard input, prints what it says, and exits 1 with the code of a refusal', async () => {
  await using b = await cliBench();
  const good = await b.cli(['svid', 'validate', '--audience', 'reports', '-'], 'good.token.here\n');
  assert.equal(good.code, 0, good.err);
  assert.match(
    good.out,
    new RegExp(`^id {8}${ID}\nexpires {3}${AT}\naudience {2}reports\nkey {7}(ab){32}\nclaims {4}{`),
  );
  assert.ok(!good.out.includes('\u202e'), 'text of a stranger steers no terminal');
  const bad = await b.cli(['svid', 'validate', '--audience', 'reports'], 'bad.token');
  assert.deepEqual([bad.code, bad.out, bad.err], [1, '', 'refused: expired: until 1\n']);
  const json = await b.cli(['svid', 'validate', '--audience', 'reports', '-o', 'json'], 'bad.token');
  assert.deepEqual([json.code, JSON.parse(json.out)], [1, { verdict: 'refused', code: 'expired', message: 'until 1' }]);
  assert.deepEqual(b.operations.told[0], ['validateJwtSvid', { token: 'good.token.here', audience: 'reports' }]);
});

test('rotate --jwt publishes the next key and says from when it signs', async () => {
  await using b = await cliBench();
  const { code, err, out } = await b.cli(['rotate', '--jwt']);
  assert.deepEqual([code, out], [0, 'published: active one, next two, sequence 8\n']);
  assert.equal(err, `the next key signs from ${AT}; its predecessor is published for a day after that\n`);
  assert.deepEqual(b.operations.told, [['rotateJwtKey', undefined]]);
});

test('bundles lists JWT keys beside the roots, with key ID, phase and since when', async () => {
  await using b = await cliBench();
  const { out } = await b.cli(['bundles', '-o', 'wide']);
  assert.match(out, /^PEER +TRUST-DOMAIN +SEQUENCE +USE +STATE +FINGERPRINT +NOT-AFTER +PUBLISHED /);
  assert.match(out, /^self +\S+ +7 +x509 +active +(ab){32} +2026/m);
  assert.match(out, /^self +\S+ +7 +jwt +prepared +(cd){32} +2026\S+ +2026/m);
});

test('arguments that fit no form are usage errors, a token among them, and ask nobody', async () => {
  await using b = await cliBench();
  for (const [words, message, input] of [
    [['svid', 'jwt'], /expected the SPIFFE-ID/],
    [['svid', 'jwt', ID], /--audience is required/],
    [['svid', 'jwt', ID, '--audience', 'a,,b'], /found an empty one/],
    [['svid', 'jwt', ID, '--audience', 'a', '--ttl', '5'], /expected --ttl to be a duration/],
    [['svid', 'jwt', ID, '--audience', 'a', '--out', 'x'], /--out does not go with jwt/],
    [['svid', ID, '--audience', 'a'], /--audience goes with jwt and validate/],
    [['svid', ID, 'jwt'], /unexpected argument "jwt"/],
    [['svid', 'validate', 'a.b.c', '--audience', 'a'], /an argument is visible in ps/],
    [['svid', 'validate'], /--audience is required/, 'a.b.c'],
    [['svid', 'validate', '--audience', ''], /expected --audience/, 'a.b.c'],
    [['svid', 'validate', '--audience', 'a', '--ttl', '5m'], /--ttl does not go with validate/, 'a.b.c'],
    [['svid', 'validate', '--audience', 'a'], /expected a token on standard input, found nothing/],
    [['svid', 'validate', '--audience', 'a'], /at most 65536 characters/, 'x'.repeat(65_537)],
    [['rotate', '--jwt', '--force'], /--jwt goes without/],
    [['rotate', '--jwt', '--rehearse'], /--jwt goes without/],
  ] as const) {
    const { code, err, out } = await b.cli(words, input);
    assert.deepEqual([code, out], [2, ''], words.join(' '));
    assert.match(err, message);
  }
  assert.deepEqual(b.operations.told, []);
});

test('the admin API refuses what no issuer or validator takes before it asks them', async () => {
  await using b = await cliBench();
  for (const audience of ['x'.repeat(2_049), Array.from({ length: 65 }, (_, index) => `a${index}`).join()]) {
    const { code, err } = await b.cli(['svid', 'jwt', ID, '--audience', audience]);
    assert.equal(code, 2);
    assert.match(err, /malformed request: body\/audience/);
  }
  assert.equal((await b.cli(['svid', 'jwt', ID, '--audience', 'a', '--ttl', '61m'])).code, 2);
  assert.equal((await b.cli(['svid', 'jwt', `spiffe://a/${'b'.repeat(2_048)}`, '--audience', 'a'])).code, 2);
  assert.deepEqual(b.operations.told, []);
});

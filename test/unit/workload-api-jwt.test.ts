/** The JWT-SVID profile of the Workload API, over a real socket: each WS line that it is about. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { asRecord } from '../../base/brand.ts';
import { messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import {
  FETCH_JWT_BUNDLES,
  FETCH_JWT_SVID,
  FETCH_X509_SVID,
  VALIDATE_JWT_SVID,
} from '../../trust-bundles/workload-api-proto/methods.ts';
import { issueJwtSvid } from '../../trust-bundles/jwt/issue.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { jwtBundle, jwkOf, testJwtKey } from '../support/jwt.ts';
import { testDomain } from '../support/trust.ts';
import { callWorkloadApi, serveTestWorkload, SPREAD_MS } from '../support/workload-api.ts';

const AUDIENCE = 'reports';

const keysOf = (document: Uint8Array | undefined): unknown => asRecord(parseJson(document ?? ''))?.['keys'];

test('WS-4: the JWT profile can be switched off, and then is Unimplemented; the X.509 profile stands', async () => {
  await using rig = await serveTestWorkload({ jwt: false });
  using caller = callWorkloadApi(rig.path);
  await assert.rejects(caller.unary(FETCH_JWT_SVID, { audience: [AUDIENCE] }), /^Error: UNIMPLEMENTED/);
  await assert.rejects(caller.unary(VALIDATE_JWT_SVID, { audience: AUDIENCE, svid: 'x' }), /^Error: UNIMPLEMENTED/);
  assert.equal((await caller.stream(FETCH_JWT_BUNDLES, {}).ended).status, 'UNIMPLEMENTED');
  assert.equal((await caller.stream(FETCH_X509_SVID, {}).next()).svids.length, 1);
});

test('WS-2: calls of the JWT profile without the header are refused', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path, {});
  await assert.rejects(caller.unary(FETCH_JWT_SVID, { audience: [AUDIENCE] }), /^Error: INVALID_ARGUMENT/);
  await assert.rejects(caller.unary(VALIDATE_JWT_SVID, { audience: AUDIENCE, svid: 'x' }), /^Error: INVALID_ARGUMENT/);
  assert.equal((await caller.stream(FETCH_JWT_BUNDLES, {}).ended).status, 'INVALID_ARGUMENT');
});

test('WS-7: mandatory fields that are empty are InvalidArgument, another identity is PermissionDenied', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  const refusals: readonly (readonly [Parameters<typeof FETCH_JWT_SVID.requestSerialize>[0], RegExp])[] = [
    [{ audience: [] }, /^Error: INVALID_ARGUMENT: expected at least one audience/],
    [{ audience: ['a', ''] }, /^Error: INVALID_ARGUMENT: expected at least one audience/],
    [{ audience: Array.from({ length: 65 }, () => 'a') }, /^Error: INVALID_ARGUMENT: expected one audience or/],
    [{ audience: ['a'.repeat(5_000)] }, /^Error: INVALID_ARGUMENT: expected one audience or/],
    [{ audience: [AUDIENCE], spiffeId: 'spiffe://US.test/x' }, /^Error: INVALID_ARGUMENT: expected spiffe_id/],
    [{ audience: [AUDIENCE], spiffeId: 'spiffe://us.test/other' }, /^Error: PERMISSION_DENIED/],
    [{ audience: [AUDIENCE], spiffeId: 'spiffe://us.test/jumpgate' }, /^Error: PERMISSION_DENIED/],
  ];
  for (const [request, refusal] of refusals) await assert.rejects(caller.unary(FETCH_JWT_SVID, request), refusal);
  for (const request of [
    { audience: '', svid: 'x' },
    { audience: AUDIENCE, svid: '' },
  ])
    await assert.rejects(caller.unary(VALIDATE_JWT_SVID, request), /^Error: INVALID_ARGUMENT: expected a/);
});

test('WS-7: an identity that gets nothing gets no token, no bundles and no verdicts either', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  const [token] = (await caller.unary(FETCH_JWT_SVID, { audience: [AUDIENCE] })).svids;
  const bundles = caller.stream(FETCH_JWT_BUNDLES, {});
  await bundles.next();
  rig.refusal = 'it is quarantined';
  rig.changed();
  assert.equal((await bundles.ended).status, 'PERMISSION_DENIED');
  await assert.rejects(caller.unary(FETCH_JWT_SVID, { audience: [AUDIENCE] }), /^Error: PERMISSION_DENIED/);
  const request = { audience: AUDIENCE, svid: token?.svid ?? '' };
  await assert.rejects(caller.unary(VALIDATE_JWT_SVID, request), /^Error: PERMISSION_DENIED/);
});

test('G7 WS-7: a token of an identity that is quarantined proves nothing, though its domain is believed', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  const stolen = parseSpiffeId('spiffe://us.test/ns/shop/sa/stolen');
  const { keyId, privateKey: key } = rig.jwtKey;
  const minted = { key, keyId, id: stolen, audience: [AUDIENCE], nowMs: rig.clock.now(), ttlMs: 300_000 };
  const request = { audience: AUDIENCE, svid: issueJwtSvid(minted).token };
  assert.equal((await caller.unary(VALIDATE_JWT_SVID, request)).spiffeId, stolen);
  rig.refused = new Set([stolen]);
  await assert.rejects(caller.unary(VALIDATE_JWT_SVID, request), /^Error: INVALID_ARGUMENT: .*it is quarantined/);
});

test('WS-8, WS-10: without a spiffe_id all identities come, which is the one, with its hint; by its name it comes too', async () => {
  await using rig = await serveTestWorkload({ hint: 'internal' });
  using caller = callWorkloadApi(rig.path);
  for (const spiffeId of ['', rig.id]) {
    const { svids } = await caller.unary(FETCH_JWT_SVID, { audience: [AUDIENCE, 'other'], spiffeId });
    assert.deepEqual(
      svids.map((svid) => [svid.spiffeId, svid.hint]),
      [[rig.id, 'internal']],
    );
    const { spiffeId: proved, claims } = await caller.unary(VALIDATE_JWT_SVID, {
      audience: AUDIENCE,
      svid: svids[0]?.svid ?? '',
    });
    const seconds = rig.clock.now() / 1000;
    assert.equal(proved, rig.id);
    assert.deepEqual(claims, { sub: rig.id, aud: [AUDIENCE, 'other'], iat: seconds, exp: seconds + 300 });
  }
});

test('WS-9: JWT bundles are JWK Sets by SPIFFE ID, our own among them, and hold nothing of another use', async () => {
  await using rig = await serveTestWorkload();
  const eu = testDomain('eu.test', rig.clock.now());
  const euKey = testJwtKey('eu-1', { bits: 2048 });
  const { jwtAuthorities } = jwtBundle('eu.test', [jwkOf(euKey)]);
  rig.federated = [{ ...eu.bundle, jwtAuthorities }, testDomain('asia.test', rig.clock.now()).bundle];
  using caller = callWorkloadApi(rig.path);
  const stream = caller.stream(FETCH_JWT_BUNDLES, {});
  const { bundles } = await stream.next();
  const jwk = (key: typeof euKey): unknown => ({ ...key.publicKey.export({ format: 'jwk' }), kid: key.keyId });
  assert.deepEqual(Object.keys(bundles), ['spiffe://us.test', 'spiffe://eu.test', 'spiffe://asia.test']);
  assert.deepEqual(keysOf(bundles['spiffe://us.test']), [jwk(rig.jwtKey)]);
  assert.deepEqual(keysOf(bundles['spiffe://eu.test']), [jwk(euKey)]);
  assert.deepEqual(keysOf(bundles['spiffe://asia.test']), []);
  rig.federated = [];
  rig.changed();
  rig.clock.advance(SPREAD_MS);
  assert.deepEqual(Object.keys((await stream.next()).bundles), ['spiffe://us.test']);
});

test('WS-10: validation applies the JWT rules, with the bundles of those that the workload may know', async () => {
  await using rig = await serveTestWorkload();
  using caller = callWorkloadApi(rig.path);
  const euKey = testJwtKey('eu-1');
  const id = parseSpiffeId('spiffe://eu.test/orders');
  const issue = (audience: string): string => {
    const { keyId, privateKey: key } = euKey;
    return issueJwtSvid({ key, keyId, id, audience: [audience], nowMs: rig.clock.now(), ttlMs: 60_000 }).token;
  };
  const verdict = (svid: string): Promise<string> =>
    caller.unary(VALIDATE_JWT_SVID, { audience: AUDIENCE, svid }).then(
      ({ spiffeId }) => spiffeId,
      (error: unknown) => messageOf(error).split(': ').slice(0, 2).join(' '),
    );
  assert.equal(await verdict(issue(AUDIENCE)), 'INVALID_ARGUMENT unknown-trust-domain');
  rig.federated = [jwtBundle('eu.test', [jwkOf(euKey)])];
  assert.equal(await verdict(issue(AUDIENCE)), id);
  assert.equal(await verdict(issue('other')), 'INVALID_ARGUMENT audience-mismatch');
  assert.equal(await verdict('a.b.c'), 'INVALID_ARGUMENT token-malformed');
  const token = issue(AUDIENCE);
  rig.clock.advance(61_000);
  assert.equal(await verdict(token), 'INVALID_ARGUMENT expired');
});

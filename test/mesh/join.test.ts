/** Invite and join between two gateways over real TLS, and every way in which it is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock, type Clock } from '../../base/clock.ts';
import { decodeInvite, encodeInvite } from '../../federation/peering/invite.ts';
import { InviteBook } from '../../federation/peering/invites.ts';
import { approveJoin } from '../../gateway/link/join-server.ts';
import { join, type JoinOptions, type JoinOutcome } from '../../gateway/link/join-client.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { startGateway, type TestGateway } from '../support/gateways.ts';
import { testDomain } from '../support/trust.ts';

const US = parseTrustDomain('us.example');

const invite = async (eu: TestGateway, approve = false): Promise<string> => {
  const spec = { mesh: 'eu', inviter: eu.identity, peer: 'us', audience: US, approve };
  return (await eu.invites.issue(spec)).token;
};

const redeem = (us: TestGateway, token: string, more: Partial<JoinOptions> = {}): Promise<JoinOutcome> =>
  join({
    token,
    self: us.identity,
    svid: us.svid,
    registration: us.registration,
    clock: systemClock,
    signal: new AbortController().signal,
    ...more,
  });

const rows = async (gateway: TestGateway): Promise<string[]> =>
  [...(await gateway.store.list('peers/')), ...(await gateway.store.list('bundles/'))].map((row) => row.key);

const failure = (outcome: JoinOutcome): [string | undefined, string] => {
  const last = outcome.steps.at(-1);
  return [last?.result === 'failed' ? last.name : undefined, last?.message ?? ''];
};

test('redeeming an invite registers each mesh at the other', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const outcome = await redeem(us, await invite(eu), { expectFingerprint: eu.domain.root.fingerprint });
  assert.deepEqual(
    outcome.steps.map((step) => `${step.name} ${step.result}`),
    [
      'token ok',
      'dns ok',
      'tcp ok',
      'tls ok',
      'pin ok',
      'clock ok',
      'version ok',
      'preflight ok',
      'redeem ok',
      'store ok',
    ],
  );
  assert.deepEqual(
    [outcome.joined, outcome.peer, outcome.trustDomain, outcome.awaitingApproval],
    [true, 'eu', 'eu.example', false],
  );
  assert.equal(outcome.fingerprint, eu.domain.root.fingerprint);
  assert.deepEqual(await rows(us), ['peers/eu', 'bundles/eu.example']);
  assert.deepEqual(await rows(eu), ['peers/us', 'bundles/us.example']);
});

test('an invite is redeemed once: the second time it is refused, and the secret is in no row', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const token = await invite(eu);
  const stored = (await eu.store.list('invites/')).map((row) => row.value).join();
  assert.equal(stored.includes(decodeInvite(token).secret), false);
  assert.equal((await redeem(us, token)).joined, true);
  const [step, message] = failure(await redeem(us, token));
  assert.equal(step, 'preflight');
  assert.match(message, /invite-used/);
});

test('of two that race for one invite exactly one wins', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const book = new InviteBook(eu.store, systemClock);
  const { id, secret } = decodeInvite(await invite(eu));
  const presented = await Promise.all([book.present(id, secret), eu.invites.present(id, secret)]);
  const won = await Promise.all(presented.map(async (each) => each && book.redeem(each, us.identity)));
  assert.equal(won.filter((each) => each !== undefined).length, 1);
});

test('a held invite registers nobody until it is approved', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const outcome = await redeem(us, await invite(eu, true));
  assert.deepEqual([outcome.joined, outcome.awaitingApproval], [true, true]);
  assert.deepEqual(await rows(eu), []);
  await approveJoin('us', eu);
  assert.deepEqual(await rows(eu), ['peers/us', 'bundles/us.example']);
  await assert.rejects(approveJoin('us', eu), { code: 'peer-unknown' });
});

test('an expired invite is refused by the clock of the inviter', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const early: Clock = { ...systemClock, now: () => systemClock.now() - 16 * 60 * 1000 };
  const spec = { mesh: 'eu', inviter: eu.identity, peer: 'us', audience: US, approve: false };
  const { token } = await new InviteBook(eu.store, early).issue(spec);
  const later = encodeInvite({ ...decodeInvite(token), expiresAtMs: systemClock.now() + 60_000 });
  const [step, message] = failure(await redeem(us, later));
  assert.equal(step, 'preflight');
  assert.match(message, /invite-expired/);
});

test('an invite for another trust domain is refused by both sides', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  await using asia = await startGateway('asia.example');
  const token = await invite(eu);
  assert.equal(failure(await redeem(asia, token))[0], 'token');
  const forged = encodeInvite({ ...decodeInvite(token), audience: asia.domain.trustDomain });
  assert.match(failure(await redeem(asia, forged))[1], /audience/);
  assert.deepEqual([await rows(eu), await rows(asia), await rows(us)], [[], [], []]);
});

test('a wrong secret gets no answer at all', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const forged = encodeInvite({ ...decodeInvite(await invite(eu)), secret: 'A'.repeat(43) });
  const [step, message] = failure(await redeem(us, forged));
  assert.equal(step, 'preflight');
  assert.match(message, /expected an answer, the connection was closed/);
});

test('an invite whose bundle was exchanged on its way fails at the pin, and so does an unexpected fingerprint', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const token = await invite(eu);
  const told = decodeInvite(token);
  const forged = encodeInvite({ ...told, inviter: { ...told.inviter, bundle: testDomain('eu.example').bundle } });
  assert.equal(failure(await redeem(us, forged))[0], 'pin');
  assert.equal(failure(await redeem(us, token, { expectFingerprint: '0'.repeat(64) }))[0], 'pin');
  assert.equal((await redeem(us, token)).joined, true, 'the invite was not spent');
});

test('a joiner whose certificate is not that of its gateway is refused', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const token = await invite(eu);
  us.svid.rotate(us.domain.svid('/ns/shop/sa/web'));
  assert.match(failure(await redeem(us, token))[1], /svid-untrusted/);
  us.svid.rotate(testDomain('us.example').svid('/jumpgate'));
  assert.match(failure(await redeem(us, token))[1], /svid-untrusted/);
  assert.deepEqual([await rows(us), await rows(eu)], [[], []]);
});

test('a root that is bound to another trust domain is refused', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const bundle = {
    ...us.domain.bundle,
    x509Authorities: [...us.domain.bundle.x509Authorities, ...eu.domain.bundle.x509Authorities],
  };
  const outcome = await redeem(us, await invite(eu), { self: { ...us.identity, bundle } });
  assert.match(failure(outcome)[1], /another mesh's bundle/);
  const candidate = { name: 'us', identity: { ...us.identity, bundle }, replace: false };
  const refused = await eu.registration.register(candidate);
  assert.equal(refused.kind === 'refused' && refused.code, 'shared-authority');
  assert.deepEqual(await rows(eu), []);
});

test('a peer that exists with other roots stays as it is, unless it is replaced on purpose', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const old = { ...eu.identity, bundle: testDomain('eu.example').bundle };
  assert.equal((await us.registration.register({ name: 'eu', identity: old, replace: false })).kind, 'registered');
  const token = await invite(eu);
  const before = await us.store.get('bundles/eu.example');
  assert.match(failure(await redeem(us, token))[1], /peer-exists/);
  assert.deepEqual(await us.store.get('bundles/eu.example'), before);
  assert.match(failure(await redeem(us, token, { name: 'other' }))[1], /trust-domain-taken/);
  assert.equal((await redeem(us, token, { replace: true })).joined, true);
});

test('a join that reaches nobody names the step', async () => {
  await using us = await startGateway('us.example');
  const eu = await startGateway('eu.example');
  const token = await invite(eu);
  await eu[Symbol.asyncDispose]();
  assert.equal(failure(await redeem(us, token))[0], 'tcp');
  const told = decodeInvite(token);
  const named = encodeInvite({
    ...told,
    inviter: { ...told.inviter, addresses: [{ host: 'gw.eu.example', port: 1 }] },
  });
  assert.equal(failure(await redeem(us, named, { lookup: async () => [] }))[0], 'dns');
  assert.equal(failure(await redeem(us, 'jg1.nonsense'))[0], 'token');
});

/** Invite and join between two gateways over real TLS, and every way in which it is refused. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';

import { systemClock, type Clock } from '../../base/clock.ts';
import { decodeInvite, encodeInvite } from '../../federation/peering/invite.ts';
import { InviteBook } from '../../federation/peering/invites.ts';
import { type HostPort } from '../../federation/resources/values.ts';
import { Registration } from '../../federation/peering/registration.ts';
import { silentLog } from '../../base/log.ts';
import { bindServer } from '../../base/net/bind-server.ts';
import { type Store } from '../../base/store/store.ts';
import { JumpgateError } from '../../base/errors.ts';
import { approveJoin } from '../../gateway/link/join-server.ts';
import { join, type JoinOptions, type JoinOutcome } from '../../gateway/link/join-client.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { gatewayIdOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { BundleSet } from '../../trust-bundles/source/bundle-set.ts';
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
    tainted: new Set(),
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

/** The registration of `gateway` over a store that fails to put rows whose key begins with `prefix`. */
const failing = async (gateway: TestGateway, prefix: string): Promise<Registration> => {
  const { store, domain } = gateway;
  const broken: Store = {
    get: (key) => store.get(key),
    list: (each) => store.list(each),
    put: async (key, value, expected) => {
      if (key.startsWith(prefix)) throw new JumpgateError('store-unavailable', 'the disk is full', { source: 'local' });
      return store.put(key, value, expected);
    },
    remove: (key, expected) => store.remove(key, expected),
    watch: () => ({ [Symbol.dispose]: () => undefined }),
    [Symbol.asyncDispose]: async () => undefined,
  };
  const own = (): typeof domain.bundle => domain.bundle;
  const { trustDomain } = domain;
  const bundles = await BundleSet.open({ store: broken, log: silentLog, own, trustDomain, clock: systemClock });
  return new Registration({ store: broken, bundles, trustDomain, own, declared: () => [], clock: systemClock });
};

/** An address that refuses connections. */
const closedAddress = async (): Promise<HostPort> => {
  const server = createServer();
  const bound = await bindServer(server, { kind: 'tcp', host: '127.0.0.1', port: 0 });
  await new Promise((resolve) => server.close(resolve));
  return { host: '127.0.0.1', port: bound.kind === 'tcp' ? bound.port : 0 };
};

const warnings = (outcome: JoinOutcome): string[] =>
  outcome.steps.filter((step) => step.result === 'warning').map((step) => step.message);

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
  assert.match(failure(await redeem(us, token))[1], /peer-exists.*--replace, or run "jumpgate peers remove eu" first/);
  assert.deepEqual(await us.store.get('bundles/eu.example'), before);
  assert.match(failure(await redeem(us, token, { name: 'other' }))[1], /trust-domain-taken/);
  assert.equal((await redeem(us, token, { replace: true })).joined, true);
});

test("preflight tells which of the joiner's addresses the inviter cannot reach, once per invite", async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const closed = await closedAddress();
  const metadata = { host: '169.254.169.254', port: 80 };
  const self = { ...us.identity, addresses: [closed, metadata, ...us.identity.addresses] };
  const token = await invite(eu);
  const registration = await failing(us, 'bundles/');
  const first = await redeem(us, token, { self, registration });
  const [warning, ...others] = warnings(first);
  assert.deepEqual(others, [], 'what was not tried is no warning, and what was reached is none');
  assert.match(warning ?? '', new RegExp(`cannot reach 127.0.0.1:${closed.port}: .*ECONNREFUSED`));
  const second = await redeem(us, token, { self });
  assert.deepEqual([second.joined, warnings(second)], [true, []]);
});

test('a store that fails before the invite is redeemed spends nothing', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const token = await invite(eu);
  const [step, message] = failure(await redeem(us, token, { registration: await failing(us, 'bundles/') }));
  assert.deepEqual([step, message], ['store', 'the disk is full']);
  assert.deepEqual([await rows(us), await rows(eu)], [[], []]);
  assert.equal((await redeem(us, token)).joined, true);
});

test('a store that fails after the invite is redeemed leaves this side as it was, and says how the other stands', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const [step, message] = failure(await redeem(us, await invite(eu), { registration: await failing(us, 'peers/') }));
  assert.equal(step, 'store');
  assert.match(message, /^the disk is full: the inviter has registered this mesh and the invite is spent, but nothing/);
  assert.deepEqual([await rows(us), await rows(eu)], [[], ['peers/us', 'bundles/us.example']]);
  assert.equal((await redeem(us, await invite(eu))).joined, true, 'another invite mends it');
});

test('a refusal of the inviter leaves nothing of it at the joiner', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const refusing = await failing(eu, 'peers/');
  const token = await invite(eu);
  const { id, secret } = decodeInvite(token);
  const presented = await eu.invites.present(id, secret);
  // Somebody else redeems it between the preflight and the join.
  const registration = await failing(us, 'nothing/');
  const raced = new Proxy(registration, {
    get: (target, name) =>
      name === 'prepare'
        ? async (candidate: Parameters<Registration['prepare']>[0]) => {
            const prepared = await target.prepare(candidate);
            assert.deepEqual(await rows(us), ['bundles/eu.example'], 'written ahead');
            assert.notEqual(presented && (await eu.invites.redeem(presented, us.identity)), undefined);
            return prepared;
          }
        : target.check.bind(target),
  });
  const [step, message] = failure(await redeem(us, token, { registration: raced }));
  assert.equal(step, 'redeem');
  assert.match(message, /invite-used/);
  assert.deepEqual([await rows(us), await rows(eu)], [[], []]);
  await assert.rejects(refusing.register({ name: 'us', identity: us.identity, replace: false }), /the disk is full/);
  assert.deepEqual(await rows(eu), []);
});

test('an inviter that knows the joiner with other roots says what its operator must do', async () => {
  await using us = await startGateway('us.example');
  await using eu = await startGateway('eu.example');
  const old = { ...us.identity, bundle: testDomain('us.example').bundle };
  assert.equal((await eu.registration.register({ name: 'us', identity: old, replace: false })).kind, 'registered');
  const [step, message] = failure(await redeem(us, await invite(eu)));
  assert.equal(step, 'preflight');
  assert.match(message, /peer-exists\): at the inviting mesh, .* other roots: .* "jumpgate peers remove us" and makes/);
});

test("an older bundle of a known peer is refused, and what a broken join left is in nobody's way", async () => {
  await using us = await startGateway('us.example');
  const eu = testDomain('eu.example');
  const identity = { ...us.identity, trustDomain: eu.trustDomain, gatewayId: gatewayIdOf(eu.trustDomain) };
  const candidate = (bundle: Bundle) => ({ name: 'eu', identity: { ...identity, bundle }, replace: false });
  const left = await us.registration.prepare(candidate(testDomain('eu.example').bundle));
  assert.equal(left.kind, 'prepared');
  assert.deepEqual(await rows(us), ['bundles/eu.example']);
  const newer = candidate({ ...eu.bundle, sequence: 5n });
  assert.equal((await us.registration.register(newer)).kind, 'registered');
  const before = await us.store.get('bundles/eu.example');
  const older = await us.registration.register(candidate({ ...eu.bundle, sequence: 4n }));
  assert.equal(older.kind === 'refused' && older.code, 'bundle-refused');
  assert.deepEqual(await us.store.get('bundles/eu.example'), before);
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

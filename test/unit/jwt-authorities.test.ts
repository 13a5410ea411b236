/** The JWT authorities of the embedded CA: issue, storage, rotation without a failed validation, withdrawal. */
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { test } from 'node:test';

import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { readBundleDocument, writeBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { parseSpiffeId, trustDomainOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { issueFromJwtKeys, rotatedJwtKeys } from '../../trust-bundles/rotation/jwt-keys.ts';
import { bundleOf } from '../../trust-bundles/rotation/published.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { advanceUntil, caRig, gatewayId, HOUR_MS, MINUTE_MS, web } from '../support/embedded-ca.ts';
import { JWT_AUDIENCE, jwtVerdict } from '../support/jwt.ts';

const HINT_MS = 5 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** What a validator holds that has just fetched the bundle. */
function fetched(bundle: Bundle): Bundle {
  return readBundleDocument(writeBundleDocument(bundle), bundle.trustDomain).bundle;
}

function verdict(token: string, bundle: Bundle, nowMs: number): string {
  return jwtVerdict(token, { bundles: new Map([[bundle.trustDomain, bundle]]), nowMs });
}

function issued(ca: EmbeddedCa): string {
  return ca.issueJwt(web, [JWT_AUDIENCE]).token;
}

function phases(ca: EmbeddedCa): string {
  return ca
    .jwtKeys()
    .map(({ phase }) => phase)
    .join();
}

test('BS-14: a new CA publishes a JWT key under its fingerprint, and its tokens validate against the document', async () => {
  await using state = await caRig();
  await using ca = await state.open();
  const [key] = ca.jwtKeys();
  const { keys } = JSON.parse(writeBundleDocument(ca.bundle())) as { keys: Record<string, unknown>[] };
  const entries = keys.filter(({ use }) => use === 'jwt-svid');
  assert.deepEqual(
    entries.map((entry) => Object.keys(entry).sort().join()),
    ['crv,kid,kty,use,x,y'],
  );
  assert.equal(entries[0]?.['kid'], key?.fingerprint);
  assert.equal(key?.phase, 'active');
  assert.equal(verdict(issued(ca), fetched(ca.bundle()), state.clock.now()), web);
  assert.equal((await stat(state.file)).mode & 0o777, 0o600);
});

test('JWT-SVIDs are for workloads of the own domain, for an audience, and for at most an hour', async () => {
  await using state = await caRig();
  await using ca = await state.open();
  const cases: readonly [string, string][] = [
    [gatewayId, 'svid-id-reserved'],
    ['spiffe://us.test/jumpgate/edge/public', 'svid-id-reserved'],
    ['spiffe://eu.test/ns/shop/sa/web', 'svid-id-foreign'],
    ['spiffe://us.test', 'svid-id-without-path'],
  ];
  for (const [id, code] of cases) assert.throws(() => ca.issueJwt(parseSpiffeId(id), [JWT_AUDIENCE]), { code }, id);
  assert.throws(() => ca.issueJwt(web, []), { code: 'jwt-audience' });
  for (const ttlMs of [0, 999, -1, HOUR_MS + 1, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => ca.issueJwt(web, [JWT_AUDIENCE], ttlMs), { code: 'jwt-ttl' }, String(ttlMs));
  }
  assert.equal(ca.issueJwt(web, [JWT_AUDIENCE]).expiresAtMs, state.clock.now() + 5 * MINUTE_MS);
  assert.equal(ca.issueJwt(web, [JWT_AUDIENCE], HOUR_MS).expiresAtMs, state.clock.now() + HOUR_MS);
});

test('a CA stored without JWT keys gets one at its next start, and keeps its roots', async () => {
  await using state = await caRig();
  const first = await state.open();
  const before = first.bundle();
  await first[Symbol.asyncDispose]();
  const stored = JSON.parse(await readFile(state.file, 'utf8')) as Record<string, unknown>;
  delete stored['jwtKeys'];
  await writeFile(state.file, JSON.stringify({ ...stored, format: 1 }), { mode: 0o600 });
  await using second = await state.open();
  assert.deepEqual(second.bundle().x509Authorities, before.x509Authorities);
  assert.equal(second.bundle().sequence, (before.sequence ?? 0n) + 1n);
  assert.equal(phases(second), 'active');
  assert.notDeepEqual(second.bundle().jwtAuthorities, before.jwtAuthorities);
  assert.equal(verdict(issued(second), second.bundle(), state.clock.now()), web);
  const written = JSON.parse(await readFile(state.file, 'utf8')) as { format: number; jwtKeys: unknown[] };
  assert.equal(written.format, 3);
  assert.equal(written.jwtKeys.length, 1);
});

test('a restart keeps JWT keys and their phases, and a key file from elsewhere is refused', async () => {
  await using state = await caRig();
  const first = await state.open();
  await first.prepareJwtKey();
  const before = { bundle: first.bundle(), keys: first.jwtKeys(), token: issued(first) };
  await first[Symbol.asyncDispose]();
  const second = await state.open();
  assert.deepEqual(second.jwtKeys(), before.keys);
  assert.deepEqual(second.bundle().jwtAuthorities, before.bundle.jwtAuthorities);
  assert.equal(verdict(before.token, second.bundle(), state.clock.now()), web);
  await second[Symbol.asyncDispose]();
  const set = JSON.parse(await readFile(state.file, 'utf8')) as { jwtKeys: { key: string }[] };
  set.jwtKeys[0]!.key = set.jwtKeys[1]!.key;
  await writeFile(state.file, JSON.stringify(set));
  await assert.rejects(state.open(), { code: 'ca-state-damaged', message: /JWT key 0: its fingerprint is not/ });
});

test('BS-16: a prepared JWT key is published for five refresh hints before the first token of it', async () => {
  await using state = await caRig();
  await using ca = await state.open();
  const startMs = state.clock.now();
  const [old] = ca.jwtKeys();
  await ca.prepareJwtKey();
  await ca.prepareJwtKey();
  assert.equal(phases(ca), 'active,prepared', 'a prepared key is not prepared twice');
  const sequence = ca.bundle().sequence;
  await advanceUntil(
    state.clock,
    5 * HINT_MS - MINUTE_MS,
    () => state.clock.now() === startMs + 5 * HINT_MS - MINUTE_MS,
  );
  assert.equal(phases(ca), 'active,prepared');
  await advanceUntil(state.clock, 2 * MINUTE_MS, () => phases(ca) === 'retired,active');
  assert.equal(ca.bundle().sequence, sequence, 'activation does not change what is published');
  const activatedMs = ca.jwtKeys()[1]!.phaseSinceMs;
  assert.ok(activatedMs >= startMs + 5 * HINT_MS);
  await advanceUntil(state.clock, DAY_MS + MINUTE_MS, () => phases(ca) === 'active');
  assert.ok(state.clock.now() >= activatedMs + DAY_MS, 'a retired key stays for a day');
  assert.notEqual(ca.jwtKeys()[0]?.fingerprint, old?.fingerprint);
});

test('no validation fails through three rotations of JWT keys in a row, by a validator that polls at the hint', async () => {
  await using state = await caRig();
  await using ca = await state.open();
  let held = fetched(ca.bundle());
  let polledMs = state.clock.now();
  let alive: { readonly token: string; readonly untilMs: number }[] = [];
  let validations = 0;
  const everyMinute = (): void => {
    const nowMs = state.clock.now();
    if (nowMs - polledMs >= HINT_MS) {
      held = fetched(ca.bundle());
      polledMs = nowMs;
    }
    const { token, expiresAtMs } = ca.issueJwt(web, [JWT_AUDIENCE], HOUR_MS);
    alive = [...alive.filter(({ untilMs }) => untilMs > nowMs), { token, untilMs: expiresAtMs }];
    for (const each of alive) assert.equal(verdict(each.token, held, nowMs), web);
    validations += alive.length;
  };
  const signers = new Set<string>();
  for (let round = 0; round < 3; round += 1) {
    const before = ca.jwtKeys().find(({ phase }) => phase === 'active')?.fingerprint;
    await ca.prepareJwtKey();
    const turned = (): boolean => {
      everyMinute();
      return ca.jwtKeys().find(({ phase }) => phase === 'active')?.fingerprint !== before;
    };
    await advanceUntil(state.clock, 6 * HINT_MS, turned);
    signers.add(ca.jwtKeys().find(({ phase }) => phase === 'active')!.fingerprint);
  }
  assert.equal(signers.size, 3);
  assert.ok(validations > 1_000, String(validations));
});

test('left alone for a month, JWT keys rotate by themselves and every token validates, at hints of an hour and a day', () => {
  const trustDomain = trustDomainOf(web);
  for (const [refreshHintSeconds, signersMin] of [
    [HOUR_MS / 1000, 8],
    [DAY_MS / 1000, 2],
  ] as const) {
    const startMs = Date.UTC(2026, 0, 1);
    let keys = rotatedJwtKeys([], { nowMs: startMs, refreshHintSeconds });
    let held: Bundle | undefined;
    const signers = new Set<string>();
    for (let nowMs = startMs; nowMs < startMs + 30 * DAY_MS; nowMs += HOUR_MS) {
      // The validator looks before the step, so that what it holds is older than the newest set by a hint.
      if ((nowMs - startMs) % (refreshHintSeconds * 1000) === 0) {
        held = fetched(bundleOf({ trustDomain, sequence: 1n, refreshHintSeconds, roots: [], jwtKeys: keys }));
      }
      keys = rotatedJwtKeys(keys, { nowMs, refreshHintSeconds });
      const { token } = issueFromJwtKeys(keys, { id: web, audience: [JWT_AUDIENCE], ttlMs: undefined, nowMs });
      assert.equal(verdict(token, held!, nowMs), web, `hint ${refreshHintSeconds}`);
      signers.add(keys.find(({ phase }) => phase === 'active')!.fingerprint);
      assert.ok(keys.length <= 3);
    }
    assert.ok(signers.size >= signersMin, `${signers.size} at ${refreshHintSeconds}`);
  }
});

test('a withdrawn JWT key leaves the bundle at once, another signs, and a restart does not bring it back', async () => {
  await using state = await caRig();
  const first = await state.open();
  const nowMs = state.clock.now();
  const stolen = first.jwtKeys()[0]!.fingerprint;
  const old = issued(first);
  assert.deepEqual(await first.withdraw(new Set(['0'.repeat(64)])), []);
  assert.equal(verdict(old, fetched(first.bundle()), nowMs), web);
  const roots = first.roots();
  assert.deepEqual(await first.withdraw(new Set([stolen])), [stolen]);
  assert.deepEqual(first.roots(), roots, 'the roots stay');
  assert.equal(phases(first), 'active');
  assert.equal(verdict(old, fetched(first.bundle()), nowMs), 'unknown-key');
  assert.equal(verdict(issued(first), fetched(first.bundle()), nowMs), web);
  await first.prepareJwtKey();
  const [active, prepared] = first.jwtKeys();
  await first.withdraw(new Set([active!.fingerprint]));
  assert.deepEqual(
    first.jwtKeys().map(({ fingerprint, phase }) => [fingerprint, phase]),
    [[prepared!.fingerprint, 'active']],
  );
  await first[Symbol.asyncDispose]();
  await using second = await state.open();
  assert.deepEqual(
    second.jwtKeys().map(({ fingerprint }) => fingerprint),
    [prepared!.fingerprint],
  );
  assert.doesNotMatch(await readFile(state.file, 'utf8'), new RegExp(stolen));
});

test('at most 32 JWT keys are published, however often one rotates by hand', async () => {
  await using state = await caRig();
  await using ca = await state.open();
  for (let count = 1; count < 32; count += 1) {
    await ca.prepareJwtKey();
    await advanceUntil(state.clock, 6 * HINT_MS, () => !phases(ca).includes('prepared'));
  }
  await assert.rejects(ca.prepareJwtKey(), { code: 'too-many-jwt-keys' });
  assert.equal(verdict(issued(ca), fetched(ca.bundle()), state.clock.now()), web);
});

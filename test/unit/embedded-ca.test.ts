/** The embedded CA: restarts, rotation, refusals. */
import assert from 'node:assert/strict';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { test } from 'node:test';

import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { type IdentityChange } from '../../trust-bundles/source/identity-source.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { advanceUntil, caRig, gatewayId, HOUR_MS, MINUTE_MS, web } from '../support/embedded-ca.ts';
import { ManualClock } from '../support/manual-clock.ts';

function verdict(svid: X509Svid, bundle: Bundle, nowMs: number): string {
  const trust = { bundles: new Map([[bundle.trustDomain, bundle]]), tainted: new Set<string>() };
  const outcome = verifySvid({ chain: svid.chain, trust, role: 'client', nowMs });
  return outcome.kind === 'verified' ? outcome.id : outcome.code;
}

/** Waits for the next change of that kind. */
function changed(ca: EmbeddedCa, kind: IdentityChange): Promise<void> {
  return new Promise((resolve) => {
    const watch = ca.watch((change) => {
      if (change !== kind) return;
      watch[Symbol.dispose]();
      resolve();
    });
  });
}

test('a new CA vouches for the gateway and for workloads, in a directory for its owner alone', async () => {
  await using state = await caRig();
  await using ca = await state.open();
  assert.equal(verdict(ca.svid.current(), ca.bundle(), state.clock.now()), gatewayId);
  assert.equal(verdict(ca.issue(web, HOUR_MS), ca.bundle(), state.clock.now()), web);
  assert.equal((await stat(state.file)).mode & 0o777, 0o600);
  assert.equal((await stat(state.directory)).mode & 0o777, 0o700);
});

test('a clock that moves on at every look keeps no new CA from its first root', async () => {
  await using state = await caRig();
  const { clock } = state;
  let looks = 0;
  const restless = {
    now: () => clock.now() + (looks += 1),
    monotonic: () => clock.monotonic(),
    after: (delayMs: number, action: () => void) => clock.after(delayMs, action),
  };
  await using ca = await state.open({ clock: restless });
  assert.equal(verdict(ca.svid.current(), ca.bundle(), restless.now()), gatewayId);
});

test('reserved and foreign ids, the bare domain and long lives are refused', async () => {
  await using state = await caRig();
  const other = parseSpiffeId('spiffe://us.test/ns/jumpgate/sa/gateway');
  await using ca = await state.open({ gatewayId: other });
  const cases: readonly [string, string][] = [
    ['spiffe://us.test/jumpgate', 'svid-id-reserved'],
    ['spiffe://us.test/jumpgate/edge/public', 'svid-id-reserved'],
    [other, 'svid-id-reserved'],
    ['spiffe://eu.test/ns/shop/sa/web', 'svid-id-foreign'],
    ['spiffe://us.test', 'svid-id-without-path'],
  ];
  for (const [id, code] of cases) assert.throws(() => ca.issue(parseSpiffeId(id), HOUR_MS), { code }, id);
  assert.throws(() => ca.issue(web, 24 * HOUR_MS + 1), { code: 'svid-ttl' });
  assert.throws(() => ca.issue(web, 0), { code: 'svid-ttl' });
  assert.throws(() => ca.issue(web, Number.NaN), { code: 'svid-ttl' });
  assert.equal(ca.issue(parseSpiffeId('spiffe://us.test/jumpgates'), HOUR_MS).id, 'spiffe://us.test/jumpgates');
  await assert.rejects(state.open({ svidTtlMs: 25 * HOUR_MS }), { code: 'svid-ttl' });
});

test('a restart keeps roots, phases and keys, and numbers the bundle anew', async () => {
  await using state = await caRig();
  const first = await state.open();
  await first.prepareRoot();
  const issued = first.issue(web, HOUR_MS);
  const before = { bundle: first.bundle(), roots: first.roots() };
  await first[Symbol.asyncDispose]();
  await using second = await state.open();
  const { sequence: renumbered = 0n, ...rest } = second.bundle();
  const { sequence = 0n, ...kept } = before.bundle;
  assert.deepEqual(rest, kept);
  assert.equal(renumbered, sequence + 1n, 'no time has passed');
  assert.deepEqual(second.roots(), before.roots);
  assert.equal(verdict(issued, second.bundle(), state.clock.now()), web);
  assert.equal(verdict(second.issue(web, HOUR_MS), before.bundle, state.clock.now()), web);
});

test('a restored copy of the state is published with a sequence above what was published from its successor', async () => {
  await using state = await caRig();
  await (await state.open())[Symbol.asyncDispose]();
  const backup = await readFile(state.file);
  const later = await state.open();
  await later.prepareRoot();
  await later.activateRoot();
  const held = later.bundle().sequence ?? 0n;
  await later[Symbol.asyncDispose]();
  await writeFile(state.file, backup);
  state.clock.advance(MINUTE_MS);
  await using restored = await state.open();
  assert.ok((restored.bundle().sequence ?? 0n) > held, `${String(restored.bundle().sequence)} after ${held}`);
  assert.equal(restored.roots().length, 1);
  assert.equal(verdict(restored.svid.current(), restored.bundle(), state.clock.now()), gatewayId);
});

test('the sequence goes on above what another source of this mesh has published', async () => {
  await using state = await caRig();
  await (await state.open())[Symbol.asyncDispose]();
  const sequenceAbove = 10n ** 12n;
  await using ca = await state.open({ sequenceAbove });
  assert.equal(ca.bundle().sequence, sequenceAbove + 1n);
});

test('L1: a key file that others may read is refused and left as it is', async () => {
  await using state = await caRig();
  await (await state.open())[Symbol.asyncDispose]();
  const content = await readFile(state.file, 'utf8');
  for (const mode of [0o640, 0o604, 0o660, 0o644]) {
    await chmod(state.file, mode);
    await assert.rejects(state.open(), { code: 'key-permissions', message: /chmod 600/ }, mode.toString(8));
  }
  assert.equal(await readFile(state.file, 'utf8'), content);
  await chmod(state.file, 0o600);
  await (await state.open())[Symbol.asyncDispose]();
});

test('L3: damaged, newer and foreign state is refused and never replaced by a new root', async () => {
  await using state = await caRig();
  await (await state.open())[Symbol.asyncDispose]();
  const good = await readFile(state.file, 'utf8');
  const cases: readonly [string, string][] = [
    ['', 'ca-state-damaged'],
    [good.slice(0, good.length / 2), 'ca-state-damaged'],
    ['[]', 'ca-state-damaged'],
    [good.replace('"format": 3', '"format": 4'), 'ca-state-newer'],
    [good.replace('"format": 3', '"format": "x"'), 'ca-state-damaged'],
    [good.replace('"jwtKeys"', '"jwtKey"'), 'ca-state-damaged'],
    [good.replace(/("jwtKeys"[^]*"fingerprint": ")../, '$1zz'), 'ca-state-damaged'],
    [good.replace(/("jwtKeys"[^]*)BEGIN PRIVATE KEY/, '$1BEGIN PUBLIC KEY'), 'ca-state-damaged'],
    [good.replace(/("jwtKeys"[^]*"phase": ")active/, '$1activ'), 'ca-state-damaged'],
    [good.replace(/("jwtKeys"[^]*)"notAfterMs": \d+/, '$1"notAfterMs": "x"'), 'ca-state-damaged'],
    [good.replace('us.test', 'eu.test'), 'ca-trust-domain'],
    [good.replace(/"sequence": "\d+"/, '"sequence": "-1"'), 'ca-state-damaged'],
    [good.replace('"phase": "active"', '"phase": "activ"'), 'ca-state-damaged'],
    [good.replace(/"fingerprint": "../, '"fingerprint": "zz'), 'ca-state-damaged'],
    [good.replace('BEGIN PRIVATE KEY', 'BEGIN PUBLIC KEY'), 'ca-state-damaged'],
  ];
  for (const [content, code] of cases) {
    await writeFile(state.file, content);
    await assert.rejects(state.open(), { code }, content.slice(0, 80));
    assert.equal(await readFile(state.file, 'utf8'), content);
  }
});

test('a root whose key was swapped for that of another is refused', async () => {
  await using state = await caRig();
  const first = await state.open();
  await first.prepareRoot();
  await first[Symbol.asyncDispose]();
  const set = JSON.parse(await readFile(state.file, 'utf8')) as { roots: { key: string }[] };
  set.roots[0]!.key = set.roots[1]!.key;
  await writeFile(state.file, JSON.stringify(set));
  await assert.rejects(state.open(), { code: 'ca-state-damaged', message: /not that of its certificate/ });
});

test('a rotation publishes the new root before it signs and keeps the old one after', async () => {
  await using state = await caRig();
  await using ca = await state.open();
  const old = ca.issue(web, HOUR_MS);
  const oldBundle = ca.bundle();
  const prepared = await ca.prepareRoot();
  assert.deepEqual(
    ca.roots().map(({ phase }) => phase),
    ['active', 'prepared'],
  );
  assert.equal(ca.bundle().x509Authorities.length, 2);
  assert.equal(verdict(ca.issue(web, HOUR_MS), oldBundle, state.clock.now()), web, 'signed by the old root until then');
  assert.deepEqual(await ca.prepareRoot(), prepared, 'a prepared root is not prepared twice');
  const activated = await ca.activateRoot();
  assert.equal(activated.fingerprint, prepared.fingerprint);
  assert.equal(activated.phase, 'active');
  assert.notEqual(verdict(ca.svid.current(), oldBundle, state.clock.now()), gatewayId);
  assert.equal(verdict(ca.svid.current(), ca.bundle(), state.clock.now()), gatewayId);
  assert.equal(verdict(old, ca.bundle(), state.clock.now()), web, 'what the old root signed still verifies');
  await assert.rejects(ca.activateRoot(), { code: 'no-prepared-root' });
});

test('the sequence grows with every change of the bundle, also when the clock stands still or goes back', async () => {
  await using state = await caRig();
  await using ca = await state.open();
  const sequences: (bigint | undefined)[] = [ca.bundle().sequence];
  assert.equal(sequences[0], BigInt(Math.floor(state.clock.now() / 1000)));
  await ca.prepareRoot();
  sequences.push(ca.bundle().sequence);
  await ca.activateRoot();
  assert.equal(ca.bundle().sequence, sequences[1], 'activation does not change what is published');
  state.clock.advance(HOUR_MS);
  await ca.prepareRoot();
  sequences.push(ca.bundle().sequence);
  assert.equal(sequences[1], sequences[0] + 1n);
  assert.equal(sequences[2], BigInt(Math.floor(state.clock.now() / 1000)));
  await ca[Symbol.asyncDispose]();
  const earlier = new ManualClock(state.clock.now() - MINUTE_MS);
  await using back = await state.open({ clock: earlier, refreshHintSeconds: 60 });
  assert.equal(back.bundle().sequence, sequences[2] + 1n, 'another hint is another content');
  assert.equal(back.bundle().refreshHintSeconds, 60);
});

test('changes that are asked for at once happen one after another', async () => {
  await using state = await caRig();
  await using ca = await state.open();
  const [one, two] = await Promise.all([ca.prepareRoot(), ca.prepareRoot(), ca.activateRoot()]);
  assert.equal(one.fingerprint, two.fingerprint);
  assert.deepEqual(
    ca.roots().map(({ phase }) => phase),
    ['retired', 'active'],
  );
});

test('the gateway svid is renewed at half of its life', async () => {
  await using state = await caRig();
  await using ca = await state.open({ svidTtlMs: HOUR_MS });
  const first = ca.svid.current();
  const seen: (X509Svid | undefined)[] = [];
  const watch = ca.svid.watch((svid) => seen.push(svid));
  await advanceUntil(state.clock, 29 * MINUTE_MS, () => state.clock.now() % HOUR_MS === 29 * MINUTE_MS);
  assert.equal(ca.svid.current(), first);
  const renewed = changed(ca, 'svid');
  await advanceUntil(state.clock, 2 * MINUTE_MS, () => ca.svid.current() !== first);
  await renewed;
  assert.deepEqual(seen, [ca.svid.current()]);
  watch[Symbol.dispose]();
  await ca.prepareRoot();
  await ca.activateRoot();
  assert.equal(seen.length, 1);
  assert.equal(verdict(ca.svid.current(), ca.bundle(), state.clock.now()), gatewayId);
});

test('left alone, a CA prepares, activates and drops roots, and its svid verifies at every moment', async () => {
  await using state = await caRig();
  await using ca = await state.open({ rootTtlMs: 8 * HOUR_MS, svidTtlMs: HOUR_MS });
  const firstRoot = ca.roots()[0]?.fingerprint;
  const phases = (): string =>
    ca
      .roots()
      .map(({ phase }) => phase)
      .join();
  const seen: string[] = [];
  const holds = (): boolean => {
    assert.equal(verdict(ca.svid.current(), ca.bundle(), state.clock.now()), gatewayId);
    if (seen.at(-1) !== phases()) seen.push(phases());
    return ca.roots().every(({ fingerprint }) => fingerprint !== firstRoot);
  };
  await advanceUntil(state.clock, 9 * HOUR_MS, holds);
  assert.deepEqual(seen.slice(0, 3), ['active', 'active,prepared', 'retired,active']);
});

test('a CA that slept beyond the end of its root starts with a new one and a higher sequence', async () => {
  await using state = await caRig();
  const first = await state.open({ rootTtlMs: 2 * HOUR_MS });
  const before = first.bundle();
  await first[Symbol.asyncDispose]();
  state.clock.advance(3 * HOUR_MS);
  await using second = await state.open({ rootTtlMs: 2 * HOUR_MS });
  assert.equal(second.roots().length, 1);
  assert.notEqual(second.roots()[0]?.fingerprint, before.x509Authorities[0]?.fingerprint);
  assert.ok((second.bundle().sequence ?? 0n) > (before.sequence ?? 0n));
  assert.equal(verdict(second.svid.current(), second.bundle(), state.clock.now()), gatewayId);
});

test('a listener that throws does not stop a rotation', async () => {
  await using state = await caRig();
  await using ca = await state.open();
  let told = 0;
  ca.watch(() => {
    throw new Error('a bug');
  });
  ca.watch(() => (told += 1));
  await ca.prepareRoot();
  assert.equal(told, 1);
});

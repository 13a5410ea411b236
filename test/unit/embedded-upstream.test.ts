/** An embedded CA below an upstream: chains, renewal, change of the upstream, and the way there and back. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { trustDomainOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { readUpstream } from '../../trust-bundles/source/upstream.ts';
import { type UpstreamSource } from '../../trust-bundles/source/upstream-source.ts';
import { keyFingerprintOf, readCertificate, urisOf } from '../../trust-bundles/x509/certificate.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { type UpstreamCa } from '../../trust-bundles/x509/issue.ts';
import { certificatesToPem } from '../../trust-bundles/x509/pem.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { type TestAuthority, testIntermediate } from '../support/certificates.ts';
import { advanceUntil, caRig, type CaRig, gatewayId, HOUR_MS, MINUTE_MS, web } from '../support/embedded-ca.ts';
import { enterpriseRoot, type UpstreamContents, writeUpstream } from '../support/upstream-files.ts';

const DAY_MS = 24 * HOUR_MS;
const trustDomain = trustDomainOf(gatewayId);

function verdict(svid: X509Svid, bundle: Bundle, nowMs: number): string {
  const trust = { bundles: new Map([[bundle.trustDomain, bundle]]), tainted: new Set<string>() };
  const outcome = verifySvid({ chain: svid.chain, trust, role: 'client', nowMs });
  return outcome.kind === 'verified' ? outcome.id : outcome.code;
}

const anchorsIn = (bundle: Bundle): readonly string[] => bundle.x509Authorities.map(({ fingerprint }) => fingerprint);
const phasesOf = (ca: EmbeddedCa): string =>
  ca
    .roots()
    .map(({ phase }) => phase)
    .join();

/** An upstream that changes when told: files have their own test. */
async function upstreamOf(
  { clock, directory }: CaRig,
  contents: UpstreamContents,
): Promise<UpstreamSource & { change(contents: UpstreamContents): Promise<void> }> {
  const read = async (next: UpstreamContents): Promise<UpstreamCa> => {
    const files = await writeUpstream(join(directory, '..', 'upstream'), next);
    return readUpstream(files, { trustDomain, nowMs: clock.now(), ownerOf: () => undefined });
  };
  const listeners = new Set<() => void>();
  let current = await read(contents);
  return {
    from: 'ca.pem',
    current: () => current,
    problem: () => undefined,
    watch: (listener) => {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    change: async (next) => {
      current = await read(next);
      for (const listener of listeners) listener();
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Waits for a state that comes with a change of the CA. */
async function reached(ca: EmbeddedCa, ready: () => boolean): Promise<void> {
  while (!ready()) {
    await new Promise<void>((resolve) => {
      const watch = ca.watch(() => {
        watch[Symbol.dispose]();
        resolve();
      });
    });
  }
}

const intermediateOf = (root: TestAuthority, nowMs: number): TestAuthority =>
  testIntermediate(root, { uris: [], notBeforeMs: nowMs - MINUTE_MS, notAfterMs: nowMs + 20 * DAY_MS });

test('XI-9: below an upstream the CA is an intermediate of path length 0 with the name of its domain, and the bundle holds the root above', async () => {
  await using state = await caRig();
  const root = enterpriseRoot(state.clock.now(), 30 * DAY_MS);
  const middle = intermediateOf(root, state.clock.now());
  await using ca = await state.open({
    upstream: await upstreamOf(state, { authority: middle, chain: [root.certificate] }),
  });
  assert.deepEqual(anchorsIn(ca.bundle()), [root.fingerprint]);
  const svid = ca.issue(web, HOUR_MS);
  assert.equal(verdict(svid, ca.bundle(), state.clock.now()), web);
  assert.equal(verdict(ca.svid.current(), ca.bundle(), state.clock.now()), gatewayId);
  const [, own, above] = svid.chain.map(readCertificate);
  assert.equal(svid.chain.length, 3);
  assert.deepEqual(Buffer.from(above?.der ?? []), Buffer.from(middle.certificate));
  assert.deepEqual(own?.extensions.basicConstraints, { ca: true, pathLength: 0 });
  assert.ok(own.extensions.keyUsage?.critical === true && own.extensions.keyUsage.keyCertSign);
  assert.deepEqual(urisOf(own), ['spiffe://us.test']);
  assert.equal(own.extensions.authorityKeyId, middle.keyId);
  assert.equal(own.notAfterMs, state.clock.now() + 20 * DAY_MS, 'never beyond what stands above it');
  assert.deepEqual(ca.status().upstream, { from: 'ca.pem', notAfterMs: state.clock.now() + 20 * DAY_MS });
});

test('openssl verifies leaf and intermediates with the root of the upstream as its only anchor, and not with another', async () => {
  await using state = await caRig();
  const root = enterpriseRoot(state.clock.now(), 30 * DAY_MS);
  const stranger = enterpriseRoot(state.clock.now(), 30 * DAY_MS);
  const middle = intermediateOf(root, state.clock.now());
  await using ca = await state.open({
    upstream: await upstreamOf(state, { authority: middle, bundle: [root.certificate] }),
  });
  const { chain } = ca.issue(web, HOUR_MS);
  const put = async (name: string, certificates: readonly Uint8Array[]): Promise<string> => {
    await writeFile(join(state.directory, name), certificatesToPem(certificates));
    return join(state.directory, name);
  };
  const leaf = await put('leaf.pem', chain.slice(0, 1));
  const between = await put('between.pem', chain.slice(1));
  const verify = async (anchor: TestAuthority): Promise<string> => {
    const anchors = await put('anchor.pem', [anchor.certificate]);
    const time = String(Math.floor(state.clock.now() / 1000));
    const only = ['-no-CAfile', '-no-CApath', '-no-CAstore', '-trusted', anchors, '-untrusted', between];
    const options = ['-x509_strict', '-purpose', 'sslserver', '-attime', time];
    const { stdout } = await promisify(execFile)('openssl', ['verify', ...only, ...options, leaf]);
    return stdout;
  };
  assert.match(await verify(root), /leaf\.pem: OK/);
  await assert.rejects(verify(stranger), /verification failed|unable to get|self-signed/);
});

test('an intermediate is renewed under the same upstream without any change of the bundle, by itself and when asked', async () => {
  await using state = await caRig();
  const root = enterpriseRoot(state.clock.now(), 30 * DAY_MS);
  const upstream = await upstreamOf(state, { authority: root });
  await using ca = await state.open({ upstream, rootTtlMs: 8 * HOUR_MS });
  const bundle = ca.bundle();
  const first = ca.roots()[0]?.fingerprint;
  const old = ca.issue(web, HOUR_MS);
  const renewed = await ca.prepareRoot();
  assert.deepEqual([renewed.phase, phasesOf(ca)], ['active', 'retired,active']);
  assert.notEqual(renewed.fingerprint, first);
  assert.equal(verdict(ca.svid.current(), bundle, state.clock.now()), gatewayId, 'peers need not fetch anything');
  assert.equal(verdict(old, ca.bundle(), state.clock.now()), web);
  const own = (): string => ca.roots().find(({ phase }) => phase === 'active')?.fingerprint ?? '';
  await advanceUntil(state.clock, 5 * HOUR_MS, () => {
    assert.equal(verdict(ca.svid.current(), bundle, state.clock.now()), gatewayId);
    return own() !== renewed.fingerprint;
  });
  assert.equal(ca.bundle(), bundle);
});

test('another upstream is published first, signs after five refresh hints, and its predecessor leaves a day later', async () => {
  await using state = await caRig();
  const [before, after] = [0, 1].map(() => enterpriseRoot(state.clock.now(), 30 * DAY_MS));
  assert.ok(before && after);
  const upstream = await upstreamOf(state, { authority: before });
  await using ca = await state.open({ upstream, refreshHintSeconds: 300 });
  const old = ca.bundle();
  await upstream.change({ authority: after });
  await reached(ca, () => phasesOf(ca) === 'active,prepared');
  assert.deepEqual(anchorsIn(ca.bundle()), [before.fingerprint, after.fingerprint]);
  assert.equal(
    verdict(ca.svid.current(), old, state.clock.now()),
    gatewayId,
    'the old one signs until peers hold both',
  );
  const publishedAtMs = ca.roots()[1]?.phaseSinceMs ?? 0;
  await advanceUntil(state.clock, 40 * MINUTE_MS, () => phasesOf(ca) === 'retired,active');
  assert.ok(state.clock.now() - publishedAtMs >= 25 * MINUTE_MS, 'five hints of 300 s');
  assert.equal(verdict(ca.svid.current(), old, state.clock.now()), 'not-vouched-for');
  assert.equal(verdict(ca.svid.current(), ca.bundle(), state.clock.now()), gatewayId);
  await advanceUntil(state.clock, 25 * HOUR_MS, () => ca.roots().length === 1);
  assert.deepEqual(anchorsIn(ca.bundle()), [after.fingerprint]);
});

test('from self-signed to an upstream and back: old roots stay published until spent, and a restart in between loses nothing', async () => {
  await using state = await caRig();
  const root = enterpriseRoot(state.clock.now(), 30 * DAY_MS);
  const first = await state.open();
  const own = first.roots()[0]?.fingerprint ?? '';
  const issued = first.issue(web, HOUR_MS);
  const held = first.bundle();
  await first[Symbol.asyncDispose]();
  const second = await state.open({ upstream: await upstreamOf(state, { authority: root }) });
  assert.deepEqual(anchorsIn(second.bundle()), [own, root.fingerprint]);
  assert.equal(verdict(second.svid.current(), held, state.clock.now()), gatewayId, 'peers hold only the old root yet');
  await second.activateRoot();
  assert.equal(verdict(issued, second.bundle(), state.clock.now()), web);
  const below = second.issue(web, HOUR_MS);
  assert.match(await readFile(state.file, 'utf8'), /"format": 3,/);
  await second[Symbol.asyncDispose]();
  await using third = await state.open();
  assert.equal(phasesOf(third), 'retired,active,prepared');
  assert.equal(verdict(below, third.bundle(), state.clock.now()), web);
  assert.equal(verdict(third.issue(web, HOUR_MS), second.bundle(), state.clock.now()), web, 'still below the upstream');
  await third.activateRoot();
  assert.equal(third.issue(web, HOUR_MS).chain.length, 1);
  await advanceUntil(state.clock, 25 * HOUR_MS, () => third.roots().length === 1);
  assert.equal(anchorsIn(third.bundle()).includes(root.fingerprint), false);
});

test('a state of format 2, from before there were upstreams, is taken over', async () => {
  await using state = await caRig();
  const first = await state.open();
  const roots = first.roots();
  await first[Symbol.asyncDispose]();
  await writeFile(state.file, (await readFile(state.file, 'utf8')).replace('"format": 3', '"format": 2'));
  await using second = await state.open();
  assert.deepEqual(second.roots(), roots);
});

test('what stands above a root in the state is read as strictly as the root', async () => {
  await using state = await caRig();
  const root = enterpriseRoot(state.clock.now(), DAY_MS);
  await (await state.open({ upstream: await upstreamOf(state, { authority: root }) }))[Symbol.asyncDispose]();
  const good = await readFile(state.file, 'utf8');
  for (const bad of [
    good.replace(/"id": ".."/, '"id": "zz"').replace(/"id": "../, '"id": "zz'),
    good.replace(/"anchors": \[[^\]]*\]/, '"anchors": []'),
    good.replace(/"anchors": \[[^\]]*\]/, '"anchors": ["AAAA"]'),
    good.replace('"chain": []', '"chain": [1]'),
  ]) {
    assert.notEqual(bad, good);
    await writeFile(state.file, bad);
    await assert.rejects(state.open(), { code: 'ca-state-damaged', message: /upstream|certificate/ });
  }
});

test('an upstream that ends is told of before, and nothing is issued beyond its end', async () => {
  await using state = await caRig();
  const root = enterpriseRoot(state.clock.now(), 8 * HOUR_MS);
  await using ca = await state.open({ upstream: await upstreamOf(state, { authority: root }) });
  assert.equal(ca.status().problem, undefined);
  await advanceUntil(state.clock, 5 * HOUR_MS, () => ca.status().problem?.code === 'upstream-ending');
  assert.equal(ca.roots().length, 1, 'a renewal would not last longer');
  await advanceUntil(state.clock, 9 * HOUR_MS, () => ca.status().problem?.code === 'upstream-ended');
  state.clock.advance(1000);
  assert.throws(() => ca.issue(web, HOUR_MS), { code: 'svid-refused' });
});

test('a quarantined root of the upstream issues no more; the next upstream replaces it at once', async () => {
  await using state = await caRig();
  const [bad, good] = [0, 1].map(() => enterpriseRoot(state.clock.now(), 30 * DAY_MS));
  assert.ok(bad && good);
  const upstream = await upstreamOf(state, { authority: bad });
  await using ca = await state.open({ upstream });
  const tainted = new Set([keyFingerprintOf(readCertificate(bad.certificate))]);
  await assert.rejects(ca.withdraw(tainted), { code: 'upstream-tainted' });
  await upstream.change({ authority: good });
  await reached(ca, () => anchorsIn(ca.bundle()).join() === good.fingerprint);
  await reached(ca, () => verdict(ca.svid.current(), ca.bundle(), state.clock.now()) === gatewayId);
  assert.equal(verdict(ca.svid.current(), ca.bundle(), state.clock.now()), gatewayId);
});

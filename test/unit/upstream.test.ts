/** An upstream CA in files: what is taken, what is refused and why. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { readUpstream } from '../../trust-bundles/source/upstream.ts';
import { openUpstream } from '../../trust-bundles/source/upstream-source.ts';
import { type UpstreamCa } from '../../trust-bundles/x509/issue.ts';
import { privateKeyToPem } from '../../trust-bundles/x509/pem.ts';
import { type CertificateOverrides, TEST_NOW_MS, testIntermediate, testKeys, usage } from '../support/certificates.ts';
import { until } from '../support/gateways.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { enterpriseRoot, type UpstreamContents, writeUpstream } from '../support/upstream-files.ts';

const DAY_MS = 86_400_000;
const trustDomain = parseTrustDomain('us.test');
const judgement = { trustDomain, nowMs: TEST_NOW_MS, ownerOf: () => undefined };

async function taken(contents: UpstreamContents, over: Partial<typeof judgement> = {}): Promise<UpstreamCa> {
  using directory = temporaryDirectory();
  return await readUpstream(await writeUpstream(join(directory.path, 'ca'), contents), { ...judgement, ...over });
}

const rootWith = (overrides: CertificateOverrides): UpstreamContents => ({
  authority: enterpriseRoot(TEST_NOW_MS, DAY_MS, overrides),
});

test('a self-signed root is the upstream and the anchor; an intermediate needs its root, from the chain or a bundle', async () => {
  const root = enterpriseRoot(TEST_NOW_MS, 2 * DAY_MS);
  const middle = testIntermediate(root, { uris: [], notAfterMs: TEST_NOW_MS + DAY_MS });
  const alone = await taken({ authority: root });
  assert.deepEqual([alone.chain, alone.anchors], [[], [root.certificate]]);
  assert.equal(alone.notAfterMs, TEST_NOW_MS + 2 * DAY_MS);
  for (const above of [{ chain: [root.certificate] }, { bundle: [root.certificate] }]) {
    const below = await taken({ authority: middle, ...above });
    assert.deepEqual([below.chain, below.anchors], [[middle.certificate], [root.certificate]]);
    assert.equal(below.notAfterMs, TEST_NOW_MS + DAY_MS);
  }
  await assert.rejects(taken({ authority: middle }), {
    code: 'upstream-no-root',
    message: /found an intermediate at the top: give its root by chainFile or bundleFile/,
  });
  const stranger = enterpriseRoot(TEST_NOW_MS, DAY_MS);
  await assert.rejects(taken({ authority: middle, bundle: [stranger.certificate] }), {
    code: 'upstream-not-vouched-for',
  });
});

test('keys on P-256 and P-384, RSA and Ed25519 issue', async () => {
  const pairs = [
    generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ed25519'),
  ];
  for (const keys of pairs) assert.deepEqual((await taken(rootWith({ keys }))).chain, []);
});

const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
const REFUSED: readonly (readonly [string, CertificateOverrides, string, RegExp])[] = [
  ['no CA', { ca: false }, 'upstream-ca-constraints', /found one that is none/],
  ['no basic constraints', { ca: null }, 'upstream-ca-constraints', /found one that is none/],
  ['no keyCertSign', { keyUsage: usage.crlSign }, 'upstream-ca-constraints', /may not sign certificates/],
  ['path length 0', { pathLength: 0 }, 'upstream-ca-constraints', /1 below one that allows 0/],
  ['other domains only', { permittedUris: ['eu.test'] }, 'upstream-name-constraints', /vouch for spiffe:\/\/us\.test/],
  ['our domain excluded', { excludedUris: ['us.test'] }, 'upstream-name-constraints', /vouch for spiffe:\/\/us\.test/],
  ['ended', { notAfterMs: TEST_NOW_MS - 1000 }, 'upstream-expired', /has expired: valid until 2027/],
  ['not begun', { notBeforeMs: TEST_NOW_MS + 120_000 }, 'upstream-not-yet-valid', /compare the clocks/],
  ['weak', { keys: weak }, 'upstream-weak-key', /expected RSA of 2048 to 8192 bits, found 1024/],
  ['for servers only', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] }, 'upstream-extended-key-usage', /TLS client/],
  ['another identity', { uris: ['spiffe://eu.test'] }, 'upstream-foreign-authority', /spiffe:\/\/eu\.test/],
  [
    'unknown and critical',
    { extraExtensions: [{ oid: '1.2.3.4', critical: true, value: Buffer.from([5, 0]) }] },
    'upstream-unknown-critical-extension',
    /1\.2\.3\.4/,
  ],
];

for (const [name, overrides, code, message] of REFUSED) {
  test(`an upstream CA is refused with its reason: ${name}`, async () => {
    await assert.rejects(taken(rootWith(overrides)), { code, message });
  });
}

test('name constraints that permit our trust domain are no hindrance', async () => {
  assert.equal((await taken(rootWith({ permittedUris: ['us.test'] }))).chain.length, 0);
});

test('the key of another certificate, and a root that is bound to another trust domain, are refused', async () => {
  using directory = temporaryDirectory();
  const authority = enterpriseRoot(TEST_NOW_MS, DAY_MS);
  const files = await writeUpstream(join(directory.path, 'ca'), { authority });
  await assert.rejects(readUpstream(files, { ...judgement, ownerOf: () => parseTrustDomain('eu.test') }), {
    code: 'upstream-root-shared',
    message: /is bound to the trust domain eu\.test already/,
  });
  await writeFile(files.keyFile, privateKeyToPem(testKeys().privateKey));
  await assert.rejects(readUpstream(files, judgement), { code: 'upstream-key-mismatch' });
});

test('L1: the key of an upstream CA that others may read is refused, and is the group its reader only where that is said', async () => {
  using directory = temporaryDirectory();
  const files = await writeUpstream(join(directory.path, 'ca'), { authority: enterpriseRoot(TEST_NOW_MS, DAY_MS) });
  await chmod(files.keyFile, 0o640);
  await assert.rejects(readUpstream(files, judgement), { code: 'key-permissions', message: /found 0640/ });
  assert.equal((await readUpstream({ ...files, keyReadableBy: 'group' }, judgement)).chain.length, 0);
  await chmod(files.keyFile, 0o644);
  await assert.rejects(readUpstream({ ...files, keyReadableBy: 'group' }, judgement), { code: 'key-permissions' });
});

test('files that change to something unusable change nothing and are a problem; a usable upstream is taken up', async () => {
  using directory = temporaryDirectory();
  const at = join(directory.path, 'ca');
  const nowMs = systemClock.now();
  const [first, second] = [0, 1].map(() => enterpriseRoot(nowMs, DAY_MS));
  assert.ok(first && second);
  const files = await writeUpstream(at, { authority: first });
  const watch = { quietMs: 10, pollMs: 50 };
  const common = { files, trustDomain, ownerOf: () => undefined, clock: systemClock, log: silentLog, watch };
  await using source = await openUpstream(common);
  const changed = new Promise<void>((resolve) => source.watch(resolve));
  await writeUpstream(at, { authority: enterpriseRoot(nowMs, DAY_MS, { pathLength: 0 }) });
  await until('the problem to be told', () => source.problem()?.code === 'upstream-ca-constraints');
  assert.deepEqual(source.current().anchors, [first.certificate]);
  await writeUpstream(at, { authority: second });
  await changed;
  assert.deepEqual(source.current().anchors, [second.certificate]);
  assert.equal(source.problem(), undefined);
});

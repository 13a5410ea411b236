/** Roots of ours whose keys are distrusted: gone from the bundle at once, and what they signed is issued anew. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { silentLog } from '../../base/log.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { ReplaceableSnapshot } from '../../federation/snapshot/source.ts';
import { withdrawTainted } from '../../gateway/process/withdraw-tainted.ts';
import { parseSpiffeId, trustDomainOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { openEmbeddedCa } from '../../trust-bundles/source/open-embedded-ca.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { keyFingerprintOf, readCertificate } from '../../trust-bundles/x509/certificate.ts';
import { usSnapshot } from '../support/forward-snapshots.ts';
import { until } from '../support/gateways.ts';
import { ManualClock } from '../support/manual-clock.ts';

const gatewayId = parseSpiffeId('spiffe://us.test/jumpgate');
const clock = new ManualClock();

async function opened(held: AsyncDisposableStack): Promise<{ ca: EmbeddedCa; reopen: () => Promise<EmbeddedCa> }> {
  const directory = await mkdtemp(join(tmpdir(), 'jumpgate-taint-'));
  held.defer(() => rm(directory, { recursive: true, force: true }));
  const trustDomain = trustDomainOf(gatewayId);
  const reopen = (): Promise<EmbeddedCa> =>
    openEmbeddedCa({ directory, trustDomain, gatewayId, clock, log: silentLog });
  return { ca: held.use(await reopen()), reopen };
}

function keysOf(ca: EmbeddedCa): readonly string[] {
  return ca.bundle().x509Authorities.map(({ der }) => keyFingerprintOf(readCertificate(der)));
}

/** What those who hold our bundle and distrust `tainted` make of our SVID. */
function verdictOn(ca: EmbeddedCa, tainted: readonly string[]): string {
  const bundle = ca.bundle();
  const trust = { bundles: new Map([[bundle.trustDomain, bundle]]), tainted: new Set(tainted) };
  const outcome = verifySvid({ chain: ca.svid.current().chain, trust, role: 'client', nowMs: clock.now() });
  return outcome.kind === 'verified' ? 'verified' : outcome.code;
}

test('an active root that is tainted is replaced at once, for good, and the SVID with it', async () => {
  await using held = new AsyncDisposableStack();
  const { ca, reopen } = await opened(held);
  const [tainted = ''] = keysOf(ca);
  const before = ca.bundle().sequence ?? 0n;
  const old = ca.roots()[0]?.fingerprint;
  assert.equal(verdictOn(ca, [tainted]), 'key-tainted');
  assert.deepEqual(await ca.withdraw(new Set(['ab'.repeat(32)])), [], 'of no root of ours');
  assert.equal(ca.roots()[0]?.fingerprint, old);
  assert.deepEqual(await ca.withdraw(new Set([tainted])), [old]);
  assert.deepEqual([keysOf(ca).length, keysOf(ca).includes(tainted), verdictOn(ca, [tainted])], [1, false, 'verified']);
  assert.ok((ca.bundle().sequence ?? 0n) > before);
  await ca[Symbol.asyncDispose]();
  const later = held.use(await reopen());
  assert.deepEqual(keysOf(later), keysOf(ca));
});

test('a root that peers hold already takes over from a tainted one; tainted prepared and retired roots just go', async () => {
  await using held = new AsyncDisposableStack();
  const { ca } = await opened(held);
  const [first = ''] = keysOf(ca);
  const { fingerprint } = await ca.prepareRoot();
  await ca.withdraw(new Set([first]));
  assert.deepEqual(
    ca.roots().map((root) => [root.fingerprint, root.phase]),
    [[fingerprint, 'active']],
  );
  await ca.prepareRoot();
  await ca.activateRoot();
  await ca.prepareRoot();
  const [retired = '', active = '', prepared = ''] = keysOf(ca);
  await ca.withdraw(new Set([retired, prepared]));
  assert.deepEqual(keysOf(ca), [active]);
  assert.equal(verdictOn(ca, [retired, prepared]), 'verified');
});

test('a tainted key of our SVID alone is replaced, and the roots stay', async () => {
  await using held = new AsyncDisposableStack();
  const { ca } = await opened(held);
  const keyOfSvid = (): string => keyFingerprintOf(readCertificate(ca.svid.current().chain[0] ?? Buffer.alloc(0)));
  const [tainted, roots] = [keyOfSvid(), keysOf(ca)];
  assert.deepEqual(await ca.withdraw(new Set([tainted])), []);
  assert.notEqual(keyOfSvid(), tainted);
  assert.deepEqual(keysOf(ca), roots);
});

test('what is tainted at the start is withdrawn before anything else, and what is tainted later at once', async () => {
  await using held = new AsyncDisposableStack();
  const { ca } = await opened(held);
  const [first = ''] = keysOf(ca);
  const snapshotWith = (tainted: readonly string[]): Snapshot => ({ ...usSnapshot([]), tainted: new Set(tainted) });
  const snapshots = new ReplaceableSnapshot(snapshotWith([first]));
  using follow = await withdrawTainted({ ca, snapshots, log: silentLog });
  assert.ok(follow);
  const [second = ''] = keysOf(ca);
  assert.notEqual(second, first);
  snapshots.replace(snapshotWith([first, second]));
  await until('another root', () => !keysOf(ca).includes(second));
  assert.equal(verdictOn(ca, [first, second]), 'verified');
});

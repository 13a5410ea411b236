/**
 * Times the verifier on a P-256 leaf with its intermediate, processor µs per chain; prints and asserts nothing. Cold: each
 * chain and each intermediate is new, the anchor's key is ready. The floor decides nothing.
 */
import { verify, X509Certificate } from 'node:crypto';

import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { readCertificate } from '../../trust-bundles/x509/certificate.ts';
import { TEST_NOW_MS, testBundles, testIntermediate, testKeys, testRoot, testSvid } from '../support/certificates.ts';

const ROUNDS = 12;
const CHAINS = 250;

const root = testRoot('bench.test');
const keys = testKeys();
const chains = Array.from({ length: CHAINS * (ROUNDS + 1) }, (_, index) => {
  const intermediate = testIntermediate(root, { keys });
  return testSvid(intermediate, `spiffe://bench.test/ns/shop/sa/w${index}`, { keys }).chain;
});
const trust = { bundles: testBundles(root), tainted: new Set<string>() };
const anchorKey = new X509Certificate(root.certificate).publicKey;

function time(name: string, run: (chain: readonly Uint8Array[]) => boolean, of = chains): void {
  let best = Infinity;
  let held = 0;
  for (let round = 0; round <= ROUNDS; round += 1) {
    const part = of.slice(round * CHAINS, (round + 1) * CHAINS);
    const before = process.cpuUsage();
    for (const chain of part) if (run(chain)) held += 1;
    const { user, system } = process.cpuUsage(before);
    // The first round is for the compiler.
    if (round > 0) best = Math.min(best, (user + system) / CHAINS);
  }
  console.log(`${name.padEnd(58)} ${best.toFixed(1).padStart(7)} µs  (${held} of ${of.length} held)`);
}

function verifies(chain: readonly Uint8Array[]): boolean {
  return verifySvid({ chain, trust, role: 'client', nowMs: TEST_NOW_MS }).kind === 'verified';
}

time('cold: leaf and intermediate, anchor key ready', verifies);
time('cached: the same chain again', verifies, Array<readonly Uint8Array[]>(chains.length).fill(chains.at(-1) ?? []));
time('of which: reading both certificates', (chain) => chain.map(readCertificate).length === 2);
time('floor: reading both, two signatures, one key imported', ([leaf, upper]) => {
  if (leaf === undefined || upper === undefined) return false;
  const parts = readCertificate(leaf);
  const above = readCertificate(upper);
  const key = new X509Certificate(upper).publicKey;
  return verify('sha256', parts.tbs, key, parts.signature) && verify('sha256', above.tbs, anchorKey, above.signature);
});

/**
 * Times the verifier on a P-256 leaf with its intermediate, processor µs per chain; prints and asserts nothing. Cold: each
 * chain and each intermediate is new, the anchor's key is ready. The floor decides nothing.
 */
import { verify, X509Certificate } from 'node:crypto';

import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { readCertificate } from '../../trust-bundles/x509/certificate.ts';
import { TEST_NOW_MS, testBundles, testIntermediate, testKeys, testRoot, testSvid } from '../support/certificates.ts';
import { itemsFor, printProcessorUs } from './measure/processor-us.ts';

type Chain = readonly Uint8Array[];

const root = testRoot('bench.test');
const keys = testKeys();
const chains = Array.from({ length: itemsFor(250) }, (_, index): Chain => {
  const intermediate = testIntermediate(root, { keys });
  return testSvid(intermediate, `spiffe://bench.test/ns/shop/sa/w${index}`, { keys }).chain;
});
const trust = { bundles: testBundles(root), tainted: new Set<string>() };
const anchorKey = new X509Certificate(root.certificate).publicKey;

function verifies(chain: Chain): boolean {
  return verifySvid({ chain, trust, role: 'client', nowMs: TEST_NOW_MS }).kind === 'verified';
}

printProcessorUs('cold: leaf and intermediate, anchor key ready', chains, verifies);
printProcessorUs('cached: the same chain again', Array<Chain>(chains.length).fill(chains.at(-1) ?? []), verifies);
printProcessorUs('of which: reading both certificates', chains, (chain) => chain.map(readCertificate).length === 2);
printProcessorUs('floor: reading both, two signatures, one key imported', chains, ([leaf, upper]) => {
  if (leaf === undefined || upper === undefined) return false;
  const parts = readCertificate(leaf);
  const above = readCertificate(upper);
  const key = new X509Certificate(upper).publicKey;
  return verify('sha256', parts.tbs, key, parts.signature) && verify('sha256', above.tbs, anchorKey, above.signature);
});

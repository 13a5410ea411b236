/** Properties of the verifier: whatever the octets, it answers, and nothing but the signed chain is believed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { parseJson } from '../../base/json.ts';
import { matchesId } from '../../trust-bundles/identity/match.ts';
import { parseSpiffeId, pathOf, trustDomainOf, trySpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { TEST_NOW_MS, testBundles, testIntermediate, testRoot, testSvid } from '../support/certificates.ts';
import { der } from '../support/der-writer.ts';

const root = testRoot('a.test');
const { chain } = testSvid(testIntermediate(root), 'spiffe://a.test/w');
const trust = { bundles: testBundles(root), tainted: new Set<string>() };

function verify(candidate: readonly Uint8Array[]): ReturnType<typeof verifySvid> {
  return verifySvid({ chain: candidate, trust, role: 'client', nowMs: TEST_NOW_MS });
}

test('a chain with any octet changed is rejected and nothing is thrown', () => {
  assert.equal(verify(chain).kind, 'verified');
  const change = fc.record({ which: fc.nat(1), at: fc.nat(), by: fc.integer({ min: 1, max: 255 }) });
  fc.assert(
    fc.property(change, ({ which, at, by }) => {
      const changed = chain.map((der) => Uint8Array.from(der));
      const target = changed[which]!;
      target[at % target.length]! ^= by;
      assert.equal(verify(changed).kind, 'rejected');
    }),
    { numRuns: 2000 },
  );
});

test('a chain with octets cut out, doubled or put in is rejected and nothing is thrown', () => {
  const edit = fc.record({ which: fc.nat(1), at: fc.nat(), cut: fc.nat(40), put: fc.uint8Array({ maxLength: 40 }) });
  fc.assert(
    fc.property(edit, ({ which, at, cut, put }) => {
      const original = chain[which]!;
      const from = at % original.length;
      const edited = Buffer.concat([original.subarray(0, from), put, original.subarray(from + cut)]);
      if (Buffer.compare(edited, original) === 0) return;
      assert.equal(verify(chain.map((der, index) => (index === which ? edited : der))).kind, 'rejected');
    }),
    { numRuns: 1000 },
  );
});

test('a signed leaf with arbitrary extension values is judged and nothing is thrown', () => {
  const oid = fc.constantFrom(...[14, 15, 17, 19, 30, 35, 37].map((arc) => `2.5.29.${arc}`), '1.2.3.4');
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc
      .tuple(fc.constantFrom(0x30, 0x03, 0x04), fc.uint8Array({ maxLength: 40 }))
      .map(([tag, content]) => der(tag, content)),
  );
  const extension = fc.record({ oid, critical: fc.boolean(), value: bytes });
  fc.assert(
    fc.property(extension, (extra) => {
      const bare = { extendedKeyUsage: null, subjectKeyId: null, authorityKeyId: null, extraExtensions: [extra] };
      const svid = testSvid(root, 'spiffe://a.test/w', bare);
      const outcome = verify(svid.chain);
      // The key usage and the names stand there already, so a second one of either is never accepted.
      if (['2.5.29.15', '2.5.29.17', '2.5.29.30'].includes(extra.oid)) assert.equal(outcome.kind, 'rejected');
      if (extra.oid === '1.2.3.4') assert.equal(outcome.kind, extra.critical ? 'rejected' : 'verified');
    }),
    { numRuns: 500 },
  );
});

test('arbitrary octets are rejected and nothing is thrown', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 10 }), (candidate) => {
      assert.equal(verify(candidate).kind, 'rejected');
    }),
    { numRuns: 1000 },
  );
});

test('a SPIFFE ID is put together again from its parts, and is matched by itself', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', 'b', '.', '/', ':', '%', '?', '#', '@', '*', '-', '_', 'A', ' '),
    maxLength: 20,
  });
  fc.assert(
    fc.property(text, (rest) => {
      const id = trySpiffeId(`spiffe://${rest}`);
      if (id === undefined) return;
      assert.equal(`spiffe://${trustDomainOf(id)}${pathOf(id)}`, id);
      assert.ok(matchesId(id, parseSpiffeId(id)));
    }),
    { numRuns: 3000 },
  );
});

test('the JSON reader agrees with JSON.parse on what JSON.stringify writes', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => {
      const plain: unknown = JSON.parse(text);
      if (JSON.stringify(plain) !== text) return;
      try {
        assert.deepEqual(parseJson(text), plain);
      } catch (error) {
        // Lone surrogates and rounded integers are what this reader refuses or keeps exact.
        assert.ok(!text.isWellFormed() || /\\ud|[0-9]{16}/.test(text), String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

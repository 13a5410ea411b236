/** SPIFFE bundle maps: spiffe.md BC-24 and BS-18. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { writeBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { readBundleMap, writeBundleMap } from '../../trust-bundles/bundle/map.ts';
import { bundleMap, testDomain } from '../support/trust.ts';

const us = testDomain('us.test');
const eu = testDomain('eu.test');
const [usText, euText] = [us, eu].map(({ bundle }) =>
  writeBundleDocument({ ...bundle, refreshHintSeconds: undefined }),
);
const refused = { code: 'bundle-map-malformed' };

test('BS-18: a map that we write names each domain once, says no refresh hint, and may be empty', () => {
  assert.equal(writeBundleMap(bundleMap(us, eu)), `{"trust_domains":{"us.test":${usText},"eu.test":${euText}}}`);
  assert.equal(writeBundleMap(new Map()), '{"trust_domains":{}}');
});

test('BC-24: a map is read whole, with sequences of 64 bits, and refresh hints inside do not count', () => {
  const large = { ...us, bundle: { ...us.bundle, sequence: 2n ** 64n - 1n } };
  const documents = [large, eu].map(({ bundle }) => `"${bundle.trustDomain}":${writeBundleDocument(bundle)}`);
  const read = readBundleMap(`{"trust_domains":{${documents.join()}},"spiffe_sequence":7,"other":[]}`);
  assert.deepEqual([...read.keys()], ['us.test', 'eu.test']);
  assert.equal(read.get(us.trustDomain)?.sequence, 2n ** 64n - 1n);
  assert.equal(read.get(us.trustDomain)?.refreshHintSeconds, undefined);
  assert.equal(readBundleMap('{"trust_domains":{}}').size, 0);
});

for (const [what, text] of Object.entries({
  'a domain that stands twice': `{"trust_domains":{"us.test":${usText},"us.test":${usText}}}`,
  'a domain that stands twice, once escaped': `{"trust_domains":{"us.test":${usText},"u\\u0073.test":${usText}}}`,
  'trust_domains that stands twice': `{"trust_domains":{},"trust_domains":{"us.test":${usText}}}`,
  'one bad bundle beside a good one': `{"trust_domains":{"us.test":${usText},"eu.test":{}}}`,
  'a name that is no trust domain': `{"trust_domains":{"US.test":${usText}}}`,
  'a SPIFFE ID as name': `{"trust_domains":{"spiffe://us.test":${usText}}}`,
  "another domain's root": `{"trust_domains":{"us.test":${euText}}}`,
  'no trust_domains': `{"keys":[]}`,
  'a list of domains': `{"trust_domains":[]}`,
  'no JSON': '{"trust_domains":',
  'too many domains': `{"trust_domains":{${Array.from({ length: 1_001 }, (_, n) => `"d${n}.test":{"keys":[]}`).join()}}}`,
})) {
  test(`BC-24: a map with ${what} is refused whole`, () => {
    assert.throws(() => readBundleMap(text), refused);
  });
}

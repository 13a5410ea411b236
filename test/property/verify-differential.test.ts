/** XV-1 against another implementation: thousands of chains that OpenSSL judges too; `verify-differential.ts --count` takes more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { compareWithOpenssl } from '../support/verify-differential.ts';

test('XV-1: what we accept OpenSSL accepts, and what we alone refuse a stricter rule names', () => {
  const found = compareWithOpenssl({ count: 1_500, seed: 1, leaves: 50 });
  assert.deepEqual(found.faults, []);
  // A generator whose chains all fail, or all hold, would prove nothing.
  assert.ok(found.bothAccept > 50, `only ${found.bothAccept} chains were accepted by both`);
  assert.ok(found.bothRefuse > 500, `only ${found.bothRefuse} chains were refused by both`);
  assert.ok(found.oursAlone.size > 5, `only ${[...found.oursAlone.keys()].join(' ')} were our own refusals`);
});

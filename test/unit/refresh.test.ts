/** Refresh schedule of bundles. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { refreshDelayMs } from '../../trust-bundles/source/refresh.ts';

test('BC-11: a hint is followed, and never exceeded', () => {
  assert.equal(refreshDelayMs(120, 1), 120_000);
  assert.equal(refreshDelayMs(120, 0), 96_000);
});

test('BC-11: a bundle without a hint is asked for every five minutes', () => {
  assert.equal(refreshDelayMs(undefined, 1), 300_000);
  assert.equal(refreshDelayMs(Number.NaN, 1), 300_000);
});

test('I15: hints are held between 30 s and 1 h', () => {
  assert.equal(refreshDelayMs(30, 1), 30_000);
  assert.equal(refreshDelayMs(29, 1), 30_000);
  assert.equal(refreshDelayMs(0, 1), 30_000);
  assert.equal(refreshDelayMs(-5, 1), 30_000);
  assert.equal(refreshDelayMs(3_600, 1), 3_600_000);
  assert.equal(refreshDelayMs(3_601, 1), 3_600_000);
  assert.equal(refreshDelayMs(Number.MAX_SAFE_INTEGER, 1), 3_600_000);
});

test('I15: no hint and no random number leads to a delay outside 24 s to 1 h', () => {
  fc.assert(
    fc.property(fc.double(), fc.double(), (hint, random) => {
      const delayMs = refreshDelayMs(hint, Number.isNaN(random) ? 0 : random);
      return delayMs >= 24_000 && delayMs <= 3_600_000;
    }),
  );
});

/** Phases of roots. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  activatePrepared,
  activeRoot,
  dropSpent,
  nextStep,
  type PhasedRoot,
  type PhaseTimes,
  type RootPhase,
  SVID_TTL_MAX_MS,
} from '../../trust-bundles/rotation/phase.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const HINT_S = 300;

const at = (nowMs: number): PhaseTimes => ({ nowMs, refreshHintSeconds: HINT_S });

function root(fingerprint: string, phase: RootPhase, phaseSinceMs = 0): PhasedRoot {
  return { fingerprint, phase, phaseSinceMs, notBeforeMs: 0, notAfterMs: 100 * DAY_MS };
}

test('activation makes the prepared root sign and retires its predecessor', () => {
  const roots = activatePrepared([root('old', 'active'), root('new', 'prepared')], DAY_MS);
  assert.deepEqual(
    roots.map(({ fingerprint, phase, phaseSinceMs }) => [fingerprint, phase, phaseSinceMs]),
    [
      ['old', 'retired', DAY_MS],
      ['new', 'active', DAY_MS],
    ],
  );
});

test('activation without a prepared root changes nothing', () => {
  const roots = [root('only', 'active')];
  assert.equal(activatePrepared(roots, DAY_MS), roots);
});

test('there is one active root after any number of activations', () => {
  let roots: readonly PhasedRoot[] = [root('0', 'active')];
  for (let turn = 1; turn < 5; turn += 1) {
    roots = activatePrepared([...roots, root(String(turn), 'prepared')], turn);
    assert.equal(roots.filter(({ phase }) => phase === 'active').length, 1);
    assert.equal(activeRoot(roots)?.fingerprint, String(turn));
  }
});

test('an expired root is dropped whatever its phase, at its end and not a millisecond earlier', () => {
  for (const phase of ['prepared', 'active', 'retired'] as const) {
    const set = [root('x', phase, 99.5 * DAY_MS)];
    assert.equal(dropSpent(set, 100 * DAY_MS - 1).length, 1, phase);
    assert.equal(dropSpent(set, 100 * DAY_MS).length, 0, phase);
  }
});

test('BS-17: a retired root stays as long as an svid of it may live', () => {
  const set = [root('old', 'retired', DAY_MS), root('new', 'active', DAY_MS)];
  assert.equal(dropSpent(set, DAY_MS + SVID_TTL_MAX_MS - 1).length, 2);
  assert.deepEqual(
    dropSpent(set, DAY_MS + SVID_TTL_MAX_MS).map(({ fingerprint }) => fingerprint),
    ['new'],
  );
});

test('a set without an active root needs one now', () => {
  assert.deepEqual(nextStep([], at(7)), { kind: 'create', atMs: 7 });
  assert.deepEqual(nextStep([root('a', 'retired')], at(7)), { kind: 'create', atMs: 7 });
  assert.deepEqual(nextStep([root('a', 'prepared')], at(7)), { kind: 'activate', atMs: 7 });
});

test('a successor is prepared at half of a life and activated at three quarters', () => {
  assert.deepEqual(nextStep([root('a', 'active')], at(0)), { kind: 'prepare', atMs: 50 * DAY_MS });
  const both = [root('a', 'active'), root('b', 'prepared')];
  assert.deepEqual(nextStep(both, at(0)), { kind: 'activate', atMs: 75 * DAY_MS });
});

test('BS-16: a root that was prepared late is published for five refresh hints before it signs, but signs in time', () => {
  const late = (atMs: number): PhasedRoot[] => [root('a', 'active'), root('b', 'prepared', atMs)];
  const hintsMs = 5 * HINT_S * 1000;
  assert.deepEqual(nextStep(late(80 * DAY_MS), at(0)), { kind: 'activate', atMs: 80 * DAY_MS + hintsMs });
  assert.deepEqual(nextStep(late(75 * DAY_MS - hintsMs), at(0)), { kind: 'activate', atMs: 75 * DAY_MS });
  assert.deepEqual(nextStep(late(90 * DAY_MS), at(0)), { kind: 'activate', atMs: 87.5 * DAY_MS });
});

test('dropping a retired root comes first when it is due first', () => {
  const set = [root('old', 'retired', DAY_MS), root('new', 'active')];
  assert.deepEqual(nextStep(set, at(0)), { kind: 'drop', atMs: DAY_MS + SVID_TTL_MAX_MS });
});

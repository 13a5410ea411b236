/** Whom callers wait for after a start. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { type ImportState, type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { awaitedImports } from '../../gateway/process/awaited-imports.ts';
import { EU, peerOf, usSnapshot } from '../support/forward-snapshots.ts';
import { testDomain } from '../support/trust.ts';

const GATEWAYS = [{ host: 'gw.eu.test', port: 15_443 }];
const { bundle } = testDomain(EU);

function snapshotWith(state: ImportState, changes: Partial<Snapshot> = {}): Snapshot {
  const us = usSnapshot([]);
  const imports = [...us.imports.values()].slice(0, 1).map((each) => [each.name, { ...each, state }] as const);
  const peers = new Map([['eu', { ...peerOf('eu', EU), gateways: GATEWAYS }]]);
  return { ...us, peers, imports: new Map(imports), bundles: new Map([[EU, bundle]]), ...changes };
}

const names = (snapshot: Snapshot, linked: boolean): readonly string[] =>
  awaitedImports(snapshot, () => linked).map(({ name }) => name);

test('an import is awaited until its peer has told its exports and there is a link', () => {
  for (const state of ['awaiting', 'active', 'stale', 'withdrawn'] as const) {
    assert.deepEqual(names(snapshotWith(state), true), state === 'awaiting' ? ['missing'] : [], state);
    assert.deepEqual(names(snapshotWith(state), false), state === 'withdrawn' ? [] : ['missing'], state);
  }
});

test('nobody waits for a peer that cannot be dialled: unknown, without addresses, or without a bundle', () => {
  for (const changes of [
    { peers: new Map() },
    { peers: new Map([['eu', peerOf('eu', EU)]]) },
    { bundles: new Map() },
  ]) {
    assert.deepEqual(names(snapshotWith('awaiting', changes), false), []);
  }
});

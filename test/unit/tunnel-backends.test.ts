/** In which order the backends of a tunnel are tried. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { type HostPort } from '../../federation/resources/values.ts';
import { type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { BackendTurns } from '../../gateway/tcp/backend-dial.ts';

function exportOf(...hosts: readonly string[]): SnapshotExport {
  const backends = hosts.map((host) => ({ host, port: 1 }));
  const origin = { file: 'x.yaml', line: 1, column: 1 };
  const rest = { authority: undefined, serverNames: [], limits: {}, allow: [], origin };
  return { name: 'db', protocol: 'tcp', backends, ...rest };
}

const names = (backends: readonly HostPort[]): string => backends.map(({ host }) => host).join('');

test('backends take turns; what refused comes last for five seconds, and is still tried', () => {
  let nowMs = 0;
  const turns = new BackendTurns({ ...systemClock, monotonic: () => nowMs });
  const db = exportOf('a', 'b', 'c');
  assert.deepEqual([names(turns.next(db)), names(turns.next(db)), names(turns.next(db))], ['abc', 'bca', 'cab']);
  turns.tried({ host: 'a', port: 1 }, false);
  assert.equal(names(turns.next(db)), 'bca');
  nowMs = 4_999;
  assert.equal(names(turns.next(db)), 'bca');
  assert.equal(names(turns.next(db)), 'cba');
  nowMs = 5_000;
  assert.equal(names(turns.next(db)), 'abc');
  turns.tried({ host: 'b', port: 1 }, false);
  turns.tried({ host: 'b', port: 1 }, true);
  assert.equal(names(turns.next(db)), 'bca');
});

test('fewer backends than before are no trouble, and what is gone is forgotten', () => {
  const turns = new BackendTurns({ ...systemClock, monotonic: () => 0 });
  const wide = exportOf('a', 'b', 'c');
  turns.next(wide);
  turns.next(wide);
  turns.tried({ host: 'a', port: 1 }, false);
  assert.equal(names(turns.next(exportOf('a'))), 'a');
  turns.keep(new Map());
  assert.equal(names(turns.next(wide)), 'abc');
});

test('a backend has as many places as the export says, each export its own, and a place given back is free', () => {
  const turns = new BackendTurns(systemClock);
  const one = { ...exportOf('a'), limits: { connectionsPerBackend: 2 } };
  const other = { ...one, name: 'other' };
  const a = { host: 'a', port: 1 };
  assert.deepEqual([turns.hold(one, a), turns.hold(one, a), turns.hold(one, a)], [true, true, false]);
  assert.equal(turns.hold(other, a), true);
  assert.equal(turns.hold(one, { host: 'a', port: 2 }), true);
  turns.release(one, a);
  assert.deepEqual([turns.hold(one, a), turns.hold(one, a)], [true, false]);
  const free = exportOf('a');
  assert.ok(Array.from({ length: 5_000 }, () => turns.hold({ ...free, name: 'free' }, a)).every(Boolean));
});

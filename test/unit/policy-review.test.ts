/** Calls under way and a new snapshot: judged by what new calls are judged by, once, a moment after policy has changed. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { silentLog } from '../../base/log.ts';
import { DEFAULT_LIMITS } from '../../federation/resources/limits.ts';
import { type Snapshot, type SnapshotExport, type SnapshotImport } from '../../federation/snapshot/snapshot.ts';
import { ReplaceableSnapshot } from '../../federation/snapshot/source.ts';
import { type CallHost } from '../../gateway/forward/call-host.ts';
import { Deadlines } from '../../gateway/forward/deadlines.ts';
import { enter } from '../../gateway/forward/enter.ts';
import { type EntryPoint } from '../../gateway/forward/entry-point.ts';
import { ExportPlan } from '../../gateway/forward/export-plan.ts';
import { ImportPlan } from '../../gateway/forward/import-plan.ts';
import { LiveCalls } from '../../gateway/forward/live-calls.ts';
import { PolicyReview } from '../../gateway/forward/policy-review.ts';
import { View, Views } from '../../gateway/forward/view.ts';
import { readRequestFields } from '../../gateway/headers/request-fields.ts';
import { type ReasonCode } from '../../gateway/refusal/reason.ts';
import { edgeCallerId, parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { headOf } from '../support/call-heads.ts';
import { testBudgets } from '../support/caller-budgets.ts';
import { FakeConnection, FakeServerStream } from '../support/fake-streams.ts';
import { EU, euSnapshot, US, usSnapshot } from '../support/forward-snapshots.ts';
import { ManualClock } from '../support/manual-clock.ts';

const GRACE_MS = 2_000;
const WEB = parseSpiffeId('spiffe://us.test/web');
const SERVICES = [{ name: 'web', protocol: 'http1', port: 1 }] as const;
const OUTBOUND: EntryPoint = { direction: 'outbound', listener: 'l', audience: 'trusted', from: 'caller' };
const INBOUND: EntryPoint = { direction: 'inbound', listener: 'jump', audience: 'trusted', from: 'link' };
const EDGE: EntryPoint = { direction: 'edge', listener: 'front', audience: 'stranger', from: 'caller' };
const LINKS = { pick: () => new FakeConnection() };
const BUDGETS = testBudgets().budgets;

const [IMPORTER, EXPORTER] = [usSnapshot(SERVICES), euSnapshot(SERVICES)];

function importOf(snapshot: Snapshot): SnapshotImport {
  const found = snapshot.imports.get('web');
  if (found === undefined) throw new Error('there is an import');
  return found;
}

function exportOf(snapshot: Snapshot): SnapshotExport {
  const found = snapshot.exports.get('web');
  if (found === undefined) throw new Error('there is an export');
  return found;
}

/** The importer with another import of this name in place of `web`, or none. */
function importing(change: Partial<SnapshotImport> | undefined, name = 'web'): Snapshot {
  const { imports, generations } = IMPORTER;
  const others = [...imports].filter(([each]) => each !== 'web');
  const changed = change === undefined ? [] : [[name, { ...importOf(IMPORTER), name, ...change }] as const];
  return {
    ...IMPORTER,
    imports: new Map([...others, ...changed]),
    generations: { ...generations, policy: generations.policy + 1 },
  };
}

function exporting(change: Partial<SnapshotExport>): Snapshot {
  return { ...EXPORTER, exports: new Map([['web', { ...exportOf(EXPORTER), ...change }]]) };
}

function importPlan(entry = OUTBOUND): ImportPlan {
  const caller = entry === EDGE ? edgeCallerId(US, 'front') : WEB;
  return new ImportPlan({
    snapshot: IMPORTER,
    imported: importOf(IMPORTER),
    caller,
    entry,
    limits: DEFAULT_LIMITS,
    links: LINKS,
    budgets: BUDGETS,
  });
}

function exportPlan(entry = INBOUND): ExportPlan {
  const from = entry === EDGE ? { caller: edgeCallerId(EU, 'front'), peer: 'self' } : { caller: WEB, peer: 'us' };
  const services = { take: () => undefined, wait: () => undefined, leave: () => undefined };
  return new ExportPlan({
    snapshot: EXPORTER,
    exported: exportOf(EXPORTER),
    ...from,
    entry,
    limits: DEFAULT_LIMITS,
    services,
  });
}

function refusal(plan: ImportPlan | ExportPlan, snapshot: Snapshot, authority: string): ReasonCode | undefined {
  const head = headOf([], { authority, path: '/a' });
  const view = new View(snapshot);
  const first = plan.refusedUnder(view, head, readRequestFields(head));
  assert.equal(plan.refusedUnder(view, head, readRequestFields(head)), first, 'the same when it is asked again');
  return first;
}

test('a call to an import is refused when the import is gone, leads elsewhere or does not want the caller', () => {
  const of = (snapshot: Snapshot): ReasonCode | undefined => refusal(importPlan(), snapshot, 'web.eu.mesh.internal');
  assert.equal(of(IMPORTER), undefined);
  assert.equal(of(importing(undefined)), 'no-route');
  assert.equal(of(importing({ who: ['spiffe://us.test/other'] })), 'denied-by-import');
  assert.equal(of(importing({ export: 'another' })), 'no-route');
  assert.equal(of(importing({ peer: 'gone' })), 'no-route');
  assert.equal(of(importing({ hosts: ['alias.internal'] })), 'no-route');
  assert.equal(of(importing({ protocol: 'tcp' })), 'protocol-mismatch');
});

test('a call to an import goes on when that has another name, another rule of the same outcome, or is not confirmed', () => {
  const of = (snapshot: Snapshot): ReasonCode | undefined => refusal(importPlan(), snapshot, 'web.eu.mesh.internal');
  assert.equal(of(importing({}, 'renamed')), undefined);
  assert.equal(of(importing({ who: [WEB] })), undefined);
  for (const state of ['stale', 'withdrawn', 'awaiting'] as const) assert.equal(of(importing({ state })), undefined);
});

test('a call to an export is refused when the export is gone, hidden, or has no rule for it', () => {
  const origin = { file: 'f', line: 1, column: 1 };
  const of = (snapshot: Snapshot): ReasonCode | undefined => refusal(exportPlan(), snapshot, 'web.eu.test');
  assert.equal(of(EXPORTER), undefined);
  assert.equal(of({ ...EXPORTER, exports: new Map() }), 'no-route');
  assert.equal(of(exporting({ allow: [] })), 'no-route');
  assert.equal(of(exporting({ allow: [{ peers: ['us'], who: ['spiffe://us.test/x'], origin }] })), 'denied-by-export');
  const reads = [{ peers: ['us'], what: { http: [{ methods: ['GET'], paths: ['/b'] }] }, origin }];
  assert.equal(of(exporting({ allow: reads })), 'denied-by-export');
  assert.equal(of(exporting({ allow: [{ peers: ['us'], who: [WEB], origin }] })), undefined);
});

test('a call of an edge is refused when its route is gone or leads elsewhere', () => {
  const outside = 'web.outside.example.com';
  assert.equal(refusal(importPlan(EDGE), IMPORTER, outside), undefined);
  assert.equal(refusal(importPlan(EDGE), { ...IMPORTER, routes: [] }, outside), 'no-route');
  assert.equal(refusal(exportPlan(EDGE), EXPORTER, 'web.example.com'), undefined);
  assert.equal(refusal(exportPlan(EDGE), { ...EXPORTER, routes: [] }, 'web.example.com'), 'no-route');
  const elsewhere = EXPORTER.routes.map((route) => ({ ...route, to: { kind: 'import', name: 'web' } as const }));
  assert.equal(refusal(exportPlan(EDGE), { ...EXPORTER, routes: elsewhere }, 'web.example.com'), 'no-route');
});

test('what a change denies is cut after a grace, unless it was taken back meanwhile', () => {
  const clock = new ManualClock();
  const live = new LiveCalls();
  const snapshots = new ReplaceableSnapshot(IMPORTER);
  const recorded: (string | undefined)[] = [];
  const sink = {
    record: ({ verdict, reason }: { verdict: string; reason: string | undefined }) =>
      recorded.push(`${verdict} ${reason}`),
  };
  const budgets = { outbound: BUDGETS, inbound: BUDGETS };
  const host: CallHost = { clock, live, budgets, deadlines: new Deadlines(clock), sink };
  const views = new Views(snapshots);
  using review = new PolicyReview({ snapshots, views, live, clock, log: silentLog });
  assert.ok(review);
  const head = headOf([['content-type', 'application/grpc']], {
    authority: 'web.eu.mesh.internal',
    path: '/a.B/C',
    method: 'POST',
  });
  const stream = new FakeServerStream();
  enter(host, { stream, head, read: readRequestFields(head), end: true, entry: OUTBOUND }, importPlan());
  assert.equal(live.size, 1);

  const denied = importing({ who: [] });
  snapshots.replace(denied);
  clock.advance(GRACE_MS - 1);
  snapshots.replace({ ...IMPORTER, generations: { ...IMPORTER.generations, policy: 3 } });
  clock.advance(2 * GRACE_MS);
  assert.equal(live.size, 1, 'taken back');

  snapshots.replace({ ...denied, generations: { ...IMPORTER.generations, policy: 3, trust: 9 } });
  clock.advance(2 * GRACE_MS);
  assert.equal(live.size, 1, 'what is no change of policy asks nobody');

  snapshots.replace({ ...denied, generations: { ...IMPORTER.generations, policy: 4 } });
  clock.advance(GRACE_MS - 1);
  assert.equal(live.size, 1, 'the grace');
  clock.advance(1);
  assert.equal(live.size, 0);
  assert.deepEqual(recorded, ['denial denied-by-import']);
  assert.equal(clock.pending, 0);
});

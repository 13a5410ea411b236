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
import { compileDistrust, type Distrust } from '../../trust-bundles/distrust/distrust.ts';
import { distrustKindOf, parseTarget } from '../../trust-bundles/distrust/target.ts';
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

/** Of one target, as `kind name`. */
function distrusting(target: string): Distrust {
  const [kind, name = ''] = target.split(' ');
  return compileDistrust([parseTarget(distrustKindOf(kind) ?? 'spiffe', name)]);
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
  for (const target of ['spiffe spiffe://us.test/web', 'peer eu', 'domain us.test', 'domain eu.test'])
    assert.equal(of({ ...IMPORTER, distrust: distrusting(target) }), 'quarantined', target);
  for (const target of ['spiffe spiffe://us.test/we', 'peer us', 'domain test', 'export web'])
    assert.equal(of({ ...IMPORTER, distrust: distrusting(target) }), undefined, target);
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
  for (const target of ['spiffe spiffe://us.test/web', 'peer us', 'domain us.test', 'export web'])
    assert.equal(of({ ...EXPORTER, distrust: distrusting(target) }), 'quarantined', target);
  for (const target of ['spiffe spiffe://eu.test/**', 'peer eu', 'export we'])
    assert.equal(of({ ...EXPORTER, distrust: distrusting(target) }), undefined, target);
  assert.equal(of({ ...exporting({ allow: [] }), distrust: distrusting('export web') }), 'no-route', 'hidden');
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

interface ReviewedCall extends Disposable {
  readonly clock: ManualClock;
  readonly live: LiveCalls;
  readonly snapshots: ReplaceableSnapshot;
  /** Verdict and reason of the calls that ended. */
  readonly recorded: readonly string[];
}

/** A call of `web` to the import, under way, with a review that follows its snapshots. */
function reviewedCall(): ReviewedCall {
  const clock = new ManualClock();
  const live = new LiveCalls();
  const snapshots = new ReplaceableSnapshot(IMPORTER);
  const recorded: string[] = [];
  const sink = {
    record: ({ verdict, reason }: { verdict: string; reason: string | undefined }) =>
      void recorded.push(`${verdict} ${reason}`),
  };
  const budgets = { outbound: BUDGETS, inbound: BUDGETS };
  const host: CallHost = { clock, live, budgets, deadlines: new Deadlines(clock), sink };
  const review = new PolicyReview({ snapshots, views: new Views(snapshots), live, clock, log: silentLog });
  const head = headOf([['content-type', 'application/grpc']], {
    authority: 'web.eu.mesh.internal',
    path: '/a.B/C',
    method: 'POST',
  });
  const stream = new FakeServerStream();
  enter(host, { stream, head, read: readRequestFields(head), end: true, entry: OUTBOUND }, importPlan());
  assert.equal(live.size, 1);
  return { clock, live, snapshots, recorded, [Symbol.dispose]: () => review[Symbol.dispose]() };
}

test('what a change denies is cut after a grace, unless it was taken back meanwhile', () => {
  using reviewed = reviewedCall();
  const { clock, live, snapshots, recorded } = reviewed;

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

test('what is quarantined is cut at once and with that reason, and nothing else is', () => {
  using reviewed = reviewedCall();
  const { clock, live, snapshots, recorded } = reviewed;
  const quarantined = (name: string, trust: number): Snapshot => {
    const distrust = compileDistrust([{ kind: 'spiffe', name }]);
    return { ...IMPORTER, distrust, generations: { ...IMPORTER.generations, trust } };
  };
  snapshots.replace(quarantined('spiffe://us.test/other', 2));
  assert.equal(live.size, 1, 'another caller');
  const denied = importing({ who: [] });
  snapshots.replace({ ...denied, distrust: quarantined('spiffe://us.test/another', 3).distrust });
  assert.equal(live.size, 1, 'what policy denies has its grace');
  snapshots.replace(IMPORTER);
  clock.advance(2 * GRACE_MS);
  snapshots.replace(quarantined('spiffe://us.test/*', 4));
  assert.equal(live.size, 0);
  assert.deepEqual(recorded, ['denial quarantined']);
  assert.equal(clock.pending, 0);
});

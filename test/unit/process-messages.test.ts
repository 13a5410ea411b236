/** What the processes say to each other: only the exact forms are read, and workers may say less than control. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { generateKeyPairSync } from 'node:crypto';
import test from 'node:test';
import { serialize } from 'node:v8';

import { buildSnapshot } from '../../federation/snapshot/build.ts';
import { loadResources } from '../../federation/resources/load.ts';
import { restartFields } from '../../federation/resources/restart.ts';
import { readFromChild, readToChild, type FromChild, type ToChild } from '../../gateway/process/channel.ts';
import { type EdgeListen, renewedEdges } from '../../gateway/process/edge-credentials.ts';
import { callListenSpecs } from '../../gateway/process/listeners.ts';
import { CounterSum } from '../../gateway/process/counter-sum.ts';
import {
  readCatalogues,
  readFromWorker,
  readStarted,
  readToWorker,
  writeCatalogues,
  writeFromWorker,
  writeStarted,
  writeToWorker,
  type FromWorker,
  type ToWorker,
  type WorkerSettings,
} from '../../gateway/process/worker-message.ts';
import { type WorkerReport } from '../../gateway/process/worker-report.ts';
import { compileDistrust } from '../../trust-bundles/distrust/distrust.ts';
import { type CallCounts, type CallRow, LATENCY_BUCKETS } from '../../gateway/telemetry/call-counts.ts';
import {
  bundleOf,
  catalogueOf,
  EU,
  exportOf,
  importOf,
  peerOf,
  resourceSet,
  rule,
  US,
  US_WEB,
} from '../support/federation-values.ts';

const LISTENER = {
  name: 'jump',
  address: { kind: 'tcp', host: '::', port: 0 },
  to: 'workers',
  forCalls: false,
} as const;
const bytes = new Uint8Array([1, 2]);

const FROM_ANY: readonly FromChild[] = [
  { kind: 'ready' },
  { kind: 'taken', id: 0 },
  { kind: 'returned', id: 1 },
  { kind: 'closed', listener: 'jump', count: 1 },
  { kind: 'relay', to: 'control', topic: 'worker', retained: false, bytes },
];
const FROM_CONTROL: readonly FromChild[] = [
  { kind: 'copy', id: 3 },
  { kind: 'calls-can-be-carried' },
  { kind: 'listen', listeners: [{ ...LISTENER, forCalls: true }], workers: 1, drainMs: 0 },
  { kind: 'relay', to: 'workers', topic: 'snapshot', retained: true, bytes },
  { kind: 'relay', to: 255, topic: 'worker', retained: false, bytes },
  { kind: 'listen', listeners: [LISTENER], workers: 256, drainMs: 0 },
  { kind: 'listen', listeners: [{ ...LISTENER, address: { kind: 'unix', path: '/x' } }], workers: 1, drainMs: 1 },
];

test('a child is read in the exact forms', () => {
  for (const message of [...FROM_ANY, ...FROM_CONTROL]) assert.deepEqual(readFromChild(message, 'control'), message);
  for (const message of FROM_ANY) assert.deepEqual(readFromChild(message, 0), message);
});

test('a worker may not say what only control may', () => {
  for (const message of FROM_CONTROL) assert.equal(readFromChild(message, 0), undefined, message.kind);
});

test('anything else that a child says is not read', () => {
  const listen = { kind: 'listen', listeners: [LISTENER], workers: 1, drainMs: 0 };
  const relay = { kind: 'relay', to: 'control', topic: 'worker', retained: false, bytes };
  const wrong: readonly unknown[] = [
    undefined,
    null,
    'ready',
    [],
    {},
    { kind: 'no' },
    { kind: 'taken' },
    { kind: 'taken', id: -1 },
    { kind: 'taken', id: 0.5 },
    { kind: 'taken', id: '0' },
    { kind: 'closed', listener: 'jump', count: 0 },
    { kind: 'closed', listener: '', count: 1 },
    { kind: 'closed', listener: 'a'.repeat(256), count: 1 },
    { ...relay, to: 256 },
    { ...relay, topic: 'Worker' },
    { ...relay, topic: 'a'.repeat(33) },
    { ...relay, bytes: 'text' },
    { ...relay, bytes: new Uint8Array(64 * 1024 * 1024 + 1) },
    { ...listen, workers: 0 },
    { ...listen, workers: 257 },
    { ...listen, drainMs: -1 },
    { ...listen, listeners: [LISTENER, LISTENER] },
    { ...listen, listeners: [{ ...LISTENER, to: 'all' }] },
    { ...listen, listeners: [{ ...LISTENER, address: { kind: 'tcp', host: '::', port: 65_536 } }] },
    { ...listen, listeners: Array.from({ length: 257 }, (_, index) => ({ ...LISTENER, name: `n${index}` })) },
  ];
  for (const message of wrong) assert.equal(readFromChild(message, 'control'), undefined);
});

test('the primary is read in the exact forms', () => {
  const status = {
    id: 0,
    pid: null,
    state: 'crash-looping',
    restarts: 3,
    lastEnd: 'exit code 1',
    connections: 0,
  } as const;
  const messages: readonly ToChild[] = [
    { kind: 'connection', id: 1, listener: 'jump' },
    { kind: 'copy', id: 2 },
    { kind: 'relay', from: 'control', topic: 'worker', bytes },
    { kind: 'bound', listeners: [{ name: 'jump', address: LISTENER.address }] },
    { kind: 'not-bound', code: 'address-in-use', message: 'why' },
    { kind: 'processes', processes: [status, { ...status, id: 'control', pid: 1, lastEnd: null }] },
    { kind: 'drain', deadlineMs: 0 },
    { kind: 'finish' },
    { kind: 'hang-up' },
  ];
  for (const message of messages) assert.deepEqual(readToChild(message), message);
  for (const message of [
    undefined,
    {},
    { kind: 'later' },
    { kind: 'copy' },
    { kind: 'drain' },
    { kind: 'relay', from: 'x' },
  ])
    assert.equal(readToChild(message), undefined);
});

const settings: WorkerSettings = {
  logLevel: 'info',
  linksPerPeer: 2,
  instance: 'ab',
  epoch: 2n ** 40n,
  jump: LISTENER.address,
  bundleServerName: undefined,
  calls: {
    outbound: [{ address: LISTENER.address, caller: { kind: 'as', id: US_WEB } }],
    imports: [],
    edges: [{ name: 'public', address: LISTENER.address, credentials: { cert: 'c', key: 'k' } }],
  },
  bound: [{ name: 'jump', address: LISTENER.address }],
  accessLogFile: undefined,
};

test('a snapshot reaches a worker whole', () => {
  const { snapshot } = buildSnapshot({
    set: resourceSet({
      peers: [peerOf('eu-west', EU)],
      exports: [exportOf('payments', [rule({ peers: ['eu-west'] })])],
      imports: [importOf('eu-orders')],
    }),
    storedPeers: [],
    bundles: new Map([US, EU].map((domain) => [domain, bundleOf(domain)])),
    tainted: new Set(['ab']),
    distrust: compileDistrust([{ kind: 'peer', name: 'eu' }]),
    catalogues: new Map([['eu-west', catalogueOf({ orders: 'http1' }, 1)]]),
    nowMs: 1,
  });
  assert.ok(snapshot.imports.size === 1 && snapshot.bundles.size === 2, 'something is in it');
  assert.deepEqual(readToWorker(writeToWorker({ kind: 'snapshot', sequence: 1, snapshot })), {
    kind: 'snapshot',
    sequence: 1,
    snapshot,
  });
  const without = { ...snapshot, routes: undefined };
  assert.equal(readToWorker(serialize({ kind: 'snapshot', sequence: 1, snapshot: without })), undefined);
});

test('an SVID reaches a worker with a key that signs', () => {
  const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const svid = { id: US_WEB, chain: [new Uint8Array([1])], key, notBeforeMs: 1, notAfterMs: 2 };
  const read = readToWorker(writeToWorker({ kind: 'svid', svid }));
  assert.ok(read?.kind === 'svid' && read.svid !== undefined);
  assert.ok(read.svid.key.equals(key));
  assert.deepEqual(
    { ...read.svid, key: 0, chain: read.svid.chain.map((each) => [...each]) },
    { ...svid, key: 0, chain: [[1]] },
  );
});

test('that the SVID is gone reaches a worker, and a damaged SVID is not taken for that', () => {
  assert.deepEqual(readToWorker(writeToWorker({ kind: 'svid', svid: undefined })), { kind: 'svid', svid: undefined });
  assert.equal(readToWorker(serialize({ kind: 'svid', svid: { id: US_WEB, chain: [] } })), undefined);
});

test('control is read in the exact forms', () => {
  const messages: readonly ToWorker[] = [
    { kind: 'settings', settings },
    { kind: 'report', id: 1 },
  ];
  for (const message of messages) assert.deepEqual(readToWorker(writeToWorker(message)), message);
  for (const message of [
    {},
    { kind: 'report' },
    { kind: 'settings', settings: { ...settings, epoch: 1 } },
    { kind: 'settings', settings: { ...settings, calls: {} } },
    { kind: 'svid' },
  ])
    assert.equal(readToWorker(serialize(message)), undefined);
  assert.equal(readToWorker(Buffer.from('no such bytes')), undefined);
});

test('a worker is read in the exact forms, and not believed otherwise', () => {
  const link = {
    peer: 'eu-west',
    direction: 'inbound',
    instance: null,
    address: '10.0.0.1:1',
    state: 'up',
    since: 's',
    expiresAt: 'e',
    reproves: true,
    calls: 0,
  } as const;
  const failure = { peer: 'eu-west', address: '10.0.0.1:1', code: 'tcp', message: 'refused' };
  const denial = { peer: 'eu-west', export: 'orders', reason: 'no-rule', count: 1 };
  const counts = { calls: [row({ ok: 3 })], denials: [denial] };
  const report: WorkerReport = { links: [link], failures: [failure], dropped: 0, counts };
  const messages: readonly FromWorker[] = [
    { kind: 'applied', sequence: 1 },
    { kind: 'report', id: undefined, report },
    { kind: 'report', id: 1, report },
  ];
  for (const message of messages) assert.deepEqual(readFromWorker(writeFromWorker(message)), message);
  const wrong: readonly object[] = [
    { links: [{ ...link, direction: 'up' }] },
    { links: [{ ...link, peer: 'a'.repeat(4_097) }] },
    { failures: [{ ...failure, code: 1 }] },
    { dropped: -1 },
    { counts: { calls: [{ ...row({ ok: 1 }), outcome: 'great' }], denials: [] } },
    { counts: { calls: [{ ...row({ ok: 1 }), buckets: [1] }], denials: [] } },
    { counts: { calls: [{ ...row({ ok: 1 }), seconds: Number.NaN }], denials: [] } },
    { counts: { calls: [], denials: [{ ...denial, count: -1 }] } },
    { counts: { calls: [] } },
  ];
  for (const change of wrong)
    assert.equal(readFromWorker(serialize({ kind: 'report', id: 1, report: { ...report, ...change } })), undefined);
  for (const message of [
    {},
    { kind: 'snapshot' },
    { kind: 'applied', sequence: -1 },
    { kind: 'report', id: '1', report },
  ])
    assert.equal(readFromWorker(serialize(message)), undefined);
});

test('what peers announced reaches the next control process, and nothing else does', () => {
  const catalogues = new Map([['eu-west', catalogueOf({ orders: 'http1' }, 1)]]);
  assert.deepEqual(readCatalogues(writeCatalogues(catalogues)), catalogues);
  assert.deepEqual(readCatalogues(serialize({ catalogues: new Map([['eu-west', 1]]) })), new Map());
  assert.deepEqual(readCatalogues(Buffer.from('no such bytes')), new Map());
});

test('what a gateway was started with reaches the next control process, with every kind of document', async () => {
  const documents = join(import.meta.dirname, '../../deploy/examples');
  const loaded = await loadResources(documents, { referencedFiles: false });
  assert.ok(loaded.kind === 'ok', JSON.stringify(loaded));
  const { set } = loaded;
  const credentials = { cert: 'c', key: 'k' };
  const edges = set.edges.map(({ name, spec }) => ({ name, address: spec.address, credentials }));
  const started = { set, calls: callListenSpecs(set, edges) };
  const read = readStarted(writeStarted(started));
  assert.deepEqual(read, started);
  assert.deepEqual(restartFields(read.set, set), []);
  assert.equal(readStarted(serialize({ started: { set, calls: {} } })), undefined);
  assert.equal(readStarted(serialize({ started: { calls: started.calls } })), undefined);
  assert.equal(readStarted(Buffer.from('no such bytes')), undefined);
});

test('an edge that listens takes a new certificate, and moves, comes and goes at the next start', () => {
  const edge = (name: string, port: number, cert: string): EdgeListen => ({
    name,
    address: { kind: 'tcp', host: '127.0.0.1', port },
    credentials: { cert, key: 'k' },
  });
  const listening = [edge('moves', 1, 'old'), edge('goes', 2, 'old')];
  const now = [edge('moves', 9, 'new'), edge('comes', 3, 'new')];
  assert.deepEqual(renewedEdges(listening, now), [edge('moves', 1, 'new'), edge('goes', 2, 'old')]);
});

test('the sum of the counters does not go back when a worker is replaced', () => {
  const sum = new CounterSum();
  const of = (ok: number): CallCounts => ({ calls: [row({ ok })], denials: [] });
  const total = (): number => sum.total().calls.reduce((all, { buckets }) => all + (buckets[0] ?? 0), 0);
  sum.report(0, of(1));
  sum.report(1, of(10));
  sum.report(1, of(11));
  assert.equal(total(), 12);
  sum.ended(0);
  sum.ended(0);
  assert.equal(total(), 12);
  sum.report(0, of(1));
  assert.equal(total(), 13);
});

function row({ ok }: { readonly ok: number }): CallRow {
  const buckets = [ok, ...LATENCY_BUCKETS.map(() => 0)];
  const labels = { direction: 'outbound', peer: 'eu-west', export: 'orders', outcome: 'ok' } as const;
  return { ...labels, buckets, seconds: 0, bytesIn: 1, bytesOut: 2 };
}

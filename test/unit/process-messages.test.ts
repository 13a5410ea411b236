/** What the processes say to each other: only the exact forms are read, and workers may say less than control. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import test from 'node:test';
import { serialize } from 'node:v8';

import { buildSnapshot } from '../../federation/snapshot/build.ts';
import { readFromChild, readToChild, type FromChild, type ToChild } from '../../gateway/process/channel.ts';
import { CounterSum } from '../../gateway/process/counter-sum.ts';
import {
  readFromWorker,
  readToWorker,
  writeFromWorker,
  writeToWorker,
  type FromWorker,
  type ToWorker,
} from '../../gateway/process/worker-message.ts';
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

const LISTENER = { name: 'jump', address: { kind: 'tcp', host: '::', port: 0 }, to: 'workers' } as const;
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

const settings = {
  logLevel: 'info',
  linksPerPeer: 2,
  instance: 'ab',
  epoch: 2n ** 40n,
  runtime: '/r',
  token: 't',
} as const;

test('a snapshot reaches a worker whole', () => {
  const { snapshot } = buildSnapshot({
    set: resourceSet({
      peers: [peerOf('eu-west', EU)],
      exports: [exportOf('payments', [rule({ peers: ['eu-west'] })])],
      imports: [importOf('eu-orders')],
    }),
    storedPeers: [],
    bundles: new Map([US, EU].map((domain) => [domain, bundleOf(domain)])),
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
  assert.ok(read?.kind === 'svid');
  assert.ok(read.svid.key.equals(key));
  assert.deepEqual(
    { ...read.svid, key: 0, chain: read.svid.chain.map((each) => [...each]) },
    { ...svid, key: 0, chain: [[1]] },
  );
});

test('control is read in the exact forms', () => {
  const messages: readonly ToWorker[] = [
    { kind: 'settings', settings },
    { kind: 'counters', id: 1 },
    { kind: 'links', id: 2 },
    { kind: 'cut', sequence: 3, peer: 'eu-west' },
  ];
  for (const message of messages) assert.deepEqual(readToWorker(writeToWorker(message)), message);
  for (const message of [
    {},
    { kind: 'links' },
    { kind: 'settings', settings: { ...settings, epoch: 1 } },
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
    calls: 0,
  } as const;
  const counters = { kind: 'counters', id: 1, names: ['calls{peer="x"}'], values: Float64Array.of(3) } as const;
  const messages: readonly FromWorker[] = [
    { kind: 'applied', sequence: 1, linksClosed: 0 },
    { kind: 'links', id: undefined, links: [link] },
    counters,
  ];
  for (const message of messages) assert.deepEqual(readFromWorker(writeFromWorker(message)), message);
  for (const message of [
    {},
    { kind: 'snapshot' },
    { kind: 'applied', sequence: -1, linksClosed: 0 },
    { kind: 'links', links: [{ ...link, direction: 'up' }] },
    { kind: 'links', links: [{ ...link, peer: 'a'.repeat(1_025) }] },
    { kind: 'links', id: '1', links: [] },
    { ...counters, values: Float64Array.of(1, 2) },
    { ...counters, values: Float64Array.of(-1) },
    { ...counters, values: Float64Array.of(Number.NaN) },
    { ...counters, values: [1] },
    { ...counters, names: Array.from({ length: 100_001 }, () => 'n'), values: new Float64Array(100_001) },
  ])
    assert.equal(readFromWorker(serialize(message)), undefined);
});

test('the sum of the counters does not go back when a worker is replaced', () => {
  const sum = new CounterSum();
  sum.report(0, ['a', 'b'], Float64Array.of(1, 2));
  sum.report(1, ['a'], Float64Array.of(10));
  sum.report(1, ['a'], Float64Array.of(11));
  assert.deepEqual(Object.fromEntries(sum.total()), { a: 12, b: 2 });
  sum.ended(0);
  sum.ended(0);
  assert.deepEqual(Object.fromEntries(sum.total()), { a: 12, b: 2 });
  sum.report(0, ['a'], Float64Array.of(1));
  assert.deepEqual(Object.fromEntries(sum.total()), { a: 13, b: 2 });
});

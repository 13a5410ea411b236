/** Profiles of the bench, folded from one made by hand. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { type CpuProfile, foldProfiles } from '../bench/profile/fold.ts';
import { profileSection } from '../bench/report/profiles.ts';

const ROOT = 'file:///checkout/';

/** A node of a profile; `lineNumber` counts from 0. */
function node(id: number, functionName: string, url: string, children: readonly number[] = []) {
  return {
    id,
    callFrame: { functionName, scriptId: '0', url, lineNumber: 9, columnNumber: 0 },
    children: [...children],
  };
}

const NODES = [
  node(1, '(root)', '', [2, 3, 4, 5, 6]),
  node(2, '(idle)', ''),
  node(3, '(program)', ''),
  node(4, '(garbage collector)', ''),
  node(5, 'flush', `${ROOT}gateway/socket/turn-writer.ts`, [7, 9]),
  node(6, '', `${ROOT}gateway/http2/hpack/encoder.ts`),
  node(7, 'writeGeneric', 'node:internal/stream_base_commons', [8]),
  node(8, 'writeBuffer', ''),
  node(9, 'run', `${ROOT}gateway/http2/frame/frame-reader.ts`),
  node(10, 'ask', `${ROOT}federation/policy/decide.ts`),
  node(11, 'send', `${ROOT}node_modules/ioredis/index.js`),
  node(12, 'elsewhere', 'file:///other/program.js'),
];

/** Samples by node. */
function profile(counts: Readonly<Record<number, number>>): CpuProfile {
  return { nodes: NODES, samples: Object.entries(counts).flatMap(([id, count]) => Array<number>(count).fill(+id)) };
}

test('shares are of the samples that were not idle, by room, the dearest first', () => {
  const { samples, rooms } = foldProfiles(
    { a: [profile({ 2: 100, 3: 1, 4: 2, 5: 3, 6: 4 }), profile({ 8: 10 })], b: [profile({ 2: 5, 7: 1, 9: 1 })] },
    ROOT,
  );
  assert.deepEqual(samples, { a: 20, b: 2 });
  assert.deepEqual(rooms, [
    { room: 'gateway/http2', a: 0, b: 0.5 },
    { room: 'native: system calls, C++ and built-ins that JavaScript calls', a: 0.5, b: 0 },
    { room: 'node: streams', a: 0, b: 0.5 },
    { room: 'gateway/http2/hpack', a: 0.2, b: 0 },
    { room: 'gateway/socket', a: 0.15, b: 0 },
    { room: 'garbage collector', a: 0.1, b: 0 },
    { room: 'native: system calls and C++ from the event loop', a: 0.05, b: 0 },
  ]);
});

test('rooms are two folders deep, a package is one room, and what is not of the checkout is named so', () => {
  const { rooms } = foldProfiles({ a: [profile({ 10: 3, 11: 2, 12: 1 })], b: [] }, ROOT);
  assert.deepEqual(
    rooms.map(({ room }) => room),
    ['federation/policy', 'node_modules/ioredis', 'other'],
  );
});

test('functions are told by file and line, and native ones by the file of ours that they work for', () => {
  const { functions } = foldProfiles({ a: [profile({ 3: 1, 6: 2, 8: 3 })], b: [profile({ 9: 4 })] }, ROOT);
  assert.deepEqual(
    functions.map(({ name, where }) => `${name} ${where}`),
    [
      'run gateway/http2/frame/frame-reader.ts:10',
      'writeBuffer native, for gateway/socket/turn-writer.ts',
      '(anonymous) gateway/http2/hpack/encoder.ts:10',
      '(program) native',
    ],
  );
});

test('only the ten dearest functions are told', () => {
  const nodes = Array.from({ length: 11 }, (_, index) => node(index, `f${index}`, `${ROOT}base/clock.ts`));
  const samples = nodes.flatMap(({ id }) => Array<number>(id + 1).fill(id));
  const { functions } = foldProfiles({ a: [{ nodes, samples }], b: [] }, ROOT);
  assert.deepEqual([functions.length, functions[0]?.name, functions[9]?.name], [10, 'f10', 'f1']);
});

test('a profile without a busy sample has no rooms, and no share that is not a number', () => {
  const folded = foldProfiles({ a: [profile({ 2: 7 })], b: [] }, ROOT);
  assert.deepEqual(folded, { samples: { a: 0, b: 0 }, rooms: [], functions: [] });
});

test('the report sums up what is below half a percent, and tells why a profile is missing', () => {
  const folded = foldProfiles({ a: [profile({ 5: 996, 6: 4 })], b: [profile({ 5: 1 })] }, ROOT);
  const text = profileSection([
    { workload: '10x10', ...folded },
    { workload: 'tcp', note: 'it did not start' },
  ]);
  assert.match(text, /\| gateway\/socket +\| 99\.6 % +\| 100\.0 % +\|/);
  assert.match(text, /\| all others +\| 0\.4 % +\| 0\.0 % +\|/);
  assert.match(text, /### `tcp`\n\nit did not start\n/);
  assert.equal(profileSection([]), '');
});

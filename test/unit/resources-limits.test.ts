/** Limits in documents: their defaults, their ranges, and what overrides what. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { DEFAULT_LIMITS, limitsProblem, limitsWith } from '../../federation/resources/limits.ts';
import { type Loaded, loadResources } from '../../federation/resources/load.ts';
import { restartFields } from '../../federation/resources/restart.ts';
import { directory, doc, MESH, messages, setOf } from '../support/documents.ts';

const EXAMPLE = join(import.meta.dirname, '../../deploy/examples/mesh.yaml');
const mesh = (limits: string): string => doc('Mesh', 'us', `{ trustDomain: us.example, limits: ${limits} }`);

test('the limits that the example shows are the defaults, all of them', async (t) => {
  const [, block = ''] = (await readFile(EXAMPLE, 'utf8')).split('  # limits:');
  const rows = [...block.matchAll(/^ {2}# {3}([A-Za-z0-9]+): (\d+)/gm)].map(([, name, value]) => [name, Number(value)]);
  assert.deepEqual(Object.fromEntries(rows), DEFAULT_LIMITS);
  const written = JSON.stringify(Object.fromEntries(rows));
  const path = await directory(t, { 'mesh.yaml': mesh(written) });
  assert.deepEqual(setOf(await loadResources(path)).mesh.spec.limits, DEFAULT_LIMITS);
});

test('a Mesh without limits has the defaults, and one with some has these and the defaults', async (t) => {
  const path = await directory(t, { 'mesh.yaml': doc('Mesh', 'us', '{ trustDomain: us.example }') });
  assert.deepEqual(setOf(await loadResources(path)).mesh.spec.limits, DEFAULT_LIMITS);
  await writeFile(join(path, 'mesh.yaml'), mesh('{ glitches: 400, headersMs: 5000 }'));
  const { limits } = setOf(await loadResources(path)).mesh.spec;
  assert.deepEqual(limits, { ...DEFAULT_LIMITS, glitches: 400, headersMs: 5000 });
  assert.deepEqual(structuredClone(limits), limits);
});

test('every default is within its range and every limit has a default', async (t) => {
  const path = await directory(t, {});
  for (const [name, value] of Object.entries(DEFAULT_LIMITS)) {
    await writeFile(join(path, 'mesh.yaml'), mesh(`{ ${name}: ${value} }`));
    assert.deepEqual(setOf(await loadResources(path)).mesh.spec.limits, DEFAULT_LIMITS, name);
    await writeFile(join(path, 'mesh.yaml'), mesh(`{ ${name}: -1 }`));
    assert.match(
      messages(await loadResources(path), path).join(),
      new RegExp(`spec\\.limits\\.${name}: expected an integer from`),
    );
  }
});

const INVALID: readonly (readonly [limits: string, message: string])[] = [
  ['{ headersMs: 10s }', '.headersMs: expected an integer from 100 to 600000, found "10s"'],
  ['{ headersMs: 99 }', '.headersMs: expected an integer from 100 to 600000, found number 99'],
  ['{ headersMs: 600001 }', '.headersMs: expected an integer from 100 to 600000, found number 600001'],
  [
    '{ connectionWindowBytes: 65534 }',
    '.connectionWindowBytes: expected an integer from 65535 to 2147483647, found number 65534',
  ],
  [
    '{ streamWindowBytes: 2147483648 }',
    '.streamWindowBytes: expected an integer from 1024 to 2147483647, found number 2147483648',
  ],
  ['{ glitches: 1e3 }', '.glitches: expected an integer from 4 to 1000000, found number 1e3'],
  ['{ headerBytes: 4096 }', ': expected targetBytes to be at most headerBytes (4096), found 8192'],
  [
    '{ headerNameBytes: 16384, headerBytes: 16383 }',
    ': expected headerNameBytes to be at most headerBytes (16383), found 16384',
  ],
  [
    '{ streamWindowBytes: 1048577 }',
    ': expected streamWindowBytes to be at most connectionWindowBytes (1048576), found 1048577',
  ],
  [
    '{ headerBytes: 147457 }',
    ': expected headerBytes to be at most what a HEADERS frame and 8 continuationFrames carry (147456), found 147457',
  ],
  [
    '{ linkConnectionWindowBytes: 940572671 }',
    ': expected linkConnectionWindowBytes to be at least 940572672, what stalled readers may hold (65536 for each of linkStreams 10000, 8 times linkStreamWindowBytes 33554432 if windows grow, and 16777216), found 940572671: fewer streams, smaller windows, or a larger one of the connection',
  ],
  [
    '{ linkStreamWindowBytes: 65536, linkStreams: 16129 }',
    ': expected linkConnectionWindowBytes to be at least 1073807360, what stalled readers may hold (65536 for each of linkStreams 16129, 8 times linkStreamWindowBytes 65536 if windows grow, and 16777216), found 1073741824: fewer streams, smaller windows, or a larger one of the connection',
  ],
  [
    '{ linkConnectionWindowBytes: 65535 }',
    ': expected linkStreamWindowBytes to be at most linkConnectionWindowBytes (65535), found 33554432',
  ],
];

test('each limit out of its range, and each pair that contradicts itself, gets exactly its message', async (t) => {
  const path = await directory(t, {});
  for (const [limits, message] of INVALID) {
    await writeFile(join(path, 'mesh.yaml'), mesh(limits));
    const loaded = await loadResources(path);
    assert.equal(loaded.kind, 'problems', limits);
    const [first = '', ...more] = messages(loaded, path);
    assert.deepEqual([first.slice(first.indexOf('spec.limits')), more], [`spec.limits${message}`, []], limits);
  }
  const within = [
    '{ headersMs: 100 }',
    '{ headersMs: 600000 }',
    '{ streamWindowBytes: 1048576 }',
    '{ headerBytes: 147456 }',
    '{ headerBytes: 147457, continuationFrames: 9 }',
    '{ linkConnectionWindowBytes: 940572672 }',
    '{ linkStreamWindowBytes: 65536, linkStreams: 16128 }',
  ];
  for (const limits of within) {
    await writeFile(join(path, 'mesh.yaml'), mesh(limits));
    assert.equal((await loadResources(path)).kind, 'ok', limits);
  }
});

test('a limit with another name is refused with the nearest one', async (t) => {
  const path = await directory(t, { 'mesh.yaml': mesh('{ headerMs: 5000 }') });
  assert.deepEqual(messages(await loadResources(path), path), [
    'mesh.yaml:4:44: spec.limits: unknown key "headerMs", did you mean "headersMs"?',
  ]);
});

test("a listener's and an edge's own limits come before the mesh's, and are judged with them", async (t) => {
  const path = await directory(t, {});
  const write = async (own: string): Promise<Loaded> => {
    const listeners = `{ outbound: [{ address: 127.0.0.1:1, mutualTls: {}, limits: ${own} }] }`;
    const spec = `{ trustDomain: us.example, limits: { headerBytes: 20000 }, listeners: ${listeners} }`;
    await writeFile(join(path, 'mesh.yaml'), doc('Mesh', 'us', spec));
    const tls = '{ certificateFile: a.crt, keyFile: a.key }';
    await writeFile(join(path, 'e.yaml'), doc('Edge', 'e', `{ address: 0.0.0.0:443, tls: ${tls}, limits: ${own} }`));
    return loadResources(path, { referencedFiles: false });
  };
  const set = setOf(await write('{ targetBytes: 16384 }'));
  for (const limits of [set.mesh.spec.listeners.outbound[0]?.limits, set.edges[0]?.spec.limits]) {
    assert.deepEqual(limits, { targetBytes: 16_384 });
    const here = limitsWith(set.mesh.spec.limits, limits);
    assert.deepEqual(here, { ...DEFAULT_LIMITS, headerBytes: 20_000, targetBytes: 16_384 });
    assert.equal(limitsProblem(here), undefined);
  }
  assert.deepEqual(limitsWith(DEFAULT_LIMITS), DEFAULT_LIMITS);
  const why = 'expected targetBytes to be at most headerBytes (20000), found 20001';
  assert.deepEqual(messages(await write('{ targetBytes: 20001 }'), path), [
    `e.yaml:1:1: spec.limits: ${why}`,
    `mesh.yaml:1:1: spec.listeners.outbound[0].limits: ${why}`,
  ]);
  const unknown = messages(await write('{ linkStreams: 5 }'), path);
  assert.equal(unknown.length, 2);
  for (const line of unknown) assert.match(line, /limits: unknown key "linkStreams"/);
});

test('the listener of an import has the limits that mean something for connections, and no others', async (t) => {
  const web = 'spiffe://us.example/web';
  const path = await directory(t, { 'mesh.yaml': MESH });
  const write = async (own: string): Promise<Loaded> => {
    const listen = `{ address: 127.0.0.1:2, as: ${web}, limits: { ${own} } }`;
    await writeFile(
      join(path, 'i.yaml'),
      doc('Import', 'i', `{ peer: eu, export: db, who: [${web}], listen: ${listen} }`),
    );
    return loadResources(path);
  };
  const own = { handshakeMs: 1_000, connectionsPerListener: 3, responseDeadlineMs: 4_000 };
  const written = JSON.stringify(own).slice(1, -1).replaceAll('"', '').replaceAll(':', ': ');
  assert.deepEqual(setOf(await write(written)).imports[0]?.spec.listen?.limits, own);
  for (const name of ['targetBytes', 'headersMs', 'idleKeepAliveMs', 'bodyBytesPerSecond', 'connectionBufferBytes']) {
    const [line = '', ...more] = messages(await write(`${name}: 5000`), path);
    assert.match(line, new RegExp(`spec\\.listen\\.limits: unknown key "${name}"`));
    assert.deepEqual(more, []);
  }
});

test('a listener without TLS has no limit of handshakes', async (t) => {
  const as = 'spiffe://us.example/web';
  const path = await directory(t, {});
  for (const name of ['handshakeMs', 'handshakesPerTurn']) {
    const listeners = `{ outbound: [{ address: 127.0.0.1:1, as: ${as}, limits: { ${name}: 100 } }] }`;
    await writeFile(join(path, 'mesh.yaml'), doc('Mesh', 'us', `{ trustDomain: us.example, listeners: ${listeners} }`));
    const [line = '', ...more] = messages(await loadResources(path), path);
    assert.match(line, new RegExp(`expected no limit ${name} on a listener with "as", which makes no TLS handshake`));
    assert.deepEqual(more, []);
  }
});

test("an export's limits are its own", async (t) => {
  const of = (limits: string): string =>
    doc('Export', 'a', `{ protocol: grpc, backends: [{ address: 10.0.0.4:80 }], allow: [], limits: ${limits} }`);
  const path = await directory(t, { 'mesh.yaml': mesh('{}') });
  await writeFile(join(path, 'x.yaml'), of('{ responseDeadlineMs: 0, connectionsPerBackend: 4 }'));
  const [exported] = setOf(await loadResources(path)).exports;
  assert.deepEqual(exported?.spec.limits, { responseDeadlineMs: 0, connectionsPerBackend: 4 });
  await writeFile(join(path, 'x.yaml'), of('{ connectionsPerBackend: 0 }'));
  assert.deepEqual(messages(await loadResources(path), path), [
    'x.yaml:4:107: spec.limits.connectionsPerBackend: expected an integer from 1 to 1000000, found number 0',
  ]);
});

test('an http1 export has no limit of calls on one connection', async (t) => {
  const limits = '{ streamsPerBackendConnection: 2 }';
  const spec = `{ protocol: http1, backends: [{ address: 10.0.0.4:80 }], allow: [], limits: ${limits} }`;
  const path = await directory(t, { 'mesh.yaml': mesh('{}'), 'x.yaml': doc('Export', 'a', spec) });
  assert.deepEqual(messages(await loadResources(path), path), [
    'x.yaml:4:7: spec.limits.streamsPerBackendConnection: expected no streamsPerBackendConnection under protocol http1, whose connections carry one call at a time',
  ]);
});

test('limits that changed are named as waiting for a restart', async (t) => {
  const path = await directory(t, { 'mesh.yaml': mesh('{}') });
  const before = setOf(await loadResources(path));
  await writeFile(join(path, 'mesh.yaml'), mesh('{ glitches: 400 }'));
  assert.deepEqual(restartFields(before, setOf(await loadResources(path))), ['Mesh us: spec.limits']);
});

/** `listeners.workloadApi` of a Mesh: what is valid, and the exact message of what is not. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';

import { loadResources } from '../../federation/resources/load.ts';
import { restartFields } from '../../federation/resources/restart.ts';
import { keepMesh } from '../../gateway/process/configuration.ts';
import { directory, doc, messages, setOf } from '../support/documents.ts';

const WEB = 'spiffe://us.example/ns/shop/sa/web';
const SMALLEST = `{ socket: /run/x/web.sock, identity: "${WEB}" }`;

function meshWith(sockets: string, more = ''): string {
  return doc('Mesh', 'us', `{ trustDomain: us.example, listeners: { workloadApi: [${sockets}] }${more} }`);
}

test('a socket and an identity are enough: mode 0600, no peers, an hour, tokens of five minutes', async (t) => {
  const path = await directory(t, { 'mesh.yaml': meshWith(SMALLEST) });
  const [socket] = setOf(await loadResources(path)).mesh.spec.listeners.workloadApi;
  const { origin, ...rest } = socket ?? {};
  assert.equal(origin?.file, join(path, 'mesh.yaml'));
  assert.deepEqual(rest, {
    path: '/run/x/web.sock',
    identity: WEB,
    mode: 0o600,
    owner: undefined,
    group: undefined,
    ttlMs: 3_600_000,
    hint: undefined,
    federatesWith: [],
    jwtTtlMs: 300_000,
    limits: { connectionsMax: 64, streamsMax: 256, requestsPerSecondMax: 500 },
  });
});

test('everything can be set; a group is let in unless the mode says otherwise', async (t) => {
  const whole = `{ socket: web.sock, identity: "${WEB}", owner: web, group: 1200, ttl: 5m, hint: internal, federatesWith: all,
    jwt: { ttl: 1m }, limits: { connections: 1, streams: 2, requestsPerSecond: 3 } }`;
  const own = `{ socket: own.sock, identity: "${WEB}", mode: "0600", group: shop, jwt: off }`;
  const path = await directory(t, { 'mesh.yaml': meshWith(`${whole}, ${own}`) });
  const loaded = await loadResources(path);
  const [first, second] = setOf(loaded).mesh.spec.listeners.workloadApi;
  assert.deepEqual(messages(loaded, path), []);
  assert.deepEqual(
    [first?.path, first?.mode, first?.owner, first?.group],
    [join(path, 'web.sock'), 0o660, 'web', '1200'],
  );
  assert.deepEqual(
    [first?.ttlMs, first?.hint, first?.federatesWith, first?.jwtTtlMs],
    [300_000, 'internal', 'all', 60_000],
  );
  assert.deepEqual(first?.limits, { connectionsMax: 1, streamsMax: 2, requestsPerSecondMax: 3 });
  assert.deepEqual([second?.mode, second?.group, second?.jwtTtlMs], [0o600, 'shop', undefined]);
});

/** Items of the list, and what is said behind `x: `. */
const INVALID: readonly (readonly [items: string, message: string])[] = [
  [
    '{ socket: /run/x/a.sock }',
    'missing key "identity", expected a SPIFFE ID such as spiffe://us-east.example.org/ns/shop/sa/web',
  ],
  [`{ identity: "${WEB}" }`, 'missing key "socket", expected the path of a Unix socket'],
  [`{ socket: /run/x/a.sock, identity: "${WEB}", tls: {} }`, 'unknown key "tls"'],
  [`{ socket: /run/${'x'.repeat(110)}, identity: "${WEB}" }`, 'expected a socket path of at most 107 bytes, found 115'],
  [
    '{ socket: /a, identity: "spiffe://us.example/jumpgate" }',
    'expected the SPIFFE ID of a workload, found that of this gateway',
  ],
  [
    '{ socket: /a, identity: "spiffe://us.example/jumpgate/edge/x" }',
    'expected the SPIFFE ID of a workload, found "spiffe://us.example/jumpgate/edge/x": /jumpgate and below is reserved for gateways',
  ],
  ['{ socket: /a, identity: "spiffe://us.example" }', 'expected the SPIFFE ID of a workload, found one without a path'],
  [
    '{ socket: /a, identity: "spiffe://eu.example/a" }',
    'expected a SPIFFE ID of trust domain us.example, found "spiffe://eu.example/a"',
  ],
  [`{ socket: /a, identity: "${WEB}", mode: "0666" }`, 'expected a mode as text, "0600" or "0660"'],
  [`{ socket: /a, identity: "${WEB}", mode: 600 }`, 'expected a mode as text, "0600" or "0660"'],
  [`{ socket: /a, identity: "${WEB}", owner: "a b" }`, 'expected a name or a number, found "a b"'],
  [`{ socket: /a, identity: "${WEB}", group: -1 }`, 'expected a name or a number, found'],
  [
    `{ socket: /a, identity: "${WEB}", federatesWith: some }`,
    'expected all, or a list of names of peers, found "some"',
  ],
  [`{ socket: /a, identity: "${WEB}", jwt: on }`, 'expected off, or a mapping with ttl, found "on"'],
  [`{ socket: /a, identity: "${WEB}", ttl: 25h }`, 'expected a duration from 1m to 24h'],
  [
    `{ socket: /a, identity: "${WEB}", hint: ${'h'.repeat(1025)} }`,
    'expected a hint of at most 1024 bytes, found 1025',
  ],
  [`${SMALLEST}, ${SMALLEST}`, 'listener /run/x/web.sock is declared already at'],
];

for (const [items, message] of INVALID) {
  test(`refused: ${message}`, async (t) => {
    const path = await directory(t, { 'mesh.yaml': meshWith(items) });
    const loaded = await loadResources(path);
    assert.equal(loaded.kind, 'problems');
    const [first, ...more] = messages(loaded, path);
    assert.ok(first?.includes(`: ${message}`), first);
    assert.deepEqual(more, []);
  });
}

test('another gateway ID than the default is never served either, and an own one may leave /jumpgate to nobody', async (t) => {
  const item = '{ socket: /run/x/gw.sock, identity: "spiffe://us.example/gw" }';
  const path = await directory(t, { 'mesh.yaml': meshWith(item, ', gatewayId: "spiffe://us.example/gw"') });
  const [message] = messages(await loadResources(path), path);
  assert.ok(message?.endsWith('expected the SPIFFE ID of a workload, found that of this gateway'), message);
});

test('a source that cannot issue is refused beside it', async (t) => {
  const files = ', identity: { files: { svid: a.pem, key: a.key, bundle: b.json } }';
  const path = await directory(t, { 'mesh.yaml': meshWith(SMALLEST, files) });
  const found = messages(await loadResources(path), path).join('\n');
  assert.match(
    found,
    /workloadApi\[0\]: expected identity.embedded beside it: only the embedded CA can issue SVIDs for workloads, found identity.files/,
  );
});

test('a peer that nobody knows is warned of', async (t) => {
  const item = `{ socket: /run/x/web.sock, identity: "${WEB}", federatesWith: [eu-wset] }`;
  const path = await directory(t, { 'mesh.yaml': meshWith(item) });
  assert.deepEqual(messages(await loadResources(path), path), [
    'mesh.yaml:4:61: spec.listeners.workloadApi[0].federatesWith: no Peer document is named "eu-wset"; it takes effect when such a peer joins',
  ]);
});

test('sockets are taken up by a reload, also beside fields that wait for a restart, unless the trust domain is one of them', async (t) => {
  const path = await directory(t, { 'mesh.yaml': meshWith('') });
  const before = setOf(await loadResources(path));
  const read = async (text: string): Promise<typeof before> => {
    await writeFile(join(path, 'mesh.yaml'), text);
    return setOf(await loadResources(path));
  };
  assert.deepEqual(restartFields(before, await read(meshWith(SMALLEST))), []);
  const both = await read(meshWith(SMALLEST, ', workers: 3'));
  assert.deepEqual(restartFields(before, both), ['Mesh us: spec.workers']);
  assert.deepEqual(
    keepMesh(both, before).mesh.spec.listeners.workloadApi.map(({ path: socket }) => socket),
    ['/run/x/web.sock'],
  );
  const foreign = await read(meshWith(SMALLEST).replaceAll('us.example', 'eu.example'));
  assert.deepEqual(keepMesh(foreign, before).mesh.spec.listeners.workloadApi, []);
});

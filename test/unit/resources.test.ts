/** Tests of the six kinds of documents: what is valid, and the exact message of what is not. */
import assert from 'node:assert/strict';
import { chmod, copyFile, cp, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { resourceJsonSchema } from '../../federation/resources/document.ts';
import { loadResources } from '../../federation/resources/load.ts';
import { restartFields } from '../../federation/resources/restart.ts';
import { initialFiles } from '../../federation/resources/templates.ts';
import { writeBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { directory, doc, MESH, messages, setOf } from '../support/documents.ts';
import { testDomain } from '../support/trust.ts';

const EXAMPLES = join(import.meta.dirname, '../../deploy/examples');
const EDGE_TLS = join(import.meta.dirname, '../fixtures/edge-tls');

test('the examples of deploy are valid, with an edge certificate beside them, and without warnings', async (t) => {
  const path = await directory(t, {});
  await cp(EXAMPLES, path, { recursive: true });
  await copyFile(join(EDGE_TLS, 'edge.crt'), join(path, 'edge.crt'));
  await copyFile(join(EDGE_TLS, 'edge.key'), join(path, 'edge.key'));
  await chmod(join(path, 'edge.key'), 0o600);
  const loaded = await loadResources(path);
  const set = setOf(loaded);
  assert.deepEqual(messages(loaded, path), []);
  assert.deepEqual(
    [set.peers.length, set.exports.length, set.imports.length, set.edges.length, set.routes.length],
    [1, 3, 4, 1, 1],
  );
  assert.equal(set.mesh.spec.store.kind === 'files' && set.mesh.spec.store.directory, join(path, 'state'));
  const payments = set.exports.find(({ name }) => name === 'payments');
  assert.equal(payments?.spec.allow[1]?.origin.file, join(path, 'export.yaml'));
  assert.deepEqual(structuredClone(set), set);
});

test('what init writes is valid, and warns only of the peer that has yet to join', async (t) => {
  const files = initialFiles({ trustDomain: 'us.example', name: 'true' });
  const path = await directory(t, Object.fromEntries(files.map(({ file, text }) => [file, text])));
  const loaded = await loadResources(path);
  assert.equal(setOf(loaded).mesh.name, 'true');
  assert.deepEqual(messages(loaded, path), [
    'export-hello.yaml:9:7: spec.allow[0].peers: no Peer document is named "peer"; it takes effect when such a peer joins',
    'export-hello.yaml:9:7: spec.allow[0]: peers without who admits every workload of those meshes',
    'import-hello.yaml:2:1: spec.peer: no Peer document is named "peer"; it takes effect when such a peer joins',
  ]);
});

const later = (name: string): string =>
  `${JSON.stringify(name)} is not enforced by this version yet, so it is refused rather than ignored; remove it`;
const RULE = 'allow: [{ who: [spiffe://us.example/a], what: { http: [{}] } }]';
const EXPORT = `{ protocol: http1, backends: [{ address: 10.0.0.4:80 }], ${RULE} }`;

/** A document beside a valid Mesh, and exactly what is said of it. */
const INVALID: readonly (readonly [document: string, ...messages: string[]])[] = [
  [
    'kind: Exprot\n',
    'x.yaml:1:7: kind: expected one of Mesh, Peer, Export, Import, Edge, Route, found "Exprot", did you mean "Export"?',
  ],
  [
    doc('Export', 'a', EXPORT).replace('v1alpha1', 'v1'),
    'x.yaml:1:13: apiVersion: expected jumpgate.dev/v1alpha1, found "jumpgate.dev/v1"',
  ],
  [
    doc('Export', 'A_b', EXPORT),
    'x.yaml:3:19: metadata.name: expected a DNS label (1 to 63 of a-z, 0-9 and "-", not at either end), found "A_b"',
  ],
  [
    doc('Export', 'a', EXPORT.replace('http1', 'udp')),
    'x.yaml:4:19: spec.protocol: expected one of http1, http2, grpc, tcp, tls, found "udp"',
  ],
  [
    doc('Export', 'a', EXPORT.replace('[{ address: 10.0.0.4:80 }]', '[]')),
    'x.yaml:4:36: spec.backends: expected a list of at least 1 item, found an empty one',
  ],
  [
    doc('Export', 'a', `{ protocol: http1, ${RULE} }`),
    'x.yaml:4:7: spec: missing key "backends", expected a list of at least 1 item, each a backend as address: host:port',
  ],
  [
    doc('Export', 'a', EXPORT.replace('who: [spiffe://us.example/a]', 'peers: [self], when: {}')),
    `x.yaml:4:89: spec.allow[0]: ${later('when')}`,
  ],
  [
    doc('Export', 'a', EXPORT.replace('who: [spiffe://us.example/a], ', '')),
    'x.yaml:4:72: spec.allow[0]: expected at least one of peers and who: a rule must say whom it admits',
  ],
  [
    doc('Export', 'a', EXPORT.replace('{}', '{ methods: [get] }')),
    'x.yaml:4:131: spec.allow[0].what.http[0].methods[0]: expected an HTTP method in capitals, such as GET, found "get"',
  ],
  [
    doc('Export', 'a', EXPORT.replace('{}', '{ paths: ["/a*"] }')),
    'x.yaml:4:129: spec.allow[0].what.http[0].paths[0]: expected a path such as /orders/* or /orders/**, found "/a*": a wildcard is a whole segment, found "a*"',
  ],
  [
    doc('Export', 'a', EXPORT.replace('{}', '{ paths: ["/a/../b"] }')),
    'x.yaml:4:129: spec.allow[0].what.http[0].paths[0]: expected a path such as /orders/* or /orders/**, found "/a/../b": expected no dot segments in a path, found "/a/../b"',
  ],
  [
    doc('Export', 'a', EXPORT.replace('http: [{}]', 'grpc: [shop.v1.Cart]').replace('http1', 'grpc')),
    'x.yaml:4:118: spec.allow[0].what.grpc[0]: expected a gRPC method package.Service/Method or package.Service/*, found "shop.v1.Cart"',
  ],
  [
    doc('Export', 'a', EXPORT.replace('80', '99999')),
    'x.yaml:4:48: spec.backends[0].address: expected an address host:port, such as gw.example.org:15443 or [::1]:15443, found "10.0.0.4:99999"',
  ],
  [
    doc('Import', 'a', '{ peer: eu, export: o, who: [], alias: x.jumpgate }'),
    'x.yaml:4:46: spec.alias: expected a host name outside .jumpgate, which is reserved for gateways, found "x.jumpgate"',
  ],
  [
    doc('Import', 'a', '{ peer: eu, export: o, who: [], alias: X.shop }'),
    'x.yaml:4:46: spec.alias: expected a lower-case host name such as orders.shop.internal, found "X.shop"',
  ],
  [doc('Import', 'a', '{ peer: eu, export: o, who: [], retry: 1 }'), `x.yaml:4:39: spec: ${later('retry')}`],
  [
    doc('Peer', 'us', '{ trustDomain: us.example }'),
    'x.yaml:1:1: spec.trustDomain: expected another trust domain than our own us.example',
  ],
  [
    doc('Peer', 'self', '{ trustDomain: eu.example }'),
    'x.yaml:1:1: metadata.name: expected another name than "self", which is our own mesh',
  ],
  [
    doc('Peer', 'eu', '{ trustDomain: eu.example, gatewayId: spiffe://de.example/g }'),
    'x.yaml:4:7: spec: expected a SPIFFE ID of trust domain eu.example, found "spiffe://de.example/g"',
  ],
  [
    doc('Peer', 'eu', '{ trustDomain: eu.example, bundleEndpoint: { profile: https_web } }'),
    'x.yaml:4:50: spec.bundleEndpoint: expected url and profile together, or link: {}',
  ],
  [
    doc('Route', 'r', '{ edge: e, hosts: [a.example], to: { export: none } }'),
    'x.yaml:1:1: spec.edge: no Edge is named "e"',
    'x.yaml:1:1: spec.to.export: no Export is named "none"',
  ],
  [MESH, 'x.yaml:1:1: kind: expected exactly one Mesh, the other one is at mesh.yaml:1:1'],
  [
    `${doc('Export', 'a', EXPORT)}---\n${doc('Export', 'a', EXPORT)}`,
    'x.yaml:6:1: metadata.name: Export a is declared already at x.yaml:1:1',
  ],
  [
    `${doc('Import', 'a', '{ peer: eu, export: o, who: [], alias: x.shop }')}---\n${doc('Import', 'b', '{ peer: eu, export: p, who: [], alias: x.shop }')}`,
    'x.yaml:6:1: spec.alias: host name x.shop is declared already at x.yaml:1:1',
  ],
  [
    doc('Edge', 'e', '{ address: 0.0.0.0:443, tls: { certificateFile: no.crt, keyFile: no.key } }'),
    'x.yaml:1:1: spec.tls.certificateFile: no such file: no.crt',
    'x.yaml:1:1: spec.tls.keyFile: no such file: no.key',
  ],
];

test('each invalid document gets exactly its message', async (t) => {
  const path = await directory(t, { 'mesh.yaml': MESH });
  for (const [text, ...expected] of INVALID) {
    await writeFile(join(path, 'x.yaml'), text);
    const loaded = await loadResources(path);
    assert.equal(loaded.kind, 'problems', text);
    assert.deepEqual(messages(loaded, path), expected, text);
  }
});

const INVALID_MESH: readonly (readonly [spec: string, message: RegExp])[] = [
  ['{}', /spec: missing key "trustDomain"/],
  ['{ trustDomain: US.example }', /spec\.trustDomain: expected a trust domain/],
  [
    '{ trustDomain: us.example, gatewayId: spiffe://eu.example/jumpgate }',
    /spec\.gatewayId: expected a SPIFFE ID of trust domain us\.example/,
  ],
  [
    '{ trustDomain: us.example, identity: { workloadApi: { socket: "unix://run/agent.sock" } } }',
    /spec\.identity\.workloadApi\.socket: expected unix:\/\/\/absolute\/path or tcp:\/\/IP:PORT, and nothing else in it, found "unix:\/\/run\/agent\.sock"/,
  ],
  [
    '{ trustDomain: us.example, identity: { files: { svid: svid.pem, key: key.pem } } }',
    /spec\.identity\.files: missing key "bundle", expected the path of the bundle/,
  ],
  [
    '{ trustDomain: us.example, identity: { files: { svid: s, key: k, bundle: b, keyReadableBy: all } } }',
    /spec\.identity\.files\.keyReadableBy: expected one of owner, group, found "all"/,
  ],
  [
    '{ trustDomain: us.example, identity: { embedded: { upstream: { certificateFile: ca.pem } } } }',
    /spec\.identity\.embedded\.upstream: .*keyFile/,
  ],
  [
    '{ trustDomain: us.example, identity: { embedded: { upstream: { certificateFile: a.pem, keyFile: b.pem, bundleFile: c.pem } } } }',
    /upstream\.certificateFile: no such file: .*a\.pem\n.*upstream\.keyFile: no such file: .*b\.pem\n.*upstream\.bundleFile: no such file/,
  ],
  [
    '{ trustDomain: us.example, identity: { embedded: { upstream: { certificateFile: a.pem, keyFile: b.pem, url: c } } } }',
    /spec\.identity\.embedded\.upstream: unknown key "url", expected one of certificateFile, keyFile, chainFile/,
  ],
  [
    '{ trustDomain: us.example, identity: { embedded: {}, files: {} } }',
    /spec\.identity: expected exactly one of the keys embedded, files, workloadApi, found "embedded, files"/,
  ],
  [
    '{ trustDomain: us.example, identity: { files: { svid: svid.pem, key: key.pem, bundle: bundle.json } } }',
    /spec\.identity\.files\.svid: no such file: .*svid\.pem\n.*spec\.identity\.files\.key: no such file/,
  ],
  [
    '{ trustDomain: us.example, limits: { linkStreams: 0 } }',
    /limits\.linkStreams: expected an integer from 1 to 1000000/,
  ],
  [
    '{ trustDomain: us.example, listeners: { admin: { address: 127.0.0.1:1 } } }',
    /listeners\.admin: expected tokenFile/,
  ],
  [
    '{ trustDomain: us.example, listeners: { outbound: [{ address: 0.0.0.0:1, as: spiffe://us.example/a }] } }',
    /outbound\[0\]: expected a loopback address or a socket/,
  ],
  [
    '{ trustDomain: us.example, listeners: { outbound: [{ address: 127.0.0.1:1, as: spiffe://eu.example/a }] } }',
    /outbound\[0\]\.as: expected a SPIFFE ID of trust domain us\.example/,
  ],
  [
    '{ trustDomain: us.example, listeners: { outbound: [{ address: 127.0.0.1:1, as: spiffe://us.example/jumpgate }] } }',
    /reserved for gateways/,
  ],
  [
    '{ trustDomain: us.example, listeners: { outbound: [{ address: 127.0.0.1:1 }] } }',
    /exactly one of as and mutualTls/,
  ],
  [
    '{ trustDomain: us.example, listeners: { status: { address: 127.0.0.1:7 }, jump: { address: 127.0.0.1:7 } } }',
    /listener 127\.0\.0\.1:7 is declared already/,
  ],
  [
    `{ trustDomain: us.example, listeners: { admin: { socket: /${'x'.repeat(107)} } } }`,
    /at most 107 bytes, found 108/,
  ],
  [
    '{ trustDomain: us.example, linkMaxAge: 9s }',
    /spec\.linkMaxAge: expected a duration from 10s to 365d, such as 30s, 5m or 1h, found "9s"$/,
  ],
  ['{ trustDomain: us.example, store: { redis: { url: "redis://:pw@h:1", sealKeyFile: k } } }', /without a password/],
];

test('each invalid Mesh is refused for its reason, and a password is not repeated', async (t) => {
  const path = await directory(t, {});
  for (const [spec, message] of INVALID_MESH) {
    await writeFile(join(path, 'mesh.yaml'), doc('Mesh', 'us', spec));
    const loaded = await loadResources(path);
    assert.equal(loaded.kind, 'problems', spec);
    const said = messages(loaded, path).join('\n');
    assert.match(said, message);
    assert.doesNotMatch(said, /:pw@/);
  }
});

test('L1: identity files are relative to the document, and a key that its group reads is refused unless the document says so', async (t) => {
  const files = 'svid: own/svid.pem, key: own/key.pem, bundle: own/bundle.json';
  const path = await directory(t, { 'mesh.yaml': '' });
  await mkdir(join(path, 'own'));
  for (const name of ['svid.pem', 'key.pem', 'bundle.json']) await writeFile(join(path, 'own', name), 'x');
  await chmod(join(path, 'own', 'key.pem'), 0o640);
  const loaded = async (more: string): ReturnType<typeof loadResources> => {
    const spec = `{ trustDomain: us.example, identity: { files: { ${files}${more} } } }`;
    await writeFile(join(path, 'mesh.yaml'), doc('Mesh', 'us', spec));
    return loadResources(path);
  };
  assert.match(
    messages(await loaded(''), path).join('\n'),
    /spec\.identity\.files\.key: expected own\/key\.pem to be private to its owner, found mode 0640/,
  );
  const allowed = await loaded(', keyReadableBy: group');
  assert.equal(allowed.kind, 'ok');
  assert.deepEqual(allowed.set.mesh.spec.identity, {
    kind: 'files',
    directory: join(path, 'state'),
    files: {
      svid: join(path, 'own', 'svid.pem'),
      key: join(path, 'own', 'key.pem'),
      bundle: join(path, 'own', 'bundle.json'),
      keyReadableBy: 'group',
    },
  });
  await chmod(join(path, 'own', 'key.pem'), 0o644);
  assert.equal((await loaded(', keyReadableBy: group')).kind, 'problems');
});

test('an empty, missing or Mesh-less directory is a problem', async (t) => {
  const path = await directory(t, {});
  assert.deepEqual(messages(await loadResources(path), path), [
    'DIR: expected *.yaml or *.yml files in this directory, found none',
  ]);
  const missing = await loadResources(join(path, 'no'));
  assert.deepEqual(messages(missing, path), ['no: cannot read the configuration directory: no such directory']);
  await writeFile(join(path, 'x.yaml'), '# nothing\n');
  assert.deepEqual(messages(await loadResources(path), path), [
    'DIR: expected exactly one Mesh document in this directory, found none',
  ]);
});

test("a bootstrap bundle that is none, holds no root or is another mesh's is refused at its line", async (t) => {
  const peer = doc('Peer', 'eu', '\n  trustDomain: eu.example\n  bundle: { file: eu.json }');
  const path = await directory(t, { 'mesh.yaml': MESH, 'x.yaml': peer });
  const said = async (text: string): Promise<string> => {
    await writeFile(join(path, 'eu.json'), text);
    return messages(await loadResources(path), path).join('\n');
  };
  const at = 'x.yaml:6:19: spec.bundle.file: expected a SPIFFE bundle in eu.json';
  assert.match(await said('{"keys":'), new RegExp(`^${at}: malformed bundle of eu.example: `));
  assert.equal(await said('{"keys":[]}'), `${at}, found one without a usable X.509 authority`);
  const foreign = writeBundleDocument(testDomain('ap.example').bundle);
  assert.match(await said(foreign), /this is another mesh's bundle$/);
  assert.equal((await loadResources(path)).kind, 'problems');
  await said(writeBundleDocument(testDomain('eu.example').bundle));
  assert.equal((await loadResources(path)).kind, 'ok');
});

test('an edge key that others can read, of another certificate, or no key is refused', async (t) => {
  const edge = doc('Edge', 'e', '{ address: 0.0.0.0:443, tls: { certificateFile: edge.crt, keyFile: edge.key } }');
  const path = await directory(t, { 'mesh.yaml': MESH, 'x.yaml': edge });
  const key = join(path, 'edge.key');
  await copyFile(join(EDGE_TLS, 'edge.crt'), join(path, 'edge.crt'));
  await copyFile(join(EDGE_TLS, 'edge.key'), key);
  await chmod(key, 0o640);
  const said = async (): Promise<string> => messages(await loadResources(path), path).join('\n');
  assert.equal(
    await said(),
    'x.yaml:1:1: spec.tls.keyFile: expected edge.key to be private to its owner, found mode 0640; run chmod 600 edge.key',
  );
  await chmod(key, 0o600);
  assert.equal((await loadResources(path)).kind, 'ok');
  await copyFile(join(EDGE_TLS, 'other.key'), key);
  await chmod(key, 0o600);
  assert.match(await said(), /expected the private key of the certificate/);
  await writeFile(key, 'no key');
  assert.match(await said(), /expected an unencrypted PEM private key/);
});

test('files that Kubernetes mounts through ..data are read once, and the digest follows their bytes', async (t) => {
  const path = await directory(t, {});
  for (const [version, name] of [
    ['..v1', 'us'],
    ['..v2', 'eu'],
  ] as const) {
    await mkdir(join(path, version));
    await writeFile(join(path, version, 'mesh.yaml'), doc('Mesh', name, '{ trustDomain: us.example }'));
  }
  await symlink('..v1', join(path, '..data'));
  await symlink('..data/mesh.yaml', join(path, 'mesh.yaml'));
  const first = await loadResources(path);
  assert.equal(setOf(first).mesh.name, 'us');
  await symlink('..v2', join(path, '..tmp'));
  await rename(join(path, '..tmp'), join(path, '..data'));
  const second = await loadResources(path);
  assert.equal(setOf(second).mesh.name, 'eu');
  assert.notEqual(first.kind === 'ok' && first.digest, second.kind === 'ok' && second.digest);
});

test('the fields that need a restart are named, and others are not', async (t) => {
  const path = await directory(t, { 'mesh.yaml': MESH });
  const before = setOf(await loadResources(path));
  await writeFile(
    join(path, 'mesh.yaml'),
    doc('Mesh', 'us', '{ trustDomain: us.example, logLevel: debug, drain: 1s }'),
  );
  assert.deepEqual(restartFields(before, setOf(await loadResources(path))), []);
  await writeFile(
    join(path, 'mesh.yaml'),
    doc('Mesh', 'us', '{ trustDomain: eu.example, listeners: { status: { address: 127.0.0.1:1 } } }'),
  );
  assert.deepEqual(restartFields(before, setOf(await loadResources(path))), [
    'Mesh us: spec.trustDomain',
    'Mesh us: spec.gatewayId',
    'Mesh us: spec.listeners.status',
  ]);
});

test('the published JSON Schema has every kind', () => {
  const { oneOf } = resourceJsonSchema() as { oneOf: readonly { title: string }[] };
  assert.deepEqual(
    oneOf.map(({ title }) => title),
    ['Mesh', 'Peer', 'Export', 'Import', 'Edge', 'Route'],
  );
});

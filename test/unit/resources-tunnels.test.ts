/** Documents of tcp and tls: what is valid, the exact message of what is not, and how a version refuses what it lacks. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { loadResources } from '../../federation/resources/load.ts';
import { restartFields } from '../../federation/resources/restart.ts';
import { directory, doc, MESH, messages, setOf } from '../support/documents.ts';

const EXAMPLES = join(import.meta.dirname, '../../deploy/examples');

const TCP = 'protocol: tcp, backends: [{ address: 10.0.0.5:5432 }], allow: [{ peers: [self] }]';
const TLS = TCP.replace('tcp', 'tls');
const WEB = 'spiffe://us.example/ns/shop/sa/web';
const IMPORT = `peer: eu, export: db, who: [${WEB}]`;

test('the examples of tcp and tls are valid beside the others', async (t) => {
  const path = await directory(t, {});
  for (const name of ['mesh.yaml', 'peer.yaml', 'tcp.yaml', 'tls.yaml'])
    await writeFile(join(path, name), await readFile(join(EXAMPLES, name)));
  const loaded = await loadResources(path);
  const { exports, imports } = setOf(loaded);
  assert.deepEqual(
    messages(loaded, path).filter((line) => !line.includes('without who')),
    [],
  );
  assert.deepEqual(
    exports.map(({ spec }) => [spec.protocol, spec.serverNames]),
    [
      ['tcp', []],
      ['tls', ['vault.shop.example', '*.vault.shop.example']],
    ],
  );
  assert.deepEqual(
    imports.map(({ spec: { listen } }) => listen?.address.kind === 'tcp' && listen.address.port),
    [5432, 6379, 8200],
  );
  assert.deepEqual(
    imports.map(({ spec: { listen } }) => listen?.caller),
    Array.from({ length: 3 }, () => ({ kind: 'as', id: 'spiffe://us-east.example.org/ns/shop/sa/web' })),
  );
});

test('nothing of tcp and tls is refused as not enforced', async (t) => {
  const path = await directory(t, {
    'mesh.yaml': MESH,
    'x.yaml': doc('Export', 'a', `{ ${TLS}, serverNames: [a.example] }`),
    'y.yaml': doc('Export', 'b', `{ ${TCP} }`),
    'z.yaml': doc('Import', 'a', `{ ${IMPORT}, listen: 127.0.0.1:5432 }`),
  });
  assert.equal(setOf(await loadResources(path)).exports.length, 2);
});

test('a listener of an import is an address, a socket, with a caller or by mutual TLS', async (t) => {
  const path = await directory(t, { 'mesh.yaml': MESH });
  const listenOf = async (listen: string): Promise<unknown> => {
    await writeFile(join(path, 'x.yaml'), doc('Import', 'a', `{ ${IMPORT}, listen: ${listen} }`));
    const { address, caller } = setOf(await loadResources(path)).imports[0]?.spec.listen ?? {};
    return [address, caller];
  };
  const as = { kind: 'as', id: WEB };
  assert.deepEqual(await listenOf('127.0.0.1:5432'), [{ kind: 'tcp', host: '127.0.0.1', port: 5432 }, as]);
  assert.deepEqual(await listenOf('"[::1]:0"'), [{ kind: 'tcp', host: '::1', port: 0 }, as]);
  assert.deepEqual(await listenOf(`{ socket: db.sock, as: ${WEB} }`), [
    { kind: 'unix', path: join(path, 'db.sock') },
    as,
  ]);
  assert.deepEqual(await listenOf('{ address: 0.0.0.0:5432, mutualTls: {} }'), [
    { kind: 'tcp', host: '0.0.0.0', port: 5432 },
    { kind: 'mutual-tls' },
  ]);
});

/** A document beside a valid Mesh, and exactly what is said of it. */
const INVALID: readonly (readonly [document: string, ...messages: string[]])[] = [
  [
    doc('Export', 'a', `{ ${TCP.replace('[self]', '[self], what: { http: [{}] }')} }`),
    'x.yaml:4:72: spec.allow[0].what: expected no "what" under protocol tcp: a connection has no method and no path, so peers and who decide',
  ],
  [
    doc('Export', 'a', `{ ${TLS.replace('[self]', '[self], what: { grpc: [a.B/C] }')}, serverNames: [a.example] }`),
    'x.yaml:4:72: spec.allow[0].what: expected no "what" under protocol tls: a connection has no method and no path, so peers and who decide',
  ],
  [
    doc('Export', 'a', `{ ${TCP}, authority: db.shop.svc }`),
    'x.yaml:4:7: spec.authority: expected no authority under protocol tcp, which carries connections unread',
  ],
  [
    doc('Export', 'a', `{ ${TLS} }`),
    'x.yaml:4:7: spec: missing key "serverNames": a tls export serves the names that a ClientHello may ask for',
  ],
  [
    doc('Export', 'a', `{ ${TCP}, serverNames: [a.example] }`),
    'x.yaml:4:7: spec.serverNames: expected serverNames under protocol tls only, found protocol tcp',
  ],
  [
    doc('Export', 'a', `{ ${TCP.replace('tcp', 'grpc')}, serverNames: [a.example] }`),
    'x.yaml:4:7: spec.serverNames: expected serverNames under protocol tls only, found protocol grpc',
  ],
  [
    doc('Export', 'a', `{ ${TLS}, serverNames: [] }`),
    'x.yaml:4:105: spec.serverNames: expected a list of at least 1 item, found an empty one',
  ],
  ...(
    [
      ['A.example', 'expected labels of a-z, 0-9 and "-", in lower case'],
      ['a.example.', 'expected labels of a-z, 0-9 and "-", in lower case'],
      ['a_b.example', 'expected labels of a-z, 0-9 and "-", in lower case'],
      ['*', 'a wildcard is the whole first label'],
      ['a.*.example', 'a wildcard is the whole first label'],
      ['a*.example', 'a wildcard is the whole first label'],
      ['*.*.example.org', 'a wildcard is the whole first label'],
      ['*.example', 'expected at least two labels after "*."'],
      ['10.0.0.1', 'its last label is a number, as in an IP address'],
    ] as const
  ).map(([name, why]): readonly [string, string] => [
    doc('Export', 'a', `{ ${TLS}, serverNames: ["${name}"] }`),
    `x.yaml:4:106: spec.serverNames[0]: expected a lower-case host name such as db.example.org or *.db.example.org, found "${name}": ${why}`,
  ]),
  [
    doc('Export', 'a', `{ ${TLS}, serverNames: [a.example, b.example, a.example] }`),
    'x.yaml:4:105: spec.serverNames: expected each name once, found a.example again',
  ],
  [
    doc(
      'Export',
      'a',
      `{ ${TLS}, serverNames: [${Array.from({ length: 17 }, (_, i) => `n${i}.example`).join(', ')}] }`,
    ),
    'x.yaml:4:105: spec.serverNames: expected at most 16 server names, found 17',
  ],
  [
    doc('Export', 'a', `{ ${TCP}, limits: { responseDeadlineMs: 5, tunnelIdleMs: 5 } }`),
    'x.yaml:4:7: spec.limits.responseDeadlineMs: expected no responseDeadlineMs under protocol tcp, which carries connections unread',
  ],
  [
    doc('Import', 'a', `{ ${IMPORT}, listen: { address: 0.0.0.0:5432, as: ${WEB} } }`),
    'x.yaml:4:82: spec.listen: expected a loopback address or a socket for a listener with "as", found 0.0.0.0: whoever reaches it would be that caller; use mutualTls: {} there',
  ],
  [
    doc('Import', 'a', `{ ${IMPORT}, listen: 10.0.0.1:5432 }`),
    'x.yaml:4:82: spec.listen: expected a loopback address or a socket for a listener with "as", found 10.0.0.1: whoever reaches it would be that caller; use mutualTls: {} there',
  ],
  ...['[spiffe://us.example/**]', `[${WEB}, spiffe://us.example/x]`, '[]'].map((who): readonly [string, string] => [
    doc('Import', 'a', `{ listen: "[::1]:5432", peer: eu, export: db, who: ${who} }`),
    'x.yaml:4:17: spec.listen: expected listen: { address: "[::1]:5432", as: spiffe://... }, since "who" does not name exactly one workload: a connection names nobody, so its listener must',
  ]),
  [
    doc('Import', 'a', `{ ${IMPORT}, listen: { address: 127.0.0.1:5432 } }`),
    'x.yaml:4:82: spec.listen: expected exactly one of as and mutualTls: it says how callers are known',
  ],
  [
    doc('Import', 'a', `{ ${IMPORT}, listen: 5432 }`),
    'x.yaml:4:82: spec.listen: expected an address to bind, host:port, or a listener with address or socket, and as or mutualTls, found number 5432',
  ],
  [
    doc('Import', 'a', `{ ${IMPORT}, listen: localhost }`),
    'x.yaml:4:82: spec.listen: expected an address to bind, host:port, such as 127.0.0.1:15001, found "localhost"',
  ],
  [
    doc('Import', 'a', `{ ${IMPORT}, listen: { address: 127.0.0.1:5432, as: spiffe://eu.example/a } }`),
    'x.yaml:4:82: spec.listen.as: expected a SPIFFE ID of trust domain us.example, found "spiffe://eu.example/a"',
  ],
  [
    doc('Import', 'a', '{ peer: eu, export: db, who: [spiffe://eu.example/a], listen: 127.0.0.1:5432 }'),
    'x.yaml:4:69: spec.listen.as: expected a SPIFFE ID of trust domain us.example, found "spiffe://eu.example/a"',
  ],
  [
    doc('Import', 'a', `{ ${IMPORT}, listen: { address: 127.0.0.1:5432, as: spiffe://us.example/jumpgate } }`),
    'x.yaml:4:82: spec.listen.as: expected the SPIFFE ID of a workload, found "spiffe://us.example/jumpgate": /jumpgate and below is reserved for gateways',
  ],
  [
    `${doc('Import', 'a', `{ ${IMPORT}, listen: 127.0.0.1:5432 }`)}---\n${doc('Import', 'b', `{ peer: eu, export: other, who: [${WEB}], listen: 127.0.0.1:5432 }`)}`,
    'x.yaml:9:85: spec.listen: listener 127.0.0.1:5432 is declared already at x.yaml:4:82',
  ],
  [
    `${doc('Import', 'a', `{ ${IMPORT}, listen: { socket: s, as: ${WEB} } }`)}---\n${doc('Import', 'b', `{ peer: eu, export: other, who: [${WEB}], listen: { socket: ./s, as: ${WEB} } }`)}`,
    'x.yaml:9:85: spec.listen: listener s is declared already at x.yaml:4:82',
  ],
  [
    doc('Import', 'a', `{ ${IMPORT}, listen: 127.0.0.1:9902 }`),
    'x.yaml:4:82: spec.listen: listener 127.0.0.1:9902 is declared already at mesh.yaml:1:1',
  ],
  [
    doc('Import', 'a', `{ ${IMPORT}, listen: 127.0.0.1:15443 }`),
    'x.yaml:4:82: spec.listen: listener 127.0.0.1:15443 collides with 0.0.0.0:15443, declared at mesh.yaml:1:1',
  ],
];

test('each invalid document of tcp and tls gets exactly its message', async (t) => {
  const path = await directory(t, { 'mesh.yaml': MESH });
  for (const [text, ...expected] of INVALID) {
    await writeFile(join(path, 'x.yaml'), text);
    const loaded = await loadResources(path);
    assert.equal(loaded.kind, 'problems', text);
    assert.deepEqual(messages(loaded, path), expected, text);
  }
});

test('a route to an export of connections is a mistake', async (t) => {
  const route = doc('Route', 'r', '{ edge: e, hosts: [db.example], to: { export: a } }');
  const path = await directory(t, { 'mesh.yaml': MESH, 'x.yaml': doc('Export', 'a', `{ ${TCP} }`), 'r.yaml': route });
  assert.deepEqual(messages(await loadResources(path), path), [
    'r.yaml:1:1: spec.edge: no Edge is named "e"',
    'r.yaml:1:1: spec.to.export: expected an export of calls, found Export a with protocol tcp: an edge carries no connections',
  ]);
});

test('port 0 is a free port each time, and two imports may have it', async (t) => {
  const two = ['a', 'b'].map((name) =>
    doc('Import', name, `{ peer: eu, export: ${name}, who: [${WEB}], listen: 127.0.0.1:0 }`),
  );
  const path = await directory(t, { 'mesh.yaml': MESH, 'x.yaml': two.join('---\n') });
  assert.equal(setOf(await loadResources(path)).imports.length, 2);
});

test('what is probably not meant is told: a listener that speaks for a caller whom nobody admits', async (t) => {
  const spec = `{ peer: eu, export: db, who: ["spiffe://us.example/ns/bank/**"], listen: { address: 127.0.0.1:1, as: ${WEB} } }`;
  const peer = doc('Peer', 'eu', '{ trustDomain: eu.example }');
  const path = await directory(t, { 'mesh.yaml': MESH, 'p.yaml': peer, 'x.yaml': doc('Import', 'a', spec) });
  assert.deepEqual(messages(await loadResources(path), path), [
    `x.yaml:4:80: spec.listen.as: "who" does not admit ${WEB}, so every connection is refused`,
  ]);
  await writeFile(join(path, 'x.yaml'), doc('Import', 'a', spec.replace('bank', 'shop')));
  assert.deepEqual(messages(await loadResources(path), path), []);
  const every = doc('Export', 'db', `{ ${TCP.replace('[self]', '[self], who: [spiffe://us.example/a]')} }`);
  await writeFile(join(path, 'x.yaml'), every);
  assert.deepEqual(messages(await loadResources(path), path), [], 'no lint of a missing what, which there cannot be');
});

test('a listener of an import that comes, goes or changes needs a restart, and a line above it does not', async (t) => {
  const path = await directory(t, { 'mesh.yaml': MESH });
  const read = async (text: string) => {
    await writeFile(join(path, 'x.yaml'), text);
    return setOf(await loadResources(path));
  };
  const one = doc('Import', 'a', `{ ${IMPORT}, listen: 127.0.0.1:5432 }`);
  const before = await read(one);
  assert.deepEqual(restartFields(before, await read(`# a comment\n${one}`)), []);
  for (const text of [one.replace('5432', '5433'), '# nothing', doc('Import', 'a', `{ ${IMPORT} }`)])
    assert.deepEqual(restartFields(before, await read(text)), ['Import a: spec.listen'], text);
});

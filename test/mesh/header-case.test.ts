/** The case of header names for backends over HTTP/1.1: from the document to the bytes that the backend reads. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';

import { loadResources } from '../../federation/resources/load.ts';
import { buildSnapshot } from '../../federation/snapshot/build.ts';
import { directory, doc, MESH, messages, setOf } from '../support/documents.ts';
import { NO_DISTRUST } from '../../trust-bundles/distrust/distrust.ts';
import { get, startRig } from '../support/forward-rig.ts';

const LIMIT = { timeout: 20_000 };
const EXPORT =
  'backends: [{ address: 10.0.0.5:80 }], allow: [{ peers: [self], who: ["spiffe://us.example/**"], what: { http: [{}] } }]';

/** A backend that remembers the heads that it was sent, as they stood on the wire, and answers with empty 200s. */
async function rawBackend(): Promise<{ readonly port: number; readonly heads: string[] } & AsyncDisposable> {
  const heads: string[] = [];
  const server = createServer((socket) => {
    let text = '';
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
      if (!text.endsWith('\r\n\r\n')) return;
      heads.push(text);
      text = '';
      socket.write('HTTP/1.1 200 OK\r\nX-FROM-BACKEND: 1\r\nContent-Length: 0\r\n\r\n');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    port: address.port,
    heads,
    [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const CASES: readonly (readonly [spelled: string, ...names: string[]])[] = [
  ['', 'host', 'x-api-key', 'soapaction', 'x-forwarded-client-cert'],
  ['headerCase: lower', 'host', 'x-api-key', 'soapaction', 'x-forwarded-client-cert'],
  ['headerCase: title', 'Host', 'X-Api-Key', 'Soapaction', 'X-Forwarded-Client-Cert'],
  ['headerNames: [X-API-Key, SOAPAction]', 'host', 'X-API-Key', 'SOAPAction', 'x-forwarded-client-cert'],
  ['headerCase: title, headerNames: [SOAPAction]', 'Host', 'X-Api-Key', 'SOAPAction', 'X-Forwarded-Client-Cert'],
];

for (const [spelled, ...names] of CASES) {
  test(`a backend gets its header names as its export says: ${spelled || 'nothing'}`, LIMIT, async (t) => {
    const path = await directory(t, {
      'mesh.yaml': MESH,
      'x.yaml': doc('Export', 'soap', `{ protocol: http1, ${EXPORT}${spelled === '' ? '' : ', '}${spelled} }`),
    });
    const set = setOf(await loadResources(path));
    const built = buildSnapshot({
      set,
      storedPeers: [],
      bundles: new Map(),
      tainted: new Set(),
      distrust: NO_DISTRUST,
      catalogues: new Map(),
      nowMs: 0,
    });
    const headerSpelling = built.snapshot.exports.get('soap')?.headerSpelling;
    const written = headerSpelling === undefined ? {} : { headerSpelling };
    await using backend = await rawBackend();
    await using rig = await startRig([{ name: 'soap', protocol: 'http1', port: backend.port, ...written }]);
    const headers = { host: 'soap.eu.mesh.internal', 'x-api-key': 'k', SOAPACTION: '"urn:x"' };
    const answer = await get(rig.port, { headers });
    assert.deepEqual([answer.status, answer.headers['x-from-backend']], [200, '1']);
    const lines = (backend.heads[0] ?? '').split('\r\n').slice(1);
    const found = new Set(lines.map((line) => line.slice(0, line.indexOf(':'))));
    for (const name of names) assert.ok(found.has(name), `${name} in ${[...found].join(' ')}`);
  });
}

const WANTED = 'expected the name of a header as it is to be written, such as SOAPAction';

const INVALID: readonly (readonly [written: string, message: string])[] = [
  ['headerCase: upper', 'spec.headerCase: expected one of lower, title, found "upper"'],
  ['headerNames: []', 'spec.headerNames: expected a list of at least 1 item, found an empty one'],
  ['headerNames: ["a b"]', `spec.headerNames[0]: ${WANTED}, found "a b"`],
  ['headerNames: ["a\\r\\nb"]', `spec.headerNames[0]: ${WANTED}, found "a\\r\\nb"`],
  ['headerNames: [X-Key, x-key]', 'spec.headerNames: expected each name once, found x-key again'],
];

test('a spelling that no backend could want is refused with its place', async (t) => {
  for (const [written, message] of INVALID) {
    const path = await directory(t, {
      'mesh.yaml': MESH,
      'x.yaml': doc('Export', 'soap', `{ protocol: http1, ${EXPORT}, ${written} }`),
    });
    const said = messages(await loadResources(path), path).map((line) => line.replace(/^x\.yaml:\d+:\d+: /, ''));
    assert.deepEqual(said, [message]);
  }
  for (const protocol of ['http2', 'grpc', 'tcp']) {
    for (const key of ['headerCase', 'headerNames'] as const) {
      const value = key === 'headerCase' ? 'title' : '[SOAPAction]';
      const path = await directory(t, {
        'mesh.yaml': MESH,
        'x.yaml': doc(
          'Export',
          'soap',
          `{ protocol: ${protocol}, backends: [{ address: 10.0.0.5:80 }], allow: [{ peers: [self] }], ${key}: ${value} }`,
        ),
      });
      const said = messages(await loadResources(path), path).join();
      assert.ok(
        said.includes(`spec.${key}: expected ${key} under protocol http1 only, found protocol ${protocol}`),
        said,
      );
    }
  }
});

test('64 spellings are taken, and 65 are not', async (t) => {
  for (const count of [63, 64, 65]) {
    const names = Array.from({ length: count }, (_, index) => `X-${index}`).join(', ');
    const path = await directory(t, {
      'mesh.yaml': MESH,
      'x.yaml': doc('Export', 'soap', `{ protocol: http1, ${EXPORT}, headerNames: [${names}] }`),
    });
    const said = messages(await loadResources(path), path).join();
    assert.equal(said.includes('expected at most 64 header names, found 65'), count > 64, said);
  }
});

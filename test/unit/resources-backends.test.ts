/** Backends over TLS in documents: what becomes of them, and the exact message of what is not valid. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { type Loaded, loadResources } from '../../federation/resources/load.ts';
import { certificatesToPem } from '../../trust-bundles/x509/pem.ts';
import { testRoot } from '../support/certificates.ts';
import { directory, doc, MESH, messages, setOf } from '../support/documents.ts';

const SHOP = 'spiffe://us.example/ns/shop/sa/shop';

test('a backend over TLS says whom it must prove to be, by its SPIFFE ID or by anchors that are read with the document', async (t) => {
  const pems = [testRoot('one.test'), testRoot('two.test')].map((root) => certificatesToPem([root.certificate]));
  const path = await directory(t, { 'mesh.yaml': MESH, 'ca.pem': `both:\n${pems.join('\n')}` });
  const read = reading(path);
  const tlsOf = async (tls: string): Promise<unknown> => setOf(await read(tls)).exports[0]?.spec.backends[0]?.tls;
  assert.deepEqual(await tlsOf(`{ spiffeId: ${SHOP} }`), { trust: { kind: 'spiffe', id: SHOP }, sni: undefined });
  assert.deepEqual(await tlsOf('{ ca: ca.pem, sni: shop.internal }'), {
    trust: { kind: 'ca', file: join(path, 'ca.pem'), anchors: pems },
    sni: 'shop.internal',
  });
});

test('a backend over TLS that is not valid is refused with what was expected', async (t) => {
  const path = await directory(t, { 'mesh.yaml': MESH, 'empty.pem': 'nothing\n' });
  const read = reading(path);
  const saidOf = async (tls: string, protocol?: string): Promise<readonly string[]> =>
    messages(await read(tls, protocol), path);
  const which = 'expected exactly one of spiffeId and ca: it says whom the backend must prove to be';
  for (const tls of ['{}', '{ sni: a.example }', `{ spiffeId: ${SHOP}, ca: empty.pem }`])
    assert.deepEqual(await saidOf(tls), [`x.yaml:4:67: spec.backends[0].tls: ${which}`]);
  assert.deepEqual(await saidOf('{ spiffeId: spiffe://US/x }'), [
    'x.yaml:4:79: spec.backends[0].tls.spiffeId: expected a SPIFFE ID such as spiffe://us-east.example.org/ns/shop/sa/web, found "spiffe://US/x"',
  ]);
  assert.deepEqual(await saidOf(`{ spiffeId: ${SHOP}, sni: 10.0.0.4 }`), [
    'x.yaml:4:121: spec.backends[0].tls.sni: expected a lower-case host name such as orders.shop.internal, found "10.0.0.4"',
  ]);
  assert.deepEqual(await saidOf('{ ca: gone.pem }'), ['x.yaml:1:1: spec.backends[0].tls.ca: no such file: gone.pem']);
  assert.deepEqual(await saidOf('{ ca: empty.pem }'), [
    'x.yaml:1:1: spec.backends[0].tls.ca: expected a PEM certificate in empty.pem, found none',
  ]);
  assert.deepEqual(await saidOf(`{ spiffeId: ${SHOP} }`, 'protocol: tls, serverNames: [a.example]'), [
    'x.yaml:4:7: spec.backends[0].tls: expected no tls under protocol tls, which carries the TLS of the client to the service',
  ]);
});

/** Writes an Export with this `tls` of its backend, and loads all. */
function reading(path: string): (tls: string, protocol?: string) => Promise<Loaded> {
  return async (tls, protocol = 'protocol: http1') => {
    const backends = `[{ address: 10.0.0.4:443, tls: ${tls} }]`;
    await writeFile(join(path, 'x.yaml'), doc('Export', 'a', `{ ${protocol}, backends: ${backends}, allow: [] }`));
    return loadResources(path);
  };
}

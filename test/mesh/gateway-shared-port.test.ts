/** Jump port and bundle endpoint on one port, told apart by server name: real gateways, with and without workers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';

import { readBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { ask } from '../support/bundle-endpoints.ts';
import { federate, GatewayProcess, mesh, MeshDirectory } from '../support/gateway-process.ts';
import { ended, rawTcp, rawTls } from '../support/tls.ts';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** `east`, whose bundle is at `localhost` and whose jump port is the rest of the same port. */
function sharing(port: number, workers: string): string {
  const text = mesh('east', { ports: { jump: port, bundle: port }, more: `  workers: ${workers}\n` });
  return text.replace('profile: https_spiffe }', `profile: https_spiffe, advertise: "https://localhost:${port}/" }`);
}

for (const workers of ['0', '2']) {
  test(`BS-5 A17: one port serves links and the bundle, and no ticket of one counts at the other (workers: ${workers})`, async () => {
    const port = await freePort();
    using eastFiles = new MeshDirectory({ 'mesh.yaml': sharing(port, workers) });
    using westFiles = new MeshDirectory({ 'mesh.yaml': mesh('west') });
    await using east = new GatewayProcess(eastFiles.path);
    await using west = new GatewayProcess(westFiles.path);
    await federate(east, west);
    assert.equal(await east.address('bundle'), `127.0.0.1:${port}`);
    const fetched = await west.ask('/v1/bundles');
    assert.match(JSON.stringify(fetched), new RegExp(`"endpoint":"https://localhost:${port}/"`));
    await west.command('bundles', ['accept', 'east', '--fingerprint', await rootOf(east)]);

    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const only = { servername: 'LOCALHOST', minVersion: version, maxVersion: version };
      const { status, body } = await ask(port, only);
      assert.equal(status, 200);
      assert.equal(readBundleDocument(body, parseTrustDomain('east.example')).bundle.x509Authorities.length, 1);
    }
    // Any other name, or none, is the jump port: TLS 1.3 with a certificate, or nothing.
    for (const servername of ['other.test', undefined]) {
      const stranger = rawTls(port, {
        ALPNProtocols: ['http/1.1'],
        ...(servername === undefined ? {} : { servername }),
      });
      assert.equal((await ended(stranger)).code, 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL');
      const old = rawTls(port, { maxVersion: 'TLSv1.2', ...(servername === undefined ? {} : { servername }) });
      assert.notEqual((await ended(old)).code, undefined);
    }
    const open = rawTls(port, { servername: 'localhost' });
    await once(open, 'secureConnect');
    const session = open.getSession();
    open.destroy();
    assert.ok(session);
    const replayed = rawTls(port, { session, servername: 'jump.test', ALPNProtocols: ['h2'] });
    let reused = false;
    replayed.once('secureConnect', () => (reused = replayed.isSessionReused()));
    replayed.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    assert.equal((await ended(replayed)).received, '');
    assert.equal(reused, false);
    const silent = await rawTcp(port);
    silent.write('GET / HTTP/1.1\r\n\r\n');
    await ended(silent);
    assert.equal((await ask(port, { servername: 'localhost' })).status, 200);
  });
}

async function rootOf(gateway: GatewayProcess): Promise<string> {
  const [own] = (await gateway.ask('/v1/bundles')) as readonly { authorities: readonly { fingerprint: string }[] }[];
  return own?.authorities[0]?.fingerprint ?? '';
}

/** Bundle endpoints of profile https_web, over real TLS: spiffe.md BS and BC, security.md I13 and I14. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { writeBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { type BundleEndpointOptions } from '../../trust-bundles/source/bundle-endpoint.ts';
import { CertificateFiles } from '../../trust-bundles/source/certificate-files.ts';
import { ask, bundleServer, clientOf, never, rudeServer, us } from '../support/bundle-endpoints.ts';
import { finished } from '../support/gateway-process.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { rawTls } from '../support/tls.ts';
import { until } from '../support/gateways.ts';
import { spawn } from 'node:child_process';
import { addressName, webAuthority, webCertificate } from '../support/web-certificates.ts';

const authority = webAuthority();
const good = webCertificate(authority, ['gw.us.test']);
const document: RequestListener = (_request, response) => response.end(writeBundleDocument(us.bundle));

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'jg-web-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

async function web(t: TestContext): Promise<Partial<BundleEndpointOptions>> {
  const caFile = join(await folder(t), 'ca.pem');
  await writeFile(caFile, authority.pem);
  return { profile: { kind: 'https_web', caFile } };
}

test('BC-1 BC-5: a web server with a certificate of its host by a given CA is believed', async (t) => {
  const options = await web(t);
  await using server = await rudeServer(document, good);
  assert.deepEqual((await clientOf(server.port, options).fetch(never)).bundle, us.bundle);
});

test('BC-5 BC-2 I14: every other certificate is refused, an SVID of the right gateway too', async (t) => {
  const options = await web(t);
  const pastMs = systemClock.now() - 60_000;
  const wrong = {
    'for another host': webCertificate(authority, ['gw.eu.test']),
    'for the host below': webCertificate(authority, ['us.test']),
    'for a part of a label': webCertificate(authority, ['g*.us.test']),
    'with the host as common name only': webCertificate(authority, [], { commonName: 'gw.us.test' }),
    'that has expired': webCertificate(authority, ['gw.us.test'], { notAfterMs: pastMs }),
    'of another CA': webCertificate(webAuthority(), ['gw.us.test']),
    'for clients only': webCertificate(authority, ['gw.us.test'], { extendedKeyUsage: ['1.3.6.1.5.5.7.3.2'] }),
  };
  for (const [what, credentials] of Object.entries(wrong)) {
    await using server = await rudeServer(() => assert.fail('asked'), credentials);
    await assert.rejects(clientOf(server.port, options).fetch(never), { code: 'untrusted' }, what);
  }
  await using gateway = await bundleServer();
  await assert.rejects(clientOf(gateway.port, options).fetch(never), { code: 'untrusted' });
  await using server = await rudeServer(() => assert.fail('asked'), good);
  await assert.rejects(clientOf(server.port).fetch(never), { code: 'untrusted' }, 'and not the other way round');
});

test('BC-5: a wildcard stands for one label, and an IP address counts as one', async (t) => {
  const options = await web(t);
  await using wildcard = await rudeServer(document, webCertificate(authority, ['*.us.test']));
  await clientOf(wildcard.port, options).fetch(never);
  await using address = await rudeServer(document, webCertificate(authority, [], addressName('127.0.0.1')));
  await clientOf(address.port, { ...options, url: `https://127.0.0.1:${address.port}/` }).fetch(never);
  await using other = await rudeServer(document, webCertificate(authority, [], addressName('127.0.0.2')));
  const url = `https://127.0.0.1:${other.port}/`;
  await assert.rejects(clientOf(other.port, { ...options, url }).fetch(never), { code: 'untrusted' });
});

test('BC-4: without a CA file the CAs of the machine decide', async (t) => {
  const path = await folder(t);
  const caFile = join(path, 'machine.pem');
  await writeFile(caFile, authority.pem);
  await using server = await rudeServer(document, webCertificate(authority, ['localhost']));
  const script = join(path, 'fetch.ts');
  const root = join(import.meta.dirname, '../..');
  await writeFile(
    script,
    `import { systemClock } from '${root}/base/clock.ts';
import { fetchOverTls } from '${root}/trust-bundles/tls/fetch.ts';
const { kind } = await fetchOverTls({ url: 'https://localhost:${server.port}/', proof: { kind: 'web', authorities: undefined }, signal: new AbortController().signal, clock: systemClock, lookup: async () => ['127.0.0.1'] }).catch((error) => ({ kind: error.code }));
process.stdout.write(kind);`,
  );
  const fetched = async (env: NodeJS.ProcessEnv): Promise<string> =>
    (await finished(spawn(process.execPath, [script], { env: { ...process.env, ...env } }))).stdout;
  assert.equal(await fetched({ SSL_CERT_FILE: caFile, SSL_CERT_DIR: path }), 'document');
  assert.equal(await fetched({}), 'untrusted');
});

test('BS-1 BS-2 BS-3 BS-5: our endpoint with a web certificate speaks TLS 1.2 and 1.3 and asks for nothing', async (t) => {
  const options = await web(t);
  const credentials = { current: () => good, watch: () => ({ [Symbol.dispose]: () => undefined }) };
  await using server = await bundleServer({ credentials });
  assert.deepEqual((await clientOf(server.port, options).fetch(never)).bundle, us.bundle);
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    assert.equal((await ask(server.port, { minVersion: version, maxVersion: version })).status, 200);
  }
});

async function serialOf(port: number): Promise<string | undefined> {
  const socket = rawTls(port, {});
  await once(socket, 'secureConnect');
  const { serialNumber } = socket.getPeerX509Certificate() ?? {};
  socket.destroy();
  return serialNumber;
}

test('BS-3 A30: renewed certificate files are taken up while serving, and a pair that does not fit is not', async (t) => {
  const path = await folder(t);
  const at = { certificateFile: join(path, 'b.crt'), keyFile: join(path, 'b.key') };
  const write = async (pair: { cert: string; key: string }): Promise<void> => {
    await writeFile(at.certificateFile, pair.cert);
    await writeFile(at.keyFile, pair.key);
  };
  await write(good);
  const clock = new ManualClock(systemClock.now());
  await using files = await CertificateFiles.open({ ...at, clock, log: silentLog });
  await using server = await bundleServer({ credentials: files });
  const first = await serialOf(server.port);
  const renewed = webCertificate(authority, ['gw.us.test']);
  await write({ cert: renewed.cert, key: good.key });
  await files.refresh();
  assert.equal(await serialOf(server.port), first, 'half of a pair');
  await write({ cert: 'none', key: renewed.key });
  await files.refresh();
  assert.equal(await serialOf(server.port), first, 'no certificate');
  await rm(at.certificateFile);
  await files.refresh();
  assert.equal(await serialOf(server.port), first, 'no file');
  await write(renewed);
  clock.advance(30_000);
  await until('the new certificate', async () => (await serialOf(server.port)) !== first);
});

test('BS-3: a pair that does not fit is not started with', async (t) => {
  const path = await folder(t);
  const at = { certificateFile: join(path, 'b.crt'), keyFile: join(path, 'b.key') };
  await writeFile(at.certificateFile, good.cert);
  await writeFile(at.keyFile, webCertificate(authority, ['gw.us.test']).key);
  const opening = CertificateFiles.open({ ...at, clock: systemClock, log: silentLog });
  await assert.rejects(opening, { code: 'certificate-unusable' });
});

function redirectTo(location: () => string, status = 302): RequestListener {
  return (_request, response) => response.writeHead(status, { location: location() }).end();
}

test('BC-10 I13: a redirect to another host is followed only where that is allowed, and is verified for that host', async (t) => {
  const options = await web(t);
  await using target = await rudeServer(document, webCertificate(authority, ['other.test']));
  const location = (): string => `https://other.test:${target.port}/`;
  await using server = await rudeServer(redirectTo(location), good);
  const fetch = (redirects?: BundleEndpointOptions['redirects']): Promise<unknown> =>
    clientOf(server.port, { ...options, redirects }).fetch(never);
  await assert.rejects(fetch(), { code: 'redirect-refused', message: /expected a redirect within gw\.us\.test/ });
  await assert.rejects(fetch('forbid'), { code: 'redirect-refused', message: /they are forbidden here/ });
  await fetch('any-host');
  await using liar = await rudeServer(() => assert.fail('asked'), good);
  const lying = (): string => `https://other.test:${liar.port}/`;
  await using second = await rudeServer(redirectTo(lying), good);
  const misled = clientOf(second.port, { ...options, redirects: 'any-host' }).fetch(never);
  await assert.rejects(misled, { code: 'untrusted' });
});

test('BC-10: forbidden redirects include those on the same host', async (t) => {
  const options = await web(t);
  await using server = await rudeServer(
    redirectTo(() => '/other'),
    good,
  );
  const fetching = clientOf(server.port, { ...options, redirects: 'forbid' }).fetch(never);
  await assert.rejects(fetching, { code: 'redirect-refused' });
});

test('I13: a redirect leads to an address of the first kind or a public one, by whatever name', async (t) => {
  const options = await web(t);
  for (const ip of ['10.0.0.1', '169.254.169.254', '100.100.100.200', '0.0.0.0', 'fd00::1', '::ffff:10.0.0.1']) {
    await using server = await rudeServer(
      redirectTo(() => 'https://inside.test/'),
      good,
    );
    const lookup = async (host: string): Promise<string[]> => [host === 'inside.test' ? ip : '127.0.0.1'];
    const fetching = clientOf(server.port, { ...options, redirects: 'any-host', lookup }).fetch(never);
    await assert.rejects(fetching, (error: Error) => /expected a redirect to a public address/.test(error.message), ip);
    const literal = `https://${ip.includes(':') ? `[${ip}]` : ip}/`;
    await using plain = await rudeServer(
      redirectTo(() => literal),
      good,
    );
    const direct = clientOf(plain.port, { ...options, redirects: 'any-host' }).fetch(never);
    await assert.rejects(direct, { code: 'redirect-refused' }, literal);
  }
});

test('I13: the same host that resolves to another kind of address for the redirect is not asked', async (t) => {
  const options = await web(t);
  await using server = await rudeServer(
    redirectTo(() => '/again'),
    good,
  );
  let lookups = 0;
  const lookup = async (): Promise<string[]> => {
    lookups += 1;
    return [lookups === 1 ? '127.0.0.1' : '169.254.169.254'];
  };
  const fetching = clientOf(server.port, { ...options, lookup }).fetch(never);
  await assert.rejects(fetching, (error: Error) => /link-local/.test(error.message));
});

test('I13: redirects in a circle end at the first return', async (t) => {
  const options = await web(t);
  let asked = 0;
  await using server = await rudeServer((request, response) => {
    asked += 1;
    response.writeHead(302, { location: request.url === '/' ? '/b' : '/' }).end();
  }, good);
  const fetching = clientOf(server.port, options).fetch(never);
  await assert.rejects(fetching, { code: 'redirect-refused', message: /leads in a circle/ });
  assert.equal(asked, 2);
});

test('BC-10 I13: a permanent redirect is not remembered, nor is its ETag used elsewhere', async (t) => {
  const options = await web(t);
  const asked: string[] = [];
  await using server = await rudeServer((request, response) => {
    asked.push(`${request.url} ${request.headers['if-none-match'] ?? '-'}`);
    if (request.url === '/') response.writeHead(308, { location: '/moved' }).end();
    else if (request.headers['if-none-match'] === '"x"') response.writeHead(304).end();
    else response.setHeader('etag', '"x"').end(writeBundleDocument(us.bundle));
  }, good);
  const client = clientOf(server.port, options);
  await client.fetch(never);
  assert.deepEqual((await client.fetch(never)).bundle, us.bundle);
  assert.deepEqual(asked, ['/ -', '/moved -', '/ -', '/moved "x"']);
});

/** `jumpgate check bundle-endpoint` against our own server and against others: each line of spiffe.md BS has a server that breaks it alone. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createPlainServer } from 'node:http';
import { createServer, type Server } from 'node:https';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AddressInfo } from 'node:net';
import test from 'node:test';

import { writeBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { credentialsOf } from '../../trust-bundles/tls/context.ts';
import { bundleServer, eu, us, usGateway } from '../support/bundle-endpoints.ts';
import { type CliBench, cliBench } from '../support/cli-bench.ts';
import { bundleOf, testDomain } from '../support/trust.ts';
import { addressName, webAuthority, webCertificate } from '../support/web-certificates.ts';

const DOCUMENT = writeBundleDocument(us.bundle);
const JWT_KEY = '{"use":"jwt-svid","kid":"one","kty":"EC","crv":"P-256","x":"eA","y":"eQ"}';
const X509_KEY = /\[(\{.*\})\]/.exec(DOCUMENT)?.[1] ?? '';
const CREDENTIALS = credentialsOf(us.svid('/jumpgate'));

type Options = Parameters<typeof createServer>[0];

/** Node's own list has suites that Mozilla's has not. */
const INTERMEDIATE: Options = { ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE+AESGCM' };

/** Serves on loopback, with the right identity unless `options` say otherwise. */
async function served(listener: RequestListener, options: Options = {}): Promise<AsyncDisposable & { port: number }> {
  return listening(createServer({ ...INTERMEDIATE, ...CREDENTIALS, ...options }, listener));
}

async function listening(
  server: Server | ReturnType<typeof createPlainServer>,
): Promise<AsyncDisposable & { port: number }> {
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

const HEADERS = { 'content-type': 'application/json', etag: '"1"' };

/** Answers every GET so, and refuses everything else. */
function answering(
  body: string | Uint8Array,
  headers: Record<string, string> = HEADERS,
  status = 200,
): RequestListener {
  return (request, response: ServerResponse) => {
    const refused = request.method !== 'GET';
    response.writeHead(refused ? 405 : status, headers).end(refused ? '' : body);
  };
}

interface Report {
  readonly code: number;
  readonly out: string;
  /** Lines by outcome. */
  readonly outcomes: ReadonlyMap<string, string>;
}

async function check(
  port: number,
  more: readonly string[] = [],
  profile = 'https_spiffe',
  path = '/',
): Promise<Report> {
  await using bench = await cliBench();
  return await checkOn(bench, port, more, profile, path);
}

async function checkOn(
  bench: CliBench,
  port: number,
  more: readonly string[],
  ...[profile = 'https_spiffe', path = '/']: readonly string[]
): Promise<Report> {
  const url = `https://127.0.0.1:${port}${path}`;
  const asked = ['check', 'bundle-endpoint', url, '--profile', profile, '--trust-domain', 'us.test', '-o', 'json'];
  const { code, out, err } = await bench.cli([...asked, ...more], '', {});
  assert.equal(err, '');
  const { findings } = JSON.parse(out) as { findings: { line: string; outcome: string }[] };
  assert.equal(findings.length, 19);
  return { code, out, outcomes: new Map(findings.map(({ line, outcome }) => [line, outcome])) };
}

/** The lines with this outcome. */
function linesThat(report: Report, outcome: string): readonly string[] {
  return [...report.outcomes].filter(([, found]) => found === outcome).map(([line]) => line);
}

function assertOnly(report: Report, line: string, outcome: 'fail' | 'warn' = 'fail'): void {
  assert.deepEqual(linesThat(report, outcome), [line], report.out);
  if (outcome === 'warn') assert.deepEqual(linesThat(report, 'fail'), [], report.out);
  assert.equal(report.code, outcome === 'fail' ? 1 : 0);
}

test('our own endpoint keeps every line of https_spiffe', async () => {
  await using server = await bundleServer();
  await using bench = await cliBench();
  writeFileSync(join(bench.directory, 'us.json'), DOCUMENT);
  for (const more of [[], ['--bundle', 'us.json', '--spiffe-id', usGateway]]) {
    const report = await checkOn(bench, server.port, more);
    assert.equal(report.code, 0, report.out);
    assert.deepEqual([...linesThat(report, 'fail'), ...linesThat(report, 'warn')], [], report.out);
    assert.deepEqual(linesThat(report, 'not-applicable'), ['BS-3', 'BS-8', 'BS-14', 'BS-18']);
    assert.deepEqual(linesThat(report, 'not-seen'), ['BS-16']);
  }
});

test('our own endpoint keeps every line of https_web', async () => {
  const web = webAuthority();
  const credentials = webCertificate(web, [], addressName('127.0.0.1'));
  await using server = await bundleServer({
    credentials: { current: () => credentials, watch: () => ({ [Symbol.dispose]: () => undefined }) },
  });
  await using bench = await cliBench();
  writeFileSync(join(bench.directory, 'ca.pem'), web.pem);
  const report = await checkOn(bench, server.port, ['--ca', 'ca.pem'], 'https_web');
  assert.equal(report.code, 0, report.out);
  assert.deepEqual([...linesThat(report, 'fail'), ...linesThat(report, 'warn')], [], report.out);
  assert.deepEqual(linesThat(report, 'not-applicable'), ['BS-4', 'BS-8', 'BS-14', 'BS-16', 'BS-18']);
  assertOnly(await checkOn(bench, server.port, [], 'https_web'), 'BS-3', 'warn');
});

const keys = (...list: readonly string[]): string =>
  `{"spiffe_sequence":1,"spiffe_refresh_hint":300,"keys":[${list.join(',')}]}`;

/** Documents and headers that break one line; those that only warn say so. */
const DOCUMENTS: readonly (readonly [string, string, string | Uint8Array, ('fail' | 'warn')?])[] = [
  ['BS-7', 'Latin-1', Buffer.from(DOCUMENT.replace('{', '{"a":"\xe9",'), 'latin1')],
  ['BS-9', 'no keys', '{"spiffe_sequence":1,"spiffe_refresh_hint":300}'],
  ['BS-10', 'a sequence with a point', DOCUMENT.replace('"spiffe_sequence":1', '"spiffe_sequence":1.0')],
  ['BS-10', 'a sequence as text', DOCUMENT.replace('"spiffe_sequence":1', '"spiffe_sequence":"1"')],
  ['BS-10', 'a sequence of 65 bits', DOCUMENT.replace(':1,', ':18446744073709551616,'), 'warn'],
  ['BS-10', 'no sequence', DOCUMENT.replace('"spiffe_sequence":1,', ''), 'warn'],
  ['BS-11', 'a hint in floating point', DOCUMENT.replace(':300', ':3e2')],
  ['BS-11', 'no hint', DOCUMENT.replace('"spiffe_refresh_hint":300,', ''), 'warn'],
  ['BS-12', 'a use in capitals', keys(X509_KEY, JWT_KEY.replace('jwt-svid', 'JWT-SVID'))],
  ['BS-12', 'no kty', keys(X509_KEY, JWT_KEY.replace('"kty":"EC",', ''))],
  ['BS-13', 'two certificates', keys(X509_KEY, X509_KEY.replace(/\["(.*)"\]/, '["$1","$1"]'))],
  ['BS-13', 'a kid', keys(X509_KEY, X509_KEY.replace('{', '{"kid":"x",'))],
  ['BS-14', 'no kid', keys(X509_KEY, JWT_KEY.replace('"kid":"one",', ''))],
  ['BS-15', 'an undefined member', keys(X509_KEY, JWT_KEY.replace('{', '{"colour":"red",')), 'warn'],
  ['BS-18', 'a map that is none', DOCUMENT.replace('{', '{"trust_domains":[],')],
  ['BS-19', 'a private key', keys(X509_KEY, JWT_KEY.replace('{', '{"d":"eA",'))],
];

for (const [line, what, body, outcome = 'fail'] of DOCUMENTS) {
  test(`${line}: ${what} is a ${outcome} of this line alone`, async () => {
    await using bench = await cliBench();
    writeFileSync(join(bench.directory, 'us.json'), DOCUMENT);
    await using server = await served(answering(body));
    assertOnly(await checkOn(bench, server.port, ['--bundle', 'us.json']), line, outcome);
  });
}

test('BS-17: an authority that has expired is a warning', async () => {
  const old = testDomain('us.test', Date.parse('2020-01-01T00:00:00Z'));
  const body = writeBundleDocument(bundleOf(us.trustDomain, [us.root, old.root]));
  await using server = await served(answering(body));
  assertOnly(await check(server.port), 'BS-17', 'warn');
});

test('BS-1: a server without TLS fails this line alone', async () => {
  await using server = await listening(createPlainServer(answering(DOCUMENT)));
  assertOnly(await check(server.port), 'BS-1');
});

test('BS-2: TLS 1.1, weak suites, and no TLS 1.3 each fail this line alone', async () => {
  const worse: readonly Options[] = [
    { minVersion: 'TLSv1.1', ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE+AESGCM:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0' },
    { ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE+AESGCM:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0' },
    { maxVersion: 'TLSv1.2', ciphers: 'ECDHE+AESGCM' },
    { minVersion: 'TLSv1.3' },
  ];
  for (const options of worse) {
    await using server = await served(answering(DOCUMENT), options);
    assertOnly(await check(server.port), 'BS-2');
  }
});

test('BS-3: a certificate of another host fails this line alone', async () => {
  const web = webAuthority();
  await using bench = await cliBench();
  writeFileSync(join(bench.directory, 'ca.pem'), web.pem);
  const options = webCertificate(web, ['other.test']);
  await using server = await served(answering(DOCUMENT), options);
  assertOnly(await checkOn(bench, server.port, ['--ca', 'ca.pem'], 'https_web'), 'BS-3');
});

test('BS-4: an SVID of another domain, and of another ID, fail this line alone', async () => {
  await using foreign = await served(answering(DOCUMENT), credentialsOf(eu.svid('/jumpgate')));
  assertOnly(await check(foreign.port), 'BS-4');
  await using other = await served(answering(DOCUMENT), credentialsOf(us.svid('/other')));
  assertOnly(await check(other.port, ['--spiffe-id', usGateway]), 'BS-4');
});

test('BS-5: a demand for a client certificate, or for credentials, fails this line alone', async () => {
  await using certificate = await served(answering(DOCUMENT), { requestCert: true, rejectUnauthorized: true });
  assertOnly(await check(certificate.port), 'BS-5');
  await using header = await served(answering('', HEADERS, 401));
  assertOnly(await check(header.port), 'BS-5');
});

test('BS-6: another status, a body without an end and one over 1 MiB each fail this line alone', async () => {
  const rude: readonly RequestListener[] = [
    answering(DOCUMENT, HEADERS, 404),
    (_request, response) => void response.writeHead(200, { 'content-length': '9' }).end('{', () => response.destroy()),
    answering('x'.repeat(1024 * 1024 + 1)),
    (_request, response) => void response.socket?.end('nonsense\r\n\r\n'),
  ];
  for (const listener of rude) {
    await using server = await served(listener);
    assertOnly(await check(server.port), 'BS-6');
  }
});

test('BS-7: another content type is a warning', async () => {
  await using server = await served(answering(DOCUMENT, { ...HEADERS, 'content-type': 'text/plain' }));
  assertOnly(await check(server.port), 'BS-7', 'warn');
});

test('BS-8: a redirect to http fails, a permanent one warns, a temporary one is followed', async () => {
  const redirecting = (status: number, location: string): RequestListener => {
    return (request, response) => {
      if (request.url === '/new') answering(DOCUMENT)(request, response);
      else response.writeHead(request.method === 'GET' ? status : 405, { ...HEADERS, location }).end();
    };
  };
  await using plain = await served(redirecting(302, 'http://127.0.0.1/new'));
  assertOnly(await check(plain.port), 'BS-8');
  await using permanent = await served(redirecting(301, '/new'));
  assertOnly(await check(permanent.port), 'BS-8', 'warn');
  await using temporary = await served(redirecting(307, '/new'));
  const report = await check(temporary.port);
  assert.equal(report.outcomes.get('BS-8'), 'pass', report.out);
  assert.equal(report.outcomes.get('BS-9'), 'pass', report.out);
  assert.equal(report.code, 0);
});

test('BS-19: no ETag, and a POST that is taken, are warnings', async () => {
  await using bare = await served(answering(DOCUMENT, { 'content-type': 'application/json' }));
  assertOnly(await check(bare.port), 'BS-19', 'warn');
  await using eager = await served((_request, response) => void response.writeHead(200, HEADERS).end(DOCUMENT));
  assertOnly(await check(eager.port), 'BS-19', 'warn');
});

test('BS-10: over time, a sequence that goes back and one that stays when the content changes fail', async () => {
  for (const [first, then] of [
    [5n, 4n],
    [5n, 5n],
  ] as const) {
    let gets = 0;
    const changed = writeBundleDocument({ ...us.bundle, sequence: then, refreshHintSeconds: 60 });
    await using server = await served((request, response) => {
      const before = writeBundleDocument({ ...us.bundle, sequence: first });
      gets += request.method === 'GET' ? 1 : 0;
      answering(gets > 1 ? changed : before)(request, response);
    });
    assertOnly(await check(server.port, ['--watch', '1s']), 'BS-10');
  }
});

test('BS-16: a key that is used as soon as it is published fails, one that was there before passes', async () => {
  const next = testDomain('us.test');
  for (const published of [false, true]) {
    const state = { gets: 0 };
    const sequence = (): bigint => BigInt(state.gets);
    const server = createServer({ ...INTERMEDIATE, ...CREDENTIALS }, (request, response) => {
      state.gets += request.method === 'GET' ? 1 : 0;
      const roots = published || state.gets > 1 ? [us.root, next.root] : [us.root];
      answering(writeBundleDocument(bundleOf(us.trustDomain, roots, sequence())))(request, response);
      server.setSecureContext({ ...INTERMEDIATE, ...credentialsOf(next.svid('/jumpgate')) });
    });
    await using open = await listening(server);
    await using bench = await cliBench();
    writeFileSync(join(bench.directory, 'us.json'), DOCUMENT);
    const report = await checkOn(bench, open.port, ['--watch', '1s', '--bundle', 'us.json']);
    if (published) assert.equal(report.outcomes.get('BS-16'), 'pass', report.out);
    else assertOnly(report, 'BS-16');
  }
});

test('nothing that a server says reaches the terminal raw, and hostile documents are findings', async () => {
  const escape = '\\u001b]0;owned\\u0007\\u202e';
  const bodies = [
    `{"keys":"${escape}"}`,
    '['.repeat(100_000),
    `{"keys":[{"kty":"${escape}"}]}`,
    '{"keys":[null,7,[]]}',
    '',
  ];
  for (const body of bodies) {
    await using server = await served(answering(body, { ...HEADERS, 'content-type': 'a\x9bb' }));
    await using bench = await cliBench();
    const url = `https://127.0.0.1:${server.port}/`;
    for (const format of ['wide', 'json', 'yaml']) {
      const asked = ['check', 'bundle-endpoint', url, '--profile', 'https_spiffe', '--trust-domain', 'us.test'];
      const { code, out, err } = await bench.cli([...asked, '-o', format]);
      assert.equal(code, 1);
      assert.equal(err, '');
      assert.doesNotMatch(out.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u);
    }
  }
});

test('wrong arguments are exit code 2, a server that is not there is 3', async () => {
  await using bench = await cliBench();
  const url = 'https://127.0.0.1:1/';
  const whole = ['check', 'bundle-endpoint', url, '--profile', 'https_spiffe', '--trust-domain', 'us.test'];
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['check', 'gateway', url], /expected bundle-endpoint, found "gateway"/],
    [['check', 'bundle-endpoint', 'http://a.test/'], /expected scheme https, found http/],
    [whole.slice(0, 3), /--profile is required/],
    [whole.slice(0, 5), /--trust-domain is required/],
    [[...whole.slice(0, 3), '--profile', 'http'], /expected --profile https_web or https_spiffe, found "http"/],
    [[...whole, '--ca', 'x'], /--ca is not for https_spiffe/],
    [[...whole, '--bundle', 'missing'], /expected a file for --bundle/],
    [[...whole, '--spiffe-id', 'spiffe://eu.test/x'], /expected --bundle FILE, the bundle of eu.test/],
  ];
  for (const [argv, message] of wrong) {
    const { code, err } = await bench.cli(argv);
    assert.match(err, message);
    assert.equal(code, 2, err);
  }
  const { code, err } = await bench.cli(whole);
  assert.equal(code, 3);
  assert.match(err, /expected 127\.0\.0\.1:1 .*to accept/);
});

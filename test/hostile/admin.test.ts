/** Attacks on the admin API: no token, DNS rebinding, pages of other sites, bodies that are too big, too slow or poisoned. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';

import { codeOf } from '../../base/errors.ts';
import { adminRoutes, openAdminServer } from '../../gateway/admin/server.ts';
import { RecordedLog, RecordedOperations } from '../support/admin-operations.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const TOKEN = '0123456789abcdef0123456789abcdef';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

async function rig(kind: 'tcp' | 'unix') {
  const directory = temporaryDirectory();
  const tokenFile = join(directory.path, 'token');
  writeFileSync(tokenFile, `${TOKEN}\n`, { mode: 0o600 });
  const operations = new RecordedOperations();
  const log = new RecordedLog();
  const address =
    kind === 'tcp'
      ? ({ kind, host: '127.0.0.1', port: 0 } as const)
      : ({ kind, path: join(directory.path, 'sub', 'admin.sock') } as const);
  const server = await openAdminServer({ address, tokenFile, operations, log });
  const where =
    server.address.kind === 'tcp'
      ? { host: server.address.host, port: server.address.port }
      : { socketPath: server.address.path };
  return {
    directory: directory.path,
    operations,
    log,
    where,
    ask: (method: string, path: string, headers: Readonly<Record<string, string>> = {}, body?: string | Buffer) =>
      new Promise<Answer>((resolve, reject) => {
        const auth = { authorization: `Bearer ${TOKEN}` };
        const sent = request({ ...where, method, path, headers: { ...auth, ...headers }, agent: false });
        sent.on('error', reject);
        sent.on('response', (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          response.on('end', () => {
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text });
          });
        });
        sent.end(body);
      }),
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      directory[Symbol.dispose]();
    },
  };
}

const JSON_TYPE = { 'content-type': 'application/json' };

test('without the token every route over TCP is 401, known or not, and nothing is done (J1)', async () => {
  await using r = await rig('tcp');
  const routes = adminRoutes(r.operations).map(({ method, url }) => [method, url.replace(':name', 'eu-west')] as const);
  assert.ok(routes.length >= 15);
  const others = [
    ['GET', '/'],
    ['GET', '/debug'],
    ['POST', '/v1/unknown'],
    ['HEAD', '/v1/status'],
    ['OPTIONS', '/v1/status'],
    ['GET', '/%zz'],
  ] as const;
  for (const [method, path] of [...routes, ...others]) {
    for (const authorization of [
      '',
      'Bearer',
      'Bearer x',
      `Basic ${TOKEN}`,
      `Bearer ${TOKEN}x`,
      `Bearer ${TOKEN.slice(1)}`,
    ]) {
      const { status, body } = await r.ask(
        method,
        path,
        { authorization, ...JSON_TYPE },
        method === 'POST' ? '{}' : undefined,
      );
      assert.equal(status, 401, `${method} ${path} with ${JSON.stringify(authorization)}: ${body}`);
    }
  }
  assert.deepEqual(r.operations.told, []);
  assert.equal((await r.ask('GET', '/v1/status')).status, 200);
  assert.ok(!JSON.stringify(r.log.lines).includes(TOKEN.slice(4)));
});

test('the Unix socket is 0600 in a 0700 directory and needs no token (J2)', async () => {
  await using r = await rig('unix');
  const path = r.where.socketPath ?? '';
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
  assert.equal((await r.ask('GET', '/v1/version', { authorization: '' })).status, 200);
});

test('a TCP listener refuses to open without a token file, or with one that others can read or that can be guessed (J2)', async () => {
  using directory = temporaryDirectory();
  const tokenFile = join(directory.path, 'token');
  const open = (file: string | undefined) =>
    openAdminServer({
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      tokenFile: file,
      operations: new RecordedOperations(),
      log: new RecordedLog(),
    });
  const code = (expected: string) => (error: unknown) => codeOf(error) === expected;
  await assert.rejects(open(undefined), code('token-file-missing'));
  await assert.rejects(open(tokenFile), code('token-file-unreadable'));
  writeFileSync(tokenFile, TOKEN, { mode: 0o600 });
  chmodSync(tokenFile, 0o640);
  await assert.rejects(open(tokenFile), code('token-file-permissions'));
  chmodSync(tokenFile, 0o600);
  writeFileSync(tokenFile, 'short');
  await assert.rejects(open(tokenFile), code('token-malformed'));
});

test('a Host that does not name the listener is 421 on TCP: DNS rebinding (J3)', async () => {
  await using r = await rig('tcp');
  for (const host of [
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.nip.io',
    '10.0.0.1',
    'localhost@evil.example',
    'a b',
  ])
    assert.equal((await r.ask('GET', '/v1/status', { host })).status, 421, host);
  for (const host of ['localhost', 'LOCALHOST:9', '127.0.0.1:1', '[::1]:9901'])
    assert.equal((await r.ask('GET', '/v1/status', { host })).status, 200, host);
});

for (const kind of ['tcp', 'unix'] as const) {
  test(`requests of web pages are 403 on ${kind}, and no header invites them (J4)`, async () => {
    await using r = await rig(kind);
    const refused: readonly Readonly<Record<string, string>>[] = [
      { origin: 'https://evil.example', ...JSON_TYPE },
      { origin: 'null', ...JSON_TYPE },
      { origin: 'http://localhost.evil.example', ...JSON_TYPE },
      { 'sec-fetch-site': 'cross-site', ...JSON_TYPE },
      { 'sec-fetch-site': 'same-site', ...JSON_TYPE },
      { 'content-type': 'text/plain' },
      { 'content-type': 'Text/Plain; charset=utf-8' },
      { 'content-type': 'application/x-www-form-urlencoded' },
      { 'content-type': 'multipart/form-data; boundary=x' },
    ];
    for (const headers of refused) {
      const answer = await r.ask('POST', '/v1/reload', { host: 'localhost', ...headers }, '{}');
      assert.equal(answer.status, 403, JSON.stringify(headers));
      assert.deepEqual(
        Object.keys(answer.headers).filter((name) => name.startsWith('access-control')),
        [],
      );
    }
    assert.equal((await r.ask('POST', '/v1/reload', { 'content-type': 'application/xml' }, '{}')).status, 415);
    assert.deepEqual(r.operations.told, []);
    assert.equal((await r.ask('POST', '/v1/reload', JSON_TYPE, '{}')).status, 200);
    assert.equal((await r.ask('POST', '/v1/reload')).status, 200, 'no body is no members');
  });
}

test('a body over 1 MiB is cut: 413, and nothing is done (J10)', async () => {
  await using r = await rig('unix');
  const head = Buffer.from('{"peer":"');
  const limit = 1024 * 1024;
  const long = Buffer.concat([head, Buffer.alloc(limit - head.length - 2, 97), Buffer.from('"}')]);
  assert.equal(long.length, limit);
  assert.equal((await r.ask('POST', '/v1/invites', JSON_TYPE, long)).status, 400, 'at the limit it is read');
  const declared = await r.ask(
    'POST',
    '/v1/invites',
    { ...JSON_TYPE, 'content-length': String(limit + 1) },
    Buffer.alloc(limit + 1, 97),
  );
  assert.equal(declared.status, 413);
  assert.deepEqual(r.operations.told, []);
});

test('a gigabyte that is only announced gets 413 at once (J10)', async () => {
  await using r = await rig('unix');
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect({ path: r.where.socketPath ?? '' });
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.on('error', reject);
    socket.on('close', () => {
      resolve(text);
    });
    socket.write(
      'POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n{',
    );
  });
  assert.match(answer, /^HTTP\/1\.1 413 /);
  assert.match(answer, /connection: close/i);
});

test('poisoned, duplicate, deep or wrong JSON is 400, and prototypes stay clean (J10)', async () => {
  await using r = await rig('unix');
  const bodies = [
    '{"__proto__":{"peer":"x"},"peer":"eu","trustDomain":"eu.example"}',
    '{"constructor":{"prototype":{"polluted":1}},"peer":"eu","trustDomain":"eu.example"}',
    '{"peer":"eu","peer":"us","trustDomain":"eu.example"}',
    `${'['.repeat(100)}${']'.repeat(100)}`,
    '{"peer":"../x","trustDomain":"eu.example"}',
    '{"peer":"eu","trustDomain":"eu.example","ttlSeconds":"900"}',
    '{"peer":"eu","trustDomain":"eu.example","ttlSeconds":18446744073709551616}',
    '{"peer":"eu","trustDomain":"eu.example","aprove":true}',
    '{"peer":"eu"}',
    '[]',
    'null',
    '{',
    '\ufeff{}',
  ];
  for (const body of bodies) {
    const { status, body: text } = await r.ask('POST', '/v1/invites', JSON_TYPE, body);
    assert.equal(status, 400, `${body.slice(0, 60)}: ${text}`);
    const { error } = JSON.parse(text) as { error: { code: string; message: string } };
    assert.match(error.code, /^(request|json)-malformed$/);
  }
  assert.equal(Object.hasOwn(Object.prototype, 'polluted'), false);
  assert.deepEqual(r.operations.told, []);
});

test('names in paths that are no names reach no operation (J10)', async () => {
  await using r = await rig('unix');
  for (const name of ['..', '%2e%2e%2fx', 'A', 'a'.repeat(64), 'a'.repeat(5000), '-a', 'a%00', '__proto__'])
    assert.ok([400, 404, 414].includes((await r.ask('DELETE', `/v1/peers/${name}`)).status), name.slice(0, 80));
  assert.equal((await r.ask('GET', '/v1/status?verbose=1')).status, 400, 'no route takes a query');
  assert.deepEqual(r.operations.told, []);
});

test('each change leaves an audit line, done or failed, and none with a token or a key (J10)', async () => {
  await using r = await rig('unix');
  await r.ask('DELETE', '/v1/peers/eu-west');
  await r.ask('DELETE', '/v1/peers/nobody');
  await r.ask('POST', '/v1/join', JSON_TYPE, '{"token":"jg1.joining-secret"}');
  await r.ask('POST', '/v1/invites', JSON_TYPE, '{"peer":"eu","trustDomain":"eu.example"}');
  await r.ask('POST', '/v1/svids', JSON_TYPE, '{"id":"spiffe://us-east.example.org/web"}');
  const jwt = { id: 'spiffe://us-east.example.org/web', audience: ['reports'] };
  await r.ask('POST', '/v1/jwt-svids', JSON_TYPE, JSON.stringify(jwt));
  await r.ask('POST', '/v1/jwt-svids/validate', JSON_TYPE, '{"token":"a.b.secret-token","audience":"reports"}');
  await r.ask('POST', '/v1/jwt-keys/rotate', JSON_TYPE);
  await r.ask('GET', '/v1/status');
  const audit = r.log.lines.filter(([, message]) => message === 'admin action').map(([, , fields]) => fields);
  assert.deepEqual(
    audit.map(({ action, subject, outcome, code }) => [action, subject, outcome, code]),
    [
      ['peer-remove', 'eu-west', 'done', undefined],
      ['peer-remove', 'nobody', 'failed', 'peer-unknown'],
      ['join', '', 'done', undefined],
      ['invite', 'eu', 'done', undefined],
      ['svid-issue', 'spiffe://us-east.example.org/web', 'done', undefined],
      ['jwt-svid-issue', 'spiffe://us-east.example.org/web', 'done', undefined],
      ['jwt-key-rotate', '', 'done', undefined],
    ],
  );
  assert.doesNotMatch(JSON.stringify(r.log.lines), /joining-secret|secret-token|secret-signature|PRIVATE/);
});

test('a failure that is a bug shows no detail outside the log', async () => {
  await using r = await rig('unix');
  r.operations.peers = async () => {
    throw new Error('secret detail');
  };
  const { status, body } = await r.ask('GET', '/v1/peers');
  assert.equal(status, 500);
  assert.ok(!body.includes('secret detail'));
  assert.ok(r.log.lines.some(([level]) => level === 'error'));
});

test('a socket nobody answers on is replaced; a live one, another file and a long path are refused and left alone', async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, 'admin.sock');
  const open = (at: string) =>
    openAdminServer({
      address: { kind: 'unix', path: at },
      tokenFile: undefined,
      operations: new RecordedOperations(),
      log: new RecordedLog(),
    });
  const first = await open(path);
  await assert.rejects(open(path), /another process answers there/);
  await first[Symbol.asyncDispose]();
  await leaveStaleSocket(path);
  const second = await open(path);
  await second[Symbol.asyncDispose]();
  writeFileSync(path, 'precious');
  await assert.rejects(open(path), /found another kind of file/);
  assert.ok(statSync(path).isFile());
  const long = join(directory.path, 'a'.repeat(100));
  mkdirSync(long);
  await assert.rejects(open(join(long, 'admin.sock')), /expected a socket path of at most 107 bytes, found/);
});

/** A socket file as a killed process leaves it: renamed away from the server, it is not unlinked when that closes. */
async function leaveStaleSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ path: `${path}.0` }, resolve));
  renameSync(`${path}.0`, path);
  await new Promise<void>((resolve) => server.close(() => resolve()));
}

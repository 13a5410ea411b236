/** The command line against a real admin server on a Unix socket. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { FINGERPRINT } from '../support/admin-operations.ts';
import { cliBench } from '../support/cli-bench.ts';

test('usage errors exit 2, name the nearest word and point to help', async () => {
  await using b = await cliBench();
  for (const [argv, expected] of [
    [['stauts'], /unknown verb "stauts", did you mean "status"\?/],
    [['invite', '--per', 'x'], /unknown option --per, did you mean --peer\?/],
    [['invite', '--trust-domain', 'x'], /--peer is required/],
    [['invite', '--peer'], /argument missing/i],
    [['join'], /expected TOKEN \| -/],
    [['status', 'now'], /unexpected argument "now"/],
    [['status', '-o', 'xml'], /expected -o json, yaml or wide/],
    [['peers', 'remove'], /expected the NAME/],
    [['peers', 'remove', '../x'], /expected the name of a peer/],
    [['log-level', 'loud'], /expected one of debug, info, warn, error/],
    [['svid', 'spiffe://a/b', '--ttl', 'soon'], /expected --ttl to be a duration/],
    [['run'], /expected -f DIR/],
    [['status', '--admin', 'nonsense'], /expected an admin address/],
    [['status', '--admin', 'localhost:1'], /needs --token-file/],
  ] as const) {
    const { code, out, err } = await b.cli(argv);
    assert.equal(code, 2, argv.join(' '));
    assert.match(err, expected);
    assert.match(err, /see: jumpgate help/);
    assert.equal(out, '');
  }
  assert.equal((await b.cli([])).code, 2);
  assert.equal((await b.cli(['status'], '', {})).code, 2);
  assert.deepEqual(b.operations.told, []);
});

test('a gateway that does not answer is exit code 3, with the address and a hint', async () => {
  await using b = await cliBench();
  const { code, err } = await b.cli(['status', '--admin', `unix:${b.directory}/other.sock`]);
  assert.equal(code, 3);
  assert.match(err, /cannot reach the gateway at unix:.*other\.sock: .*; is it running\?/);
});

test('status prints a tree, and the same values as JSON and YAML', async () => {
  await using b = await cliBench();
  const tree = await b.cli(['status']);
  assert.equal(tree.code, 0);
  assert.match(tree.out, /mesh us-east \(us-east\.example\.org\) starting, pending: jump-listener/);
  assert.match(tree.out, /eu-west \(eu-west\.example\.org\) active, links 2 out 2 in, bundle 18446744073709551615/);
  assert.match(tree.out, /├─ self sequence 7, jwt key cdcdcdcdcdcd prepared, published 2026-01-02T03:04:05.000Z\n/);
  assert.match(tree.out, /eu-west sequence 7 by link, fetched \S+, next \S+, stale since \S+\n/);
  assert.match(tree.out, /└─ warning AwaitingBundle Peer\/eu-west/);
  assert.ok(!tree.out.includes('\u001b'), 'text of a peer steers no terminal');
  const json = JSON.parse((await b.cli(['status', '-o', 'json'])).out) as { peers: { name: string }[] };
  assert.equal(json.peers[0]?.name, 'eu-west');
  assert.match(
    (await b.cli(['status', '-o', 'yaml'])).out,
    /^mesh: us-east\n[^]*peers:\n {2}- name: eu-west\n {4}trustDomain: /,
  );
});

test('tables have headings, and more columns when wide', async () => {
  await using b = await cliBench();
  const narrow = (await b.cli(['peers'])).out;
  assert.match(narrow, /^NAME +TRUST-DOMAIN +STATE/);
  assert.ok(!narrow.includes('GATEWAY-ID'));
  assert.match((await b.cli(['peers', '-o', 'wide'])).out, /GATEWAY-ID/);
  assert.match(
    (await b.cli(['bundles'])).out,
    new RegExp(`self +us-east.example.org +7 +x509 +active +${FINGERPRINT}`),
  );
  for (const verb of ['exports', 'imports', 'links']) assert.equal((await b.cli([verb])).out, 'nothing\n');
});

test('what the gateway refuses is exit code 1 with its words', async () => {
  await using b = await cliBench();
  const unknown = await b.cli(['peers', 'remove', 'nobody']);
  assert.deepEqual([unknown.code, unknown.err], [1, 'jumpgate: no peer nobody here\n']);
  assert.equal((await b.cli(['peers', 'remove', 'declared'])).code, 1);
  assert.equal((await b.cli(['peers', 'remove', 'eu-west'])).out, 'removed eu-west (eu-west.example.org)\n');
  assert.equal((await b.cli(['peers', 'approve', 'eu-west'])).code, 0);
});

test('invite prints the token alone on standard output', async () => {
  await using b = await cliBench();
  const { code, out, err } = await b.cli([
    'invite',
    '--peer',
    'eu-west',
    '--trust-domain',
    'eu-west.example.org',
    '--ttl',
    '5m',
  ]);
  assert.deepEqual([code, out], [0, 'jg1.secret-token\n']);
  assert.match(err, new RegExp(FINGERPRINT));
  assert.match(err, /gw:15443 reachable from here: unknown, behind a load balancer/);
  assert.ok(!err.includes('secret-token'));
  assert.deepEqual(b.operations.told, [
    ['invite', { peer: 'eu-west', trustDomain: 'eu-west.example.org', ttlSeconds: 300, approve: false }],
  ]);
});

test('join reads the token from standard input, warns about the argument form, and exits 1 when a step fails', async () => {
  await using b = await cliBench();
  const piped = await b.cli(
    ['join', '-', '--expect-fingerprint', FINGERPRINT.toUpperCase().replace(/(..)(?=.)/g, '$1:')],
    'jg1.t\n',
  );
  assert.equal(piped.code, 0, piped.err);
  assert.ok(!piped.err.includes('warning'));
  assert.deepEqual(b.operations.told[0], ['join', { token: 'jg1.t', expectFingerprint: FINGERPRINT, replace: false }]);
  assert.match((await b.cli(['join', 'jg1.t'])).err, /warning: a token given as argument is visible in ps/);
  b.operations.joined = false;
  const failed = await b.cli(['join', '-'], 'jg1.t');
  assert.deepEqual([failed.code, failed.out], [1, '']);
  assert.match(failed.err, /tcp: failed, refused/);
  assert.equal((await b.cli(['join', '-'], ' \n')).code, 2);
  assert.equal((await b.cli(['join', '-', '--expect-fingerprint', 'abc'], 'jg1.t')).code, 2);
});

test('reload exits 1 when the gateway refuses, with every problem', async () => {
  await using b = await cliBench();
  assert.equal((await b.cli(['reload'])).code, 0);
  b.operations.reloaded = {
    ...b.operations.reloaded,
    result: 'refused',
    problems: ['a.yaml:1:2: no', 'a.yaml:3:4: neither'],
  };
  const { code, err } = await b.cli(['reload']);
  assert.equal(code, 1);
  assert.match(err, /^a\.yaml:1:2: no\na\.yaml:3:4: neither\nrefused: /);
});

test('svid writes three files, the key for its owner only, and never prints it', async () => {
  await using b = await cliBench();
  const { code, out, err } = await b.cli(['svid', 'spiffe://us-east.example.org/web', '--out', 'web', '-o', 'json']);
  assert.equal(code, 0, err);
  const out3 = join(b.directory, 'web');
  assert.deepEqual(readdirSync(out3).sort(), ['bundle.pem', 'key.pem', 'svid.pem']);
  assert.equal(statSync(join(out3, 'key.pem')).mode & 0o777, 0o600);
  assert.match(readFileSync(join(out3, 'key.pem'), 'utf8'), /BEGIN PRIVATE KEY/);
  assert.ok(!`${out}${err}`.includes('BEGIN'));
  assert.equal((await b.cli(['svid', 'spiffe://us-east.example.org/web', '--out', 'web'])).code, 0, 'again: replaced');
});

test('explain exits 0 for a permit and 1 for a denial', async () => {
  await using b = await cliBench();
  const argv = ['explain', '--from', 'spiffe://eu-west.example.org/shop', '--to', 'payments'];
  const permit = await b.cli([...argv, '--grpc', 'payments.v1.Payments/Charge']);
  assert.equal(permit.code, 0, permit.err);
  assert.match(
    permit.out,
    /verdict +permit \(export side, from the running gateway\)\nrule +payments\.allow\[0\]\nwhere +exports\.yaml:3:5/,
  );
  assert.deepEqual(b.operations.told[0]?.[1], {
    from: 'spiffe://eu-west.example.org/shop',
    to: 'payments',
    method: 'POST',
    path: '/payments.v1.Payments/Charge',
    grpc: true,
  });
  b.operations.verdict = 'denial';
  assert.equal((await b.cli(argv)).code, 1);
});

test('init writes documents that are valid, overwrites nothing, and explain works on them without a gateway', async () => {
  await using b = await cliBench();
  const written = await b.cli([
    'init',
    'mesh',
    '--trust-domain',
    'us-east.example.org',
    '--peer',
    'eu-west',
    '--host',
    '127.0.0.1',
  ]);
  assert.equal(written.code, 0, written.err);
  assert.equal(written.out.trim().split('\n').length, 3);
  const valid = await b.cli(['validate', '-f', 'mesh']);
  assert.equal(valid.code, 0, valid.out);
  assert.equal((await b.cli(['init', 'mesh', '--trust-domain', 'us-east.example.org'])).code, 2);
  assert.equal((await b.cli(['status', '-f', 'mesh'])).code, 3);
  const from = [
    'explain',
    '-f',
    'mesh',
    '--from',
    'spiffe://us-east.example.org/local',
    '--to',
    'hello.eu-west.mesh.internal',
  ];
  const permit = await b.cli(from);
  assert.equal(permit.code, 0, permit.out + permit.err);
  assert.match(permit.err, /no gateway answers: explained from YAML alone/);
  assert.equal((await b.cli([...from, '--live'])).code, 3);
  const denied = await b.cli([
    'explain',
    '-f',
    'mesh',
    '--offline',
    '--from',
    'spiffe://us-east.example.org/local',
    '--to',
    'hello',
  ]);
  assert.equal(denied.code, 1, denied.out);
});

test('validate prints each problem as file:line:column on a line of its own', async () => {
  await using b = await cliBench();
  await b.cli(['init', 'mesh', '--trust-domain', 'us-east.example.org', '--host', '127.0.0.1']);
  const file = join(b.directory, 'mesh', 'export-hello.yaml');
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replace('protocol: http1', 'protocol: carrier-pigeon').replace('backends', 'backend'),
  );
  const { code, out, err } = await b.cli(['validate', '-f', 'mesh']);
  assert.equal(code, 1);
  const lines = out.trim().split('\n');
  assert.ok(lines.length >= 2, out);
  for (const line of lines) assert.match(line, /export-hello\.yaml:\d+:\d+: /);
  assert.match(err, /problems/);
  assert.equal(
    (await b.cli(['status', '-f', 'mesh'])).code,
    3,
    'a broken document elsewhere does not hide the gateway',
  );
});

test('run and demo get their options from the command line', async () => {
  await using b = await cliBench();
  assert.equal((await b.cli(['run', '-f', 'mesh', '--log-level', 'debug'])).code, 0);
  assert.deepEqual(b.runs, [{ directory: join(b.directory, 'mesh'), logLevel: 'debug' }]);
  assert.equal((await b.cli(['run', '-f', 'mesh', '--log-level', 'loud'])).code, 2);
  assert.equal((await b.cli(['demo', '--once'])).code, 0);
});

test('help, version and completion need no gateway', async () => {
  await using b = await cliBench();
  assert.match((await b.cli(['--help'], '', {})).out, /usage: jumpgate VERB/);
  assert.match((await b.cli(['invite', '-h'], '', {})).out, /--trust-domain TD/);
  assert.match((await b.cli(['version'], '', {})).out, /^jumpgate \d+\.\d+\.\d+ \(node v/);
  for (const shell of ['bash', 'zsh', 'fish']) assert.match((await b.cli(['completion', shell], '', {})).out, /status/);
  assert.equal((await b.cli(['completion', 'tcsh'], '', {})).code, 2);
});

test('rotate and log-level change the running gateway', async () => {
  await using b = await cliBench();
  assert.match((await b.cli(['rotate'])).out, /^published: .*waiting for eu-west\n$/);
  assert.equal((await b.cli(['log-level', 'debug'])).out, 'debug\n');
  assert.equal((await b.cli(['log-level'])).out, 'debug\n');
  assert.deepEqual(b.operations.told, [
    ['rotate', { force: false }],
    ['setLogLevel', 'debug'],
  ]);
});

test('rotate --rehearse exits 0 when nothing would break, and 1 with every peer and link that would', async () => {
  await using b = await cliBench();
  const good = await b.cli(['rotate', '--rehearse']);
  assert.deepEqual([good.code, good.out], [0, '']);
  assert.equal(good.err, 'nothing would break if a new root were published and signed now\n');
  const why = 'it last fetched sequence 7 of our bundle, the newest is 8';
  b.operations.findings = [{ peer: 'eu-west', address: null, code: 'bundle-behind', message: why }];
  const bad = await b.cli(['rotate', '--rehearse']);
  assert.equal(bad.code, 1);
  assert.match(bad.out, /eu-west +- +bundle-behind +it last fetched sequence 7 of our bundle, the newest is 8/);
  assert.equal((await b.cli(['rotate', '--rehearse', '--force'])).code, 2);
  assert.deepEqual(b.operations.told, [], 'nothing was changed');
});

test('the socket file is gone after the server', async () => {
  const b = await cliBench();
  const path = join(b.directory, 'admin.sock');
  assert.ok(existsSync(path));
  await b[Symbol.asyncDispose]();
  assert.ok(!existsSync(path));
});

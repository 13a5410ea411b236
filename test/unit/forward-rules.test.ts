/** Headers, trailers, hosts, refusals and deadlines of calls. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { formatGrpcTimeout, limitOf, parseGrpcTimeout } from '../../gateway/forward/limit.ts';
import { keepForwarded } from '../../gateway/headers/forwarded.ts';
import { headProblem, methodOf } from '../../gateway/headers/head-problem.ts';
import { hopsProblem } from '../../gateway/headers/hops.ts';
import { methodProblem, pushForwarded } from '../../gateway/headers/request-fields.ts';
import { cleanResponse, cleanTrailers, grpcStatusOf, linkReasonOf } from '../../gateway/headers/response-fields.ts';
import { traitsOf } from '../../gateway/headers/traits.ts';
import { fieldName } from '../../gateway/message/names.ts';
import { encodeGrpcMessage, refuse } from '../../gateway/refusal/refuse.ts';
import { entryOf, reasonOf, REASONS } from '../../gateway/refusal/reason.ts';
import { isReservedHost, normaliseHost } from '../../gateway/routing/match.ts';
import { fieldsOf, headOf, keptOf, readOf, textsOf, type Texts } from '../support/call-heads.ts';
import { FakeServerStream } from '../support/fake-streams.ts';

test('hosts lose case, port and final dot, and anything ambiguous is no host', () => {
  for (const [written, host] of [
    ['API.Example', 'api.example'],
    ['api.example.', 'api.example'],
    ['api.example.:443', 'api.example'],
    ['a_b:0', 'a_b'],
  ] as const) {
    assert.equal(normaliseHost(written), host);
  }
  for (const bad of [
    '',
    '.',
    'a..b',
    'a:00443',
    'a:99999',
    'a:',
    'u@a',
    'a/b',
    'a b',
    '[::1]',
    'ａ.b',
    'a:1:2',
    '-a',
    'a,b',
  ]) {
    assert.equal(normaliseHost(bad), undefined, bad);
  }
  assert.ok(isReservedHost('eu.peering.jumpgate') && isReservedHost('jumpgate'));
  assert.ok(!isReservedHost('xjumpgate') && !isReservedHost('jumpgate.example'));
});

test('hop-by-hop fields and gateways’ names are removed, the rest keeps its order', () => {
  const headers = [
    ['accept', 'a'],
    ['connection', 'X-Hop, content-length'],
    ['keep-alive', 'timeout=5'],
    ['proxy-connection', 'close'],
    ['transfer-encoding', 'chunked'],
    ['upgrade', 'h2c'],
    ['http2-settings', 'x'],
    ['expect', '100-continue'],
    ['host', 'a.example'],
    ['content-length', '3'],
    ['te', 'gzip, Trailers'],
    ['proxy-authorization', 'p'],
    ['jumpgate-anything', 'j'],
    ['x-forwarded-client-cert', 'c'],
    ['x-forwarded-host', 'h'],
    ['x-forwarded-proto', 'https'],
    ['x-forwarded-for', '192.0.2.1'],
    ['forwarded', 'f'],
    ['accept', 'b'],
    ['__proto__', 'kept'],
  ] as const;
  const expected = [
    ['accept', 'a'],
    ['content-length', '3'],
    ['accept', 'b'],
    ['__proto__', 'kept'],
  ];
  assert.deepEqual(keptOf(headers), [...expected, ['te', 'trailers']]);
  assert.deepEqual(textsOf(cleanResponse(fieldsOf(headers))), expected);
  assert.deepEqual(keptOf([['te', 'gzip']]), []);
  assert.deepEqual(
    keptOf([
      ['te', 'xtrailers'],
      ['te', 'trailers;q=1'],
    ]),
    [],
  );
  assert.deepEqual(
    keptOf([
      ['te', 'trailers'],
      ['te', 'trailers'],
    ]),
    [['te', 'trailers']],
  );
});

test('grpc-timeout of a request does not go on as it was, and that of a response does', () => {
  assert.deepEqual(keptOf([['grpc-timeout', '1S']]), []);
  assert.deepEqual(textsOf(cleanResponse(fieldsOf([['grpc-timeout', '1S']]))), [['grpc-timeout', '1S']]);
});

test('fields of which nothing is removed go on as the same array', () => {
  const fields = fieldsOf([
    ['content-type', 'text/plain'],
    ['grpc-status', '0'],
  ]);
  assert.equal(cleanResponse(fields), fields);
  const trailers = fieldsOf([['grpc-status', '0']]);
  assert.equal(cleanTrailers(trailers), trailers);
});

test('trailers carry no framing, authentication or identity', () => {
  const kept = ['grpc-status', '0'] as const;
  assert.deepEqual(
    textsOf(
      cleanTrailers(
        fieldsOf([
          kept,
          ['content-length', '1'],
          ['authorization', 'x'],
          ['x-forwarded-client-cert', 'x'],
          ['jumpgate-caller', 'x'],
          ['jumpgate-reason', 'no-route'],
          [':status', '200'],
          ['host', 'x'],
          ['proxy-authorization', 'x'],
          ['set-cookie', 'x'],
          ['te', 'trailers'],
          ['trailer', 'x'],
        ]),
      ),
    ),
    [kept],
  );
});

test('a name’s traits are derived once, and pass for no other name', () => {
  const name = fieldName('x-some-name');
  assert.equal(name.traits, -1);
  assert.equal(traitsOf(name), 0);
  assert.equal(name.traits, 0);
  for (const near of ['hosts', 'xhost', 'tee', 'jumpgate', 'proxy', 'xforwarded-for', 'content-types']) {
    assert.equal(traitsOf(fieldName(near)), 0, near);
  }
});

test('what a peer states about the entry passes only single and well-formed', () => {
  const good = [
    ['x-forwarded-host', 'a.b:80'],
    ['x-forwarded-proto', 'https'],
    ['x-forwarded-for', '2001:db8::1'],
  ] as const;
  const stated = (texts: Texts): readonly (readonly string[])[] => {
    const read = readOf(texts);
    keepForwarded(read);
    pushForwarded(read);
    return textsOf(read.kept);
  };
  assert.deepEqual(stated(good), good);
  assert.deepEqual(stated([...good, ...good]), []);
  assert.deepEqual(stated([...good, ...good, ...good]), [], 'a third does not make one of two');
  assert.deepEqual(
    stated([
      ['x-forwarded-host', 'a b'],
      ['x-forwarded-proto', 'ftp'],
      ['x-forwarded-for', 'x'],
    ]),
    [],
  );
});

test('two values where there is one, or a host that is not the authority, contradict', () => {
  for (const name of [
    'host',
    'content-length',
    'content-type',
    'authorization',
    'grpc-timeout',
    'jumpgate-timeout',
    'jumpgate-caller',
  ]) {
    const one = [name, 'a.example'] as const;
    assert.equal(readOf([one]).contradictory, false, name);
    assert.equal(readOf([one, ['accept', 'x'], one]).contradictory, true, name);
    assert.equal(headProblem(headOf([one, one]), readOf([one, one])), 'header-malformed', name);
  }
  assert.equal(
    readOf([
      ['accept', 'a'],
      ['accept', 'a'],
    ]).contradictory,
    false,
  );
  assert.equal(readOf([['host', 'A.Example']]).contradictory, false);
  assert.equal(readOf([['host', 'b.example']]).contradictory, true);
  assert.equal(readOf([['host', 'a.example:80']]).contradictory, true);
});

test('a call is gRPC by its content type, with or without format and parameters', () => {
  for (const type of ['application/grpc', 'application/grpc+proto', 'Application/GRPC;charset=utf-8']) {
    assert.equal(readOf([['content-type', type]]).grpc, true, type);
  }
  for (const type of ['application/grpc-web', 'application/grpcx', 'text/application/grpc', '', ' application/grpc']) {
    assert.equal(readOf([['content-type', type]]).grpc, false, type);
  }
  assert.equal(readOf([]).grpc, false);
});

test('methods that tunnel or echo, and what is no method, are refused whatever policy says', () => {
  for (const method of ['GET', 'POST', 'PROPFIND', 'VERSION-CONTROL', 'M-SEARCH', 'A'.repeat(32)]) {
    assert.equal(methodProblem(method, undefined), undefined, method);
  }
  for (const method of ['CONNECT', 'TRACE']) {
    assert.equal(methodProblem(method, undefined), 'method-unsupported', method);
  }
  for (const method of ['', 'A B', 'A\n', 'é', 'A'.repeat(33), 'A/1', 'get', 'Get', 'trace', 'a!#$%', '-A']) {
    assert.equal(methodProblem(method, undefined), 'request-malformed', method);
  }
});

test('of extended CONNECT only WebSocket is carried, and policy judges it as the GET that it is', () => {
  const webSocket = headOf([], { method: 'CONNECT', protocol: 'websocket' });
  assert.equal(headProblem(webSocket, readOf([])), undefined);
  assert.equal(methodOf(webSocket), 'GET');
  assert.equal(
    headProblem(headOf([], { method: 'CONNECT', protocol: 'connect-udp' }), readOf([])),
    'upgrade-unsupported',
  );
  assert.equal(methodOf(headOf([], { method: 'PUT' })), 'PUT');
});

test('a target is a path that has one reading', () => {
  for (const [path, problem] of [
    ['/', undefined],
    ['/a/b?c=/../', undefined],
    ['', 'target-malformed'],
    ['*', 'target-malformed'],
    ['http://a.example/', 'target-malformed'],
    ['/a/../b', 'path-ambiguous'],
    ['/a/%2e%2e/b', 'path-ambiguous'],
    ['/a%00', 'path-ambiguous'],
    ['/a\\b', 'path-ambiguous'],
    ['/a#b', 'path-ambiguous'],
  ] as const) {
    assert.equal(headProblem(headOf([], { path }), readOf([])), problem, path);
  }
});

test('a call crosses four meshes, none twice, and every hop is a trust domain', () => {
  const own = parseTrustDomain('us-east.example.org');
  const hops = (...values: readonly string[]): string | undefined =>
    hopsProblem(readOf(values.map((value) => ['jumpgate-hops', value] as const)).linkHops, own);
  assert.equal(hops(), undefined);
  assert.equal(hops('a.example, b.example,c.example ,d.example'), undefined);
  assert.equal(hops('a.example,b.example', 'c.example,d.example,e.example'), 'limit-hops');
  assert.equal(hops('a.example', 'us-east.example.org'), 'loop');
  assert.equal(hops('us-east.example.org', 'a.example'), 'loop');
  for (const bad of ['', 'a.example,', 'A.Example', 'a b', 'spiffe://a.example']) {
    assert.equal(hops(bad), 'header-malformed', bad);
  }
});

test('a grpc-status counts when it is single and a number, and a reason when it is single', () => {
  const status = (...values: readonly string[]): number =>
    grpcStatusOf(fieldsOf(values.map((value) => ['grpc-status', value] as const)));
  assert.equal(status(), -1);
  assert.equal(status('0'), 0);
  assert.equal(status('16'), 16);
  for (const bad of ['', '-1', '100', '1e1', ' 1', 'x']) assert.equal(status(bad), -1, bad);
  assert.equal(status('0', '0'), -1);
  const reason = ['jumpgate-reason', 'deadline'] as const;
  assert.equal(linkReasonOf(fieldsOf([reason])), 'deadline');
  assert.equal(linkReasonOf(fieldsOf([reason, reason])), undefined);
  assert.equal(linkReasonOf([]), undefined);
});

test('grpc-timeout is read strictly and written in at most eight digits', () => {
  assert.equal(parseGrpcTimeout('1H'), 3_600_000);
  assert.equal(parseGrpcTimeout('99999999H'), 99_999_999 * 3_600_000);
  assert.equal(parseGrpcTimeout('250u'), 0.25);
  for (const bad of ['', '1', 'S', '999999999S', '-1S', '1.5S', '1s', ' 1S', '1S ', '+1S']) {
    assert.equal(parseGrpcTimeout(bad), undefined, bad);
  }
  for (const ms of [0, 0.25, 1, 99_999, 100_000, 3.6e9, 3.6e14, 1e30]) {
    const text = formatGrpcTimeout(ms);
    assert.match(text, /^[0-9]{1,8}[HMSmun]$/);
    assert.ok((parseGrpcTimeout(text) ?? Infinity) <= Math.max(ms, 0.001), `${ms} became ${text}`);
  }
});

test('a limit comes from a link or from grpc-timeout, never from a caller’s jumpgate-timeout', () => {
  const limit = (texts: Texts, from: 'caller' | 'link', responseMs = 15_000): number | undefined =>
    limitOf(readOf(texts), from, responseMs);
  const grpc = ['content-type', 'application/grpc'] as const;
  assert.equal(limit([['jumpgate-timeout', '100']], 'link'), 100);
  assert.equal(limit([['jumpgate-timeout', '100']], 'caller'), 15_000);
  assert.equal(limit([['jumpgate-timeout', '-1']], 'caller'), 15_000);
  assert.equal(limit([['jumpgate-timeout', '99999999']], 'link'), 15_000);
  assert.equal(limit([], 'link'), 15_000);
  for (const bad of ['-1', '', '1s', '1.5', '1234567890', ' 1']) {
    assert.equal(limit([['jumpgate-timeout', bad]], 'link'), undefined, bad);
  }
  assert.equal(limit([], 'caller', 0), Infinity);
  assert.equal(limit([['jumpgate-timeout', '100']], 'link', 0), 100);
  assert.equal(limit([grpc], 'caller'), Infinity);
  assert.equal(limit([grpc, ['jumpgate-timeout', '100']], 'link'), Infinity);
  assert.equal(limit([grpc, ['grpc-timeout', '20S']], 'caller'), 20_000);
  assert.equal(limit([grpc, ['grpc-timeout', '20s']], 'caller'), undefined);
  assert.equal(limit([['grpc-timeout', 'x']], 'caller'), 15_000, 'it is no gRPC call');
});

test('every reason is a token with an error status, and only known codes of a peer are taken over', () => {
  for (const [code, entry] of Object.entries(REASONS)) {
    assert.match(code, /^[a-z]+(?:-[a-z]+)*$/);
    assert.ok(entry.status >= 400 && entry.grpc > 0 && entry.grpc <= 16, code);
  }
  assert.deepEqual([entryOf('no-route').status, entryOf('denied-by-export').grpc], [404, 7]);
  assert.equal(reasonOf('deadline'), 'deadline');
  for (const foreign of ['constructor', '__proto__', 'x\u001b[31m', undefined])
    assert.equal(reasonOf(foreign), undefined);
  assert.equal(encodeGrpcMessage('50% é\n'), '50%25 %C3%A9%0A');
});

test('a refusal tells the reason to the trusted, and nothing but the status to strangers', () => {
  const told = (audience: 'trusted' | 'stranger', grpc: boolean, method = 'GET') => {
    const stream = new FakeServerStream();
    const answered = refuse(stream, { reason: 'no-route', grpc, audience, method });
    return { answered, stream };
  };
  const trusted = told('trusted', false);
  assert.deepEqual(trusted.stream.log, ['respond 404', 'write 31 end']);
  assert.equal(trusted.stream.text, 'no-route: no such service here\n');
  assert.deepEqual(textsOf(trusted.stream.heads[0]?.fields ?? []), [
    ['content-type', 'text/plain; charset=utf-8'],
    ['content-length', '31'],
    ['jumpgate-reason', 'no-route'],
  ]);
  assert.deepEqual(trusted.answered, { status: 404, grpcStatus: -1, bytesOut: 31 });
  const stranger = told('stranger', false);
  assert.equal(stranger.stream.text, 'refused\n');
  assert.deepEqual(textsOf(stranger.stream.heads[0]?.fields ?? []), [
    ['content-type', 'text/plain; charset=utf-8'],
    ['content-length', '8'],
  ]);
  const head = told('stranger', false, 'HEAD');
  assert.deepEqual(head.stream.log, ['respond 404 end']);
  assert.equal(head.answered.bytesOut, 0);
  assert.deepEqual(textsOf(told('trusted', true).stream.heads[0]?.fields ?? []), [
    ['content-type', 'application/grpc'],
    ['grpc-status', '5'],
    ['grpc-message', 'no-route: no such service here'],
    ['jumpgate-reason', 'no-route'],
  ]);
  const hidden = told('stranger', true);
  assert.deepEqual(hidden.stream.log, ['respond 200 end']);
  assert.deepEqual(textsOf(hidden.stream.heads[0]?.fields ?? []), [
    ['content-type', 'application/grpc'],
    ['grpc-status', '5'],
    ['grpc-message', 'refused'],
  ]);
  assert.deepEqual(hidden.answered, { status: 200, grpcStatus: 5, bytesOut: 0 });
});

/** Headers, trailers, hosts, refusals and deadlines of calls. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../base/clock.ts';
import { formatGrpcTimeout, parseGrpcTimeout, startDeadline } from '../../gateway/forward/deadline.ts';
import { cleanTrailers } from '../../gateway/headers/trailers.ts';
import { stripRequest, stripResponse } from '../../gateway/headers/strip.ts';
import { forwardedFromLink } from '../../gateway/headers/forwarded.ts';
import { encodeGrpcMessage } from '../../gateway/refusal/refuse.ts';
import { entryOf, reasonOf, REASONS } from '../../gateway/refusal/reason.ts';
import { roundRobin } from '../../gateway/routing/balance.ts';
import { isReservedHost, normaliseHost } from '../../gateway/routing/match.ts';

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
    ['x-hop', '1'],
    ['content-length', '3'],
    ['te', 'gzip, Trailers'],
    ['proxy-authorization', 'p'],
    ['jumpgate-anything', 'j'],
    ['x-forwarded-client-cert', 'c'],
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
  assert.deepEqual(stripRequest(headers), [...expected, ['te', 'trailers']]);
  assert.deepEqual(stripResponse(headers), expected);
});

test('trailers carry no framing, authentication or identity, and too many are no trailers', () => {
  const kept = ['grpc-status', '0'] as const;
  assert.deepEqual(
    cleanTrailers([
      kept,
      ['content-length', '1'],
      ['authorization', 'x'],
      ['x-forwarded-client-cert', 'x'],
      ['jumpgate-caller', 'x'],
      [':status', '200'],
      ['host', 'x'],
    ]),
    [kept],
  );
  assert.equal(cleanTrailers(Array.from({ length: 101 }, () => kept)), undefined);
  assert.equal(cleanTrailers(Array.from({ length: 100 }, () => kept))?.length, 100);
});

test('what a peer states about the entry passes only single and well-formed', () => {
  const good = [
    ['x-forwarded-host', 'a.b:80'],
    ['x-forwarded-proto', 'https'],
    ['x-forwarded-for', '2001:db8::1'],
  ] as const;
  assert.deepEqual(forwardedFromLink(good), good);
  assert.deepEqual(forwardedFromLink([...good, ...good]), []);
  assert.deepEqual(
    forwardedFromLink([
      ['x-forwarded-host', 'a b'],
      ['x-forwarded-proto', 'ftp'],
      ['x-forwarded-for', 'x'],
    ]),
    [],
  );
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

test('a deadline comes from a link or from grpc-timeout, never from a caller’s jumpgate-timeout', () => {
  const headers = [['jumpgate-timeout', '100']] as const;
  using link = startDeadline({ headers, grpc: false, from: 'link' }, systemClock);
  using caller = startDeadline({ headers, grpc: false, from: 'caller' }, systemClock);
  using longer = startDeadline({ headers: [['jumpgate-timeout', '99999999']], grpc: false, from: 'link' }, systemClock);
  using endless = startDeadline({ headers: [], grpc: true, from: 'caller' }, systemClock);
  assert.ok(Number(link?.field('link')?.[1]) <= 100);
  assert.ok(Number(caller?.field('link')?.[1]) > 14_000);
  assert.ok(Number(longer?.field('link')?.[1]) <= 15_000);
  assert.equal(link?.field('service'), undefined);
  assert.equal(endless?.field('link'), undefined);
  assert.equal(
    startDeadline({ headers: [['jumpgate-timeout', '-1']], grpc: false, from: 'link' }, systemClock),
    undefined,
  );
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

test('backends take turns, and one that refused comes last for a while', () => {
  let now = 0;
  const clock = { ...systemClock, monotonic: () => now };
  const balance = roundRobin(['a', 'b', 'c'], clock);
  assert.deepEqual(
    [balance.order()[0], balance.order()[0], balance.order()[0], balance.order()[0]],
    ['a', 'b', 'c', 'a'],
  );
  balance.refused('b');
  assert.deepEqual(balance.order(), ['c', 'a', 'b']);
  now = 5_000;
  assert.deepEqual(balance.order(), ['c', 'a', 'b']);
  assert.deepEqual(balance.order(), ['a', 'b', 'c']);
});

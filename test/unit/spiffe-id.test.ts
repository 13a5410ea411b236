/** The SPIFFE ID parser (spiffe.md SI-1 to SI-9) and patterns over IDs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { checkIdPattern, matchesId } from '../../trust-bundles/identity/match.ts';
import {
  edgeCallerId,
  gatewayIdOf,
  isReserved,
  parseSpiffeId,
  pathOf,
  trustDomainOf,
  trySpiffeId,
} from '../../trust-bundles/identity/spiffe-id.ts';
import { parseTrustDomain, tryTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';

for (const [line, id] of [
  ['SI-1', 'spiffe://a.test'],
  ['SI-1', 'spiffe://a.test/w'],
  ['SI-6', 'spiffe://10.0.0.1/w'],
  ['SI-6', 'spiffe://under_score/w'],
  ['SI-6', 'spiffe://-a.-/w'],
  ['SI-7', 'spiffe://a.test/...'],
  ['SI-7', 'spiffe://a.test/.a/..a/A-Z_0.9'],
  ['SI-8', `spiffe://${'a'.repeat(255)}/w`],
  ['SI-8', `spiffe://a/${'a'.repeat(2037)}`],
] as const) {
  test(`${line}: ${id.slice(0, 40)} (${id.length}) is a SPIFFE ID`, () => {
    assert.equal(parseSpiffeId(id), id);
  });
}

for (const [line, id] of [
  ['SI-1', ''],
  ['SI-1', 'a.test/w'],
  ['SI-1', 'spiffe:/a.test/w'],
  ['SI-1', 'Spiffe://a.test/w'],
  ['SI-1', 'SPIFFE://a.test/w'],
  ['SI-1', 'https://a.test/w'],
  ['SI-1', ' spiffe://a.test/w'],
  ['SI-2', 'spiffe://'],
  ['SI-2', 'spiffe:///a'],
  ['SI-3', 'spiffe://a.test?'],
  ['SI-3', 'spiffe://a.test/w?'],
  ['SI-3', 'spiffe://a.test/w?q'],
  ['SI-3', 'spiffe://a.test/w#'],
  ['SI-3', 'spiffe://a.test#f'],
  ['SI-4', 'spiffe://u@a.test/w'],
  ['SI-4', 'spiffe://@a.test/w'],
  ['SI-4', 'spiffe://a.test:/w'],
  ['SI-4', 'spiffe://a.test:80/w'],
  ['SI-5', 'spiffe://A.test/w'],
  ['SI-5', 'spiffe://a%2etest/w'],
  ['SI-5', 'spiffe://a.test\\w'],
  ['SI-5', 'spiffe://a.test\n/w'],
  ['SI-6', 'spiffe://[::1]/w'],
  ['SI-7', 'spiffe://a.test/%61'],
  ['SI-7', 'spiffe://a.test/'],
  ['SI-7', 'spiffe://a.test/w/'],
  ['SI-7', 'spiffe://a.test//w'],
  ['SI-7', 'spiffe://a.test/./w'],
  ['SI-7', 'spiffe://a.test/..'],
  ['SI-7', 'spiffe://a.test/w x'],
  ['SI-7', 'spiffe://a.test/w\n'],
  ['SI-7', 'spiffe://a.test/\u0000'],
  ['SI-7', 'spiffe://a.test/*'],
  ['SI-8', `spiffe://${'a'.repeat(256)}/w`],
  ['SI-8', `spiffe://a/${'a'.repeat(2038)}`],
  ['SI-9', 'spiffe://a.test/\u00fc'],
  ['SI-9', 'spiffe://\u0430.test/w'],
] as const) {
  test(`${line}: ${JSON.stringify(id.slice(0, 40))} (${id.length}) is no SPIFFE ID`, () => {
    assert.equal(trySpiffeId(id), undefined);
    assert.throws(() => parseSpiffeId(id), { code: 'spiffe-id-malformed' });
  });
}

test('SI-8: paths are compared with case', () => {
  assert.notEqual(parseSpiffeId('spiffe://a.test/Web'), parseSpiffeId('spiffe://a.test/web'));
  assert.equal(matchesId('spiffe://a.test/Web', parseSpiffeId('spiffe://a.test/web')), false);
});

test('an ID is its trust domain and its path', () => {
  const id = parseSpiffeId('spiffe://a.test/ns/shop');
  assert.equal(trustDomainOf(id), 'a.test');
  assert.equal(pathOf(id), '/ns/shop');
  assert.equal(pathOf(parseSpiffeId('spiffe://a.test')), '');
});

test('a trust domain is a name and nothing around it', () => {
  assert.equal(parseTrustDomain('us-east.example.org'), 'us-east.example.org');
  for (const text of ['', 'A', 'a/b', 'a:1', 'spiffe://a', 'a ', 'a\n', 'a'.repeat(256)]) {
    assert.equal(tryTrustDomain(text), undefined);
    assert.throws(() => parseTrustDomain(text), { code: 'trust-domain-malformed' });
  }
});

test('/jumpgate and what is below it is reserved, what only begins alike is not', () => {
  const domain = parseTrustDomain('a.test');
  assert.equal(gatewayIdOf(domain), 'spiffe://a.test/jumpgate');
  assert.equal(edgeCallerId(domain, 'public'), 'spiffe://a.test/jumpgate/edge/public');
  assert.throws(() => edgeCallerId(domain, 'a/../b'), { code: 'spiffe-id-malformed' });
  for (const id of ['spiffe://a.test/jumpgate', 'spiffe://a.test/jumpgate/edge/x'])
    assert.ok(isReserved(parseSpiffeId(id)));
  for (const id of [
    'spiffe://a.test/jumpgates',
    'spiffe://a.test/Jumpgate',
    'spiffe://a.test/ns/jumpgate',
    'spiffe://a.test',
  ]) {
    assert.equal(isReserved(parseSpiffeId(id)), false);
  }
});

for (const [pattern, id, expected] of [
  ['spiffe://a.test/ns/shop/sa/*', 'spiffe://a.test/ns/shop/sa/web', true],
  ['spiffe://a.test/ns/shop/sa/*', 'spiffe://a.test/ns/shop/sa/web/x', false],
  ['spiffe://a.test/ns/shop/sa/*', 'spiffe://a.test/ns/shop/sa', false],
  ['spiffe://a.test/ns/*/sa/web', 'spiffe://a.test/ns/shop/sa/web', true],
  ['spiffe://a.test/ns/*/sa/web', 'spiffe://a.test/ns/shop/sb/web', false],
  ['spiffe://a.test/**', 'spiffe://a.test/w', true],
  ['spiffe://a.test/**', 'spiffe://a.test/ns/shop', true],
  ['spiffe://a.test/**', 'spiffe://a.test', false],
  ['spiffe://a.test/**', 'spiffe://b.test/w', false],
  ['spiffe://a.test/**', 'spiffe://a.test.evil/w', false],
  ['spiffe://a.test/**', 'spiffe://a.test/jumpgate', false],
  ['spiffe://a.test/*', 'spiffe://a.test/jumpgate', false],
  ['spiffe://a.test/**', 'spiffe://a.test/jumpgate/edge/x', false],
  ['spiffe://a.test/jumpgate/*/x', 'spiffe://a.test/jumpgate/edge/x', false],
  ['spiffe://a.test/jumpgate/edge/x', 'spiffe://a.test/jumpgate/edge/x', true],
  ['spiffe://a.test/ns/Shop', 'spiffe://a.test/ns/shop', false],
  ['spiffe://a.test/ns/s.op', 'spiffe://a.test/ns/shop', false],
  ['spiffe://*/w', 'spiffe://a.test/w', false],
  ['**', 'spiffe://a.test/w', false],
  ['spiffe://**', 'spiffe://a.test/w', false],
  ['*', 'spiffe://a.test/w', false],
  ['spiffe://a.test/**/w', 'spiffe://a.test/x/w', false],
  ['spiffe://a.test/w*', 'spiffe://a.test/web', false],
] as const) {
  test(`the pattern ${pattern} ${expected ? 'matches' : 'does not match'} ${id}`, () => {
    assert.equal(matchesId(pattern, parseSpiffeId(id)), expected);
  });
}

test('patterns that stand for nothing sensible are problems', () => {
  for (const pattern of [
    'spiffe://a.test/w',
    'spiffe://a.test/*',
    'spiffe://a.test/ns/*/**',
    'spiffe://a.test/jumpgate/edge/x',
  ]) {
    assert.equal(checkIdPattern(pattern), undefined);
  }
  for (const pattern of [
    '',
    '*',
    '**',
    'a.test/w',
    'spiffe://a.test',
    'spiffe://a.test/',
    'spiffe://*/w',
    'spiffe://**',
    'spiffe://A/w',
    'spiffe://a.test/**/w',
    'spiffe://a.test/w*',
    'spiffe://a.test/***',
    'spiffe://a.test/../w',
    'spiffe://a.test/jumpgate/*',
    'spiffe://a.test/jumpgate/**',
    `spiffe://a.test/${'a'.repeat(2048)}`,
  ]) {
    assert.equal(typeof checkIdPattern(pattern), 'string', pattern);
  }
});

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

for (const id of [
  'spiffe://a.test',
  'spiffe://a.test/w',
  'spiffe://10.0.0.1/w',
  'spiffe://under_score/w',
  'spiffe://-a.-/w',
  'spiffe://a.test/...',
  'spiffe://a.test/.a/..a/A-Z_0.9',
  `spiffe://${'a'.repeat(255)}/w`,
  `spiffe://a/${'a'.repeat(2037)}`,
]) {
  test(`${id.slice(0, 40)} (${id.length}) is a SPIFFE ID`, () => {
    assert.equal(parseSpiffeId(id), id);
  });
}

for (const id of [
  '',
  'a.test/w',
  'spiffe:/a.test/w',
  'Spiffe://a.test/w',
  'SPIFFE://a.test/w',
  'https://a.test/w',
  ' spiffe://a.test/w',
  'spiffe://',
  'spiffe:///a',
  'spiffe://a.test?',
  'spiffe://a.test/w?',
  'spiffe://a.test/w?q',
  'spiffe://a.test/w#',
  'spiffe://a.test#f',
  'spiffe://u@a.test/w',
  'spiffe://@a.test/w',
  'spiffe://a.test:/w',
  'spiffe://a.test:80/w',
  'spiffe://[::1]/w',
  'spiffe://A.test/w',
  'spiffe://a%2etest/w',
  'spiffe://a.test/%61',
  'spiffe://a.test/',
  'spiffe://a.test/w/',
  'spiffe://a.test//w',
  'spiffe://a.test/./w',
  'spiffe://a.test/..',
  'spiffe://a.test/w x',
  'spiffe://a.test/w\n',
  'spiffe://a.test\n/w',
  'spiffe://a.test/\u0000',
  'spiffe://a.test/\u00fc',
  'spiffe://\u0430.test/w',
  'spiffe://a.test\\w',
  'spiffe://a.test/*',
  `spiffe://${'a'.repeat(256)}/w`,
  `spiffe://a/${'a'.repeat(2038)}`,
]) {
  test(`${JSON.stringify(id.slice(0, 40))} (${id.length}) is no SPIFFE ID`, () => {
    assert.equal(trySpiffeId(id), undefined);
    assert.throws(() => parseSpiffeId(id), { code: 'spiffe-id-malformed' });
  });
}

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

/** Paths as policy reads them. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import {
  checkGrpcPattern,
  checkPathPattern,
  grpcMethodOf,
  matchesGrpc,
  matchesPath,
  pathProblem,
} from '../../federation/policy/path.ts';

suite('a request target', () => {
  const refused: readonly (readonly [target: string, because: RegExp])[] = [
    ['', /starts with \//],
    ['*', /starts with \//],
    ['http://a/b', /starts with \//],
    ['/a b', /printable ASCII/],
    ['/a\tb', /printable ASCII/],
    ['/a\r\nx: y', /printable ASCII/],
    ['/a\u0000', /printable ASCII/],
    ['/a\u007f', /printable ASCII/],
    ['/é', /printable ASCII/],
    ['/\ud800', /printable ASCII/],
    ['/a#frag', /printable ASCII/],
    ['/a?q=1#frag', /printable ASCII/],
    ['/a?q= ', /printable ASCII/],
    ['/a\\b', /backslash/],
    ['/a%00b', /%00/],
    ['/a%', /percent escapes/],
    ['/a%4', /percent escapes/],
    ['/a%zz', /percent escapes/],
    ['/%u0061', /percent escapes/],
    ['/%c0%af', /percent escapes/],
    ['/%ed%a0%80', /percent escapes/],
    ['/%ff', /percent escapes/],
    ['/x/../admin', /dot segments/],
    ['/x/..', /dot segments/],
    ['/./admin', /dot segments/],
    ['/x/%2e%2e/admin', /dot segments/],
    ['/x/.%2E/admin', /dot segments/],
    ['/x/%2e', /dot segments/],
    ['/x/..;/admin', /dot segments/],
    ['/x/..;v=1/admin', /dot segments/],
    ['/x/..%3bv/admin', /dot segments/],
    ['/x/..%2fadmin', /dot segments/],
    ['/x%5c..%5cadmin', /dot segments/],
  ];
  for (const [target, because] of refused) {
    test(`is refused: ${JSON.stringify(target)}`, () => {
      assert.match(pathProblem(target) ?? 'accepted', because);
    });
  }

  const accepted = [
    '/',
    '/a',
    '/a/',
    '/a/.hidden',
    '/a/...',
    '/a/b..c',
    '/a%20b',
    '/caf%C3%A9',
    '/a?x=../y&z=%',
    '/a?b?c',
  ];
  for (const target of [...accepted, '/a//b', '/a%2Fb', '/a%5Cb', '/a;v=1', '/a%252e%252e']) {
    test(`is accepted: ${target}`, () => {
      assert.equal(pathProblem(target), undefined);
    });
  }
});

suite('a path pattern', () => {
  const cases: readonly (readonly [pattern: string, path: string, matches: boolean])[] = [
    ['/admin', '/admin', true],
    ['/admin', '/admin/', false],
    ['/admin', '/admin/x', false],
    ['/admin', '/x/admin', false],
    ['/admin', '/ADMIN', false],
    ['/admin', '/%61dmin', false],
    ['/admin/', '/admin/', true],
    ['/a.b', '/a.b', true],
    ['/a.b', '/axb', false],
    ['/a+', '/aa', false],
    ['/a/*', '/a/b', true],
    ['/a/*', '/a/', false],
    ['/a/*', '/a', false],
    ['/a/*', '/a/b/c', false],
    ['/a/*/c', '/a/b/c', true],
    ['/a/*/c', '/a/b/d', false],
    ['/a/**', '/a', true],
    ['/a/**', '/a/', true],
    ['/a/**', '/a/b/c', true],
    ['/a/**', '/ab', false],
    ['/a/**', '/b/a/c', false],
    ['/**', '/', true],
    ['/**', '/a/b', true],
    ['/*', '/', false],
    ['/*', '/a', true],
    ['/a%2bb', '/a%2Bb', true],
    ['/**', '/a//b', false],
    ['/**', '//a', false],
    ['/**', '/a%2Fb', false],
    ['/**', '/a%2fb', false],
    ['/**', '/a%5Cb', false],
    ['/**', '/a;v=1', false],
    ['/**', '/a%3Bv=1', false],
    ['/**', '/a%0Ab', false],
    ['/**', '/a%252Fb', false],
    ['/**', '/100%25', true],
  ];
  for (const [pattern, path, matches] of cases) {
    test(`${pattern} ${matches ? 'matches' : 'does not match'} ${path}`, () => {
      assert.equal(matchesPath(pattern, path), matches);
    });
  }

  for (const text of ['/', '/a', '/a/', '/a/*', '/a/*/b', '/a/**', '/**', '/a%20b', '/a.b']) {
    test(`may be written ${text}`, () => {
      assert.equal(checkPathPattern(text), undefined);
    });
  }
  for (const text of [
    '',
    'a',
    '*',
    '/a*',
    '/**/a',
    '/a//b',
    '/a;b',
    '/a%2Fb',
    '/../a',
    '/a?b',
    '/a b',
    '/***',
    '/a%zz',
  ]) {
    test(`may not be written ${JSON.stringify(text)}`, () => {
      assert.notEqual(checkPathPattern(text), undefined);
    });
  }
});

suite('a gRPC path', () => {
  test('is exactly /Service/Method', () => {
    assert.deepEqual(grpcMethodOf('/p.v1.S/M'), { service: 'p.v1.S', method: 'M' });
    for (const target of [
      '',
      '/',
      '/S',
      '/S/',
      'S/M',
      '/a/b/c',
      '//M',
      '/S/M?x',
      '/S/M/',
      '/S%2FM/x',
      '/S/M;x',
      '/*/M',
    ]) {
      assert.equal(grpcMethodOf(target), undefined, target);
    }
  });

  test('is matched by its method or by all methods of its service, anchored and with literal dots', () => {
    assert.ok(matchesGrpc('p.v1.S/M', '/p.v1.S/M'));
    assert.ok(matchesGrpc('p.v1.S/*', '/p.v1.S/M'));
    for (const target of ['/p.v1.S/Other', '/p.v1.S2/M', '/x.p.v1.S/M', '/pxv1.S/M', '/p.v1.S/m']) {
      assert.ok(!matchesGrpc('p.v1.S/M', target), target);
    }
    assert.ok(!matchesGrpc('p.v1.S/*', '/p.v1.S2/M'));
    assert.ok(!matchesGrpc('p.v1.S/*', '/p.v1.S/'));
  });

  test('has patterns of two forms only', () => {
    for (const text of ['p.S/M', 'p.S/*', 'S/M']) assert.equal(checkGrpcPattern(text), undefined, text);
    for (const text of ['', 'p.S', '/p.S/M', '*/M', '*', 'p.*/M', 'p.S/**', 'p.S/M*', 'p.S/M/x', 'p.S/', '../M']) {
      assert.notEqual(checkGrpcPattern(text), undefined, text);
    }
  });
});

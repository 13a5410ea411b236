/** Spellings that a second reader takes for something else: escapes of escapes in paths, underscores in header names. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { stripRequest, stripResponse } from '../../gateway/headers/strip.ts';
import { matchesPath, pathProblem } from '../../federation/policy/path.ts';

const NESTED = [
  '/ok/%252e%252e/secret',
  '/ok/%25%32%65%25%32%65/secret',
  '/ok/%252%65%252%65%252%66secret',
  '/ok/%25%32%66secret',
  '/ok/%2525%32%65',
];

test('an escape that is written in escapes matches no path pattern', () => {
  for (const path of NESTED) assert.equal(matchesPath('/ok/**', path), false, path);
});

test('an escaped percent sign that escapes nothing is an ordinary character', () => {
  assert.equal(pathProblem('/ok/100%25'), undefined);
  assert.equal(matchesPath('/ok/**', '/ok/100%25'), true);
});

test('the names that gateways write are removed in their underscore spelling too', () => {
  const claimed = [
    ['x_forwarded_client_cert', 'URI=spiffe://a.example.org/root'],
    ['jumpgate_caller', 'spiffe://a.example.org/root'],
    ['x-forwarded_host', 'a'],
    ['x_own_header', 'kept'],
  ] as const;
  assert.deepEqual(stripRequest(claimed), [['x_own_header', 'kept']]);
  assert.deepEqual(stripResponse(claimed), [['x_own_header', 'kept']]);
});

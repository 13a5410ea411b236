/** Spellings that a second reader takes for something else: escapes of escapes in paths, underscores in header names. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { readRequestFields } from '../../gateway/headers/request-fields.ts';
import { cleanResponse } from '../../gateway/headers/response-fields.ts';
import { field } from '../../gateway/message/names.ts';
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
    field('x_forwarded_client_cert', 'URI=spiffe://a.example.org/root'),
    field('jumpgate_caller', 'spiffe://a.example.org/root'),
    field('x-forwarded_host', 'a'),
    field('x_own_header', 'kept'),
  ];
  const head = {
    method: field(':method', 'GET'),
    path: field(':path', '/'),
    authority: field(':authority', 'a.example.org'),
    scheme: field(':scheme', 'http'),
    protocol: undefined,
    fields: claimed,
  };
  const read = readRequestFields(head);
  assert.deepEqual(
    read.kept.map(({ name, value }) => [name.text, value]),
    [['x_own_header', 'kept']],
  );
  assert.equal(read.linkCaller, undefined);
  assert.equal(read.forwardedHost, undefined);
  assert.deepEqual(
    cleanResponse(claimed).map(({ name, value }) => [name.text, value]),
    [['x_own_header', 'kept']],
  );
});

/** Spellings that a second reader takes for something else: escapes of escapes in paths, underscores in header names. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { readRequestFields } from '../../gateway/headers/request-fields.ts';
import { cleanResponse, cleanTrailers } from '../../gateway/headers/response-fields.ts';
import { type Field } from '../../gateway/message/field.ts';
import { type RequestHead } from '../../gateway/message/head.ts';
import { field } from '../../gateway/message/names.ts';
import { matchesPath, pathProblem } from '../../federation/policy/path.ts';

const namesOf = (fields: readonly Field[]): readonly string[] => fields.map(({ name }) => name.text);

const headWith = (fields: readonly Field[]): RequestHead => ({
  method: field(':method', 'GET'),
  path: field(':path', '/'),
  authority: field(':authority', 'a.example.org'),
  scheme: field(':scheme', 'http'),
  protocol: undefined,
  fields,
});

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
  const read = readRequestFields(headWith(claimed));
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

test('names that frame a message or belong to one hop are removed in their underscore spelling too', () => {
  const frames = [
    'transfer_encoding',
    'content_length',
    'keep_alive',
    'proxy_connection',
    'proxy_authorization',
    'proxy-authenticate_info',
    'http2_settings',
  ];
  for (const name of frames) {
    const claimed = [field(name, 'chunked'), field('content-length', '5'), field('x_length', '5')];
    const kept = ['content-length', 'x_length'];
    assert.deepEqual(namesOf(readRequestFields(headWith(claimed)).kept), kept, name);
    assert.deepEqual(namesOf(cleanResponse(claimed)), kept, name);
    assert.deepEqual(namesOf(cleanTrailers(claimed)), ['x_length'], name);
  }
  const before = ['content_type', 'set_cookie', 'grpc_timeout', 'content_encoding', 'content_range'];
  assert.deepEqual(cleanTrailers(before.map((name) => field(name, 'x'))), []);
});

/** Heads of requests that two readers could understand in two ways, or that take too much: rows B and D of the catalogue. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { type EarlyReason } from '../../gateway/message/stream.ts';
import { get, HOST, post, SMUGGLED } from '../support/http1-requests.ts';
import { bytesOf, pairs, serverOver } from '../support/http1-wire.ts';

type Case = readonly [name: string, bytes: string, status: number, reason: EarlyReason];

const HEAD = 'header-malformed';
const LINE = 'request-malformed';

const REFUSED: readonly Case[] = [
  // B1, B2: transfer codings.
  ['length and chunked', post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n'), 400, HEAD],
  ['chunked and length', post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n'), 400, HEAD],
  ['length 0 and chunked', post('Content-Length: 0\r\nTransfer-Encoding: chunked\r\n'), 400, HEAD],
  ['length and an odd coding', post('Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n'), 400, HEAD],
  ...[
    ',chunked',
    'chunked,',
    'chunked;x',
    'xchunked',
    '\x0bchunked',
    'chunked\x0b',
    'chunked, chunked',
    'chunked, gzip',
    'identity',
    '',
    '"chunked"',
    'chun ked',
    'chunked\x00',
    '\xa0chunked',
    'chunked, identity',
    'gzip;q=1, chunked',
  ].map((coding): Case => [`coding ${JSON.stringify(coding)}`, post(`Transfer-Encoding: ${coding}\r\n`), 400, HEAD]),
  ['a coding before chunked', post('Transfer-Encoding: gzip, chunked\r\n'), 501, 'transfer-coding-unsupported'],
  ['a coding that is not chunked', post('Transfer-Encoding: gzip\r\n'), 501, 'transfer-coding-unsupported'],
  ['two codings in two fields', post('Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n'), 400, HEAD],
  ['chunked in two fields', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'), 400, HEAD],
  ['a coding in HTTP/1.0', `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${SMUGGLED}`, 400, HEAD],
  // B3, B4: lengths.
  ['two equal lengths', post('Content-Length: 5\r\nContent-Length: 5\r\n'), 400, HEAD],
  ['two different lengths', post('Content-Length: 5\r\nContent-Length: 6\r\n'), 400, HEAD],
  ...[
    '5, 5',
    '5,5',
    '',
    '+5',
    '-48',
    '0x10',
    '1_0',
    '010',
    '00',
    '1Z',
    '9223372036854775808',
    '1e1',
    '5 5',
    '5;',
    '５',
    '٣',
    '5\x00',
    '0.5',
    '1,',
    '18446744073709551621',
    '1000000000000000',
  ].map((length): Case => [
    `length ${JSON.stringify(length)}`,
    post(`Content-Length: ${Buffer.from(length).toString('latin1')}\r\n`),
    400,
    HEAD,
  ]),
  // B8 to B11: lines.
  ['a block that ends in CR LF CR X', `GET / HTTP/1.1\r\n${HOST}\r\n\rX`.replace('\r\n\r\n\r', '\r\n\r'), 400, HEAD],
  ['bare LF after the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n', 400, LINE],
  ['bare LF after a field', 'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n', 400, HEAD],
  ['bare LF for the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\n', 400, HEAD],
  ['bare CR after the request line', 'GET / HTTP/1.1\rHost: a\r\n\r\n', 400, LINE],
  ['bare CR in a value', get('X: a\rb\r\n'), 400, HEAD],
  ['CR CR LF', get('X: a\r\r\n'), 400, HEAD],
  ['NUL in a value', get('X: a\x00b\r\n'), 400, HEAD],
  ['a control character in a value', get('X: a\x01b\r\n'), 400, HEAD],
  ['DEL in a value', get('X: a\x7f\r\n'), 400, HEAD],
  ['a folded field', get('X: a\r\n b\r\n'), 400, HEAD],
  ['a folded field with a tab', get('X: a\r\n\tb\r\n'), 400, HEAD],
  ['a folded name', get('X\r\n : a\r\n'), 400, HEAD],
  ['a space before the first field', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 400, HEAD],
  ['a space before the colon', get('X : a\r\n'), 400, HEAD],
  ['a tab before the colon', get('X\t: a\r\n'), 400, HEAD],
  ['a space before the colon of a length', post('Content-Length : 5\r\n'), 400, HEAD],
  ['no colon', get('X\r\n'), 400, HEAD],
  ['an empty name', get(': a\r\n'), 400, HEAD],
  ['an 8-bit name', get('X\xe9: a\r\n'), 400, HEAD],
  ['NUL in a name', get('X\x00: a\r\n'), 400, HEAD],
  ['brackets in a name', get('X(y): a\r\n'), 400, HEAD],
  ['nine empty lines before a request', `${'\r\n'.repeat(9)}${get('')}`, 400, LINE],
  ['a bare LF behind an empty line', `\r\n\n${get('')}`, 400, LINE],
  ['bare LF before a request', `\n${get('')}`, 400, LINE],
  // Host.
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400, HEAD],
  ['two Hosts', get('Host: a\r\n'), 400, HEAD],
  ['two Hosts in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n', 400, HEAD],
  ...[
    '',
    'a b',
    'a,b',
    'u@a',
    'a/b',
    'a:80:80',
    'a:x',
    'a:',
    'a:65536',
    'a:000080',
    '[::1',
    'a\\b',
    'é',
    'a?b',
    'a#b',
    'http://a',
    '%61',
    '"a"',
    '<a>',
  ].map((host): Case => [`Host ${JSON.stringify(host)}`, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 400, HEAD]),
  // B13 to B15: targets.
  ['absolute form', 'GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'target-malformed'],
  ['absolute form and another Host', 'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'target-malformed'],
  ['authority form', 'GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'target-malformed'],
  ['a bare name', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'target-malformed'],
  ['asterisk form', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'target-malformed'],
  ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 405, 'method-unsupported'],
  ['CONNECT to a path', 'CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n', 405, 'method-unsupported'],
  ['a fragment', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'target-malformed'],
  ['a fragment alone', 'GET # HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'target-malformed'],
  ['an 8-bit target', 'GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n', 400, LINE],
  ['NUL in the target', 'GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n', 400, LINE],
  ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 400, LINE],
  ['an empty target', 'GET  HTTP/1.1\r\nHost: a\r\n\r\n', 400, LINE],
  ['two spaces', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n', 400, LINE],
  ['a tab for a space', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, LINE],
  ['a space at the end of the line', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n', 400, LINE],
  ['a space at the start of the line', ' GET / HTTP/1.1\r\nHost: a\r\n\r\n', 400, LINE],
  // B16: methods.
  ...['get', 'Get', 'G=":', 'GET\x00', 'GE(T', '\x01', 'G\xc9T', 'A'.repeat(33), 'A'.repeat(1024), '1GET'].map(
    (method): Case => [
      `method ${JSON.stringify(method).slice(0, 40)}`,
      `${method} / HTTP/1.1\r\nHost: a\r\n\r\n`,
      400,
      LINE,
    ],
  ),
  // B17: versions.
  ...[
    'HTTP/1.32',
    'HTTP/4294967295.255',
    'HTTP/1',
    'http/1.1',
    'HTTP/1.1x',
    'HTTP/ 1.1',
    'HTTP/+1.1',
    'HTTPS/1.1',
    'ICY/1.1',
    'HTTP/1,1',
    'HTTP/01.1',
  ].map((version): Case => [`version ${version}`, `GET / ${version}\r\nHost: a\r\n\r\n`, 400, LINE]),
  ['HTTP/0.9 without a version', 'GET /\r\nHost: a\r\n\r\n', 400, LINE],
  ...['HTTP/0.9', 'HTTP/1.2', 'HTTP/2.0', 'HTTP/3.0', 'HTTP/9.9'].map((version): Case => [
    `version ${version}`,
    `GET / ${version}\r\nHost: a\r\n\r\n`,
    505,
    'version-unsupported',
  ]),
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, 'version-unsupported'],
  // B18, B19: limits.
  ['a target over the limit', `GET /${'a'.repeat(8192)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414, 'limit-target'],
  ['a target far over the limit', `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414, 'limit-target'],
  ['a target without an end', `GET /${'a'.repeat(9_000)}`, 414, 'limit-target'],
  ['101 fields', get('a: b\r\n'.repeat(100)), 431, 'limit-header-fields'],
  [
    '2,001 fields with the length last',
    post(`${'a:\r\n'.repeat(2_000)}Content-Length: 5\r\n`),
    431,
    'limit-header-fields',
  ],
  ['a block over the limit', get(`X: ${'a'.repeat(16 * 1024 - HOST.length - 4)}\r\n`), 431, 'limit-header-bytes'],
  ['a field without an end', `GET / HTTP/1.1\r\n${HOST}X: ${'a'.repeat(17_000)}`, 431, 'limit-header-bytes'],
  ['a name over the limit', get(`${'n'.repeat(257)}: a\r\n`), 431, 'limit-header-bytes'],
  // B23.
  ['an expectation', post('Content-Length: 5\r\nExpect: x\r\n'), 417, 'expectation-unsupported'],
  [
    'two expectations',
    post('Content-Length: 5\r\nExpect: 100-continue\r\nExpect: x\r\n'),
    417,
    'expectation-unsupported',
  ],
  // Upgrades.
  ['WebSocket without a key', get('Connection: Upgrade\r\nUpgrade: websocket\r\n'), 400, HEAD],
  [
    'WebSocket with a short key',
    get('Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: abc\r\n'),
    400,
    HEAD,
  ],
  ['a Connection option that is no token', get('Connection: a b\r\n'), 400, HEAD],
];

suite('refused with its status, and the connection closed', () => {
  for (const [name, bytes, status, reason] of REFUSED) {
    test(name, () => {
      const { wire, listener, connection } = serverOver();
      connection.receive(bytesOf(bytes));
      assert.deepEqual(
        listener.refused.map((refused) => refused.reason),
        [reason],
      );
      assert.equal(listener.requests.length, 0);
      const sent = wire.take();
      assert.match(sent, new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.match(sent, /\r\nconnection: close\r\n/);
      assert.equal(sent.split('HTTP/1.1').length, 2, 'one answer');
      assert.ok(wire.closed);
      // Nothing that follows is a request any more.
      connection.receive(bytesOf(SMUGGLED));
      assert.equal(listener.requests.length, 0);
      assert.equal(wire.take(), '');
    });
  }
});

suite('the same verdict, byte by byte', () => {
  for (const [name, bytes, status, reason] of REFUSED) {
    if (bytes.length > 20_000) continue;
    test(name, () => {
      const { wire, listener, connection } = serverOver();
      for (const byte of bytesOf(bytes)) connection.receive(Buffer.of(byte));
      assert.deepEqual(
        listener.refused.map((refused) => refused.reason),
        [reason],
      );
      assert.equal(listener.requests.length, 0);
      assert.match(wire.take(), new RegExp(`^HTTP/1\\.1 ${status} `));
    });
  }
});

suite('names that are special to JavaScript', () => {
  test('are ordinary strings', () => {
    const { listener, connection } = serverOver();
    connection.receive(bytesOf(get('__proto__: x\r\nconstructor: y\r\ntoString: z\r\n')));
    assert.deepEqual(pairs(listener.at(0).head.fields), [
      ['__proto__', 'x'],
      ['constructor', 'y'],
      ['tostring', 'z'],
    ]);
    assert.equal(({} as Record<string, unknown>)['x'], undefined);
  });
});

suite('bodies on methods that have none', () => {
  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS']) {
    for (const [name, text] of [
      ['a length', `Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`],
      ['chunks', `Transfer-Encoding: chunked\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`],
    ] as const) {
      test(`${method} with ${name}: the body never starts the next request`, () => {
        const { listener, connection } = serverOver();
        connection.receive(bytesOf(`${method} / HTTP/1.1\r\n${HOST}${text}GET /next HTTP/1.1\r\n${HOST}\r\n`));
        assert.equal(listener.at(0).body, SMUGGLED);
        listener.at(0).stream.respond({ status: 200, fields: [] }, true);
        assert.equal(listener.at(1).head.path.value, '/next');
        assert.equal(listener.requests.length, 2);
      });
    }
  }
});

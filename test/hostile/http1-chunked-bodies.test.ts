/** Chunked bodies that two readers could understand in two ways, or that take too much: rows B and D of the catalogue. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { chunked, SMUGGLED } from '../support/http1-requests.ts';
import { bytesOf, serverOver } from '../support/http1-wire.ts';

const BAD_CHUNKS: readonly (readonly [string, string])[] = [
  ...[
    '0x5',
    '+5',
    '-0',
    '-5',
    ' 5',
    '5 ',
    '\t5',
    '',
    '0_2e',
    '5_',
    '5x',
    'g',
    '0'.repeat(16) + '5',
    '5;',
    '5;=',
    '5;a b',
    '5; a=b',
    '5 ;a=b',
    '5;a="',
    '5;a=b\x00',
    '5;\xe9',
    '5;a=\x01',
    '5,5',
    '5.',
    `5;${'a'.repeat(200)}`,
    '1'.repeat(13),
    '5;a\rb',
  ].map((size) => [`size ${JSON.stringify(size).slice(0, 40)}`, `${size}\r\nhello\r\n0\r\n\r\n`] as const),
  ['bare LF behind the size', '5\nhello\r\n0\r\n\r\n'],
  ['bare LF behind an extension', '5;a\nhello\r\n0\r\n\r\n'],
  ['bare CR behind the size', '5\rhello\r\n0\r\n\r\n'],
  ['bare LF behind the chunk', '5\r\nhello\n0\r\n\r\n'],
  ['bare CR behind the chunk', '5\r\nhello\r0\r\n\r\n'],
  ['a chunk longer than its size', '5\r\nhello!\r\n0\r\n\r\n'],
  ['a chunk shorter than its size', '6\r\nhello\r\n0\r\n\r\n'],
  ['bare LF behind the last size', '5\r\nhello\r\n0\n\r\n'],
  ['bare LF at the end of trailers', '5\r\nhello\r\n0\r\n\n'],
  ['a trailer with a space before its colon', '5\r\nhello\r\n0\r\na : b\r\n\r\n'],
  ['a folded trailer', '5\r\nhello\r\n0\r\na: b\r\n c\r\n\r\n'],
  ['101 trailers', `0\r\n${'a: b\r\n'.repeat(101)}\r\n`],
  ['trailers over the limit', `0\r\na: ${'b'.repeat(17_000)}\r\n\r\n`],
  ['extensions over the limit of a message', `${`1;${'e'.repeat(100)}\r\nx\r\n`.repeat(41)}0\r\n\r\n`],
];

suite('a body that is no chunked one', () => {
  for (const [name, body] of BAD_CHUNKS) {
    for (const pieces of ['at once', 'byte by byte']) {
      test(`${name}, ${pieces}`, () => {
        const { wire, listener, connection } = serverOver();
        const bytes = bytesOf(chunked(body) + SMUGGLED);
        if (pieces === 'at once') connection.receive(bytes);
        else for (const byte of bytes) connection.receive(Buffer.of(byte));
        assert.equal(listener.requests.length, 1);
        assert.equal(listener.at(0).ended, false);
        assert.equal(listener.at(0).resetCode, 1);
        assert.deepEqual(
          listener.refused.map(({ reason }) => reason),
          ['request-malformed'],
        );
        assert.match(wire.take(), /^HTTP\/1\.1 400 /);
        assert.ok(wire.closed);
      });
    }
  }

  test('cuts the connection when the answer has begun', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(chunked('5\r\nhello\r\n')));
    listener.at(0).stream.respond({ status: 200, fields: [] }, false);
    connection.receive(bytesOf('x\r\n'));
    assert.ok(wire.isCut);
    assert.equal(listener.at(0).resetCode, 1);
    assert.equal(listener.refused.length, 0);
  });
});

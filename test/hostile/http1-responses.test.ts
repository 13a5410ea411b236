/** Responses that two readers could understand in two ways: none of them reaches a caller, and their connection is never used again. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { bytesOf, clientOver, RecordedResponse, requestHead } from '../support/http1-wire.ts';

const MALFORMED: readonly (readonly [string, string])[] = [
  ['length and chunked', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello'],
  ['a list of lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello'],
  ['a signed length', 'HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello'],
  ['an empty length', 'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n'],
  ['another coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
  ['an empty coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n'],
  ['two codings', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['a coding in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n'],
  ['bare LF behind a field', 'HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n'],
  ['a folded field', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n'],
  ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n'],
  ['NUL in a value', 'HTTP/1.1 200 OK\r\nX: \0\r\n\r\n'],
  ['bare CR in a value', 'HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n'],
  ['no colon', 'HTTP/1.1 200 OK\r\nX\r\n\r\n'],
  ['an empty line first', '\r\nHTTP/1.1 200 OK\r\n\r\n'],
  ['no version', '200 OK\r\n\r\n'],
  ['another version', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
  ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
  ['status 099', 'HTTP/1.1 099 OK\r\n\r\n'],
  ['status 600', 'HTTP/1.1 600 OK\r\n\r\n'],
  ['a phrase with a control character', 'HTTP/1.1 200 O\x01K\r\n\r\n'],
  ['bytes that are no HTTP', 'SSH-2.0-OpenSSH\r\n'],
  ['101 nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
  ['101 fields', `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(101)}\r\n`],
  ['a block over the limit', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(17_000)}\r\n\r\n`],
  ['an endless status line', `HTTP/1.1 200 ${'a'.repeat(9_000)}`],
  ['an odd Connection', 'HTTP/1.1 200 OK\r\nConnection: a b\r\n\r\n'],
];

const BROKEN_BODIES: readonly (readonly [string, string])[] = [
  ['a chunk size with a sign', '+5\r\nhello\r\n'],
  ['a chunk size in 0x', '0x5\r\nhello\r\n'],
  ['bare LF behind a size', '5\nhello\r\n'],
  ['a chunk over its size', '5\r\nhello!\r\n'],
  ['a malformed trailer', '0\r\nx\r\n\r\n'],
];

function ask(
  text: string,
  step: number,
): { readonly receiver: RecordedResponse; readonly usable: boolean; readonly cut: boolean } {
  const { connection, wire } = clientOver();
  const receiver = new RecordedResponse();
  connection.open(requestHead('GET', '/'), true, receiver);
  connection.flushed();
  const bytes = bytesOf(text);
  for (let at = 0; at < bytes.length; at += step) connection.receive(bytes.subarray(at, at + step));
  return { receiver, usable: connection.usable, cut: wire.isCut };
}

suite('heads that are refused', () => {
  for (const [name, text] of MALFORMED) {
    test(name, () => {
      for (const step of [text.length, 1]) {
        const { receiver, usable, cut } = ask(text, step);
        assert.equal(receiver.resetCode, 1);
        assert.equal(receiver.head, undefined);
        assert.equal(usable, false);
        assert.ok(cut);
      }
    });
  }
});

suite('bodies that break', () => {
  for (const [name, text] of BROKEN_BODIES) {
    test(name, () => {
      for (const step of [1000, 1]) {
        const { receiver, usable, cut } = ask(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${text}`, step);
        assert.equal(receiver.head?.status, 200);
        assert.equal(receiver.resetCode, 1);
        assert.equal(receiver.ended, false);
        assert.equal(usable, false);
        assert.ok(cut);
      }
    });
  }
});

/** What an HTTP/1.1 request may be at the most, and how long it may take: rows B and D of the catalogue, up to the limit. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { chunked, get, HOST, post, SMUGGLED } from '../support/http1-requests.ts';
import { bytesOf, serverOver } from '../support/http1-wire.ts';

suite('at the limits', () => {
  const passes = (bytes: string): void => {
    for (const step of [bytes.length, 1, 7]) {
      const { listener, connection } = serverOver();
      const all = bytesOf(bytes);
      for (let at = 0; at < all.length; at += step) connection.receive(all.subarray(at, at + step));
      assert.deepEqual(listener.refused, []);
      assert.equal(listener.requests.length, 1);
    }
  };

  test('a target of 8 KiB passes', () => {
    passes(`GET /${'a'.repeat(8191)} HTTP/1.1\r\nHost: a\r\n\r\n`);
    passes(`GET /${'a'.repeat(8190)} HTTP/1.1\r\nHost: a\r\n\r\n`);
  });

  test('the longest method with the longest target passes', () => {
    passes(`${'A'.repeat(32)} /${'a'.repeat(8191)} HTTP/1.1\r\nHost: a\r\n\r\n`);
  });

  test('100 and 99 fields pass', () => {
    passes(get('a: b\r\n'.repeat(99)));
    passes(get('a: b\r\n'.repeat(98)));
  });

  test('a block of 16 KiB passes', () => {
    passes(get(`X: ${'a'.repeat(16 * 1024 - HOST.length - 5)}\r\n`));
    passes(get(`X: ${'a'.repeat(16 * 1024 - HOST.length - 6)}\r\n`));
  });

  test('a name of 256 bytes passes', () => {
    passes(get(`${'n'.repeat(256)}: a\r\n`));
  });

  for (const lines of [1, 2, 7, 8]) {
    test(`empty lines before a request: ${lines} pass`, () => {
      passes(`${'\r\n'.repeat(lines)}${get('')}`);
    });
  }

  test('chunk sizes of 12 digits and small extensions pass', () => {
    passes(chunked('000000000005;a;b=c;d="e\\"f"\r\nhello\r\n00\r\n\r\n'));
    passes(chunked(`${`1;${'e'.repeat(100)}\r\nx\r\n`.repeat(40)}0\r\n\r\n`));
  });
});

suite('deadlines', () => {
  test('a head that is not complete in ten seconds is answered 408', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf('GET / HTTP/1.1\r\n'));
    connection.tick(9_999);
    connection.receive(bytesOf('Host: a\r\n'));
    assert.equal(listener.refused.length, 0);
    connection.tick(10_000);
    assert.deepEqual(
      listener.refused.map(({ reason }) => reason),
      ['headers-timeout'],
    );
    assert.equal(listener.refused[0]?.head.method?.value, 'GET');
    assert.match(wire.take(), /^HTTP\/1\.1 408 /);
    assert.ok(wire.closed);
  });

  test('a connection on which nothing comes is closed in ten seconds', () => {
    const { wire, listener, connection } = serverOver();
    connection.tick(9_999);
    assert.equal(wire.closed, false);
    connection.tick(10_000);
    assert.ok(wire.closed);
    assert.equal(listener.refused.length, 0);
  });

  test('an idle connection is closed in five minutes', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(get('')));
    connection.tick(1_000);
    listener.at(0).stream.respond({ status: 204, fields: [] }, true);
    connection.tick(300_999);
    assert.equal(wire.closed, false);
    connection.tick(301_000);
    assert.ok(wire.closed);
  });

  test('a body that comes slowly is for whoever receives it to judge, and the connection waits', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(post('Content-Length: 1000000\r\n').replace(SMUGGLED, '')));
    connection.receive(Buffer.alloc(70_000));
    connection.tick(600_000);
    assert.ok(wire.paused);
    listener.at(0).stream.credit(70_000);
    assert.equal(wire.paused, false);
    connection.tick(1_200_000);
    assert.deepEqual([wire.isCut, wire.closed, listener.at(0).resetCode], [false, false, undefined]);
  });
});

/** What the client’s end of HTTP/1.1 sends, without sockets. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { Spelling } from '../../gateway/http1/spelling.ts';
import { bytesOf, clientOver, RecordedResponse, requestHead, send } from '../support/http1-wire.ts';

suite('requests', () => {
  test('are framed by what they have', () => {
    assert.equal(send('GET').text, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    assert.equal(send('POST').text, 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n');
    assert.equal(send('DELETE').text, 'DELETE / HTTP/1.1\r\nhost: a\r\n\r\n');
    assert.equal(send('GET', { end: false }).text, 'GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n');
    assert.equal(
      send('PUT', { end: false, fields: [['content-length', '3']] }).text,
      'PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n',
    );
  });

  test('carry their body in chunks, or as it is, with trailers where there are chunks', () => {
    const { stream, wire } = send('POST', { end: false });
    stream.write(bytesOf('hello'), false);
    stream.finish([
      ...requestHead('GET', '/', {
        fields: [
          ['x', '1'],
          ['host', 'b'],
        ],
      }).fields,
    ]);
    stream.write(bytesOf('more'), true);
    assert.equal(wire.take(), '5\r\nhello\r\n0\r\nx: 1\r\n\r\n');
    const counted = send('POST', { end: false, fields: [['content-length', '5']] });
    counted.stream.write(bytesOf('hello'), true);
    assert.equal(counted.wire.take(), 'hello');
  });

  test('never hold Expect or fields of another connection; cookies are one line; te: trailers is named', () => {
    const { text } = send('GET', {
      fields: [
        ['cookie', 'a=1'],
        ['expect', '100-continue'],
        ['connection', 'x'],
        ['te', 'trailers'],
        ['upgrade', 'h2c'],
        ['x', 'y'],
        ['cookie', 'b=2'],
        ['transfer-encoding', 'chunked'],
        ['host', 'evil'],
      ],
    });
    assert.equal(
      text,
      'GET / HTTP/1.1\r\nhost: a\r\nx: y\r\ncookie: a=1; b=2\r\nte: trailers\r\nconnection: te\r\n\r\n',
    );
  });

  test('are spelled as the backend wants it', () => {
    const fields = [
      ['x-request-id', '1'],
      ['soapaction', 's'],
      ['www-authenticate', 'w'],
      ['cookie', 'c=1'],
      ['te', 'trailers'],
    ] as const;
    const title = send(
      'POST',
      { fields },
      clientOver({ spelling: new Spelling('title', ['SOAPAction', 'WWW-Authenticate']) }),
    );
    assert.equal(
      title.text,
      'POST / HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\nSOAPAction: s\r\nWWW-Authenticate: w\r\nCookie: c=1\r\nContent-Length: 0\r\nTe: trailers\r\nConnection: te\r\n\r\n',
    );
    const lower = send('POST', { fields }, clientOver({ spelling: new Spelling('lower', ['SOAPAction']) }));
    assert.match(lower.text, /x-request-id: 1\r\nSOAPAction: s\r\nwww-authenticate/);
  });

  test('that no line can hold throw, and nothing has left', () => {
    const { wire, connection } = clientOver();
    const bad: readonly Parameters<typeof requestHead>[] = [
      ['GET', '/a b'],
      ['GET', '/a\r\nx: y'],
      ['GET', '/#a'],
      ['GET', 'a'],
      ['GET', ''],
      ['GET', '*'],
      ['GET', '/é'],
      ['GE T', '/'],
      ['GET\r\n', '/'],
      ['', '/'],
      ['CONNECT', '/'],
      ['GET', '/', { authority: '' }],
      ['GET', '/', { authority: 'a\r\nx: y' }],
      ['GET', '/', { authority: 'a b' }],
      ['GET', '/', { fields: [['x', 'a\r\nb: c']] }],
      ['GET', '/', { fields: [['x', 'a\nb']] }],
      ['GET', '/', { fields: [['x', '\0']] }],
      ['GET', '/', { fields: [['x y', 'a']] }],
      ['GET', '/', { fields: [['x:', 'a']] }],
      ['GET', '/', { fields: [['', 'a']] }],
      ['GET', '/', { fields: [['cookie', 'a\r\nb']] }],
      ['GET', '/', { fields: [['content-length', '5']] }],
      [
        'GET',
        '/',
        {
          fields: [
            ['content-length', '0'],
            ['content-length', '0'],
          ],
        },
      ],
      ['CONNECT', '/', { protocol: 'web socket\r\n' }],
    ];
    for (const each of bad) {
      assert.throws(
        () => connection.open(requestHead(...each), true, new RecordedResponse()),
        { code: 'header-malformed' },
        JSON.stringify(each),
      );
      assert.equal(wire.take(), '');
      assert.ok(connection.usable);
    }
  });

  test('lose the white space at the ends of their values', () => {
    assert.match(
      send('GET', {
        fields: [
          ['x', ' \ta b\t '],
          ['y', '  '],
        ],
      }).text,
      /\r\nx: a b\r\ny: \r\n/,
    );
  });

  test('go one at a time', () => {
    const { connection, receiver } = send('GET');
    assert.equal(connection.usable, false);
    assert.equal(connection.streams, 1);
    assert.equal(connection.open(requestHead('GET', '/'), true, new RecordedResponse()), undefined);
    connection.receive(bytesOf('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
    assert.ok(receiver.ended);
    assert.equal(connection.usable, true);
    assert.equal(connection.streams, 0);
  });

  test('longer or shorter than their length break the connection', () => {
    for (const body of ['hell', 'hello!']) {
      const { stream, wire, receiver, connection } = send('POST', { end: false, fields: [['content-length', '5']] });
      stream.write(bytesOf(body), true);
      assert.ok(wire.isCut);
      assert.equal(receiver.resetCode, 2);
      assert.equal(connection.usable, false);
    }
  });
});

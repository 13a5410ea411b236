/** What the client’s end of HTTP/1.1 makes of answers, of their lack, and of a connection that is used again. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { bytesOf, clientOver, pairs, RecordedResponse, requestHead, send, type Sent } from '../support/http1-wire.ts';

suite('responses', () => {
  const kept: readonly (readonly [string, string, string, string])[] = [
    ['of a length', 'GET', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 'hello'],
    ['in chunks', 'GET', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n', 'hello'],
    ['without a phrase', 'GET', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', ''],
    ['to HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', ''],
    ['to HEAD in chunks', 'HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', ''],
    ['204', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
    ['304 with a length', 'GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', ''],
    [
      'of HTTP/1.0 that keeps',
      'GET',
      'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello',
      'hello',
    ],
  ];
  for (const [name, method, text, body] of kept) {
    test(`${name}, in pieces of any size, keep the connection`, () => {
      const bytes = bytesOf(text);
      for (let step = 1; step <= bytes.length; step += 1) {
        const { connection, receiver, wire } = send(method);
        for (let at = 0; at < bytes.length; at += step) connection.receive(bytes.subarray(at, at + step));
        assert.equal(receiver.body, body);
        assert.ok(receiver.ended);
        assert.ok(connection.usable);
        assert.equal(wire.closed, false);
      }
    });
  }

  test('without a length end with the connection', () => {
    const { connection, receiver, wire } = send('GET');
    connection.receive(bytesOf('HTTP/1.1 200 OK\r\n\r\nhello'));
    assert.equal(receiver.ended, false);
    connection.receivedEnd();
    assert.equal(receiver.body, 'hello');
    assert.ok(receiver.ended);
    assert.equal(connection.usable, false);
    assert.ok(wire.closed);
  });

  test('without a length that are cut are reset', () => {
    const { connection, receiver } = send('GET');
    connection.receive(bytesOf('HTTP/1.1 200 OK\r\n\r\nhello'));
    connection.connectionLost();
    assert.equal(receiver.ended, false);
    assert.equal(receiver.resetCode, 2);
  });

  test('after which the connection is not used again', () => {
    for (const text of [
      'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
      'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx',
      'HTTP/1.1 204 No Content\r\n\r\nx',
    ]) {
      const { connection, receiver, wire } = send('GET');
      receiver.onEnd = () => {
        assert.equal(connection.usable, false, text);
      };
      connection.receive(bytesOf(text));
      assert.ok(receiver.ended);
      assert.equal(receiver.resetCode, undefined);
      assert.equal(connection.usable, false);
      assert.ok(wire.closed);
    }
  });

  test('nobody asked for cut an idle connection', () => {
    const { connection, wire } = send('GET');
    connection.receive(bytesOf('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
    connection.receive(bytesOf('H'));
    assert.ok(wire.isCut);
    assert.equal(connection.usable, false);
  });

  test('a connection can be used again from within the end of a response', () => {
    const over = clientOver();
    const { receiver, connection, wire } = send('GET', {}, over);
    const next = new RecordedResponse();
    receiver.onEnd = () => {
      assert.ok(connection.open(requestHead('GET', '/2'), true, next) !== undefined);
    };
    connection.receive(bytesOf('HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx'));
    assert.equal(wire.take(), 'GET /2 HTTP/1.1\r\nhost: a\r\n\r\n');
    connection.receive(bytesOf('HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n'));
    assert.equal(next.head?.status, 201);
  });

  test('that come before the request is complete are told, and the connection closes after', () => {
    const { connection, receiver, stream, wire } = send('POST', { end: false });
    stream.write(bytesOf('part'), false);
    connection.receive(bytesOf('HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno'));
    assert.equal(receiver.head?.status, 413);
    assert.ok(receiver.ended);
    wire.take();
    stream.write(bytesOf('rest'), true);
    assert.equal(wire.take(), '');
    assert.equal(connection.usable, false);
    assert.ok(wire.closed);
  });

  test('interim ones are told, sixteen at most', () => {
    for (const [count, reset] of [
      [16, undefined],
      [17, 1],
    ] as const) {
      const { connection, receiver } = send('GET');
      connection.receive(
        bytesOf(
          `${'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n'.repeat(count)}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n`,
        ),
      );
      assert.equal(receiver.interims.length, 16);
      assert.equal(receiver.resetCode, reset);
      assert.equal(receiver.ended, reset === undefined);
    }
  });

  test('lose the fields of the connection and keep their trailers', () => {
    const { connection, receiver } = send('GET');
    connection.receive(
      bytesOf(
        'HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=7, max=9\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 2\r\nContent-Length: 4\r\n\r\n',
      ),
    );
    assert.deepEqual(pairs(receiver.head?.fields ?? []), [
      ['set-cookie', 'a'],
      ['set-cookie', 'b'],
    ]);
    assert.deepEqual(pairs(receiver.trailers ?? []), [['x-sum', '2']]);
    assert.equal(connection.keepAliveMs, 7_000);
  });

  test('beyond the window stop the reading until there is credit', () => {
    const { connection, stream, wire } = send('GET');
    connection.receive(bytesOf('HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n'));
    connection.receive(Buffer.alloc(65_536));
    assert.equal(wire.paused, false);
    connection.receive(Buffer.alloc(1));
    assert.equal(wire.paused, true);
    stream.credit(65_537);
    assert.equal(wire.paused, false);
  });

  test('tell what left of the request once the socket took it', () => {
    const { connection, receiver, stream, wire } = send('POST', { end: false });
    stream.write(Buffer.alloc(10), false);
    wire.outlet.writable = false;
    connection.flushed();
    assert.equal(receiver.sent, 0);
    wire.outlet.writable = true;
    connection.flushed();
    assert.equal(receiver.sent, 10);
  });

  test('of an exchange that was reset are not told, and the connection is cut', () => {
    const { connection, receiver, stream, wire } = send('GET');
    stream.reset(8);
    assert.ok(wire.isCut);
    connection.receive(bytesOf('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
    connection.connectionLost();
    assert.equal(receiver.head, undefined);
    assert.equal(receiver.resetCode, undefined);
  });
});

suite('the keep-alive race', () => {
  const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

  test('is told from other losses: nothing of a response came on a connection used before', () => {
    const over = clientOver();
    send('GET', {}, over);
    over.connection.receive(bytesOf(OK));
    const second = send('GET', {}, over);
    over.connection.receivedEnd();
    assert.equal(second.receiver.resetCode, 2);
    assert.equal(over.connection.staleReset, true);
  });

  test('is not a loss of the first exchange, nor one after a byte of the response', () => {
    const first = send('GET');
    first.connection.connectionLost();
    assert.equal(first.receiver.resetCode, 2);
    assert.equal(first.connection.staleReset, false);
    const over = clientOver();
    send('GET', {}, over);
    over.connection.receive(bytesOf(OK));
    const second = send('GET', {}, over);
    over.connection.receive(bytesOf('H'));
    over.connection.connectionLost();
    assert.equal(second.receiver.resetCode, 2);
    assert.equal(over.connection.staleReset, false);
  });

  test('only a request of which nothing left is called refused', () => {
    const { connection } = clientOver();
    const receiver = new RecordedResponse();
    connection.open(requestHead('POST', '/'), true, receiver);
    connection.connectionLost();
    assert.equal(receiver.resetCode, 7);
  });

  test('a connection that ends idle is not usable', () => {
    const { connection, wire } = clientOver();
    connection.receivedEnd();
    assert.equal(connection.usable, false);
    assert.equal(connection.open(requestHead('GET', '/'), true, new RecordedResponse()), undefined);
    assert.ok(wire.closed);
  });

  test('finishing closes an idle connection at once, another after its answer', () => {
    const idle = clientOver();
    idle.connection.finish();
    assert.ok(idle.wire.closed);
    const { connection, wire } = send('GET');
    connection.finish();
    assert.equal(wire.closed, false);
    connection.receive(bytesOf(OK));
    assert.ok(wire.closed);
  });
});

suite('Upgrade', () => {
  const open = (protocol = 'websocket'): Sent =>
    send('CONNECT', { protocol, end: false, fields: [['sec-websocket-version', '13']] });
  const accept = async (text: string): Promise<string> => {
    const { webSocketAccept } = await import('../../gateway/http1/web-socket.ts');
    return webSocketAccept(/sec-websocket-key: (\S+)/.exec(text)?.[1] ?? '');
  };

  test('an extended CONNECT is a GET with Upgrade, and 101 is its 200', async () => {
    const { connection, receiver, stream, text, wire } = open();
    assert.match(
      text,
      /^GET \/ HTTP\/1\.1\r\nhost: a\r\nsec-websocket-version: 13\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: [A-Za-z0-9+/]{22}==\r\n\r\n$/,
    );
    stream.write(bytesOf('early'), false);
    assert.equal(wire.take(), '');
    connection.receive(
      bytesOf(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: ${await accept(text)}\r\nSec-WebSocket-Protocol: p\r\n\r\nraw`,
      ),
    );
    assert.equal(receiver.head?.status, 200);
    assert.deepEqual(pairs(receiver.head.fields), [['sec-websocket-protocol', 'p']]);
    assert.equal(receiver.body, 'raw');
    assert.equal(wire.take(), 'early');
    stream.write(bytesOf('last'), true);
    assert.equal(wire.take(), 'last');
    assert.ok(wire.ended);
    connection.receivedEnd();
    assert.ok(receiver.ended);
    assert.equal(connection.streams, 0);
  });

  test('a refusal is an ordinary response', () => {
    const { connection, receiver, stream } = open();
    connection.receive(bytesOf('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno'));
    assert.equal(receiver.head?.status, 403);
    assert.equal(receiver.body, 'no');
    assert.ok(receiver.ended);
    assert.ok(connection.usable);
    stream.write(bytesOf('x'), true);
    assert.ok(connection.usable);
  });

  test('answers that do not prove the switch break the connection', async () => {
    const { text } = open();
    const wrong = await accept(text);
    for (const answer of [
      `HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: ${wrong}\r\n\r\n`,
      'HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n',
      'HTTP/1.1 101 S\r\nConnection: upgrade\r\n\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    ]) {
      const { connection, receiver, wire } = open();
      connection.receive(bytesOf(answer));
      assert.equal(receiver.resetCode, 1);
      assert.equal(receiver.head, undefined);
      assert.ok(wire.isCut);
    }
    const plain = send('GET');
    plain.connection.receive(bytesOf('HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n'));
    assert.equal(plain.receiver.resetCode, 1);
  });
});

/** What the server’s end of HTTP/1.1 answers, without sockets: answers, interim ones, switched protocols, the last one. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { bytesOf, fieldsOf, pairs, type RecordingListener, serverOver } from '../support/http1-wire.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const OK = { status: 200, fields: [] };

suite('answers', () => {
  const answer = (
    request: string,
    act: (listener: RecordingListener) => void,
  ): { text: string; closed: boolean; cut: boolean } => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(request));
    act(listener);
    return { text: wire.take(), closed: wire.closed, cut: wire.isCut };
  };

  test('without a length are chunked', () => {
    const { text } = answer(GET, (listener) => {
      const { stream } = listener.at(0);
      stream.respond({ status: 200, fields: fieldsOf([['x', 'y']]) }, false);
      stream.write(bytesOf('hello'), false);
      stream.write(bytesOf(''), false);
      stream.write(bytesOf('x'.repeat(5000)), true);
    });
    assert.equal(
      text,
      `HTTP/1.1 200 OK\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1388\r\n${'x'.repeat(5000)}\r\n0\r\n\r\n`,
    );
  });

  test('have trailers where they are chunked, without those that frame', () => {
    const { text } = answer(GET, (listener) => {
      const { stream } = listener.at(0);
      stream.respond(OK, false);
      stream.finish(
        fieldsOf([
          ['x-sum', '1'],
          ['content-length', '5'],
          ['bad', 'a\r\nb'],
          ['y', '2'],
        ]),
      );
    });
    assert.match(text, /\r\n\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\n$/);
  });

  test('to HTTP/1.0 without a length end with the connection', () => {
    const { text, closed } = answer('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', (listener) => {
      const { stream } = listener.at(0);
      assert.equal(listener.at(0).head.authority.value, '');
      stream.respond(OK, false);
      stream.write(bytesOf('hello'), true);
    });
    assert.equal(text, 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello');
    assert.ok(closed);
  });

  test('to HTTP/1.0 with a length keep the connection if asked to', () => {
    const act = (listener: RecordingListener): void => {
      listener.at(0).stream.respond({ status: 200, fields: fieldsOf([['content-length', '2']]) }, false);
      listener.at(0).stream.write(bytesOf('ok'), true);
    };
    const kept = answer('GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n', act);
    assert.equal(kept.text, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok');
    assert.equal(kept.closed, false);
    const closed = answer('GET / HTTP/1.0\r\n\r\n', act);
    assert.equal(closed.text, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok');
    assert.ok(closed.closed);
  });

  test('to HEAD, and 204 and 304, have no body', () => {
    const head = answer('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n', (listener) => {
      listener.at(0).stream.respond({ status: 200, fields: fieldsOf([['content-length', '5']]) }, false);
      listener.at(0).stream.write(bytesOf('hello'), true);
    });
    assert.equal(head.text, 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n');
    const none = answer(GET, (listener) =>
      listener.at(0).stream.respond({ status: 204, fields: fieldsOf([['content-length', '0']]) }, true),
    );
    assert.equal(none.text, 'HTTP/1.1 204 No Content\r\n\r\n');
    const same = answer(GET, (listener) =>
      listener.at(0).stream.respond({ status: 304, fields: fieldsOf([['content-length', '9']]) }, true),
    );
    assert.equal(same.text, 'HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n');
    assert.ok(!head.closed && !none.closed && !same.closed);
  });

  test('never hold fields of another connection', () => {
    const fields = fieldsOf([
      ['connection', 'x'],
      ['keep-alive', '5'],
      ['transfer-encoding', 'gzip'],
      ['upgrade', 'h2c'],
      ['proxy-connection', 'z'],
      ['te', 't'],
      ['ok', '1'],
    ]);
    const { text } = answer(GET, (listener) => listener.at(0).stream.respond({ status: 200, fields }, true));
    assert.equal(text, 'HTTP/1.1 200 OK\r\nok: 1\r\ncontent-length: 0\r\n\r\n');
  });

  test('that cannot be written become 502', () => {
    for (const bad of [
      ['x', 'a\r\nb'],
      ['x', 'a\nb'],
      ['x', 'a\0'],
      ['x y', 'a'],
      ['x:', 'a'],
      ['', 'a'],
      ['é', 'a'],
      ['x', 'Ā'],
      ['content-length', '5, 5'],
      ['content-length', 'x'],
    ] as const) {
      const { text, closed } = answer(GET, (listener) => {
        listener.at(0).stream.respond({ status: 200, fields: fieldsOf([['fine', '1'], bad]) }, false);
        listener.at(0).stream.write(bytesOf('smuggled'), true);
        assert.equal(listener.at(0).resetCode, 2);
      });
      assert.equal(text, 'HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n', JSON.stringify(bad));
      assert.equal(closed, false);
    }
  });

  test('longer or shorter than their length are cut', () => {
    for (const body of ['hell', 'hello!']) {
      const { cut } = answer(GET, (listener) => {
        listener.at(0).stream.respond({ status: 200, fields: fieldsOf([['content-length', '5']]) }, false);
        listener.at(0).stream.write(bytesOf(body), true);
        assert.equal(listener.at(0).resetCode, 2);
      });
      assert.ok(cut, body);
    }
  });

  test('to a request that is not complete close the connection', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhel'));
    listener.at(0).stream.respond({ status: 403, fields: [] }, true);
    assert.match(wire.take(), /^HTTP\/1\.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n$/);
    assert.ok(wire.closed);
    connection.receive(bytesOf(GET.repeat(5)));
    assert.equal(listener.requests.length, 1);
    assert.equal(listener.at(0).chunks.length, 1);
  });

  test('tell what left once the socket took it', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(GET));
    const request = listener.at(0);
    request.stream.respond(OK, false);
    request.stream.write(Buffer.alloc(1000), false);
    assert.equal(request.sent, 0);
    wire.outlet.writable = false;
    connection.flushed();
    assert.equal(request.sent, 0);
    wire.outlet.writable = true;
    connection.flushed();
    connection.flushed();
    assert.equal(request.sent, 1000);
  });

  test('are ended by a reset with the connection, and nobody is told more', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(GET));
    listener.at(0).stream.respond(OK, false);
    listener.at(0).stream.reset(8);
    assert.ok(wire.isCut);
    listener.at(0).stream.write(bytesOf('x'), true);
    connection.connectionLost();
    assert.equal(listener.at(0).resetCode, undefined);
    assert.equal(connection.streams, 0);
  });

  test('a client that goes away resets its request', () => {
    for (const go of ['receivedEnd', 'connectionLost'] as const) {
      const { listener, connection } = serverOver();
      connection.receive(bytesOf(GET));
      connection[go]();
      connection.connectionLost();
      assert.equal(listener.at(0).resetCode, 8);
      listener.at(0).stream.respond(OK, true);
    }
  });
});

suite('100 (Continue)', () => {
  const EXPECTING = 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n';

  test('is sent when the body is asked for, once', () => {
    for (const ask of ['credit', 'inform', 'time'] as const) {
      const { wire, listener, connection } = serverOver();
      connection.receive(bytesOf(EXPECTING));
      const { stream, head } = listener.at(0);
      assert.deepEqual(pairs(head.fields), [['content-length', '5']]);
      assert.equal(wire.take(), '');
      for (let twice = 0; twice < 2; twice += 1) {
        if (ask === 'credit') stream.credit(0);
        else if (ask === 'inform') stream.inform({ status: 100, fields: [] });
        else connection.tick(1_000);
      }
      assert.equal(wire.take(), 'HTTP/1.1 100 Continue\r\n\r\n');
      connection.receive(bytesOf('hello'));
      stream.respond(OK, true);
      assert.equal(wire.closed, false);
    }
  });

  test('is not sent after the body has begun, nor to HTTP/1.0, nor without a body', () => {
    for (const request of [`${EXPECTING}h`, EXPECTING.replace('1.1', '1.0'), EXPECTING.replace('5', '0'), GET]) {
      const { wire, listener, connection } = serverOver();
      connection.receive(bytesOf(request));
      listener.at(0).stream.credit(1);
      listener.at(0).stream.inform({ status: 100, fields: [] });
      assert.equal(wire.take(), '');
    }
  });

  test('left out: the final answer closes the connection', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(EXPECTING));
    listener.at(0).stream.respond({ status: 413, fields: [] }, true);
    assert.match(wire.take(), /^HTTP\/1\.1 413 .*\r\n.*\r\nconnection: close/);
    connection.receive(bytesOf(`hello${GET}`));
    assert.equal(listener.requests.length, 1);
    assert.ok(wire.closed);
  });

  test('other interim answers pass, 101 does not', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(GET));
    const { stream } = listener.at(0);
    stream.inform({ status: 103, fields: fieldsOf([['link', '</x>']]) });
    stream.inform({ status: 101, fields: [] });
    stream.respond(OK, true);
    stream.inform({ status: 103, fields: [] });
    assert.equal(
      wire.take(),
      'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    );
  });
});

suite('Upgrade', () => {
  const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
  const UPGRADE = `GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n`;

  test('to WebSocket is an extended CONNECT, and 200 to it switches', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(`${UPGRADE}early`));
    const request = listener.at(0);
    assert.equal(request.head.method.value, 'CONNECT');
    assert.equal(request.head.protocol?.value, 'websocket');
    assert.deepEqual(pairs(request.head.fields), [['sec-websocket-version', '13']]);
    assert.equal(request.ended, false);
    assert.equal(request.body, '');
    request.stream.respond({ status: 200, fields: fieldsOf([['sec-websocket-protocol', 'chat']]) }, false);
    // The accept value is RFC 6455's own example.
    assert.equal(
      wire.take(),
      'HTTP/1.1 101 Switching Protocols\r\nsec-websocket-protocol: chat\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
    );
    assert.equal(request.body, 'early');
    connection.receive(bytesOf(GET));
    assert.equal(request.body, `early${GET}`);
    request.stream.write(bytesOf('raw'), false);
    assert.equal(wire.take(), 'raw');
    connection.receivedEnd();
    assert.equal(request.ended, true);
    request.stream.write(bytesOf('last'), true);
    assert.equal(wire.take(), 'last');
    assert.ok(wire.ended);
    connection.connectionLost();
    assert.equal(request.resetCode, undefined);
  });

  test('the answering half of a tunnel may end first', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(UPGRADE));
    const request = listener.at(0);
    request.stream.respond(OK, false);
    request.stream.finish([]);
    assert.ok(wire.ended);
    assert.equal(wire.closed, false);
    connection.receive(bytesOf('still'));
    assert.equal(request.body, 'still');
    connection.receivedEnd();
    assert.ok(request.ended);
  });

  test('refused is an answer that closes, and what follows is no request', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(`${UPGRADE}${GET}`));
    listener.at(0).stream.respond({ status: 403, fields: [] }, true);
    assert.match(wire.take(), /^HTTP\/1\.1 403 [^]*connection: close/);
    assert.equal(listener.requests.length, 1);
    assert.ok(wire.closed);
  });

  test('to h2c is passed over and its settings are stripped', () => {
    for (const offer of [
      'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings\r\n',
      'UPGRADE: H2C\r\nhttp2-settings: x\r\nConnection: upgrade\r\nConnection: http2-settings\r\n',
      'Upgrade: h2c\r\n',
    ]) {
      const { listener, connection } = serverOver();
      connection.receive(bytesOf(`GET / HTTP/1.1\r\nHost: a\r\n${offer}X: y\r\n\r\n`));
      const { head } = listener.at(0);
      assert.equal(head.protocol, undefined);
      assert.equal(head.method.value, 'GET');
      assert.deepEqual(pairs(head.fields), [['x', 'y']]);
    }
  });

  test('to anything else is named for the application to refuse', () => {
    const { listener, connection } = serverOver();
    connection.receive(bytesOf('GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TLS/1.0\r\n\r\n'));
    assert.equal(listener.at(0).head.protocol?.value, 'tls/1.0');
  });

  test('is passed over in HTTP/1.0, without Connection, and with a body', () => {
    const requests = [
      UPGRADE.replace('HTTP/1.1', 'HTTP/1.0'),
      UPGRADE.replace('keep-alive, Upgrade', 'keep-alive'),
      `${UPGRADE.replace('\r\n\r\n', '\r\nContent-Length: 1\r\n\r\n')}x`,
    ];
    for (const request of requests) {
      const { listener, connection } = serverOver();
      connection.receive(bytesOf(request));
      assert.equal(listener.at(0).head.protocol, undefined);
      assert.equal(listener.at(0).head.method.value, 'GET');
      assert.equal(listener.at(0).ended, true);
    }
  });
});

suite('finishing', () => {
  test('leaves an idle connection a second for the request that is on its way, and two at most', () => {
    const { wire, connection } = serverOver();
    connection.tick(1_000);
    connection.finish();
    connection.tick(2_000);
    assert.equal(wire.closed, false);
    connection.finish();
    connection.tick(3_000);
    assert.ok(wire.closed, 'told again, it does not begin anew');
  });

  test('answers the request that was on its way, and no second one', () => {
    for (const served of [0, 1]) {
      const { wire, listener, connection } = serverOver();
      if (served === 1) {
        connection.receive(bytesOf(GET));
        listener.at(0).stream.respond(OK, true);
        assert.doesNotMatch(wire.take(), /connection: close/);
      }
      connection.finish();
      connection.tick(1_000);
      connection.receive(bytesOf(`${GET}${GET}`));
      connection.tick(5_000);
      assert.equal(wire.closed, false, 'an answer may take its time');
      listener.at(served).stream.respond(OK, true);
      assert.match(wire.take(), /connection: close/);
      assert.ok(wire.closed);
      assert.equal(listener.requests.length, served + 1);
    }
  });

  test('after an answer whose head had left already takes one more request, which is told', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(GET));
    listener.at(0).stream.respond(OK, false);
    connection.finish();
    listener.at(0).stream.write(bytesOf('x'), true);
    assert.doesNotMatch(wire.take(), /connection: close/);
    assert.equal(wire.closed, false);
    connection.receive(bytesOf(GET));
    listener.at(1).stream.respond(OK, true);
    assert.match(wire.take(), /connection: close/);
    assert.ok(wire.closed);
  });

  test('closes a busy connection after its answer', () => {
    const busy = serverOver();
    busy.connection.receive(bytesOf(`${GET}${GET}`));
    busy.connection.finish();
    assert.equal(busy.wire.closed, false);
    busy.listener.at(0).stream.respond(OK, true);
    assert.match(busy.wire.take(), /connection: close/);
    assert.ok(busy.wire.closed);
    assert.equal(busy.listener.requests.length, 1);
  });
});

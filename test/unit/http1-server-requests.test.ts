/** What the server’s end of HTTP/1.1 reads, without sockets: requests, their order, their bodies. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { bytesOf, fieldsOf, pairs, type RecordingListener, serverOver } from '../support/http1-wire.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const OK = { status: 200, fields: [] };

function answerEach(listener: RecordingListener): void {
  listener.onEach = ({ stream, head }) => {
    stream.respond({ status: 200, fields: fieldsOf([['x-path', head.path.value]]) }, true);
  };
}

suite('requests', () => {
  test('a head is told with names in lower case and values as they came', () => {
    const { listener, connection } = serverOver();
    connection.receive(
      bytesOf('GET /p?q=1 HTTP/1.1\r\nHost: Example.COM:80\r\nX-Y: \t a  b \r\nACCEPT:*/*\r\nE:\r\n\r\n'),
    );
    const { head, ended } = listener.at(0);
    assert.equal(ended, true);
    assert.equal(head.method.value, 'GET');
    assert.equal(head.path.value, '/p?q=1');
    assert.equal(head.authority.value, 'Example.COM:80');
    assert.equal(head.scheme.value, 'http');
    assert.equal(head.protocol, undefined);
    assert.deepEqual(pairs(head.fields), [
      ['x-y', 'a  b'],
      ['accept', '*/*'],
      ['e', ''],
    ]);
  });

  test('the same bytes give the same objects', () => {
    const { listener, connection } = serverOver();
    answerEach(listener);
    connection.receive(
      bytesOf(`${GET}${GET}GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n`),
    );
    assert.equal(listener.requests.length, 4);
    assert.equal(listener.at(0).head, listener.at(1).head);
    assert.equal(listener.at(2).head.path, listener.at(0).head.path);
    assert.equal(listener.at(3).head.authority, listener.at(0).head.authority);
    assert.equal(listener.at(3).head.fields[0], listener.at(2).head.fields[0]);
  });

  test('more different lines than are remembered are still read right', () => {
    const { listener, connection } = serverOver();
    answerEach(listener);
    for (let n = 0; n < 300; n += 1)
      connection.receive(bytesOf(`GET /${n} HTTP/1.1\r\nHost: a\r\nX-${n}: ${n}\r\nL: ${'l'.repeat(n)}\r\n\r\n`));
    listener.requests.forEach(({ head }, n) => {
      assert.equal(head.path.value, `/${n}`);
      assert.deepEqual(pairs(head.fields), [
        [`x-${n}`, String(n)],
        ['l', 'l'.repeat(n)],
      ]);
    });
  });

  test('fields of the connection end here, and those that Connection names', () => {
    const { listener, connection } = serverOver();
    const fields =
      'Connection: x-hop, Content-Length, Keep-Alive\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nProxy-Connection: y\r\nTE: gzip;q=0.5, trailers\r\n';
    connection.receive(bytesOf(`POST / HTTP/1.1\r\nHost: a\r\n${fields}X-End: 2\r\nContent-Length: 0\r\n\r\n`));
    assert.deepEqual(pairs(listener.at(0).head.fields), [
      ['x-end', '2'],
      ['content-length', '0'],
      ['te', 'trailers'],
    ]);
  });

  test('secrets are marked', () => {
    const { listener, connection } = serverOver();
    connection.receive(bytesOf('GET / HTTP/1.1\r\nHost: a\r\nAuthorization: b\r\nCookie: c\r\nX: y\r\n\r\n'));
    assert.deepEqual(
      listener.at(0).head.fields.map(({ sensitive }) => sensitive),
      [true, true, false],
    );
  });

  test('an absolute target counts where it is allowed, whatever Host says', () => {
    const read = (line: string): readonly (string | undefined)[] => {
      const { listener, connection } = serverOver({ allowAbsoluteForm: true });
      connection.receive(bytesOf(`${line} HTTP/1.1\r\nHost: other\r\n\r\n`));
      const head = listener.requests[0]?.head ?? listener.refused[0]?.head;
      return [listener.refused[0]?.reason, head?.authority?.value, head?.path?.value];
    };
    assert.deepEqual(read('GET http://b:1/p?q'), [undefined, 'b:1', '/p?q']);
    assert.deepEqual(read('GET HTTP://b'), [undefined, 'b', '/']);
    assert.deepEqual(read('GET http://b?q'), [undefined, 'b', '/?q']);
    assert.deepEqual(read('OPTIONS http://b'), [undefined, 'b', '*']);
    for (const bad of [
      'https://b/',
      'http://u@b/',
      'http:///p',
      'http://b/#f',
      'http://b:99999/',
      'ftp://b/',
      'http:/b',
    ]) {
      assert.equal(read(`GET ${bad}`)[0], 'target-malformed', bad);
    }
  });

  test('OPTIONS may be for the whole server', () => {
    const { listener, connection } = serverOver();
    connection.receive(bytesOf('OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'));
    assert.equal(listener.at(0).head.path.value, '*');
  });
});

suite('the order of requests', () => {
  test('the next one is not parsed before the answer is complete, and no more is read', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(`${GET}GET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3`));
    assert.equal(listener.requests.length, 1);
    assert.ok(wire.paused);
    listener.at(0).stream.respond(OK, false);
    assert.equal(listener.requests.length, 1);
    listener.at(0).stream.write(bytesOf('x'), true);
    assert.equal(listener.requests.length, 2);
    assert.equal(wire.paused, true);
    listener.at(1).stream.respond(OK, true);
    assert.equal(wire.paused, false);
    connection.receive(bytesOf(' HTTP/1.1\r\nHost: a\r\n\r\n'));
    assert.equal(listener.at(2).head.path.value, '/3');
  });

  test('a thousand requests in one read are answered in order without a deep stack', () => {
    const { wire, listener, connection } = serverOver();
    answerEach(listener);
    const many = Array.from({ length: 10_000 }, (_, n) => `GET /${n} HTTP/1.1\r\nHost: a\r\n\r\n`).join('');
    connection.receive(bytesOf(many));
    const paths = [...wire.take().matchAll(/x-path: \/(\d+)/g)].map((match) => Number(match[1]));
    assert.equal(paths.length, 10_000);
    assert.ok(paths.every((path, n) => path === n));
  });

  test('a fault behind a good request is refused after the answer to that', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(`${GET}nonsense\r\n\r\n`));
    assert.equal(listener.refused.length, 0);
    listener.at(0).stream.respond(OK, true);
    assert.match(wire.take(), /^HTTP\/1\.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP\/1\.1 400 /);
    assert.ok(wire.closed);
  });

  test('nothing behind `connection: close` is a request', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf(`GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n${GET}`));
    listener.at(0).stream.respond(OK, true);
    assert.equal(listener.requests.length, 1);
    assert.match(wire.take(), /\r\nconnection: close\r\n/);
    assert.ok(wire.closed);
  });
});

suite('bodies', () => {
  test('of a length and in chunks, in pieces of any size, are the same', () => {
    const body = 'hello, world';
    const variants = [
      `Content-Length: 12\r\n\r\n${body}`,
      `Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n`,
      `Transfer-Encoding: chunked\r\n\r\nC\r\n${body}\r\n000\r\n\r\n`,
    ];
    for (const variant of variants) {
      const bytes = bytesOf(`POST / HTTP/1.1\r\nHost: a\r\n${variant}`);
      for (let step = 1; step <= bytes.length; step += 1) {
        const { listener, connection } = serverOver();
        for (let at = 0; at < bytes.length; at += step) connection.receive(bytes.subarray(at, at + step));
        assert.equal(listener.at(0).body, body);
        assert.equal(listener.at(0).ended, true);
      }
    }
  });

  test('whose end comes with their last bytes end with them', () => {
    for (const text of [
      'Content-Length: 5\r\n\r\nhello',
      'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    ]) {
      const { listener, connection } = serverOver();
      connection.receive(bytesOf(`POST / HTTP/1.1\r\nHost: a\r\n${text}`));
      assert.equal(listener.at(0).chunks.length, 1);
      assert.equal(listener.at(0).ended, true);
    }
  });

  test('have trailers, without those that frame or identify', () => {
    const { listener, connection } = serverOver();
    const trailers = 'X-Sum: 1\r\nContent-Length: 5\r\nHost: b\r\nTransfer-Encoding: gzip\r\nAuthorization: c\r\n';
    connection.receive(
      bytesOf(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n${trailers}\r\n${GET}`),
    );
    const request = listener.at(0);
    assert.deepEqual(pairs(request.trailers ?? []), [['x-sum', '1']]);
    assert.deepEqual(pairs(request.head.fields), []);
    request.stream.respond(OK, true);
    assert.equal(listener.requests.length, 2);
  });

  test('answered as they end keep the connection', () => {
    const { wire, listener, connection } = serverOver();
    listener.onEach = (request) => {
      request.onEnd = () => request.stream.respond(OK, true);
      if (request.ended) request.onEnd();
    };
    connection.receive(bytesOf(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx${GET}`));
    assert.equal(listener.requests.length, 2);
    assert.equal(wire.closed, false);
    assert.doesNotMatch(wire.take(), /close/);
  });

  test('beyond the window stop the reading until there is credit', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n'));
    connection.receive(Buffer.alloc(65_536));
    assert.equal(wire.paused, false);
    connection.receive(Buffer.alloc(1));
    assert.equal(wire.paused, true);
    listener.at(0).stream.credit(1);
    assert.equal(wire.paused, false);
  });

  test('cut short are reset', () => {
    const { wire, listener, connection } = serverOver();
    connection.receive(bytesOf('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel'));
    connection.receivedEnd();
    assert.equal(listener.at(0).resetCode, 8);
    assert.equal(listener.at(0).ended, false);
    assert.ok(wire.isCut);
  });
});

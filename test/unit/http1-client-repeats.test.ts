/** The client's end of HTTP/1.1 where a server's response heads repeat themselves, without sockets. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { ResponseHeads } from '../../gateway/http1/response-heads.ts';
import { bytesOf, clientOver, pairs, RecordedResponse, requestHead } from '../support/http1-wire.ts';

suite('a head that repeats itself', () => {
  const head = 'HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\n';
  const heads = new ResponseHeads();
  const answer = (over: ReturnType<typeof clientOver>, method: string, ...pieces: string[]): RecordedResponse => {
    const { connection, wire } = over;
    const receiver = new RecordedResponse();
    connection.open(requestHead(method, '/'), true, receiver);
    wire.take();
    connection.flushed();
    for (const piece of pieces) connection.receive(bytesOf(piece));
    return receiver;
  };

  test('is read as the first time, in one piece or several, on this connection or another', () => {
    const one = clientOver({ heads });
    const another = clientOver({ heads });
    for (const over of [one, another, one, another]) {
      for (const pieces of [
        [`${head}ab`],
        [head, 'ab'],
        [head.slice(0, -1), '\nab'],
        [head.slice(0, 5), head.slice(5), 'ab'],
      ]) {
        const { head: read, body, ended } = answer(over, 'GET', ...pieces);
        assert.deepEqual(read && pairs(read.fields), [
          ['x', 'y'],
          ['content-length', '2'],
        ]);
        assert.equal(body, 'ab');
        assert.ok(ended);
        assert.ok(over.connection.usable);
      }
    }
  });

  test('has no body where it answers HEAD, and has one again where it answers GET', () => {
    const over = clientOver({ heads });
    assert.equal(answer(over, 'GET', `${head}ab`).body, 'ab');
    const bodiless = answer(over, 'HEAD', head);
    assert.equal(bodiless.body, '');
    assert.ok(bodiless.ended);
    assert.equal(answer(over, 'GET', `${head}cd`).body, 'cd');
  });

  test('is not taken for one that differs in a byte, and closes the connection as the first did', () => {
    const over = clientOver({ heads });
    answer(over, 'GET', `${head}ab`);
    assert.equal(answer(over, 'GET', `${head.replace('X: y', 'X: z')}ab`).head?.fields[0]?.value, 'z');
    assert.equal(answer(over, 'GET', `${head.replace(': 2', ': 3')}abc`).body, 'abc');
    const last = head.replace('X: y', 'Connection: close');
    assert.equal(answer(over, 'GET', `${last}ab`).body, 'ab');
    assert.ok(!over.connection.usable);
    const next = clientOver({ heads });
    assert.equal(answer(next, 'GET', `${last}ab`).body, 'ab');
    assert.ok(!next.connection.usable);
  });

  test('is not taken for the answer that lets a tunnel through', () => {
    const over = clientOver({ heads });
    answer(over, 'GET', `${head}ab`);
    const receiver = new RecordedResponse();
    over.connection.open(requestHead('CONNECT', '/', { protocol: 'websocket' }), false, receiver);
    over.connection.receive(bytesOf(head));
    assert.equal(receiver.head, undefined);
    assert.notEqual(receiver.resetCode, undefined);
  });
});

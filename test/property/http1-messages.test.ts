/** What is written is what is read: by this engine, and by llhttp inside node:http. */
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';

import fc from 'fast-check';

import {
  bytesOf,
  clientOver,
  fieldsOf,
  pairs,
  RecordedResponse,
  requestHead,
  serverOver,
} from '../support/http1-wire.ts';

const RUNS = { numRuns: 3_000 };

const tokenText = fc.stringMatching(/^[a-z!#$%&'*+.^_`|~0-9-]{1,20}$/);
const RESERVED = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'proxy-connection',
  'http2-settings',
  'upgrade',
  'expect',
  'te',
  'cookie',
  'keep-alive',
  'sec-websocket-key',
  'sec-websocket-accept',
  'trailer',
  'authorization',
  'set-cookie',
]);
const name = tokenText.filter((text) => !RESERVED.has(text));
const value = fc.stringMatching(/^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]{0,30}[\x21-\x7e\x80-\xff])?)?$/);
const fields = fc.array(fc.tuple(name, value), { maxLength: 12 });
const method = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'REPORT');
const path = fc.stringMatching(/^\/[\x21\x22\x24-\x7e]{0,60}$/);
const authority = fc.stringMatching(/^[a-z0-9.-]{1,20}(?::[1-9][0-9]{0,3})?$/);
const chunks = fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 4 });
const message = fc.record({ method, path, authority, fields, chunks, counted: fc.boolean(), trailers: fields });

type Message = typeof message extends fc.Arbitrary<infer T> ? T : never;

/** The bytes of a request. */
function written(each: Message): Buffer {
  const { connection, wire } = clientOver();
  const size = each.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const list = each.counted ? [...each.fields, ['content-length', String(size)] as const] : each.fields;
  const head = requestHead(each.method, each.path, { authority: each.authority, fields: list });
  const stream = connection.open(head, false, new RecordedResponse());
  for (const chunk of each.chunks) stream?.write(chunk, false);
  stream?.finish(fieldsOf(each.trailers));
  return wire.takeBytes();
}

function bodyOf(each: Message): Buffer {
  return Buffer.concat(each.chunks);
}

test('a request that was written is read back as it was, in pieces of any size', () => {
  fc.assert(
    fc.property(message, fc.integer({ min: 1, max: 400 }), (each, step) => {
      const bytes = written(each);
      const { listener, connection } = serverOver();
      for (let at = 0; at < bytes.length; at += step) connection.receive(bytes.subarray(at, at + step));
      const request = listener.at(0);
      assert.equal(request.head.method.value, each.method);
      assert.equal(request.head.path.value, each.path);
      assert.equal(request.head.authority.value, each.authority);
      assert.deepEqual(
        pairs(request.head.fields).filter(([key]) => key !== 'content-length'),
        each.fields,
      );
      assert.equal(request.body, bodyOf(each).toString('latin1'));
      assert.deepEqual(pairs(request.trailers ?? []), each.counted ? [] : each.trailers);
      assert.ok(request.ended);
      assert.equal(listener.refused.length, 0);
    }),
    RUNS,
  );
});

test('a response that was written is read back as it was', () => {
  fc.assert(
    fc.property(message, fc.integer({ min: 200, max: 599 }), fc.integer({ min: 1, max: 400 }), (each, status, step) => {
      fc.pre(status !== 204 && status !== 304);
      const server = serverOver();
      server.connection.receive(bytesOf('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
      const { stream } = server.listener.at(0);
      const size = bodyOf(each).length;
      const list = each.counted ? [...each.fields, ['content-length', String(size)] as const] : each.fields;
      stream.respond({ status, fields: fieldsOf(list) }, false);
      for (const chunk of each.chunks) stream.write(chunk, false);
      stream.finish(fieldsOf(each.trailers));
      const bytes = server.wire.takeBytes();
      const { connection } = clientOver();
      const receiver = new RecordedResponse();
      connection.open(requestHead('GET', '/'), true, receiver);
      for (let at = 0; at < bytes.length; at += step) connection.receive(bytes.subarray(at, at + step));
      assert.equal(receiver.head?.status, status);
      assert.deepEqual(
        pairs(receiver.head.fields).filter(([key]) => key !== 'content-length'),
        each.fields,
      );
      assert.equal(receiver.body, bodyOf(each).toString('latin1'));
      assert.deepEqual(pairs(receiver.trailers ?? []), each.counted ? [] : each.trailers);
      assert.ok(receiver.ended && connection.usable);
    }),
    RUNS,
  );
});

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly raw: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
}

test('llhttp reads what was written as this engine does', async () => {
  const messages = fc.sample(message, 500);
  const seen: Seen[] = [];
  const server = http.createServer({ maxHeaderSize: 32 * 1024 }, (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const { method: verb = '', url = '', rawHeaders: raw, rawTrailers: trailers } = request;
      seen.push({ method: verb, url, raw, body: Buffer.concat(parts).toString('latin1'), trailers });
      response.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const socket = net.connect(address.port, '127.0.0.1');
  socket.resume();
  for (const each of messages) socket.write(written(each));
  const last = written({
    method: 'GET',
    path: '/last',
    authority: 'a',
    fields: [['connection', 'x']],
    chunks: [],
    counted: true,
    trailers: [],
  });
  socket.end(last);
  await once(socket, 'close');
  server.close();
  assert.equal(seen.length, messages.length + 1);
  messages.forEach((each, index) => {
    const found = seen[index];
    assert.ok(found !== undefined);
    assert.deepEqual([found.method, found.url, found.body], [each.method, each.path, bodyOf(each).toString('latin1')]);
    const framing = each.counted ? ['content-length', String(bodyOf(each).length)] : ['transfer-encoding', 'chunked'];
    assert.deepEqual(found.raw, ['host', each.authority, ...each.fields.flat(), ...framing]);
    assert.deepEqual(found.trailers, each.counted ? [] : each.trailers.flat());
  });
});

/** Limits that a connection over HTTP/1.1 is given: at each, one below and one above. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Http1Limits, STRANGER_HTTP1 } from '../../gateway/http1/limits.ts';
import { bytesOf, clientOver, RecordedResponse, serverOver } from '../support/http1-wire.ts';
import { headOf } from '../support/call-heads.ts';

const withLimits = (limits: Partial<Http1Limits>): { readonly limits: Http1Limits } => ({
  limits: { ...STRANGER_HTTP1, ...limits },
});

/** Why a request was refused; `undefined` when it was taken. */
function refusal(limits: Partial<Http1Limits>, request: string): string | undefined {
  const { listener, connection } = serverOver(withLimits(limits));
  connection.receive(bytesOf(request));
  return listener.refused[0]?.reason;
}

const get = (target: string, lines = ''): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;

test('a head at each of its limits is taken, and one above is refused', () => {
  const target = { targetBytesMax: 100 };
  assert.deepEqual(
    [99, 100, 101].map((bytes) => refusal(target, get(`/${'a'.repeat(bytes - 1)}`))),
    [undefined, undefined, 'limit-target'],
  );
  const fields = { headerFieldsMax: 12 };
  assert.deepEqual(
    [11, 12, 13].map((count) => refusal(fields, get('/', 'x: a\r\n'.repeat(count - 1)))),
    [undefined, undefined, 'limit-header-fields'],
  );
  const names = { headerNameBytesMax: 16 };
  assert.deepEqual(
    [15, 16, 17].map((bytes) => refusal(names, get('/', `${'n'.repeat(bytes)}: a\r\n`))),
    [undefined, undefined, 'limit-header-bytes'],
  );
  const block = { headerBytesMax: 1_024 };
  const rest = 'Host: a\r\nx: \r\n'.length;
  assert.deepEqual(
    [1_022, 1_023, 1_024, 1_025, 1_026].map((bytes) => refusal(block, get('/', `x: ${'a'.repeat(bytes - rest)}\r\n`))),
    [undefined, undefined, undefined, 'limit-header-bytes', 'limit-header-bytes'],
  );
});

test('a body is read until its window is full', () => {
  for (const [bytes, paused] of [
    [999, false],
    [1_000, false],
    [1_001, true],
  ] as const) {
    const { wire, connection } = serverOver(withLimits({ windowBytes: 1_000 }));
    connection.receive(bytesOf('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n'));
    connection.receive(Buffer.alloc(bytes));
    assert.equal(wire.paused, paused, `${bytes}`);
  }
});

test('a head that is late and a connection that rests too long are ended at their limits', () => {
  const limits = { headersTimeoutMs: 500, idleTimeoutMs: 2_000 };
  const late = serverOver(withLimits(limits));
  late.connection.receive(bytesOf('GET /'));
  late.connection.tick(499);
  assert.equal(late.listener.refused.length, 0);
  late.connection.tick(500);
  assert.equal(late.listener.refused[0]?.reason, 'headers-timeout');
  const rests = serverOver(withLimits(limits));
  rests.connection.receive(bytesOf(get('/')));
  rests.listener.at(0).stream.respond({ status: 204, fields: [] }, true);
  rests.connection.tick(1_999);
  assert.equal(rests.wire.closed, false);
  rests.connection.tick(2_000);
  assert.equal(rests.wire.closed, true);
});

test('what a service answers is held to the limits that its connection is given', () => {
  for (const [count, isTaken] of [
    [11, true],
    [12, true],
    [13, false],
  ] as const) {
    const { connection } = clientOver(withLimits({ headerFieldsMax: 12 }));
    const response = new RecordedResponse();
    connection.open(headOf(), true, response);
    connection.receive(bytesOf(`HTTP/1.1 204 No Content\r\n${'x: a\r\n'.repeat(count)}\r\n`));
    assert.equal(response.head?.status === 204, isTaken, `${count}`);
  }
});

/** Mutations of good and bad messages: no input crashes a reader, and no split changes what is read. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';

import fc from 'fast-check';

import { clientOver, fieldsOf, pairs, RecordedResponse, requestHead, serverOver } from '../support/http1-wire.ts';

const CORPUS = join(import.meta.dirname, '../fixtures/http1');
const RUNS = { numRuns: 5_000 };

const seeds = readdirSync(CORPUS)
  .sort()
  .map((file) => ({ file, bytes: readFileSync(join(CORPUS, file)) }));

/** Bytes that mean something to a reader. */
const interesting = fc.oneof(
  fc.constantFrom(
    '\r',
    '\n',
    '\r\n',
    ' ',
    '\t',
    ':',
    ';',
    ',',
    '0',
    'f',
    '\0',
    '\x0b',
    '\x80',
    '\r\n\r\n',
    '\r\n ',
    'chunked',
    'Content-Length: 1\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Host: b\r\n',
    '#',
    '*',
    '-',
    '+',
    '0x',
    'HTTP/1.0',
  ),
  fc.string({ maxLength: 3 }),
);

const mutation = fc.record({ at: fc.nat(), remove: fc.nat({ max: 4 }), add: interesting });

function mutated(
  bytes: Buffer,
  mutations: readonly { readonly at: number; readonly remove: number; readonly add: string }[],
): Buffer {
  let result = bytes;
  for (const { at, remove, add } of mutations) {
    const place = at % (result.length + 1);
    result = Buffer.concat([result.subarray(0, place), Buffer.from(add, 'latin1'), result.subarray(place + remove)]);
  }
  return result;
}

/** Everything that a server tells of `bytes`, given in pieces of `step`. */
function served(bytes: Buffer, step: number): unknown {
  const { wire, listener, connection } = serverOver();
  listener.onEach = (request) => {
    const answer = (): void =>
      request.stream.respond({ status: 200, fields: fieldsOf([['x', request.head.path.value]]) }, true);
    request.onEnd = answer;
    if (request.head.protocol !== undefined) request.stream.respond({ status: 200, fields: [] }, false);
    else if (request.ended) answer();
  };
  for (let at = 0; at < bytes.length; at += step) connection.receive(bytes.subarray(at, at + step));
  connection.receivedEnd();
  connection.connectionLost();
  return {
    requests: listener.requests.map(({ head, body, trailers, ended, resetCode }) => ({
      line: [head.method.value, head.path.value, head.authority.value, head.protocol?.value],
      fields: pairs(head.fields),
      body,
      trailers: pairs(trailers ?? []),
      ended,
      resetCode,
    })),
    refused: listener.refused.map(({ reason }) => reason),
    sent: wire.take(),
    closed: wire.closed || wire.isCut || wire.ended,
  };
}

/** Everything that a client tells of `bytes`, given in pieces of `step`. */
function received(bytes: Buffer, step: number): unknown {
  const { connection, wire } = clientOver();
  const receiver = new RecordedResponse();
  connection.open(requestHead('GET', '/'), true, receiver);
  connection.flushed();
  for (let at = 0; at < bytes.length; at += step) connection.receive(bytes.subarray(at, at + step));
  const { usable } = connection;
  connection.receivedEnd();
  connection.connectionLost();
  const { head, body, trailers, ended, resetCode, interims } = receiver;
  return {
    status: head?.status,
    fields: pairs(head?.fields ?? []),
    body,
    trailers: pairs(trailers ?? []),
    ended,
    resetCode,
    interims: interims.map(({ status }) => status),
    usable,
    gone: wire.closed || wire.isCut,
  };
}

suite('the corpus', () => {
  test('is there', () => {
    assert.ok(seeds.length >= 20);
  });

  for (const { file, bytes } of seeds) {
    test(`${file} is read alike in pieces of every size`, () => {
      const asRequest = served(bytes, bytes.length);
      const asResponse = received(bytes, bytes.length);
      for (let step = 1; step < Math.min(bytes.length, 300); step += 1) {
        assert.deepEqual(served(bytes, step), asRequest, `request in pieces of ${step}`);
        assert.deepEqual(received(bytes, step), asResponse, `response in pieces of ${step}`);
      }
    });
  }
});

test('mutations are read alike whole and in pieces, by server and client', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(mutation, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 40 }),
      (seed, mutations, step) => {
        const bytes = mutated(seed.bytes, mutations);
        if (bytes.length === 0) return;
        assert.deepEqual(served(bytes, step), served(bytes, bytes.length));
        assert.deepEqual(received(bytes, step), received(bytes, bytes.length));
      },
    ),
    RUNS,
  );
});

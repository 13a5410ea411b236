import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { Stream, type StreamOwner } from '../../gateway/http2/stream.ts';
import { StreamTable } from '../../gateway/http2/stream-table.ts';

const OWNER: StreamOwner = {
  closed: false,
  sendHead: () => undefined,
  sendData: () => undefined,
  sendTrailers: () => undefined,
  resetStream: () => undefined,
  lingerStream: () => undefined,
  creditStream: () => undefined,
};

function stream(id: number): Stream {
  return new Stream(OWNER, id, 0, 0);
}

describe('the streams of an HTTP/2 connection', () => {
  test('are found by their ids as in a Map, whichever open and close', () => {
    const id = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 2 ** 31 - 1 }));
    fc.assert(
      fc.property(fc.array(fc.record({ id, opens: fc.boolean() }), { maxLength: 400 }), (steps) => {
        const table = new StreamTable();
        const model = new Map<number, Stream>();
        for (const step of steps) {
          const known = model.get(step.id);
          if (known === undefined && step.opens) {
            const added = stream(step.id);
            table.add(added);
            model.set(step.id, added);
          } else if (known !== undefined && !step.opens) {
            table.delete(known);
            model.delete(step.id);
          }
          assert.equal(table.get(step.id), model.get(step.id));
        }
        assert.equal(table.size, model.size);
        const inOrder = [...model.values()].sort((one, other) => one.id - other.id);
        assert.deepEqual(table.inOrder(), inOrder);
        assert.deepEqual(new Set(table.all()), new Set(inOrder));
        for (const each of inOrder) assert.equal(table.get(each.id), each);
      }),
    );
  });

  test('can be closed in the midst of a look at all of them', () => {
    const table = new StreamTable();
    for (let id = 1; id < 2_000; id += 2) table.add(stream(id));
    for (const each of table.all()) table.delete(each);
    assert.equal(table.size, 0);
    assert.deepEqual(table.all(), []);
  });

  test('a stream that is not in it is deleted without harm to one of the same id', () => {
    const table = new StreamTable();
    const held = stream(7);
    table.add(held);
    table.delete(stream(7));
    assert.equal(table.get(7), held);
    assert.equal(table.size, 1);
  });

  test('ids that a peer chose to fall together do not', () => {
    const table = new StreamTable();
    const near = 2 ** 17;
    // Same low bits, so that only the secret tells them apart.
    for (let index = 0; index < 10_000; index += 1) table.add(stream(1 + index * near));
    let longest = 0;
    for (let index = 0; index < 10_000; index += 1) {
      let length = 0;
      for (let each = table.get(1 + index * near); each !== undefined; each = each.nextInSlot) length += 1;
      longest = Math.max(longest, length);
    }
    assert.ok(longest < 100, `expected short chains, found one of ${longest}`);
  });
});

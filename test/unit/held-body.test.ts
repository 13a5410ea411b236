/** The body that is kept to be sent again: complete or not at all, bounded, and cheap whatever its pieces. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';

import { HeldBody } from '../../gateway/forward/held-body.ts';

const KEPT_BYTES_MAX = 64 * 1024;

const content = (body: HeldBody): Buffer => Buffer.concat(body.chunks);

test('a body that was sent is kept up to 64 KiB, and beyond it nothing of it is', () => {
  for (const [bytes, isWhole] of [
    [KEPT_BYTES_MAX - 1, true],
    [KEPT_BYTES_MAX, true],
    [KEPT_BYTES_MAX + 1, false],
  ] as const) {
    for (const first of [0, 1, 10_000, bytes]) {
      const all = Buffer.alloc(bytes, 'abc');
      const body = new HeldBody();
      body.add(all.subarray(0, first));
      body.sent();
      body.add(all.subarray(first));
      assert.equal(body.isWhole, isWhole, `${bytes} after ${first}`);
      assert.equal(content(body).equals(isWhole ? all : Buffer.alloc(0)), true);
    }
  }
});

test('a body that was not sent yet is kept whatever its size, and judged by it once sent', () => {
  for (const [bytes, isWhole] of [
    [KEPT_BYTES_MAX, true],
    [KEPT_BYTES_MAX + 1, false],
    [1_000_000, false],
  ] as const) {
    const all = Buffer.alloc(bytes, 'xyz');
    const body = new HeldBody();
    for (let at = 0; at < bytes; at += 9_999) body.add(all.subarray(at, at + 9_999));
    assert.equal(body.isWhole, true);
    assert.ok(content(body).equals(all));
    body.sent();
    assert.equal(body.isWhole, isWhole);
    assert.equal(content(body).length, isWhole ? bytes : 0);
  }
});

test('what is not whole any more does not become whole again', () => {
  const body = new HeldBody();
  body.sent();
  body.add(Buffer.alloc(KEPT_BYTES_MAX + 1));
  body.add(Buffer.from('more'));
  body.sent();
  assert.equal(body.isWhole, false);
  assert.deepEqual(body.chunks, []);
});

test('few pieces are kept as they are; a third makes one copy, so that no more read buffers are kept alive', () => {
  const body = new HeldBody();
  const pieces = ['a', 'b', 'c'].map((text) => Buffer.from(text));
  for (const piece of pieces.slice(0, 2)) body.add(piece);
  assert.deepEqual(body.chunks, pieces.slice(0, 2));
  assert.equal(body.chunks[0], pieces[0]);
  for (const piece of pieces.slice(2)) body.add(piece);
  assert.equal(body.chunks.length, 1);
  assert.equal(content(body).toString(), 'abc');
  for (const piece of pieces) assert.notEqual(body.chunks[0]?.buffer, piece.buffer);
});

test('bytes handed out before are not changed by those that come later', () => {
  const body = new HeldBody();
  for (const text of ['a', 'b', 'c']) body.add(Buffer.from(text));
  const [before] = body.chunks;
  body.sent();
  for (let index = 0; index < 10_000; index += 1) body.add(Buffer.from('z'));
  assert.equal(Buffer.from(before ?? []).toString(), 'abc');
  assert.equal(content(body).toString(), `abc${'z'.repeat(10_000)}`);
});

test('empty pieces count for nothing', () => {
  const body = new HeldBody();
  for (let index = 0; index < 10; index += 1) body.add(Buffer.alloc(0));
  assert.deepEqual(body.chunks, []);
  assert.equal(body.isWhole, true);
});

test('a million bytes one by one are copied a few times over, not once per piece', () => {
  const body = new HeldBody();
  const one = Buffer.from('q');
  const copies = new Set<ArrayBufferLike>();
  for (let index = 0; index < 1_000_000; index += 1) {
    body.add(one);
    if (index % 64 === 63) {
      const [chunk] = body.chunks;
      assert.equal(body.chunks.length, 1);
      if (chunk !== undefined) copies.add(chunk.buffer);
    }
  }
  assert.equal(content(body).length, 1_000_000);
  // Each copy is of twice the size of the one before, so that all together are less than two of the last.
  assert.ok(copies.size <= 10, `copied ${copies.size} times`);
  const sizes = [...copies].map(({ byteLength }) => byteLength);
  assert.ok(Math.max(...sizes) <= 2 * 1_000_000);
});

test('whatever the pieces, the content is that of the pieces in order, or none', () => {
  const pieces = fc.array(fc.oneof(fc.nat(20), fc.nat(40_000)), { maxLength: 12 });
  fc.assert(
    fc.property(pieces, fc.nat(12), (sizes, sentAfter) => {
      const body = new HeldBody();
      const all: Buffer[] = [];
      let sent = false;
      for (const [index, size] of sizes.entries()) {
        if (index === sentAfter) {
          body.sent();
          sent = true;
        }
        const piece = Buffer.alloc(size, index + 1);
        all.push(Buffer.from(piece));
        body.add(piece);
      }
      const total = Buffer.concat(all);
      assert.equal(body.isWhole, !sent || total.length <= KEPT_BYTES_MAX);
      assert.ok(content(body).equals(body.isWhole ? total : Buffer.alloc(0)));
    }),
  );
});

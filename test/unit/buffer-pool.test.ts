/** What the connections of a process share for their bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BufferPool, Output } from '../../gateway/message/output.ts';

const MIB = 1024 * 1024;

test('what was read is collected each time that 32 MiB have moved, in or out', () => {
  let collected = 0;
  const pool = new BufferPool(() => (collected += 1));
  pool.moved(32 * MIB - 1);
  assert.equal(collected, 0);
  pool.moved(1);
  assert.equal(collected, 1);
  const output = new Output(pool);
  output.append(Buffer.alloc(MIB));
  for (let count = 0; count < 31; count += 1) pool.moved(MIB);
  assert.equal(collected, 1, 'what waits has not moved');
  output.release(output.take());
  assert.equal(collected, 2);
  pool.moved(100 * MIB);
  assert.equal(collected, 3, 'once, however much came at once');
});

test('a pool of nobody collects nothing', () => {
  new BufferPool().moved(100 * MIB);
});

test('the runtime of gateways lets them collect young memory', () => {
  assert.equal(typeof globalThis.gc, 'function');
});

/** What becomes of output and its buffers: written once per turn, and given back when the socket has taken them. */
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import test from 'node:test';

import { BufferPool, Output } from '../../gateway/message/output.ts';
import { TurnWriter } from '../../gateway/socket/turn-writer.ts';

/** A pool that knows which buffers are out. */
class CountingPool extends BufferPool {
  readonly sizes: number[] = [];
  out = 0;

  override take(): Buffer {
    return this.#counted(super.take());
  }

  override takeSmall(): Buffer {
    return this.#counted(super.takeSmall());
  }

  override give(buffer: Buffer): void {
    this.out -= 1;
    super.give(buffer);
  }

  #counted(buffer: Buffer): Buffer {
    this.out += 1;
    this.sizes.push(buffer.length);
    return buffer;
  }
}

/** A socket whose writes end when `finish` is called, or at once. */
class TestSocket extends Duplex {
  readonly written: Buffer[] = [];
  isSlow = false;
  #finish: (() => void) | undefined;

  override _read(): void {
    // Nothing ever comes.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.written.push(Buffer.from(chunk));
    if (this.isSlow) this.#finish = done;
    else done();
  }

  finish(): void {
    this.#finish?.();
  }
}

function writerOn(socket: Duplex) {
  const pool = new CountingPool();
  const output = new Output(pool);
  const told: string[] = [];
  const writer = new TurnWriter({
    socket,
    output,
    onTurnEnd: () => told.push('turn'),
    onWritable: () => told.push('writable'),
    backlogBytesMax: 1_000,
  });
  return { pool, output, told, writer };
}

/** The writes of this turn, and what follows them, are done. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

test('what a socket takes at once gives its buffer back with the write', () => {
  const socket = new TestSocket();
  const { pool, output, writer } = writerOn(socket);
  output.append(Buffer.from('head'));
  assert.equal(pool.out, 1);
  writer.flush();
  assert.equal(pool.out, 0);
  assert.equal(Buffer.concat(socket.written).toString(), 'head');
});

test('what a socket does not take at once keeps its buffer until it is written, and then the engine goes on', async () => {
  const socket = new TestSocket();
  const { pool, output, told, writer } = writerOn(socket);
  socket.isSlow = true;
  output.append(Buffer.alloc(1_000, 'x'));
  writer.flush();
  assert.equal(writer.writable, false);
  await turn();
  assert.equal(pool.out, 1, 'the socket still reads from it');
  assert.deepEqual(told, ['turn']);
  socket.isSlow = false;
  socket.finish();
  await turn();
  assert.equal(pool.out, 0);
  assert.deepEqual(told, ['turn', 'writable']);
  assert.equal(Buffer.concat(socket.written).toString(), 'x'.repeat(1_000));
});

test('a quiet connection has small buffers, one that wrote much a large one in its next turn', async () => {
  const socket = new TestSocket();
  const { pool, output, writer } = writerOn(socket);
  const sizesOf = (bytes: number): number[] => {
    pool.sizes.length = 0;
    for (let left = bytes; left > 0; left -= Math.min(left, 1_024)) output.append(Buffer.alloc(Math.min(left, 1_024)));
    writer.flush();
    return [...pool.sizes];
  };
  assert.deepEqual(sizesOf(2_048), [2_048], 'as much as a small one holds');
  assert.deepEqual(sizesOf(2_049), [2_048, 65_536], 'a byte more');
  assert.deepEqual(sizesOf(2_048), [65_536]);
  assert.deepEqual(sizesOf(1), [2_048]);
  await turn();
  assert.equal(pool.out, 0);
});

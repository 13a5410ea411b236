/** Mutations of HTTP/2 conversations against the engine: nothing is thrown, every answer is lawful, nothing is left behind. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { test } from 'node:test';

import { STRANGER_CONNECTION } from '../../gateway/http2/limits.ts';
import { serveHttp2 } from '../../gateway/socket/http2-socket.ts';
import { TestApplication } from '../support/http2-application.ts';
import { Http2Judge } from '../support/http2-judge.ts';
import { chunks, mutated, seeded } from '../support/http2-mutation.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** `name hex`, a line each: whole conversations of a client, preface and all. */
const CONVERSATIONS: ReadonlyMap<string, Buffer> = new Map(
  readFileSync(join(import.meta.dirname, '../fixtures/http2/conversations.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [name = '', hex = ''] = line.split(' ');
      return [name, Buffer.from(hex, 'hex')];
    }),
);

const CASES_EACH = 120;
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/** A socket in memory: what is fed comes out of it, what is written to it is judged. */
class Pipe extends Duplex {
  readonly judge = new Http2Judge();
  wrong: unknown;
  writtenBytes = 0;

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.writtenBytes += bytes.length;
    try {
      this.judge.onReceived(bytes);
    } catch (error) {
      this.wrong ??= error;
    }
    done();
  }

  feed(bytes: Buffer): void {
    if (this.destroyed || this.readableEnded) return;
    this.judge.onSent(bytes);
    this.push(bytes);
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Plays `bytes` to a new connection in pieces, moves time, hangs up, and looks at what is left. */
async function play(bytes: Buffer, seed: number): Promise<void> {
  const random = seeded(seed);
  const application = new TestApplication();
  const clock = new ManualClock();
  const pipe = new Pipe();
  pipe.on('error', () => undefined);
  serveHttp2(pipe, { listener: application, clock, limits: STRANGER_CONNECTION });
  for (const piece of chunks(bytes, random)) {
    pipe.feed(piece);
    if (random(3) === 0) await turn();
    if (random(10) === 0) clock.advance(random(2_000));
  }
  await turn();
  for (let second = 0; second < 15; second += 1) clock.advance(1_000);
  await turn();
  assert.equal(pipe.wrong, undefined);
  assert.ok(pipe.writtenBytes <= ANSWER_BYTES_MAX, `${pipe.writtenBytes} bytes came back`);
  assert.ok(application.activeMost <= STRANGER_CONNECTION.streamsMax);
  pipe.push(null);
  pipe.destroy();
  await turn();
  await turn();
  assert.equal(application.active, 0, 'an exchange outlived its connection');
  assert.equal(application.owed, 0, 'bytes are owed to nobody');
  clock.advance(60_000);
  assert.equal(clock.pending, 0, 'a timer outlived its connection');
}

for (const [name, conversation] of CONVERSATIONS) {
  test(`conversation ${name}: served whole, in any pieces`, async () => {
    for (let seed = 0; seed < 20; seed += 1) await play(conversation, seed);
  });

  test(`conversation ${name}: ${CASES_EACH} mutations`, async () => {
    const others = [...CONVERSATIONS.values()];
    for (let seed = 1; seed <= CASES_EACH; seed += 1) {
      const bytes = mutated(conversation, seeded(seed * 7919), others);
      await play(bytes, seed).catch((error: unknown) => {
        const why = error instanceof Error ? error.message : 'unknown';
        throw new Error(`seed ${seed}: ${why}; ${bytes.toString('hex').slice(0, 4_000)}`, { cause: error });
      });
    }
  });
}

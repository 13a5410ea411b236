/** Handshakes are begun a few in a turn of the event loop, in order, and none that is gone. */
import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';

import { HandshakeTurns } from '../../trust-bundles/tls/handshake-turns.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function begun(perTurn: number, count: number): Promise<readonly number[]> {
  const started: Socket[] = [];
  const turns = new HandshakeTurns(perTurn, (socket) => started.push(socket));
  const sockets = Array.from({ length: count }, () => new Socket());
  for (const socket of sockets) turns.begin(socket);
  const counts = [started.length];
  while (started.length < count && counts.length < 10) {
    await turn();
    counts.push(started.length);
  }
  assert.deepEqual(started, sockets);
  return counts;
}

test('one less than the limit and the limit begin at once, one more in the next turn', async () => {
  assert.deepEqual(await begun(10, 9), [9]);
  assert.deepEqual(await begun(10, 10), [10]);
  assert.deepEqual(await begun(10, 11), [10, 11]);
  assert.deepEqual(await begun(2, 7), [2, 4, 6, 7]);
});

test('a connection that is gone before its turn is passed over, and a later one does not overtake', async () => {
  const started: Socket[] = [];
  const turns = new HandshakeTurns(1, (socket) => started.push(socket));
  const [first = new Socket(), second = new Socket(), third = new Socket()] = [1, 2, 3].map(() => new Socket());
  for (const socket of [first, second]) turns.begin(socket);
  second.destroy();
  await turn();
  turns.begin(third);
  await turn();
  await turn();
  assert.deepEqual(started, [first, third]);
});

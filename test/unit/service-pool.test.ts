/** Connections to backends over real sockets: turns, reuse, rest, waiting, refusal, and pools that are replaced. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { type Taken, type Waiter } from '../../gateway/forward/destination.ts';
import { at } from '../support/federation-values.ts';
import { ManualClock } from '../support/manual-clock.ts';
import {
  TestBackend,
  refusingAddress,
  exported,
  waiting,
  poolsOn,
  taken,
  request,
  bodyOf,
} from '../support/service-pool.ts';
import { http2Service } from '../support/sample-services.ts';

const OK = 'HTTP/1.1 204 No Content\r\n\r\n';

/** What is to be done later has been done. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('backends take turns', async () => {
  await using one = await http2Service();
  await using other = await http2Service();
  const addresses = [one, other].map(({ port }) => ({ host: '127.0.0.1', port }));
  const to = exported(addresses, { protocol: 'http2' });
  const { pools } = poolsOn();
  const first = await taken(pools, to);
  // A turn of the other finds no connection there: the first takes the call, and the other is joined behind its back.
  const during = [pools.take(to, []), pools.take(to, [])];
  for (const each of during) assert.equal(each?.connection, first.connection);
  while (pools.take(to, [first.connection]) === undefined) await settled();
  const turns = Array.from({ length: 6 }, () => pools.take(to, [])?.authority.value);
  assert.notEqual(turns[0], turns[1]);
  assert.deepEqual(turns, [turns[0], turns[1], turns[0], turns[1], turns[0], turns[1]]);
  pools[Symbol.dispose]();
});

test('a backend that refused is passed over to the next, and comes last for five seconds', async () => {
  await using good = new TestBackend();
  const address = await good.listen();
  const bad = await refusingAddress();
  const { pools, clock } = poolsOn();
  for (const order of [
    [bad, address],
    [address, bad],
  ]) {
    const to = exported(order, { name: `cart-${order.indexOf(address)}` });
    const { authority } = await taken(pools, to);
    assert.equal(authority.value, `127.0.0.1:${address.port}`);
  }
  // A listener comes where none was: while the backend rests the good one takes the calls, in any turn.
  await using late = new TestBackend();
  await late.listen(bad.port);
  const to = exported([address, bad], { name: 'cart-0' });
  const held: Taken[] = [];
  for (let index = 0; index < 4; index += 1) {
    const each = await taken(
      pools,
      to,
      held.map(({ connection }) => connection),
    );
    held.push(each);
    assert.equal(each.authority.value, `127.0.0.1:${address.port}`);
  }
  clock.advance(5_000);
  const seen = new Set<string>();
  for (let index = 0; index < 4; index += 1) {
    const each = await taken(
      pools,
      to,
      held.map(({ connection }) => connection),
    );
    held.push(each);
    seen.add(each.authority.value);
  }
  assert.ok(seen.has(`127.0.0.1:${bad.port}`), 'after it has rested it takes calls again');
  pools[Symbol.dispose]();
});

test('when every backend refuses, those who wait are told, all of them', async () => {
  const to = exported([await refusingAddress(), await refusingAddress()]);
  const { pools } = poolsOn();
  const all = Array.from({ length: 5 }, () => waiting());
  for (const { waiter } of all) {
    assert.equal(pools.take(to, []), undefined);
    pools.wait(to, waiter);
  }
  assert.deepEqual(
    await Promise.all(all.map(({ told }) => told)),
    Array.from({ length: 5 }, () => 'unreachable'),
  );
  const none = waiting();
  pools.wait(exported([], { name: 'empty' }), none.waiter);
  assert.equal(await none.told, 'unreachable');
  pools[Symbol.dispose]();
});

test('an HTTP/1.1 connection carries one call at a time, and is used again', async () => {
  await using backend = new TestBackend();
  const to = exported([await backend.listen()]);
  const { pools } = poolsOn();
  const first = await taken(pools, to);
  for (let index = 1; index <= 20; index += 1) {
    const again = pools.take(to, []);
    assert.equal(again?.connection, first.connection);
    const answered = request(first);
    assert.equal(pools.take(to, []), undefined, 'it is under a call');
    await backend.until(() => backend.requests === index);
    backend.sockets[0]?.write(OK);
    assert.equal(await answered, '204');
    await settled();
  }
  assert.equal(backend.sockets.length, 1);
  pools[Symbol.dispose]();
});

test('what has come on one connection stays as it is when more comes on others', async () => {
  await using backend = new TestBackend();
  const to = exported([await backend.listen()]);
  const { pools } = poolsOn();
  const first = await taken(pools, to);
  const second = await taken(pools, to, [first.connection]);
  const kept = [first, second].map((each) => bodyOf(each));
  await backend.until(() => backend.requests === 2);
  backend.sockets[0]?.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\naaaa');
  backend.sockets[1]?.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbbbb');
  const bodies = await Promise.all(kept);
  assert.deepEqual(bodies.map((bytes) => Buffer.from(bytes).toString()).sort(), ['aaaa', 'bbbb']);
  pools[Symbol.dispose]();
});

test('of connections that rest the one that rested last is taken, and those that were tried are not', async () => {
  await using backend = new TestBackend();
  const to = exported([await backend.listen()]);
  const { pools } = poolsOn();
  const a = await taken(pools, to);
  const b = await taken(pools, to, [a.connection]);
  const c = await taken(pools, to, [a.connection, b.connection]);
  assert.equal(pools.take(to, [])?.connection, c.connection);
  assert.equal(pools.take(to, [c.connection])?.connection, b.connection);
  assert.equal(pools.take(to, [c.connection, b.connection])?.connection, a.connection);
  const answers = [request(c), request(b)];
  assert.equal(pools.take(to, [])?.connection, a.connection);
  await backend.until(() => backend.requests === 2);
  for (const socket of backend.sockets) if (socket.bytesRead > 0) socket.write(OK);
  assert.deepEqual(await Promise.all(answers), ['204', '204']);
  await settled();
  assert.notEqual(pools.take(to, [])?.connection, a.connection);
  pools[Symbol.dispose]();
});

test('a connection in use every second is kept as long as it is, and closed four seconds after its last call', async () => {
  await using backend = new TestBackend();
  const to = exported([await backend.listen()]);
  const { pools, clock } = poolsOn();
  const first = await taken(pools, to);
  for (let index = 1; index <= 12; index += 1) {
    assert.equal(pools.take(to, [])?.connection, first.connection, `after ${index - 1} seconds`);
    const answered = request(first);
    await backend.until(() => backend.requests === index);
    backend.sockets[0]?.write(OK);
    await answered;
    await settled();
    clock.advance(1000);
  }
  clock.advance(2_499);
  assert.equal(pools.take(to, [])?.connection, first.connection);
  clock.advance(1_001);
  assert.equal(pools.take(to, []), undefined);
  await backend.until(
    () => backend.sockets.every((socket) => socket.readableEnded || socket.destroyed) || backend.closed === 1,
  );
  pools[Symbol.dispose]();
});

test('a connection that has rested too long when a call looks is closed, not forgotten', async () => {
  await using backend = new TestBackend();
  const to = exported([await backend.listen()], { limits: { connectionsPerBackend: 1 } });
  const clock = new ManualClock();
  /** Its timers never fire, as when the process is too busy: only calls look. */
  const still = new ManualClock();
  const { pools } = poolsOn(
    Object.assign(Object.create(clock) as ManualClock, {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after: (delayMs: number, action: () => void) => still.after(delayMs, action),
    }),
  );
  const first = await taken(pools, to);
  clock.advance(4_000);
  assert.equal(pools.take(to, []), undefined);
  assert.equal(first.connection.usable, false);
  pools[Symbol.dispose]();
});

test('what a service says it keeps connections for is believed, less a second', async () => {
  await using backend = new TestBackend();
  const to = exported([await backend.listen()]);
  const { pools, clock } = poolsOn();
  const first = await taken(pools, to);
  const answered = request(first);
  await backend.until(() => backend.requests === 1);
  backend.sockets[0]?.write('HTTP/1.1 204 No Content\r\nKeep-Alive: timeout=2\r\n\r\n');
  await answered;
  await settled();
  clock.advance(999);
  assert.equal(pools.take(to, [])?.connection, first.connection);
  clock.advance(1);
  assert.equal(pools.take(to, []), undefined);
  pools[Symbol.dispose]();
});

test('calls that wait are served in order as connections come free, and no more are made than may be', async () => {
  await using backend = new TestBackend();
  const to = exported([await backend.listen()], { limits: { connectionsPerBackend: 1 } });
  const { pools } = poolsOn();
  const served: number[] = [];
  const answers: Promise<string>[] = [];
  for (const index of [1, 2, 3, 4]) {
    const waiter: Waiter = {
      onConnection: () => {
        const free = pools.take(to, []);
        if (free === undefined) {
          pools.wait(to, waiter);
          return;
        }
        served.push(index);
        answers.push(request(free));
      },
      onUnreachable: () => served.push(-index),
    };
    pools.wait(to, waiter);
  }
  for (const count of [1, 2, 3, 4]) {
    await backend.until(() => backend.requests === count);
    assert.deepEqual(served, [1, 2, 3, 4].slice(0, count));
    backend.sockets[0]?.write(OK);
    await answers[count - 1];
  }
  assert.equal(backend.sockets.length, 1);
  pools[Symbol.dispose]();
});

test('an export that changed is served by its new backends, also to those who waited for the old ones', async () => {
  await using old = new TestBackend();
  await using present = new TestBackend();
  const before = exported([await old.listen()], { limits: { connectionsPerBackend: 1 } });
  const after = exported([await present.listen()]);
  const { pools, clock } = poolsOn();
  const busy = await taken(pools, before);
  const answered = request(busy);
  const { promise, resolve } = Promise.withResolvers<string>();
  const waiter: Waiter = {
    onConnection: () => {
      // The call was judged by the older snapshot, and still asks for that export.
      const free = pools.take(before, []);
      if (free === undefined) pools.wait(before, waiter);
      else resolve(free.authority.value);
    },
    onUnreachable: () => resolve('unreachable'),
  };
  pools.wait(before, waiter);
  pools.keep(new Map([['cart', after]]));
  assert.equal(await promise, `127.0.0.1:${after.backends[0]?.port}`);
  assert.equal((await taken(pools, after)).authority.value, `127.0.0.1:${after.backends[0]?.port}`);
  await old.until(() => old.requests === 1);
  old.sockets[0]?.write(OK);
  assert.equal(await answered, '204', 'what was under way finishes');
  await settled();
  assert.equal(busy.connection.usable, false, 'and takes no more');
  pools.keep(new Map([['cart', exported(after.backends, { origin: at(9) })]]));
  assert.notEqual(pools.take(after, []), undefined, 'what does not matter to a pool changes nothing');
  pools[Symbol.dispose]();
  clock.advance(60_000);
});

test('an export that is gone refuses those who wait for it, and pools that are disposed of leave no timer', async () => {
  await using backend = new TestBackend();
  const to = exported([await backend.listen()], { limits: { connectionsPerBackend: 1 } });
  for (const end of ['keep', 'dispose'] as const) {
    const { pools, clock } = poolsOn();
    void request(await taken(pools, to));
    const { waiter, told } = waiting();
    pools.wait(to, waiter);
    if (end === 'keep') pools.keep(new Map());
    else pools[Symbol.dispose]();
    assert.equal(await told, 'unreachable');
    for (const socket of backend.sockets) socket.destroy();
    await settled();
    pools[Symbol.dispose]();
    clock.advance(60_000);
    assert.equal(clock.pending, 0);
  }
});

test('no connection is made for a call that is over, and it is told nothing', async () => {
  await using backend = new TestBackend();
  const to = exported([await backend.listen()]);
  const { pools } = poolsOn();
  let told = 0;
  const gone: readonly Waiter[] = Array.from({ length: 5 }, () => ({
    onConnection: () => (told += 1),
    onUnreachable: () => (told += 1),
  }));
  // Each in its turn waits and is over; what was begun for the first serves them all.
  for (const waiter of gone) {
    pools.wait(to, waiter);
    pools.leave(to, waiter);
  }
  const { connection } = await taken(pools, to);
  await settled();
  assert.deepEqual([backend.sockets.length, told], [1, 0]);
  assert.equal(connection.usable, true);
  pools[Symbol.dispose]();
});

test('a thousand backends that nobody calls hold no memory for reads', () => {
  const addresses = Array.from({ length: 1_000 }, (_, index) => ({ host: '127.0.0.1', port: 1 + index }));
  const { pools } = poolsOn();
  const before = process.memoryUsage().arrayBuffers;
  assert.equal(pools.take(exported(addresses), []), undefined);
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 8 * 1024 * 1024, `${grown} bytes`);
  pools[Symbol.dispose]();
});

/** The primary with stub children, as processes: connections are spread evenly, and none is lost to what should cost none. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { existsSync } from 'node:fs';

import { asRecord } from '../../base/brand.ts';
import { until } from '../support/gateway-process.ts';
import { ask, Load, plan, ProcessRig } from '../support/process-rig.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const isAlive = (pid: number | null | undefined): boolean => {
  try {
    return process.kill(pid ?? 0, 0);
  } catch {
    return false;
  }
};

const pidOf = (rig: ProcessRig, id: unknown): number => rig.processes().find((each) => each.id === id)?.pid ?? 0;

test('long-lived connections are spread over the workers evenly, also after some have closed', async () => {
  await using rig = new ProcessRig(plan({ workers: 4 }));
  await rig.ready();
  const to = await rig.address();
  const spread = async (held: Awaited<ReturnType<typeof ask>>[], more: number): Promise<readonly number[]> => {
    for (let index = 0; index < more; index += 1) held.push(await ask(to));
    const counts = new Map<string, number>();
    for (const { answer } of held) counts.set(answer, (counts.get(answer) ?? 0) + 1);
    return [...counts.values()].sort((a, b) => a - b);
  };
  const held: Awaited<ReturnType<typeof ask>>[] = [];
  assert.deepEqual(await spread(held, 8), [2, 2, 2, 2]);
  assert.deepEqual(await spread(held, 2), [2, 2, 3, 3]);
  const first = held[0]?.answer;
  const [gone, stay] = [held.filter(({ answer }) => answer === first), held.filter(({ answer }) => answer !== first)];
  for (const { socket } of gone) socket.destroy();
  // The close is told by the worker; a few calls later everybody has heard.
  await until('the closed ones to be forgotten', async () => {
    const { answer, socket } = await ask(to);
    socket.destroy();
    return answer === first;
  });
  assert.deepEqual(await spread(stay, gone.length), [2, 2, 3, 3]);
  for (const { socket } of stay) socket.destroy();
  assert.equal(await rig.stop(), 0);
});

test('connections that come before every worker is ready are spread evenly all the same', async () => {
  await using rig = new ProcessRig(plan({ workers: 4 }));
  const to = await rig.address();
  const all = await Promise.all(Array.from({ length: 8 }, () => ask(to)));
  const counts = Map.groupBy(all, ({ answer }) => answer);
  assert.deepEqual(
    [...counts.values()].map(({ length }) => length),
    [2, 2, 2, 2],
  );
  for (const { socket } of all) socket.destroy();
});

test('a connection that came before any worker was ready is answered, also when the primary is told to stop by then', async () => {
  const jump = { name: 'jump', address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, to: 'workers' } as const;
  await using rig = new ProcessRig(plan({ listeners: [{ ...jump, forCalls: true }] }));
  const asked = await ask(await rig.address());
  asked.socket.destroy();
  assert.equal(await rig.stop(), 0);
  await using other = new ProcessRig(plan({ listeners: [{ ...jump, forCalls: true }] }));
  const answer = ask(await other.address());
  const ended = other.stop();
  const { socket } = await answer;
  socket.destroy();
  assert.equal(await ended, 0);
});

test('N5: kill -9 of a worker under load loses only what it had taken, and a replacement serves', async () => {
  await using rig = new ProcessRig(plan());
  await rig.ready();
  const to = await rig.address();
  const victim = pidOf(rig, 0);
  await using load = new Load(to);
  await load.more(200);
  process.kill(victim, 'SIGKILL');
  await load.more(200);
  const after = await rig.untilProcesses('the replacement', (all) =>
    all.some(({ id, pid, restarts, state }) => id === 0 && pid !== victim && restarts === 1 && state === 'ready'),
  );
  assert.equal(after.find(({ id }) => id === 0)?.lastEnd, 'signal SIGKILL');
  const fresh = String(pidOf(rig, 0));
  await until('the replacement to be given connections', async () => {
    const { answer, socket } = await ask(to);
    socket.destroy();
    return answer === fresh;
  });
  const lost = await load.stop();
  // At most the ten that were open at that moment, and those broke after they were accepted: none was refused.
  const count = Object.values(lost).reduce((sum, each) => sum + each, 0);
  assert.ok(count <= 10, JSON.stringify(lost));
  assert.equal(lost['connect ECONNREFUSED'], undefined);
  assert.equal(await rig.stop(), 0);
});

test('N5: while every worker is dead new connections wait, and are served by the first that is back', async () => {
  await using rig = new ProcessRig(plan());
  await rig.ready();
  const to = await rig.address();
  for (const { id, pid } of rig.processes()) if (id !== 'control' && pid !== null) process.kill(pid, 'SIGKILL');
  const answers = await Promise.all(Array.from({ length: 30 }, () => ask(to)));
  for (const { socket } of answers) socket.destroy();
  assert.equal(answers.length, 30);
  assert.equal(await rig.stop(), 0);
});

test('N6: SIGTERM turns readiness off, drains without losing a connection, and leaves nothing behind', async () => {
  await using rig = new ProcessRig(plan());
  const processes = await rig.ready();
  const to = await rig.address();
  const open = await Promise.all(Array.from({ length: 20 }, () => ask(to)));
  rig.child.kill('SIGTERM');
  await rig.said('readiness off', (line) => line['readiness'] === 'off');
  for (const { socket } of open) {
    const answered = once(socket, 'data');
    socket.write('still here?');
    await answered;
    socket.end();
  }
  assert.equal(await rig.ended, 0);
  await assert.rejects(ask(to), { code: 'ECONNREFUSED' });
  for (const { pid } of processes) assert.equal(isAlive(pid), false);
});

test('a worker that is one too many is drained under load, and no connection is lost', async () => {
  await using rig = new ProcessRig(plan({ workers: 3 }));
  await rig.ready();
  const to = await rig.address();
  await using load = new Load(to);
  await load.more(200);
  const { socket } = await ask(to);
  socket.write('fewer');
  await rig.said('the word of the worker', (line) => line['relay'] === 'fewer');
  await load.more(200);
  socket.destroy();
  await rig.untilProcesses('it to be forgotten', (all) => all.length === 3);
  await load.more(200);
  assert.deepEqual(await load.stop(), {});
  assert.equal(await rig.stop(), 0);
});

test('N7: what is still open at the deadline is cut', async () => {
  await using rig = new ProcessRig(plan({ drainMs: 100 }));
  await rig.ready();
  const { socket } = await ask(await rig.address());
  const closed = once(socket, 'close');
  socket.on('error', () => undefined);
  rig.child.kill('SIGTERM');
  await closed;
  assert.equal(await rig.ended, 0);
});

test('a taken port is an error with one line, and exit code 2', async () => {
  await using holder = createServer();
  holder.listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const taken = holder.address();
  const port = typeof taken === 'object' && taken !== null ? taken.port : 0;
  await using rig = new ProcessRig(
    plan({
      listeners: [{ name: 'jump', address: { kind: 'tcp', host: '127.0.0.1', port }, to: 'workers', forCalls: false }],
    }),
  );
  assert.equal(await rig.ended, 2);
  assert.equal(
    rig.stderr,
    `cannot listen on 127.0.0.1:${port}: another process does; stop it or choose another address\n`,
  );
});

test('a dead control process is replaced while the workers serve, and its listeners stay bound', async () => {
  const listeners = [
    ...plan().listeners,
    { name: 'status', address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, to: 'control', forCalls: false },
  ] as const;
  await using rig = new ProcessRig(plan({ listeners }));
  await rig.ready();
  const [jump, status] = [await rig.address(), await rig.address('status')];
  const victim = pidOf(rig, 'control');
  await using calls = new Load(jump);
  await using probes = new Load(status, 2);
  await Promise.all([calls.more(50), probes.more(10)]);
  process.kill(victim, 'SIGKILL');
  // Control says what is bound anew.
  assert.deepEqual(await rig.address('status', 1), status);
  await Promise.all([calls.more(50), probes.more(10)]);
  assert.deepEqual(await calls.stop(), {});
  const lost = Object.values(await probes.stop()).reduce((sum, each) => sum + each, 0);
  assert.ok(lost <= 2, `${lost} probes lost`);
  const workers = rig.processes().filter(({ id }) => id !== 'control');
  assert.deepEqual(
    workers.map(({ restarts }) => restarts),
    [0, 0],
  );
  assert.equal(await rig.stop(), 0);
});

test('a worker that starts while control is down gets what control has left for it', async () => {
  await using rig = new ProcessRig(plan({ workers: 1 }));
  await rig.ready();
  const to = await rig.address();
  process.kill(pidOf(rig, 'control'), 'SIGSTOP');
  process.kill(pidOf(rig, 0), 'SIGKILL');
  const { answer, socket } = await ask(to, 'greeting');
  socket.destroy();
  assert.equal(answer, 'greeting hello');
  process.kill(pidOf(rig, 'control'), 'SIGCONT');
  await rig.said('the word of the worker', (line) => line['relay'] === 'heard' && line['from'] === 0);
  assert.equal(await rig.stop(), 0);
});

test('N5: a worker that cannot start is shown as a crash loop and does not hinder the others', async () => {
  await using rig = new ProcessRig(plan({ brokenFrom: 1 }));
  await rig.untilProcesses('the crash loop', (all) =>
    all.some(({ id, state }) => id === 1 && state === 'crash-looping'),
  );
  const { answer, socket } = await ask(await rig.address());
  socket.destroy();
  assert.equal(answer, String(pidOf(rig, 0)));
});

test('a worker that says what cannot be is replaced', async () => {
  await using rig = new ProcessRig(plan({ workers: 1 }));
  await rig.ready();
  const to = await rig.address();
  for (const [nth, word] of ['lie', 'listen', 'ready', 'copy'].entries()) {
    await assert.rejects(ask(to, word));
    await rig.untilProcesses('the replacement', (all) =>
      all.some(({ id, restarts, state }) => id === 0 && restarts === nth + 1 && state === 'ready'),
    );
  }
  assert.match(rig.stderr, /took a connection that it was not offered/);
  assert.match(rig.stderr, /was ready twice/);
  assert.match(rig.stderr, /said something that is not in the protocol/);
});

test('SIGHUP reaches every process', async () => {
  await using rig = new ProcessRig(plan());
  await rig.ready();
  rig.child.kill('SIGHUP');
  for (const who of ['control', 0, 1]) await rig.said(`${who} to hear`, (line) => line['hangUp'] === who);
});

test('when the primary dies the children end by themselves', async () => {
  await using rig = new ProcessRig(plan());
  const processes = await rig.ready();
  rig.child.kill('SIGKILL');
  await until('the children to end', () => processes.every(({ pid }) => !isAlive(pid)));
});

test('N3: with 1,024 descriptors and 2,000 connects accepting pauses, waits for room, and refuses nobody', async () => {
  // Half of the descriptors is for the connections of each of two workers, a quarter for what the primary holds.
  await using rig = new ProcessRig(plan(), (words) => ['sh', '-c', 'ulimit -n 1024 && exec "$@"', 'sh', ...words]);
  await rig.ready();
  const to = await rig.address();
  const held = await Promise.all(Array.from({ length: 1_024 }, () => ask(to)));
  const waiting = Array.from({ length: 976 }, () => ask(to));
  await until('the pause', () => rig.stderr.includes('accepting pauses'));
  const turn = new AbortController();
  setImmediate(() => turn.abort());
  const before = await Promise.race([...waiting, once(turn.signal, 'abort').then(() => 'nobody had room for it')]);
  assert.equal(before, 'nobody had room for it');
  for (const { socket } of held) socket.destroy();
  const served = await Promise.all(waiting);
  assert.match(rig.stderr, /accepting goes on/);
  for (const { socket } of served) socket.destroy();
  await using load = new Load(to);
  await load.more(100);
  assert.deepEqual(await load.stop(), {});
  assert.equal(await rig.stop(), 0);
});

test('a Unix socket is spread too, keeps its file while it pauses, and is gone after the stop', async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, 'out.sock');
  const listeners = [{ name: 'outbound[0]', address: { kind: 'unix', path }, to: 'workers', forCalls: false }] as const;
  await using rig = new ProcessRig(plan({ listeners }), (words) => [
    'sh',
    '-c',
    'ulimit -n 64 && exec "$@"',
    'sh',
    ...words,
  ]);
  await rig.ready();
  const held = await Promise.all(Array.from({ length: 64 }, () => ask({ path })));
  assert.equal(new Set(held.map(({ answer }) => answer)).size, 2);
  const waiting = Array.from({ length: 10 }, () => ask({ path }));
  await until('the pause', () => rig.stderr.includes('accepting pauses'));
  for (const { socket } of held) socket.destroy();
  for (const { socket } of await Promise.all(waiting)) socket.destroy();
  assert.equal(await rig.stop(), 0);
  assert.equal(existsSync(path), false);
});

test('a connection that every worker gives back is closed, not handed round for ever', async () => {
  const listeners = [
    { name: 'refused', address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, to: 'workers', forCalls: false },
  ] as const;
  await using rig = new ProcessRig(plan({ listeners }));
  await rig.ready();
  await assert.rejects(ask(await rig.address('refused')));
  assert.equal(asRecord(rig.processes()[0])?.['state'], 'ready');
});

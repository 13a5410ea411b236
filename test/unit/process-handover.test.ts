/** Who gets an accepted connection, and what becomes of it when that one dies, drains or lies. */
import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import test from 'node:test';

import { type ProcessId, type ToChild } from '../../gateway/process/channel.ts';
import { connectionRoom, descriptorLimit } from '../../gateway/process/descriptors.ts';
import { Handover, type Taker } from '../../gateway/process/handover.ts';

class Stub implements Taker {
  readonly id: ProcessId;
  readonly offered: { readonly id: number; readonly listener: string; readonly socket: Socket }[] = [];

  constructor(id: ProcessId) {
    this.id = id;
  }

  send(message: ToChild, socket?: Socket): void {
    if (message.kind === 'connection' && socket !== undefined) this.offered.push({ ...message, socket });
  }
}

function rig(workers: number, room = { heldMax: 100, perWorkerMax: 100 }) {
  let changes = 0;
  const handover = new Handover(room, () => (changes += 1));
  const stubs = Array.from({ length: workers }, (_, index) => new Stub(index));
  for (const stub of stubs) handover.add(stub);
  const offer = (listener = 'jump', to: 'workers' | 'control' = 'workers', forCalls = false): Socket => {
    const socket = new Socket();
    handover.offer({ socket, listener, to, forCalls });
    return socket;
  };
  const counts = (listener = 'jump'): readonly number[] =>
    stubs.map(({ offered }) => offered.filter((each) => each.listener === listener).length);
  return { handover, stubs, offer, counts, changes: () => changes };
}

test('the connections of each listener are even to within one, whatever the others have', () => {
  const { offer, counts } = rig(3);
  for (let index = 0; index < 7; index += 1) offer('jump');
  for (let index = 0; index < 5; index += 1) offer('edge');
  for (const listener of ['jump', 'edge']) {
    const each = counts(listener);
    assert.ok(Math.max(...each) - Math.min(...each) <= 1, `${listener}: ${each.join()}`);
  }
});

test('our copy of the descriptor is kept until the connection was taken', () => {
  const { handover, offer } = rig(1);
  const socket = offer();
  assert.equal(socket.destroyed, false);
  assert.equal(handover.held, 1);
  assert.equal(handover.taken(0, 0), true);
  assert.equal(socket.destroyed, true);
  assert.equal(handover.held, 0);
});

test('what a dead worker had not taken goes to another; what it had taken does not', () => {
  const { handover, stubs, offer } = rig(2);
  const sockets = [offer(), offer(), offer(), offer()];
  const dead = stubs[0]?.offered ?? [];
  assert.equal(dead.length, 2);
  assert.equal(handover.taken(0, dead[0]?.id ?? -1), true);
  handover.remove(0);
  assert.equal(stubs[1]?.offered.length, 3);
  assert.equal(stubs[1].offered.at(-1)?.socket, dead[1]?.socket);
  assert.equal(sockets.filter(({ destroyed }) => destroyed).length, 1);
});

test('a draining worker is offered nothing more, and nothing it was offered goes to another meanwhile', () => {
  const { handover, stubs, offer } = rig(2);
  offer();
  offer();
  handover.retire(0);
  assert.equal(stubs[1]?.offered.length, 1, 'or two would serve one connection');
  offer();
  assert.deepEqual([stubs[0]?.offered.length, stubs[1].offered.length], [1, 2]);
  assert.equal(handover.returned(0, stubs[0]?.offered[0]?.id ?? -1), true);
  assert.equal(stubs[1].offered.length, 3);
});

test('with nobody there connections wait, and the first who comes gets them', () => {
  const { handover, offer } = rig(0);
  offer();
  offer('status', 'control');
  const [worker, control] = [new Stub(0), new Stub('control')];
  handover.add(worker);
  assert.deepEqual(
    worker.offered.map(({ listener }) => listener),
    ['jump'],
  );
  handover.add(control);
  assert.deepEqual(
    control.offered.map(({ listener }) => listener),
    ['status'],
  );
});

test('what is held back waits for its release, and holds up nothing else', () => {
  const { handover, offer, counts, changes } = rig(2);
  handover.hold('calls');
  for (let index = 0; index < 5; index += 1) offer('edge', 'workers', true);
  offer('jump');
  assert.deepEqual(counts('edge'), [0, 0]);
  assert.equal(counts('jump').length, 2);
  assert.equal(handover.held, 6);
  const before = changes();
  handover.release('calls');
  assert.deepEqual(counts('edge').toSorted(), [2, 3]);
  assert.equal(changes(), before + 1);
  handover.release('calls');
  assert.equal(changes(), before + 1);
  offer('edge', 'workers', true);
  assert.deepEqual(counts('edge'), [3, 3]);
});

test('what is held back is closed at the end', () => {
  const { handover, offer } = rig(1);
  handover.hold('calls');
  const socket = offer('edge', 'workers', true);
  handover.destroy();
  assert.ok(socket.destroyed);
});

test('a connection that four have given back is closed', () => {
  const { handover, stubs, offer } = rig(1);
  const socket = offer();
  for (let attempt = 0; attempt < 4; attempt += 1) {
    assert.equal(socket.destroyed, false);
    assert.equal(handover.returned(0, stubs[0]?.offered.at(-1)?.id ?? -1), true);
  }
  assert.equal(socket.destroyed, true);
  assert.equal(handover.held, 0);
  assert.equal(handover.connectionsOf(0), 0);
});

test('words about connections that were never offered are not believed', () => {
  const { handover, stubs, offer } = rig(2);
  offer();
  const holder = stubs.findIndex(({ offered }) => offered.length === 1);
  const [{ id } = { id: -1 }] = stubs[holder]?.offered ?? [];
  const other = 1 - holder;
  assert.equal(handover.taken(other, id), false);
  assert.equal(handover.returned(other, id), false);
  assert.equal(handover.closed(other, 'jump', 1), false);
  assert.equal(handover.taken(holder, id), true);
  assert.equal(handover.taken(holder, id), false);
  assert.equal(handover.closed(holder, 'jump', 2), false);
  assert.equal(handover.closed(holder, 'jump', 1), true);
  assert.equal(handover.connectionsOf(holder), 0);
});

test('there is room up to the limit of held connections, and again when half of them were taken', () => {
  const { handover, stubs, offer } = rig(1, { heldMax: 4, perWorkerMax: 100 });
  for (const roomAfter of [true, true, true, false]) {
    offer();
    assert.equal(handover.hasRoom('workers'), roomAfter);
  }
  const take = (at: number): boolean => handover.taken(0, stubs[0]?.offered[at]?.id ?? -1);
  assert.ok(take(0));
  assert.equal(handover.mayResume('workers'), false);
  assert.ok(take(1));
  assert.equal(handover.mayResume('workers'), true);
});

test('there is room until every worker is full, and again when one connection has closed', () => {
  const { handover, stubs, offer, changes } = rig(2, { heldMax: 100, perWorkerMax: 1 });
  offer();
  assert.equal(handover.hasRoom('workers'), true);
  offer();
  assert.equal(handover.hasRoom('workers'), false);
  assert.equal(handover.hasRoom('control'), true);
  for (const { id, offered } of stubs) handover.taken(id, offered[0]?.id ?? -1);
  const before = changes();
  assert.equal(handover.closed(0, 'jump', 1), true);
  assert.equal(handover.mayResume('workers'), true);
  assert.equal(changes(), before + 1);
});

test('the descriptor limit is the soft one, with a default where it cannot be read', () => {
  assert.equal(descriptorLimit('Max open files            64                   4096                 files \n'), 64);
  assert.equal(
    descriptorLimit('Max open files            unlimited            unlimited            files \n'),
    1_048_576,
  );
  assert.equal(descriptorLimit(''), 1_024);
  assert.ok(descriptorLimit() > 0);
  assert.deepEqual(connectionRoom(64), { heldMax: 16, perWorkerMax: 32 });
  assert.deepEqual(connectionRoom(1_048_576), { heldMax: 16_384, perWorkerMax: 524_288 });
  assert.deepEqual(connectionRoom(1), { heldMax: 1, perWorkerMax: 1 });
});

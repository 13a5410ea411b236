/** The HTTP/2 machine of a server, frame by frame: exchanges, their ends, and the end of the connection. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { answer, dataOf, get, post, ServerRig } from '../support/http2-by-hand.ts';
import {
  CODE,
  dataFrame,
  headersFrame,
  priorityFields,
  priorityFrame,
  SETTING,
  windowUpdateFrame,
} from '../support/http2-frames.ts';
import { block } from '../support/raw-hpack.ts';

suite('an HTTP/2 server', () => {
  test('tells a request in pieces, and the scheme of its connection', () => {
    const rig = new ServerRig();
    for (const octet of Buffer.concat([post(1), dataFrame(1, false, 'ab', 3), dataFrame(1, true, 'c')]))
      rig.say(Buffer.from([octet]));
    assert.equal(rig.told[0]?.data.join(''), 'abc');
    assert.equal(rig.told[0].ended, true);
    assert.equal(rig.heads[0]?.scheme.value, 'https');
  });

  test('an answer within the listener tells what was sent once there is somebody to tell', () => {
    const rig = new ServerRig();
    rig.say(post(1));
    answer(rig.streams[0], 'hello');
    assert.equal(rig.told[0]?.sent, 5);
    assert.deepEqual(dataOf(rig.hear()), [[1, 5]]);
  });

  test('frames on a stream that was reset here are ignored, on one that ended they end the connection', () => {
    const rig = new ServerRig();
    rig.say(post(1), post(3));
    rig.streams[0]?.reset(CODE.cancel);
    rig.hear();
    rig.say(dataFrame(1, false, 'late'), headersFrame(1, block([['x-late', '1']])), windowUpdateFrame(1, 5));
    assert.deepEqual(rig.errors(), { resets: [], goaway: undefined });
    rig.say(dataFrame(3, true, ''));
    answer(rig.streams[1], 'done');
    rig.hear();
    rig.say(windowUpdateFrame(3, 5));
    assert.equal(rig.errors().goaway, undefined);
    rig.say(dataFrame(3, false, 'x'));
    assert.equal(rig.errors().goaway, CODE.streamClosed);
  });

  test('data after END_STREAM while the answer is due breaks the stream', () => {
    const rig = new ServerRig();
    rig.say(get(1), dataFrame(1, false, 'x'));
    assert.deepEqual(rig.errors(), { resets: [[1, CODE.streamClosed]], goaway: undefined });
    assert.deepEqual(rig.told[0]?.resets, [CODE.streamClosed]);
  });

  test('shutdown announces, then names the last stream, ignores what comes later, and closes when all have ended', () => {
    const rig = new ServerRig();
    rig.say(get(1));
    rig.connection.shutdown();
    assert.equal(rig.hear().at(-1)?.payload.readUInt32BE(0), 0x7fffffff);
    rig.connection.tick(0);
    rig.say(get(3));
    assert.equal(rig.hear().length, 0);
    rig.connection.tick(1_000);
    assert.equal(rig.hear().at(-1)?.payload.readUInt32BE(0), 3);
    rig.say(post(5), dataFrame(5, true, 'x'));
    assert.equal(rig.streams.length, 2);
    assert.deepEqual(rig.errors(), { resets: [], goaway: undefined });
    for (const stream of rig.streams) answer(stream, 'x');
    rig.hear();
    assert.deepEqual(rig.events.closed, [{ code: 0, reason: '', byPeer: false }]);
  });

  test('shutdown of an idle connection closes it with the second tick', () => {
    const rig = new ServerRig();
    rig.connection.shutdown();
    rig.connection.tick(0);
    rig.connection.tick(1_000);
    rig.hear();
    assert.equal(rig.events.closed.length, 1);
  });

  test('a priority on itself breaks an open stream and ends the connection on an idle one', () => {
    const rig = new ServerRig();
    rig.say(post(1), priorityFrame(1, priorityFields(3, 1)));
    assert.deepEqual(rig.errors(), { resets: [], goaway: undefined });
    rig.say(priorityFrame(1, priorityFields(1, 1)));
    assert.deepEqual(rig.errors().resets, [[1, CODE.protocolError]]);
    rig.say(priorityFrame(9, priorityFields(9, 1)));
    assert.equal(rig.errors().goaway, CODE.protocolError);
  });

  test('a retained slice of a large read is copied when it has to wait', () => {
    const rig = new ServerRig({}, [[SETTING.initialWindowSize, 0]]);
    rig.say(get(1));
    const read = Buffer.alloc(64 * 1024, 'a');
    rig.streams[0]?.respond({ status: 200, fields: [] }, false);
    rig.streams[0]?.write(read.subarray(0, 100), true);
    read.fill('b');
    rig.say(windowUpdateFrame(1, 100));
    assert.equal(rig.hear().at(-1)?.payload.toString(), 'a'.repeat(100));
  });
});

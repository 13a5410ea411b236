/** The windows of an HTTP/2 server, frame by frame: what it may send, what it lets come, what it gives back. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { answer, dataOf, get, post, ServerRig } from '../support/http2-by-hand.ts';
import { CODE, dataFrame, FLAG, FRAME, SETTING, settingsFrame, windowUpdateFrame } from '../support/http2-frames.ts';

suite('an HTTP/2 server', () => {
  test('sends no more than the window of the stream, then what an update permits', () => {
    const rig = new ServerRig({}, [[SETTING.initialWindowSize, 4]]);
    rig.say(get(1));
    answer(rig.streams[0], 'abcdefgh');
    assert.deepEqual(dataOf(rig.hear()), [[1, 4]]);
    rig.say(windowUpdateFrame(1, 3));
    assert.deepEqual(dataOf(rig.hear()), [[1, 3]]);
    assert.equal(rig.connection.queuedBytes, 1);
    rig.say(windowUpdateFrame(1, 1));
    const [last] = rig.hear();
    assert.deepEqual([last?.flags, last?.payload.toString()], [FLAG.endStream, 'h']);
    assert.equal(rig.connection.streams, 0);
  });

  test('a window that SETTINGS made negative stays shut until it is above zero', () => {
    const rig = new ServerRig({}, [[SETTING.initialWindowSize, 10]]);
    rig.say(get(1));
    answer(rig.streams[0], 'x'.repeat(20));
    assert.deepEqual(dataOf(rig.hear()), [[1, 10]]);
    rig.say(settingsFrame([[SETTING.initialWindowSize, 4]]), windowUpdateFrame(1, 6));
    assert.deepEqual(dataOf(rig.hear()), []);
    rig.say(windowUpdateFrame(1, 1));
    assert.deepEqual(dataOf(rig.hear()), [[1, 1]]);
  });

  test('a window that SETTINGS shut while bytes waited for the socket lets nothing out', () => {
    const rig = new ServerRig({}, [[SETTING.initialWindowSize, 10]]);
    rig.say(get(1));
    rig.outlet.writable = false;
    answer(rig.streams[0], 'x'.repeat(5));
    rig.say(settingsFrame([[SETTING.initialWindowSize, 0]]));
    rig.outlet.writable = true;
    assert.deepEqual(dataOf(rig.hear()), []);
    rig.say(windowUpdateFrame(1, 2));
    assert.deepEqual(dataOf(rig.hear()), [[1, 2]]);
  });

  test('padding is given back without anybody asking', () => {
    const rig = new ServerRig({ streamWindowBytes: 600 });
    rig.say(post(1), dataFrame(1, false, 'x', 255), dataFrame(1, false, 'x', 255));
    const update = rig.hear().find(({ type }) => type === FRAME.windowUpdate);
    assert.deepEqual([update?.stream, update?.payload.readUInt32BE(0)], [1, 512]);
  });

  test('streams take turns when the connection window or the socket holds them up', () => {
    const rig = new ServerRig();
    rig.say(get(1), get(3));
    rig.outlet.writable = false;
    answer(rig.streams[0], 'x'.repeat(40_000));
    answer(rig.streams[1], 'y'.repeat(40_000));
    assert.deepEqual(dataOf(rig.hear()), []);
    rig.outlet.writable = true;
    rig.connection.onWritable();
    const frames = dataOf(rig.hear());
    assert.deepEqual(
      frames.map(([stream]) => stream),
      [1, 3, 1, 3],
    );
    assert.equal(
      frames.reduce((sum, [, bytes]) => sum + bytes, 0),
      65_535,
    );
  });

  test('a window update to 2^31-1 is taken, one more is an error', () => {
    const rig = new ServerRig();
    rig.say(post(1), windowUpdateFrame(1, 0x7fffffff - 65_535), windowUpdateFrame(0, 0x7fffffff - 65_535));
    assert.deepEqual(rig.errors(), { resets: [], goaway: undefined });
    rig.say(windowUpdateFrame(1, 1));
    assert.deepEqual(rig.errors(), { resets: [[1, CODE.flowControlError]], goaway: undefined });
    assert.deepEqual(rig.told[0]?.resets, [CODE.flowControlError]);
    rig.say(windowUpdateFrame(0, 1));
    assert.equal(rig.errors().goaway, CODE.flowControlError);
  });

  test('a stream may fill its window and not a byte more, padding included', () => {
    const window = 1_000;
    const rig = new ServerRig({ streamWindowBytes: window });
    rig.say(post(1), dataFrame(1, false, 'x'.repeat(window)));
    assert.deepEqual(rig.errors().resets, []);
    rig.say(dataFrame(1, false, 'x'));
    assert.deepEqual(rig.errors().resets, [[1, CODE.flowControlError]]);
    rig.say(post(3), dataFrame(3, false, 'x'.repeat(window - 10), 10));
    assert.deepEqual(rig.errors().resets, [[3, CODE.flowControlError]]);
  });

  test('credit is announced at half a window, for stream and connection', () => {
    const rig = new ServerRig({ streamWindowBytes: 1_000, connectionWindowBytes: 65_535 });
    rig.say(post(1), dataFrame(1, false, 'x'.repeat(800)));
    rig.streams[0]?.credit(499);
    assert.deepEqual(rig.hear(), []);
    rig.streams[0]?.credit(1);
    const [update] = rig.hear();
    assert.deepEqual([update?.type, update?.stream, update?.payload.readUInt32BE(0)], [FRAME.windowUpdate, 1, 500]);
  });

  test('what a reset stream held, and what still comes for it, opens the connection window again', () => {
    const rig = new ServerRig({ streamWindowBytes: 40_000, connectionWindowBytes: 65_535 });
    rig.say(post(1), dataFrame(1, false, 'x'.repeat(16_384)), dataFrame(1, false, 'x'.repeat(16_000)));
    rig.streams[0]?.reset(CODE.cancel);
    assert.deepEqual(rig.errors().resets, [[1, CODE.cancel]]);
    rig.say(dataFrame(1, false, 'x'.repeat(384)));
    const update = rig.hear().find(({ type }) => type === FRAME.windowUpdate);
    assert.deepEqual([update?.stream, update?.payload.readUInt32BE(0)], [0, 32_768]);
    assert.deepEqual(rig.events.closed, []);
  });
});

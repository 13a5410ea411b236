/** What GOAWAY tells the other end besides its code. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { writeGoaway } from '../../gateway/http2/frame/goaway.ts';
import { writePing } from '../../gateway/http2/frame/ping.ts';
import { get, ServerRig } from '../support/http2-by-hand.ts';
import { CODE, FRAME, FrameReader, rstFrame } from '../support/http2-frames.ts';
import { MemoryOutlet } from '../support/http2-pair.ts';

suite('GOAWAY', () => {
  test('what ends a connection is told with its GOAWAY, and nothing with one that is no fault', () => {
    const debugOf = (rig: ServerRig): readonly string[] =>
      rig.hear().flatMap(({ type, payload }) => (type === FRAME.goAway ? [payload.subarray(8).toString()] : []));
    const flooded = new ServerRig({ resetsMax: 1 });
    const waste = 'too many resets or useless frames';
    flooded.say(get(1), get(3), rstFrame(3, CODE.cancel), get(5), rstFrame(5, CODE.cancel));
    assert.deepEqual(debugOf(flooded), [waste], 'its call may finish');
    flooded.say(get(7), rstFrame(7, CODE.cancel));
    assert.deepEqual(debugOf(flooded), [waste], 'it is ended');
    const drained = new ServerRig();
    drained.connection.shutdown();
    drained.connection.drain();
    assert.deepEqual(debugOf(drained), ['', '']);
    const closed = new ServerRig();
    closed.connection.close(CODE.internalError);
    assert.deepEqual(debugOf(closed), [''], "what is wrong here is nobody else's business");
  });

  for (const length of [0, 63, 64, 65, 1000]) {
    test(`a reason of ${length} characters`, () => {
      const outlet = new MemoryOutlet();
      writeGoaway(outlet.output, 5, CODE.protocolError, 'r'.repeat(length));
      writePing(outlet.output, Buffer.from('12345678'), false);
      const [goaway, ping] = new FrameReader().push(outlet.take());
      assert.deepEqual(
        [goaway?.type, goaway?.payload.readUInt32BE(0), goaway?.payload.length],
        [FRAME.goAway, 5, 8 + Math.min(length, 64)],
      );
      assert.equal(goaway?.payload.subarray(8).toString(), 'r'.repeat(Math.min(length, 64)));
      assert.equal(ping?.payload.toString(), '12345678');
    });
  }
});

/** How long an HTTP/2 server keeps a connection without streams. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { LINK_CONNECTION } from '../../gateway/http2/limits.ts';
import { get, ServerRig } from '../support/http2-by-hand.ts';
import { FRAME, pingFrame } from '../support/http2-frames.ts';

suite('a connection without streams', () => {
  const idle = { idleTimeoutMs: 60_000 };
  const goaway = (rig: ServerRig): boolean => rig.hear().some(({ type }) => type === FRAME.goAway);

  test('is going when it has been idle for its limit, not before, and PINGs do not keep it', () => {
    const rig = new ServerRig(idle);
    rig.connection.tick(1_000);
    rig.say(pingFrame('are you?'));
    rig.connection.tick(60_999);
    assert.equal(goaway(rig), false);
    rig.connection.tick(61_000);
    assert.equal(goaway(rig), true);
  });

  test('is measured anew by a stream that came between two looks, and is kept by one that is open', () => {
    const rig = new ServerRig(idle);
    rig.connection.tick(1_000);
    rig.say(get(1));
    rig.streams[0]?.respond({ status: 204, fields: [] }, true);
    rig.hear();
    rig.connection.tick(50_000);
    rig.connection.tick(109_999);
    assert.equal(goaway(rig), false);
    rig.say(get(3));
    rig.connection.tick(1_000_000);
    assert.equal(goaway(rig), false);
    rig.streams[1]?.respond({ status: 204, fields: [] }, true);
    rig.connection.tick(1_000_001);
    rig.connection.tick(1_060_000);
    assert.equal(goaway(rig), true);
  });

  test('stands for ever where there is no limit, as links have none', () => {
    const rig = new ServerRig({ idleTimeoutMs: undefined });
    for (let hour = 0; hour < 100; hour += 1) rig.connection.tick(hour * 3_600_000);
    assert.equal(goaway(rig), false);
    assert.equal(LINK_CONNECTION.idleTimeoutMs, undefined);
  });
});

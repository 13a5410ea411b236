/** The limits of an HTTP/2 server, at each and to either side: streams, resets, floods, header blocks, time. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { LINK_CONNECTION, OWN_CALLER_CONNECTION, STRANGER_CONNECTION } from '../../gateway/http2/limits.ts';
import { Http2ServerConnection } from '../../gateway/http2/server-connection.ts';
import { answer, get, GET, post, ServerRig, Told } from '../support/http2-by-hand.ts';
import {
  CODE,
  continuationFrame,
  dataFrame,
  FRAME,
  headersFrame,
  pingFrame,
  PREFACE,
  rstFrame,
  settingsFrame,
} from '../support/http2-frames.ts';
import { MemoryOutlet, RecordedEvents } from '../support/http2-pair.ts';
import { block } from '../support/raw-hpack.ts';

suite('an HTTP/2 server', () => {
  test('a refusal by limit is answered on its stream, and the rest of the request is not read', () => {
    const rig = new ServerRig({ headerFieldsMax: 4 });
    rig.say(post(1));
    rig.say(post(3, [['x-one', 'too many']]));
    assert.deepEqual(rig.refused, ['limit-header-fields']);
    const heard = (): readonly (readonly [number, number])[] => rig.hear().map(({ type, stream }) => [type, stream]);
    assert.deepEqual(heard(), [[FRAME.headers, 3]]);
    // Not with the answer, which some clients would then lose.
    rig.connection.tick(0);
    assert.deepEqual(heard(), []);
    rig.connection.tick(1_000);
    const [reset, ...more] = rig.hear();
    assert.deepEqual([reset?.type, reset?.stream, more.length], [FRAME.rstStream, 3, 0]);
    assert.equal(reset?.payload.readUInt32BE(0), CODE.noError);
    assert.equal(rig.connection.streams, 1);
  });

  test('streams that are answered and linger take nobody’s place, and beyond their own limit are reset at once', () => {
    const rig = new ServerRig({ headerFieldsMax: 4, streamsMax: 2, lingeringMax: 2 });
    for (const id of [1, 3, 5]) rig.say(post(id, [['x-one', 'too many']]));
    assert.deepEqual(rig.errors().resets, [[5, CODE.noError]]);
    rig.say(get(7), get(9), get(11));
    assert.deepEqual(rig.errors().resets.at(-1), [11, CODE.refusedStream]);
    assert.equal(rig.streams.length, 2, 'two calls beside two that linger');
  });

  test('streams: the limit is served, one more is refused, and one that ended makes room', () => {
    const rig = new ServerRig({ streamsMax: 2 });
    rig.say(get(1), get(3), get(5));
    assert.deepEqual(rig.errors().resets, [[5, CODE.refusedStream]]);
    answer(rig.streams[0], 'x');
    rig.say(get(7));
    assert.equal(rig.streams.length, 3);
  });

  for (const [resets, goaway, isClosed] of [
    [10, undefined, false],
    [11, CODE.noError, false],
    [20, CODE.noError, false],
    [21, CODE.noError, true],
  ] as const) {
    test(`resets: ${resets} where 10 are allowed and 20 are borne, beside a call that nobody cancelled`, () => {
      const rig = new ServerRig({ resetsMax: 10 });
      rig.say(get(1));
      for (let index = 1; index <= resets; index += 1) {
        rig.say(get(2 * index + 1), rstFrame(2 * index + 1, CODE.cancel));
      }
      assert.equal(rig.events.closed.length > 0, isClosed);
      assert.equal(rig.streams.length, 1 + Math.min(resets, 11), 'nothing is processed after GOAWAY');
      assert.equal(rig.told[0]?.resets.length, isClosed ? 1 : 0);
      assert.ok(rig.told.slice(1).every((told) => told.resets.length === 1));
      if (!isClosed) answer(rig.streams[0], 'x');
      const frames = rig.hear();
      const first = frames.find(({ type }) => type === FRAME.goAway);
      assert.equal(first?.payload.readUInt32BE(4), goaway);
      if (first !== undefined) assert.equal(first.payload.readUInt32BE(0), 23, 'the last stream that was processed');
      assert.equal(
        frames.some(({ type, stream }) => type === FRAME.data && stream === 1),
        !isClosed,
      );
      if (goaway !== undefined)
        assert.equal(rig.events.closed[0]?.code, isClosed ? CODE.enhanceYourCalm : CODE.noError);
    });
  }

  test('streams that come after the GOAWAY of resets cost nothing while they may have been on their way', () => {
    const rig = new ServerRig({ resetsMax: 10, streamsMax: 20 });
    rig.say(get(1));
    for (let id = 3; id <= 23; id += 2) rig.say(get(id), rstFrame(id, CODE.cancel));
    for (let id = 25; id < 25 + 2 * 20; id += 2) rig.say(get(id));
    assert.deepEqual([rig.events.closed.length, rig.streams.length], [0, 12]);
    for (let id = 65; id < 65 + 2 * 9; id += 2) rig.say(get(id));
    assert.equal(rig.events.closed.length, 0);
    rig.say(get(83));
    assert.equal(rig.events.closed[0]?.code, CODE.enhanceYourCalm);
    assert.equal(rig.streams.length, 12);
  });

  test('resets of own callers are judged as a share of their streams above the number', () => {
    const rig = new ServerRig({ ...OWN_CALLER_CONNECTION, resetsMax: 10 });
    // One in five.
    for (let index = 0; index < 200; index += 1) {
      rig.say(get(2 * index + 1));
      if (index % 5 === 4) rig.say(rstFrame(2 * index + 1, CODE.cancel));
      else answer(rig.streams[index], 'x');
    }
    assert.equal(rig.errors().goaway, undefined);
    rig.say(get(401));
    // 40 of 201, and one more would be above.
    rig.say(get(403), rstFrame(403, CODE.cancel));
    assert.equal(rig.errors().goaway, CODE.noError);
    assert.deepEqual([rig.events.closed.length, rig.events.abuses], [0, 0]);
    answer(rig.streams.at(-2), 'x');
    rig.hear();
    assert.equal(rig.events.closed[0]?.code, CODE.noError);
  });

  test('resets on a link are reported above their share, once, and the link lives', () => {
    const rig = new ServerRig({ ...LINK_CONNECTION, resetsMax: 10 });
    for (let index = 0; index < 50; index += 1) {
      rig.say(get(2 * index + 1));
      if (index >= 30) rig.say(rstFrame(2 * index + 1, CODE.cancel));
      else answer(rig.streams[index], 'x');
    }
    assert.equal(rig.events.abuses, 1);
    assert.deepEqual(rig.events.closed, []);
  });

  for (const [glitches, goaway, isClosed] of [
    [74, undefined, false],
    [75, CODE.noError, false],
    [99, CODE.noError, false],
    [100, CODE.noError, true],
  ] as const) {
    test(`glitches: ${glitches} where 100 are the end`, () => {
      const rig = new ServerRig({ glitchesMax: 100 });
      rig.say(post(1));
      for (let index = 0; index < glitches; index += 1) rig.say(dataFrame(1, false, ''));
      assert.equal(rig.errors().goaway, goaway);
      assert.equal(rig.events.closed.length > 0, isClosed);
    });
  }

  for (const pings of [20, 21]) {
    test(`control frames: ${pings} answers wait for a socket where 20 may`, () => {
      const rig = new ServerRig({ controlFramesMax: 20 });
      rig.outlet.writable = false;
      for (let index = 0; index < pings; index += 1) {
        rig.say(pingFrame('x'));
        rig.connection.turnEnd();
      }
      assert.equal(rig.errors().goaway, pings > 20 ? CODE.enhanceYourCalm : undefined);
    });
  }

  for (const frames of [7, 8, 9]) {
    test(`CONTINUATION: ${frames} frames where 8 may come`, () => {
      const rig = new ServerRig();
      const bytes = block(GET);
      rig.say(headersFrame(1, bytes.subarray(0, 1), { more: true }));
      for (let index = 1; index < frames; index += 1) rig.say(continuationFrame(1, false, Buffer.alloc(0)));
      rig.say(continuationFrame(1, true, bytes.subarray(1)));
      assert.equal(rig.streams.length, frames <= 8 ? 1 : 0);
      assert.equal(rig.errors().goaway, frames <= 8 ? undefined : CODE.enhanceYourCalm);
    });
  }

  test('a header block may take as long as the limit and no longer', () => {
    const rig = new ServerRig();
    rig.say(headersFrame(1, block(GET), { more: true }));
    rig.connection.tick(1_000);
    rig.connection.tick(10_999);
    assert.equal(rig.errors().goaway, undefined);
    rig.connection.tick(11_000);
    assert.equal(rig.errors().goaway, CODE.enhanceYourCalm);
    assert.deepEqual(rig.refused, ['headers-timeout']);
  });

  test('settings that are never acknowledged end the connection', () => {
    const outlet = new MemoryOutlet();
    const events = new RecordedEvents();
    const connection = new Http2ServerConnection({
      outlet,
      events,
      limits: STRANGER_CONNECTION,
      scheme: 'http',
      listener: { onRequest: () => new Told(), onRefused: () => undefined },
    });
    connection.receive(Buffer.concat([PREFACE, settingsFrame([])]));
    connection.tick(0);
    connection.tick(9_999);
    assert.equal(events.closed.length, 0);
    connection.tick(10_000);
    assert.equal(events.closed[0]?.code, CODE.settingsTimeout);
  });
});

/** The HTTP/2 machine of a client, frame by frame: exchanges, GOAWAY, and answers that break the rules. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { Http2ClientConnection } from '../../gateway/http2/client-connection.ts';
import { LINK_CONNECTION } from '../../gateway/http2/limits.ts';
import { field } from '../../gateway/message/names.ts';
import { ClientRig, GET, OK, request, Told } from '../support/http2-by-hand.ts';
import { CODE, dataFrame, FLAG, frame, FRAME, goAwayFrame, headersFrame, SETTING } from '../support/http2-frames.ts';
import { block } from '../support/raw-hpack.ts';

/** RFC 8441 §3. */
const ENABLE_CONNECT_PROTOCOL = 0x8;

suite('an HTTP/2 client', () => {
  test('GOAWAY resets what was not processed as refused, and the rest may end', () => {
    const rig = new ClientRig();
    const first = rig.open();
    const second = rig.open();
    rig.say(goAwayFrame(1, CODE.noError));
    assert.deepEqual([first.resets, second.resets], [[], [CODE.refusedStream]]);
    assert.equal(rig.connection.usable, false);
    assert.equal(rig.connection.open(request, true, new Told()), undefined);
    rig.say(headersFrame(1, OK));
    assert.equal(first.ended, true);
    rig.hear();
    assert.equal(rig.events.closed.length, 1);
  });

  test('opens as many as the other end takes, and again when one has ended', () => {
    const rig = new ClientRig([[SETTING.maxConcurrentStreams, 1]]);
    rig.open();
    assert.equal(rig.connection.usable, false);
    assert.equal(rig.connection.open(request, true, new Told()), undefined);
    rig.say(headersFrame(1, OK));
    assert.equal(rig.connection.usable, true);
  });

  test('uses the last stream id and no more', () => {
    const rig = new ClientRig();
    rig.connection.skipTo(0x7fffffff);
    assert.equal(rig.connection.wantsClose, false);
    const told = rig.open();
    assert.deepEqual([rig.connection.usable, rig.connection.wantsClose], [false, true]);
    rig.say(headersFrame(0x7fffffff, OK));
    assert.equal(told.ended, true);
  });

  test('an extended CONNECT is sent only to who has announced it', () => {
    const head = { ...request, method: field(':method', 'CONNECT'), protocol: field(':protocol', 'websocket') };
    const rig = new ClientRig();
    assert.throws(() => rig.connection.open(head, false, new Told()), { code: 'protocol-mismatch' });
    assert.deepEqual([rig.hear(), rig.connection.streams], [[], 0]);
    const ungreeted = new Http2ClientConnection({
      outlet: rig.outlet,
      events: rig.events,
      limits: LINK_CONNECTION,
    });
    assert.equal(ungreeted.open(head, false, new Told()), undefined, 'nobody knows yet');
    assert.ok(new ClientRig([[ENABLE_CONNECT_PROTOCOL, 1]]).connection.open(head, false, new Told()));
  });

  const broken: readonly (readonly [string, readonly Buffer[]])[] = [
    ['data before the head', [dataFrame(1, true, 'x')]],
    ['status 101', [headersFrame(1, block([[':status', '101']]), { end: false })]],
    ['an interim response with END_STREAM', [headersFrame(1, block([[':status', '103']]))]],
    ['a status of two digits', [headersFrame(1, block([[':status', '20']]))]],
    ['no status', [headersFrame(1, block([['server', 'x']]))]],
    ['a request pseudo-header field', [headersFrame(1, block([[':path', '/']]))]],
    [
      'less than its length',
      [
        headersFrame(
          1,
          block([
            [':status', '200'],
            ['content-length', '2'],
          ]),
          { end: false },
        ),
        dataFrame(1, true, 'x'),
      ],
    ],
    [
      'more than its length',
      [
        headersFrame(
          1,
          block([
            [':status', '200'],
            ['content-length', '2'],
          ]),
          { end: false },
        ),
        dataFrame(1, false, 'xxx'),
      ],
    ],
    ['a body to 204', [headersFrame(1, block([[':status', '204']]), { end: false }), dataFrame(1, true, 'x')]],
    [
      'trailers without END_STREAM',
      [headersFrame(1, OK, { end: false }), headersFrame(1, block([['x', 'y']]), { end: false })],
    ],
    [
      'a connection field',
      [
        headersFrame(
          1,
          block([
            [':status', '200'],
            ['connection', 'close'],
          ]),
        ),
      ],
    ],
  ];
  for (const [name, frames] of broken) {
    test(`a response with ${name} breaks its stream only`, () => {
      const rig = new ClientRig();
      const told = rig.open();
      const other = rig.open();
      rig.hear();
      rig.say(...frames);
      assert.deepEqual(told.resets, [CODE.protocolError]);
      assert.deepEqual(
        rig.hear().map(({ type, payload }) => [type, payload.readUInt32BE(0)]),
        [[FRAME.rstStream, CODE.protocolError]],
      );
      rig.say(headersFrame(3, OK));
      assert.deepEqual(other.statuses, [200]);
    });
  }

  test('the answer to HEAD has a length and no body', () => {
    const rig = new ClientRig();
    const told = rig.open({ method: field(':method', 'HEAD') });
    rig.say(
      headersFrame(
        1,
        block([
          [':status', '200'],
          ['content-length', '12'],
        ]),
      ),
    );
    assert.deepEqual([told.statuses, told.ended, told.resets], [[200], true, []]);
  });

  test('interim responses come before the final one', () => {
    const rig = new ClientRig();
    const told = rig.open();
    rig.say(headersFrame(1, block([[':status', '103']]), { end: false }), headersFrame(1, OK));
    assert.deepEqual(told.statuses, [103, 200]);
  });

  test('a lost connection resets every stream once, with a code that does not promise it was not processed', () => {
    const rig = new ClientRig();
    const told = rig.open();
    rig.connection.lost();
    rig.connection.lost();
    assert.deepEqual(told.resets, [CODE.internalError]);
    assert.equal(rig.connection.streams, 0);
    assert.equal(rig.events.closed.length, 1);
  });

  test('the code of the GOAWAY before a connection is lost is told', () => {
    const rig = new ClientRig();
    rig.open();
    rig.say(goAwayFrame(1, CODE.enhanceYourCalm));
    rig.connection.lost();
    assert.deepEqual(
      rig.events.closed.map(({ code }) => code),
      [CODE.enhanceYourCalm],
    );
  });

  test('a pushed stream ends the connection', () => {
    const rig = new ClientRig();
    rig.open();
    rig.say(
      frame(
        { type: FRAME.pushPromise, flags: FLAG.endHeaders, stream: 1 },
        Buffer.concat([Buffer.from([0, 0, 0, 2]), block(GET)]),
      ),
    );
    assert.equal(rig.events.closed[0]?.code, CODE.protocolError);
  });
});

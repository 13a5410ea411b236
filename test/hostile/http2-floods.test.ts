/** Floods of HTTP/2 frames that are each allowed, at their limits and beyond: catalogue rows C2, C3, C9, C10, C15, C17 and C22. */
import assert from 'node:assert/strict';

import { STRANGER_CONNECTION } from '../../gateway/http2/limits.ts';
import {
  endsWith,
  flood,
  FLOOD,
  request,
  resetsOf,
  type Rig,
  SLACK,
  stopped,
  streamOf,
  underAttack,
} from '../support/http2-attack.ts';
import {
  CODE,
  dataFrame,
  frame,
  FRAME,
  pingFrame,
  priorityFields,
  priorityFrame,
  rstFrame,
  SETTING,
  settingsFrame,
  windowUpdateFrame,
} from '../support/http2-frames.ts';
import { type RawHttp2 } from '../support/raw-http2.ts';

const { glitchesMax, resetsMax, streamsMax } = STRANGER_CONNECTION;
const WINDOW_MAX = 0x7fffffff;

/** Rapid reset, once. */
const rapidReset =
  ({ peer }: Rig) =>
  (index: number): Buffer =>
    Buffer.concat([request(peer, streamOf(index)), rstFrame(streamOf(index), CODE.cancel)]);

/** Requests of the attacker that reached the application. */
const held = ({ application }: Rig): number => application.heads.filter(({ path }) => path.value === '/hold').length;

underAttack(`C2 rapid reset: ${resetsMax} resets pass, one more and the connection takes no more`, async (rig) => {
  const { peer } = rig;
  const within = await flood(peer, resetsMax, rapidReset(rig));
  assert.deepEqual(within, { rounds: resetsMax, code: undefined, ended: false });
  assert.ok(await peer.alive());
  peer.write(rapidReset(rig)(resetsMax), request(peer, streamOf(resetsMax + 1), { path: '/' }));
  const { code, lastStream } = await peer.goAway();
  assert.deepEqual({ code, lastStream }, { code: CODE.noError, lastStream: streamOf(resetsMax) });
  await peer.ended();
  assert.equal(held(rig), resetsMax + 1);
});

underAttack('C2 rapid reset: whoever shares the connection loses no call, unless the attack goes on', async (rig) => {
  const { peer, application } = rig;
  const upload = (stream: number): Buffer => request(peer, stream, { path: '/sink', method: 'POST', end: false });
  // Two who cancelled nothing: one ends before the attack goes on, one has not by then.
  peer.write(upload(1), upload(3));
  const attack = (index: number): Buffer => rapidReset(rig)(index + 2);
  peer.write(...Array.from({ length: resetsMax + 1 }, (_, index) => attack(index)));
  const { code, lastStream } = await peer.goAway();
  assert.deepEqual({ code, lastStream }, { code: CODE.noError, lastStream: streamOf(resetsMax + 2) });
  peer.write(dataFrame(1, true, 'all of it'));
  assert.equal((await peer.response(1)).status, 200);
  for (let index = resetsMax + 1; index < 2 * resetsMax; index += 1) peer.write(attack(index));
  assert.ok(await peer.alive('borne'));
  peer.write(attack(2 * resetsMax));
  await endsWith(peer, CODE.enhanceYourCalm);
  assert.equal(held(rig), resetsMax + 1);
  assert.ok(application.activeMost <= streamsMax + 1);
});

underAttack('C2 rapid reset: resets of ten seconds ago do not count', async (rig) => {
  const { peer, clock } = rig;
  await flood(peer, resetsMax, rapidReset(rig));
  for (let second = 0; second < 12; second += 1) clock.advance(1_000);
  const again = await flood(peer, resetsMax, (index) => rapidReset(rig)(index + resetsMax));
  assert.deepEqual(again, { rounds: resetsMax, code: undefined, ended: false });
});

underAttack('C2 rapid reset in one write of ten thousand: upstream sees no more than the budget', async (rig) => {
  const { peer, application } = rig;
  peer.write(...Array.from({ length: FLOOD }, (_, index) => rapidReset(rig)(index)));
  await endsWith(peer, CODE.enhanceYourCalm);
  assert.ok(held(rig) <= resetsMax + streamsMax);
  assert.ok(application.activeMost <= streamsMax + 1);
});

/** The six ways to make a server reset a stream that it has begun to work on (CVE-2025-8671). */
const MADE_RESETS: Readonly<Record<string, (peer: RawHttp2, stream: number) => readonly Buffer[]>> = {
  'a window increment of 0': (peer, stream) => [request(peer, stream), windowUpdateFrame(stream, 0)],
  'a stream window above 2^31-1': (peer, stream) => [request(peer, stream), windowUpdateFrame(stream, WINDOW_MAX)],
  'PRIORITY of a wrong length': (peer, stream) => [
    request(peer, stream),
    frame({ type: FRAME.priority, stream }, Buffer.alloc(4)),
  ],
  'PRIORITY that depends on itself': (peer, stream) => [
    request(peer, stream),
    priorityFrame(stream, priorityFields(stream, 1)),
  ],
  'HEADERS after END_STREAM': (peer, stream) => [request(peer, stream), request(peer, stream)],
  'DATA after END_STREAM': (peer, stream) => [request(peer, stream), dataFrame(stream, true, 'x')],
};

for (const [name, frames] of Object.entries(MADE_RESETS))
  underAttack(
    `C3 made reset by ${name}: counted in the same budget, and the work is cancelled`,
    async ({ peer, application }) => {
      const outcome = await flood(peer, FLOOD, (index) => Buffer.concat(frames(peer, streamOf(index))));
      // What the engine takes as an error of the connection ends it at once, which bounds the attack better still.
      if (resetsOf(peer).size > 0) stopped(outcome, resetsMax);
      else assert.ok(outcome.ended || outcome.code !== undefined);
      await peer.ended();
      const held = application.heads.filter(({ path }) => path.value === '/hold').length;
      assert.ok(held <= resetsMax + SLACK, `${held} requests reached the service`);
      assert.ok(
        application.resets.length >= held,
        `${held} requests, ${application.resets.length} told of their reset`,
      );
    },
  );

underAttack('C3 resets of both kinds share one budget', async (rig) => {
  const { peer } = rig;
  const outcome = await flood(peer, FLOOD, (index) =>
    index % 2 === 0
      ? rapidReset(rig)(index)
      : Buffer.concat([request(peer, streamOf(index)), windowUpdateFrame(streamOf(index), 0)]),
  );
  stopped(outcome, resetsMax);
});

underAttack('C9 SETTINGS flood is stopped', async ({ peer }) => {
  stopped(await flood(peer, FLOOD, () => settingsFrame([[SETTING.initialWindowSize, 65_535]])), glitchesMax);
});

underAttack('C10 PING flood is stopped', async ({ peer }) => {
  stopped(await flood(peer, FLOOD, () => pingFrame('flood')), glitchesMax);
});

underAttack(
  'C10 one PING a second for ten minutes is no flood',
  async ({ peer, clock }) => {
    for (let second = 0; second < 600; second += 1) {
      clock.advance(1_000);
      assert.ok(await peer.alive(`${second}`), peer.story());
    }
  },
  // Such a connection has no calls, which is another limit's to end.
  { limits: { ...STRANGER_CONNECTION, idleTimeoutMs: undefined } },
);

underAttack('C10 a reader that stands still cannot pile up answers', async ({ peer, target, clock }) => {
  peer.socket.pause();
  const pings = Buffer.concat(Array.from({ length: 1_000 }, () => pingFrame('flood')));
  for (let sent = 0; sent < 300 && target.connections() > 1; sent += 1) {
    peer.write(pings);
    await target.turn();
    clock.advance(500);
  }
  assert.ok(target.queuedMost() <= 1024 * 1024, `${target.queuedMost()} bytes queued`);
  // What it does not read has a moment to leave.
  clock.advance(2_000);
  await target.connectionsAre(1);
});

underAttack('C15 a flood of empty DATA is stopped', async ({ peer }) => {
  peer.write(request(peer, 1, { method: 'POST', end: false }));
  stopped(await flood(peer, FLOOD, () => dataFrame(1, false, '')), glitchesMax);
});

underAttack('C15 a flood of DATA that is all padding is stopped', async ({ peer }) => {
  peer.write(request(peer, 1, { method: 'POST', end: false }));
  const outcome = await flood(peer, FLOOD, () => dataFrame(1, false, '', 0));
  assert.ok(outcome.rounds <= glitchesMax + SLACK, `${outcome.rounds} rounds`);
});

underAttack('C17 PRIORITY churn is stopped', async ({ peer }) => {
  const outcome = await flood(peer, FLOOD, (index) => priorityFrame(streamOf(index), priorityFields(0, index % 256)));
  stopped(outcome, glitchesMax);
});

underAttack('C17 PRIORITY before each of a thousand requests, as browsers sent it, is no churn', async ({ peer }) => {
  for (let index = 0; index < 1_000; index += 1) {
    peer.write(priorityFrame(streamOf(index), priorityFields(0, 15)));
    assert.equal((await peer.get(streamOf(index))).status, 200);
  }
});

underAttack('C17 WINDOW_UPDATE of one byte, again and again, is stopped or costs nothing', async ({ peer, target }) => {
  peer.write(request(peer, 1));
  const outcome = await flood(peer, 2_000, () => windowUpdateFrame(1, 1));
  assert.ok(outcome.code === undefined || outcome.code === CODE.enhanceYourCalm);
  assert.ok(target.queuedMost() < 1024 * 1024);
});

underAttack('C17 unknown frames are ignored one by one and stopped in a flood', async ({ peer }) => {
  stopped(await flood(peer, FLOOD, () => frame({ type: 0xfa }, Buffer.alloc(20))), glitchesMax);
});

underAttack(
  `C22 ${streamsMax} streams are served, the next is refused and can be sent again`,
  async ({ peer, application }) => {
    const held = Array.from({ length: streamsMax }, (_, index) => request(peer, streamOf(index)));
    peer.write(...held);
    assert.ok(await peer.alive());
    assert.equal(resetsOf(peer).size, 0);
    peer.write(request(peer, streamOf(streamsMax)));
    assert.ok(await peer.alive('more'));
    assert.deepEqual([...resetsOf(peer)], [[streamOf(streamsMax), CODE.refusedStream]]);
    assert.ok(application.activeMost <= streamsMax + 1);
    peer.write(rstFrame(1, CODE.cancel));
    assert.equal((await peer.get(streamOf(streamsMax + 1), '/')).status, 200);
  },
);

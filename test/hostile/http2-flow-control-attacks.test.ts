/** Attacks by HTTP/2 windows, by who does not read and by who does not wait: catalogue rows C11 to C13, and the padding of C15. */
import assert from 'node:assert/strict';

import { STRANGER_CONNECTION } from '../../gateway/http2/limits.ts';
import { request, resetsOf, streamOf, underAttack } from '../support/http2-attack.ts';
import { CODE, dataFrame, FRAME, SETTING, settingsFrame, windowUpdateFrame } from '../support/http2-frames.ts';

const { connectionWindowBytes, streamWindowBytes, streamsMax } = STRANGER_CONNECTION;
const WINDOW_MAX = 0x7fffffff;

underAttack('C11 the window flips over a hundred streams and nothing is lost', async ({ peer }) => {
  peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]));
  const streams = Array.from({ length: streamsMax }, (_, index) => streamOf(index));
  peer.write(...streams.map((stream) => request(peer, stream, { path: '/bytes/1000' })));
  for (let flip = 0; flip < 40; flip += 1)
    peer.write(settingsFrame([[SETTING.initialWindowSize, flip % 2 === 0 ? 10 : 0]]));
  peer.write(settingsFrame([[SETTING.initialWindowSize, 65_535]]), windowUpdateFrame(0, 1_000_000));
  const bytes = new Map<number, number>();
  for (let ended = 0; ended < streams.length;) {
    const { type, flags, stream, payload } = await peer.find(({ type }) => type === FRAME.data, 'DATA');
    assert.equal(type, FRAME.data);
    bytes.set(stream, (bytes.get(stream) ?? 0) + payload.length);
    ended += flags & 1;
  }
  assert.deepEqual(
    [...bytes.values()],
    streams.map(() => 1_000),
  );
});

underAttack(
  'C12 a window of zero under a hundred large answers holds the watermark of each and no more',
  async (rig) => {
    const { peer, application, target } = rig;
    peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]));
    for (let index = 0; index < streamsMax; index += 1)
      peer.write(request(peer, streamOf(index), { path: '/bytes/100000000' }));
    assert.ok(await peer.alive());
    assert.ok(!peer.seen.some(({ type }) => type === FRAME.data));
    assert.ok(application.owedMost <= (streamsMax + 1) * (64 + 16) * 1024, `${application.owedMost} bytes owed`);
    assert.ok(target.queuedMost() < 1024 * 1024);
  },
);

underAttack('C12 a reader that takes nothing for the stall time is reset', async ({ peer, clock, application }) => {
  const { stallTimeoutMs = 0 } = STRANGER_CONNECTION;
  peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]), request(peer, 1, { path: '/bytes/1000000' }));
  assert.ok(await peer.alive());
  for (let ms = 0; ms < stallTimeoutMs - 5_000; ms += 1_000) clock.advance(1_000);
  assert.ok(await peer.alive('still'));
  assert.equal(resetsOf(peer).size, 0);
  // Nearly none counts as nothing: half a minute for the measure of it.
  for (let ms = 0; ms < 65_000; ms += 1_000) clock.advance(1_000);
  await peer.find(({ type }) => type === FRAME.rstStream || type === FRAME.goAway, 'a reset');
  assert.equal(application.resets.length, 1);
});

underAttack('C13 a window of one byte gets one byte at a time, and all of them', async ({ peer }) => {
  const bytes = 90;
  peer.write(settingsFrame([[SETTING.initialWindowSize, 1]]), request(peer, 1, { path: `/bytes/${bytes}` }));
  for (let got = 0; got < bytes; got += 1) {
    const { payload } = await peer.find(({ type }) => type === FRAME.data, 'DATA');
    assert.equal(payload.length, 1);
    peer.write(windowUpdateFrame(1, 1));
  }
});

underAttack('C13 the connection window holds for all streams together', async ({ peer }) => {
  peer.write(settingsFrame([[SETTING.initialWindowSize, WINDOW_MAX]]));
  for (let index = 0; index < 10; index += 1) peer.write(request(peer, streamOf(index), { path: '/bytes/100000' }));
  let got = 0;
  while (got < 65_535) got += (await peer.find(({ type }) => type === FRAME.data, 'DATA')).payload.length;
  assert.equal(got, 65_535);
  assert.ok(await peer.alive());
  assert.equal(
    peer.seen.filter(({ type }) => type === FRAME.data).reduce((sum, { payload }) => sum + payload.length, 0),
    got,
  );
});

underAttack('C13 a window that goes negative stays shut until it is positive again', async ({ peer }) => {
  peer.write(settingsFrame([[SETTING.initialWindowSize, 100]]), request(peer, 1, { path: '/bytes/1000' }));
  await peer.find(({ type, payload }) => type === FRAME.data && payload.length === 100, 'DATA of 100');
  peer.write(settingsFrame([[SETTING.initialWindowSize, 0]]), windowUpdateFrame(1, 100));
  assert.ok(await peer.alive());
  assert.equal(peer.seen.filter(({ type }) => type === FRAME.data).length, 1);
  peer.write(windowUpdateFrame(1, 1));
  const { payload } = await peer.find(({ type }) => type === FRAME.data, 'DATA');
  assert.equal(payload.length, 1);
});

underAttack('C13 more than the window of a stream is an error of flow control', async ({ peer }) => {
  peer.write(request(peer, 1, { path: '/stuck', method: 'POST', end: false }));
  const window = peer.settings.get(SETTING.initialWindowSize) ?? 65_535;
  assert.equal(window, streamWindowBytes);
  const whole = Math.floor(window / 16_384);
  for (let sent = 0; sent < whole; sent += 1) peer.write(dataFrame(1, false, Buffer.alloc(16_384)));
  peer.write(dataFrame(1, false, Buffer.alloc(window - whole * 16_384)));
  assert.ok(await peer.alive());
  peer.write(dataFrame(1, false, 'x'));
  await peer.find(({ type }) => type === FRAME.rstStream || type === FRAME.goAway, 'an error');
  assert.equal([...resetsOf(peer).values()][0] ?? CODE.flowControlError, CODE.flowControlError);
});

underAttack('C13 uploads that nobody reads hold no more than the windows', async ({ peer, application }) => {
  const streams = 40;
  for (let index = 0; index < streams; index += 1) {
    peer.write(request(peer, streamOf(index), { path: '/stuck', method: 'POST', end: false }));
    for (let sent = 0; sent < 3; sent += 1) peer.write(dataFrame(streamOf(index), false, Buffer.alloc(16_384)));
  }
  await peer.alive();
  assert.ok(application.received <= connectionWindowBytes, `${application.received} bytes`);
  await peer.ended();
});

underAttack('C15 padding is given back to both windows', async ({ peer, application }) => {
  peer.write(request(peer, 1, { path: '/sink', method: 'POST', end: false }));
  let stream = peer.settings.get(SETTING.initialWindowSize) ?? 65_535;
  let connection = 65_535;
  const count = (): void => {
    stream = peer.settings.get(SETTING.initialWindowSize) ?? 65_535;
    connection = 65_535;
    for (const { type, stream: id, payload } of peer.seen) {
      if (type !== FRAME.windowUpdate) continue;
      if (id === 0) connection += payload.readUInt32BE(0);
      else stream += payload.readUInt32BE(0);
    }
  };
  const frames = 1_000;
  for (let sent = 0; sent < frames; sent += 1) {
    count();
    while (Math.min(stream, connection) < (sent + 1) * 257) {
      await peer.find(({ type }) => type === FRAME.windowUpdate, 'a WINDOW_UPDATE');
      count();
    }
    peer.write(dataFrame(1, sent === frames - 1, 'x', 255));
  }
  assert.equal((await peer.response(1)).status, 200);
  assert.equal(application.received, frames);
});

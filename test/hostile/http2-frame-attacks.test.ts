/** Single HTTP/2 frames that ask for too much or are wrong, each with its exact code: catalogue rows C11, C19 and C20. */
import assert from 'node:assert/strict';

import { STRANGER_CONNECTION } from '../../gateway/http2/limits.ts';
import { endsWith, request, underAttack } from '../support/http2-attack.ts';
import {
  CODE,
  dataFrame,
  frame,
  FRAME,
  headersFrame,
  pushPromiseFrame,
  SETTING,
  settingsFrame,
} from '../support/http2-frames.ts';
import { block } from '../support/raw-hpack.ts';
import { type RawHttp2 } from '../support/raw-http2.ts';

const { settingsMax } = STRANGER_CONNECTION;

underAttack(`C11 SETTINGS: ${settingsMax} values in a frame pass, a thousand do not`, async ({ peer }) => {
  const value = [SETTING.initialWindowSize, 65_535] as const;
  peer.write(settingsFrame(Array.from({ length: settingsMax }, () => value)));
  assert.ok(await peer.alive());
  peer.write(settingsFrame(Array.from({ length: 1_000 }, () => value)));
  await endsWith(peer, CODE.enhanceYourCalm);
});

underAttack('C11 a header table of 2^32-1 costs nothing, and the answers can be read', async ({ peer }) => {
  peer.write(settingsFrame([[SETTING.headerTableSize, 0xffffffff]]));
  assert.equal((await peer.get(1)).status, 200);
  peer.write(settingsFrame([[SETTING.headerTableSize, 0]]));
  assert.equal((await peer.get(3)).status, 200);
  peer.write(settingsFrame([[SETTING.headerTableSize, 4096]]));
  assert.equal((await peer.get(5)).status, 200);
});

for (const [title, id, value, code] of [
  ['MAX_FRAME_SIZE 0', SETTING.maxFrameSize, 0, CODE.protocolError],
  ['MAX_FRAME_SIZE 2^32-1', SETTING.maxFrameSize, 0xffffffff, CODE.protocolError],
  ['INITIAL_WINDOW_SIZE 2^32-1', SETTING.initialWindowSize, 0xffffffff, CODE.flowControlError],
  ['ENABLE_PUSH 2^32-1', SETTING.enablePush, 0xffffffff, CODE.protocolError],
] as const)
  underAttack(`C11 ${title} ends the connection`, async ({ peer }) => {
    peer.write(settingsFrame([[id, value]]));
    await endsWith(peer, code);
  });

underAttack('C20 PUSH_PROMISE ends the connection', async ({ peer }) => {
  peer.write(request(peer, 1), pushPromiseFrame(1, 2, block(peer.request())));
  await endsWith(peer, CODE.protocolError);
});

/** C19: what each frame must be, with the exact code. */
const WRONG_LENGTHS: readonly (readonly [string, (peer: RawHttp2) => Buffer])[] = [
  ['DATA above the maximum', () => dataFrame(1, false, Buffer.alloc(16_385))],
  ['HEADERS above the maximum', () => headersFrame(3, Buffer.alloc(16_385))],
  ['a header that claims 2^24-1 bytes', () => frame({ type: FRAME.data, stream: 1 }, Buffer.alloc(10), 0xffffff)],
  ['an unknown frame above the maximum', () => frame({ type: 0xfa }, Buffer.alloc(10), 16_385)],
  ['SETTINGS of 5', () => frame({ type: FRAME.settings }, Buffer.alloc(5))],
  ['SETTINGS with ACK of 6', () => frame({ type: FRAME.settings, flags: 1 }, Buffer.alloc(6))],
  ['PING of 7', () => frame({ type: FRAME.ping }, Buffer.alloc(7))],
  ['PING of 9', () => frame({ type: FRAME.ping }, Buffer.alloc(9))],
  ['GOAWAY of 7', () => frame({ type: FRAME.goAway }, Buffer.alloc(7))],
  ['WINDOW_UPDATE of 3 on the connection', () => frame({ type: FRAME.windowUpdate }, Buffer.alloc(3))],
  ['WINDOW_UPDATE of 5 on a stream', () => frame({ type: FRAME.windowUpdate, stream: 1 }, Buffer.alloc(5))],
  ['RST_STREAM of 3', () => frame({ type: FRAME.rstStream, stream: 1 }, Buffer.alloc(3))],
  ['RST_STREAM of 5', () => frame({ type: FRAME.rstStream, stream: 1 }, Buffer.alloc(5))],
];

for (const [name, bytes] of WRONG_LENGTHS)
  underAttack(`C19 ${name} is GOAWAY with FRAME_SIZE_ERROR, naming the last stream`, async ({ peer }) => {
    peer.write(request(peer, 1, { method: 'POST', end: false }), bytes(peer));
    const { code, lastStream } = await peer.goAway();
    assert.deepEqual({ code, lastStream }, { code: CODE.frameSizeError, lastStream: 1 });
    await peer.ended();
  });

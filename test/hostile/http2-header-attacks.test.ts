/** Attacks by HTTP/2 header blocks, at their limits and beyond: catalogue rows C4 to C6 and C16. */
import assert from 'node:assert/strict';

import { STRANGER_CONNECTION } from '../../gateway/http2/limits.ts';
import { endsWith, flood, FLOOD, stopped, streamOf, underAttack } from '../support/http2-attack.ts';
import { CODE, continuationFrame, headersFrame, SETTING, settingsFrame } from '../support/http2-frames.ts';
import { block, indexed, literal, LITERAL } from '../support/raw-hpack.ts';
import { type RawHttp2 } from '../support/raw-http2.ts';

const { continuationsMax, headerTimeoutMs, resetsMax } = STRANGER_CONNECTION;

/** A request in HEADERS and `count` CONTINUATION frames of one byte, the last with END_HEADERS if `whole`. */
function continued(peer: RawHttp2, stream: number, count: number, whole: boolean): Buffer {
  const all = block(peer.request({ path: '/' }));
  const cut = all.length - count;
  const frames = Array.from({ length: count }, (_, index) =>
    continuationFrame(stream, whole && index === count - 1, all.subarray(cut + index, cut + index + 1)),
  );
  return Buffer.concat([headersFrame(stream, all.subarray(0, cut), { more: true }), ...frames]);
}

underAttack(`C4 CONTINUATION: ${continuationsMax} frames pass, one more ends the connection`, async ({ peer }) => {
  peer.write(continued(peer, 1, continuationsMax, true));
  assert.equal((await peer.response(1)).status, 200);
  peer.write(continued(peer, 3, continuationsMax + 1, true));
  await endsWith(peer, CODE.enhanceYourCalm);
});

underAttack('C4 CONTINUATION flood: ten thousand frames without END_HEADERS', async ({ peer, application }) => {
  const bytes = Buffer.alloc(1000, 'x');
  peer.write(headersFrame(1, block(peer.request()), { more: true }));
  peer.write(...Array.from({ length: FLOOD }, () => continuationFrame(1, false, bytes)));
  await peer.ended();
  assert.ok(application.heads.every(({ path }) => path.value === '/'));
});

underAttack('C5 empty CONTINUATION flood ends by count', async ({ peer }) => {
  peer.write(headersFrame(1, block(peer.request()), { more: true }));
  peer.write(...Array.from({ length: continuationsMax + 1 }, () => continuationFrame(1, false, Buffer.alloc(0))));
  await endsWith(peer, CODE.enhanceYourCalm);
});

underAttack('C5 a header block that stands still ends at its deadline, not before', async ({ peer, clock, target }) => {
  peer.write(headersFrame(1, block(peer.request()), { more: true }));
  await target.turn();
  for (let ms = 0; ms < headerTimeoutMs - 1_000; ms += 500) clock.advance(500);
  await target.turn();
  assert.equal(peer.closed, undefined);
  for (let ms = 0; ms < 3_000; ms += 500) clock.advance(500);
  await peer.ended();
});

underAttack('C5 a frame that stands still in its middle ends at its deadline', async ({ peer, clock, target }) => {
  peer.write(settingsFrame([[SETTING.enablePush, 0]]).subarray(0, 11));
  await target.turn();
  for (let ms = 0; ms < headerTimeoutMs + 2_000; ms += 500) clock.advance(500);
  await peer.ended();
});

/** A block of `fields` fields of 1 byte each after one that fills the table. */
function bomb(peer: RawHttp2, name: string, references: number): readonly Buffer[] {
  const head = Buffer.concat([block(peer.request()), literal(name, 'v'.repeat(4_000), LITERAL.indexed)]);
  const rest = Buffer.alloc(references, indexed(62));
  const frames = [headersFrame(1, head, { more: true })];
  for (let at = 0; at < references; at += 16_384) {
    const piece = rest.subarray(at, at + 16_384);
    frames.push(continuationFrame(1, at + 16_384 >= references, piece));
  }
  return frames;
}

for (const name of ['x-bomb', 'cookie'])
  underAttack(`C6 HPACK bomb of ${name}: 16,000 references to 4 KiB are refused before they are built`, async (rig) => {
    const { peer, application } = rig;
    const before = process.memoryUsage().heapUsed;
    peer.write(...bomb(peer, name, 16_000));
    const survived = await peer.alive();
    assert.ok(
      application.heads.every(({ path }) => path.value === '/'),
      'the bomb reached the service',
    );
    assert.ok(application.refused.length === 1 || !survived, 'refused');
    const grown = process.memoryUsage().heapUsed - before;
    assert.ok(grown < 32 * 1024 * 1024, `grew by ${grown} bytes`);
    if (survived) assert.equal((await peer.get(3)).status, 200);
  });

/** Fields beyond the four pseudo-header fields so that the block has `fields` in all. */
const fillers = (fields: number, value = ''): readonly (readonly [string, string])[] =>
  Array.from({ length: fields - 4 }, (_, index) => [`x-${index}`, value]);

underAttack(
  'C6 header fields: the limits pass, one more is refused, and the connection lives',
  async ({ peer, application }) => {
    const { headerFieldsMax, headerNameBytesMax, targetBytesMax } = STRANGER_CONNECTION;
    const ask = async (stream: number, path: string, more: readonly (readonly [string, string])[]): Promise<number> => {
      peer.write(headersFrame(stream, block(peer.request({ path }, more))));
      return (await peer.response(stream)).status;
    };
    assert.equal(await ask(1, '/', fillers(headerFieldsMax)), 200);
    assert.equal(await ask(3, '/', fillers(headerFieldsMax + 1)), 431);
    assert.equal(await ask(5, '/', [['n'.repeat(headerNameBytesMax), 'v']]), 200);
    assert.equal(await ask(7, '/', [['n'.repeat(headerNameBytesMax + 1), 'v']]), 431);
    assert.equal(await ask(9, `/${'p'.repeat(targetBytesMax - 1)}`, []), 200);
    assert.equal(await ask(11, `/${'p'.repeat(targetBytesMax)}`, []), 414);
    assert.deepEqual(application.refused, ['limit-header-fields', 'limit-header-bytes', 'limit-target']);
  },
);

underAttack('C6 header bytes: a block of exactly the limit passes, one byte more is refused', async ({ peer }) => {
  const pairs = peer.request({ path: '/' });
  const size = (list: readonly (readonly [string, string])[]): number =>
    list.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
  const room = STRANGER_CONNECTION.headerBytesMax - size([...pairs, ['x-a', ''], ['x-b', '']]);
  const half = Math.floor(room / 2);
  const ask = async (stream: number, extra: number): Promise<number> => {
    const more = block([...pairs, ['x-a', 'a'.repeat(half)], ['x-b', 'b'.repeat(room - half + extra)]]);
    peer.write(headersFrame(stream, more.subarray(0, 8_000), { more: true }));
    peer.write(continuationFrame(stream, true, more.subarray(8_000)));
    return (await peer.response(stream)).status;
  };
  assert.equal(await ask(1, 0), 200);
  assert.equal(await ask(3, 1), 431);
});

underAttack(
  'C16 fields with empty names are malformed, and a flood of them is stopped',
  async ({ peer, application }) => {
    const outcome = await flood(peer, FLOOD, (index) =>
      headersFrame(streamOf(index), Buffer.concat([block(peer.request()), literal('', '')])),
    );
    stopped(outcome, resetsMax);
    assert.ok(application.heads.every(({ path, fields }) => path.value === '/' && fields.length === 0));
  },
);

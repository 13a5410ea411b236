/** Mutations of HTTP/2 conversations, reproducible from a seed. */
import { FRAME_HEADER_BYTES, PREFACE } from './http2-frames.ts';

/** A generator of numbers below `limit` (mulberry32). */
export type Random = (limit: number) => number;

/** The generator of this seed. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** Frames of a conversation after its preface, each with its header; what is no whole frame is left as it is. */
function framesOf(conversation: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  let at = PREFACE.length;
  while (at + FRAME_HEADER_BYTES <= conversation.length) {
    const end = Math.min(at + FRAME_HEADER_BYTES + conversation.readUIntBE(at, 3), conversation.length);
    frames.push(Buffer.from(conversation.subarray(at, end)));
    at = end;
  }
  return frames;
}

const NUMBERS = [0, 1, 2, 3, 5, 0x7f, 0x80, 0xff, 16_383, 16_384, 16_385, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

type Mutation = (frames: Buffer[], random: Random, others: readonly Buffer[]) => void;

const MUTATIONS: readonly Mutation[] = [
  // One bit anywhere.
  (frames, random) => {
    const frame = pick(frames, random);
    if (frame.length > 0) flip(frame, random);
  },
  // Another type, other flags, another stream.
  (frames, random) => pick(frames, random).writeUInt8(random(12), 3),
  (frames, random) => pick(frames, random).writeUInt8(random(256), 4),
  (frames, random) => pick(frames, random).writeUInt32BE(pick(NUMBERS, random), 5),
  (frames, random) => pick(frames, random).writeUInt32BE(random(16), 5),
  // A length that lies.
  (frames, random) => pick(frames, random).writeUIntBE(pick(NUMBERS, random) & 0xffffff, 0, 3),
  // Interesting numbers in the payload.
  (frames, random) => {
    const frame = pick(frames, random);
    if (frame.length >= FRAME_HEADER_BYTES + 4)
      frame.writeUInt32BE(pick(NUMBERS, random), FRAME_HEADER_BYTES + random(frame.length - FRAME_HEADER_BYTES - 3));
  },
  // Frames missing, twice, in another order, of another conversation.
  (frames, random) => void frames.splice(random(frames.length), 1),
  (frames, random) => void frames.splice(random(frames.length + 1), 0, Buffer.from(pick(frames, random))),
  (frames, random) => {
    const [moved] = frames.splice(random(frames.length), 1);
    if (moved !== undefined) frames.splice(random(frames.length + 1), 0, moved);
  },
  (frames, random, others) => {
    const [foreign] = [pick(framesOf(pick(others, random)), random)];
    frames.splice(random(frames.length + 1), 0, foreign);
  },
  // A frame many times.
  (frames, random) => {
    const frame = pick(frames, random);
    const at = random(frames.length);
    frames.splice(at, 0, ...Array.from({ length: random(300) }, () => frame));
  },
  // A payload cut short or grown, with an honest length.
  (frames, random) => {
    const index = random(frames.length);
    const frame = frames[index] ?? Buffer.alloc(FRAME_HEADER_BYTES);
    const kept = frame.subarray(0, FRAME_HEADER_BYTES + random(Math.max(frame.length - FRAME_HEADER_BYTES + 1, 1)));
    const grown = Buffer.concat([kept, Buffer.from(Array.from({ length: random(20) }, () => random(256)))]);
    grown.writeUIntBE(Math.max(grown.length - FRAME_HEADER_BYTES, 0), 0, 3);
    frames[index] = grown;
  },
];

/** A conversation with one to six mutations; now and then of its preface too. */
export function mutated(conversation: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  const frames = framesOf(conversation);
  for (let left = 1 + random(6); left > 0 && frames.length > 0; left -= 1)
    pick(MUTATIONS, random)(frames, random, others);
  const preface = Buffer.from(PREFACE);
  if (random(100) === 0) flip(preface, random);
  return Buffer.concat([preface, ...frames]);
}

/** The bytes in pieces of random sizes, some of one byte. */
export function chunks(bytes: Buffer, random: Random): readonly Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const most = pick([1, 3, 9, 40, 400, 100_000], random);
    const size = Math.min(1 + random(most), bytes.length - at);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

function flip(bytes: Buffer, random: Random): void {
  const at = random(bytes.length);
  bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random(8)), at);
}

function pick<Value>(list: readonly Value[], random: Random): Value {
  const value = list[random(list.length)];
  if (value === undefined) throw new Error('expected something to pick from');
  return value;
}

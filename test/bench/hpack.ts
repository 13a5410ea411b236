/** Times HPACK on typical blocks, ns per block; prints and asserts nothing. */
import { HpackDecoder } from '../../gateway/http2/hpack/decoder.ts';
import { HpackEncoder } from '../../gateway/http2/hpack/encoder.ts';
import { type Field } from '../../gateway/message/field.ts';
import { field } from '../../gateway/message/names.ts';

const ROUNDS = 300_000;
const LIMITS = { bytesMax: 16_384, fieldsMax: 100, nameBytesMax: 256 };

const CONSTANT = [
  field(':method', 'POST'),
  field(':scheme', 'https'),
  field(':path', '/shop.Cart/AddItem'),
  field(':authority', 'cart.shop.mesh.example'),
  field('content-type', 'application/grpc'),
  field('te', 'trailers'),
  field('user-agent', 'grpc-go/1.71.0'),
  field('grpc-accept-encoding', 'gzip'),
];

function unique(call: number): readonly Field[] {
  const id = (call * 2_654_435_761).toString(16).padStart(16, '0').slice(0, 16);
  return [
    ...CONSTANT,
    field('traceparent', `00-4bf92f3577b34da6${id}-${id}-01`),
    field('grpc-timeout', `${(call % 900) + 100}m`),
    field('x-request-id', `${id.slice(0, 8)}-c0de-4a5b-8123-${id.slice(0, 12)}`),
  ];
}

function time(name: string, run: (round: number) => number): void {
  let best = Infinity;
  let sum = 0;
  for (let again = 0; again < 5; again++) {
    const start = process.hrtime.bigint();
    for (let round = 0; round < ROUNDS; round++) sum += run(round);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / ROUNDS);
  }
  console.log(`${name.padEnd(58)} ${best.toFixed(0).padStart(6)} ns  (${sum})`);
}

function encodeBlock(encoder: HpackEncoder, fields: readonly Field[], into: Buffer): number {
  let at = encoder.begin(into, 0);
  for (const each of fields) at = encoder.encode(each, into, at);
  return at;
}

const out = Buffer.alloc(4096);

/** Blocks as one connection sends them, the first of which fill the table; they can be repeated once it is filled. */
function blocksOf(heads: readonly (readonly Field[])[]): readonly Buffer[] {
  const encoder = new HpackEncoder(4096);
  return heads.map((head) => Buffer.from(out.subarray(0, encodeBlock(encoder, head, out))));
}

function timeDecode(name: string, blocks: readonly Buffer[], skip: number): void {
  const decoder = new HpackDecoder(4096);
  for (const block of blocks) decoder.decode(block, 0, block.length, LIMITS);
  const steady = blocks.slice(skip);
  time(name, (round) => {
    const block = steady[round % steady.length] ?? out;
    decoder.decode(block, 0, block.length, LIMITS);
    return decoder.fields.length;
  });
}

const constant = blocksOf(new Array<readonly Field[]>(20).fill(CONSTANT));
const calls = Array.from({ length: 1000 }, (_, call) => unique(call));
const grpc = blocksOf(calls);
timeDecode('decode 8 indexed', constant, 10);
timeDecode('decode gRPC, 8 indexed and 3 unique values', grpc, 10);

const one = new HpackEncoder(4096);
time('encode 8 indexed', () => encodeBlock(one, CONSTANT, out));
const many = Array.from({ length: 100 }, () => new HpackEncoder(4096));
time('encode 8 indexed, the same fields on 100 connections', (round) =>
  encodeBlock(many[round % 100] ?? one, CONSTANT, out),
);
const copies = Array.from({ length: 10 }, () => CONSTANT.map(({ name, value }) => field(name.text, value.slice())));
const link = new HpackEncoder(65_536);
time('encode 8 indexed, from 10 connections onto one link', (round) =>
  encodeBlock(link, copies[round % 10] ?? CONSTANT, out),
);
const unary = new HpackEncoder(65_536);
time('encode gRPC, 8 indexed and 3 unique values', (round) => encodeBlock(unary, calls[round % 1000] ?? CONSTANT, out));
const churn = new HpackEncoder(4096);
time('encode 7 indexed and a path that never comes again', (round) => {
  let at = churn.begin(out, 0);
  for (const each of CONSTANT)
    at = churn.encode(each.name.text === ':path' ? field(':path', `/items/${round}`) : each, out, at);
  return at;
});

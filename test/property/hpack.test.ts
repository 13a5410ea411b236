/** Properties of HPACK: what is encoded is decoded, and whatever the octets, a decoder answers within its limits. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';

import fc from 'fast-check';

import { asList } from '../../base/brand.ts';
import { type BlockLimits, HpackDecoder } from '../../gateway/http2/hpack/decoder.ts';
import { HpackEncoder } from '../../gateway/http2/hpack/encoder.ts';
import { decodeHuffman, huffmanRoom } from '../../gateway/http2/hpack/huffman-decode.ts';
import { huffmanBytes, writeHuffman } from '../../gateway/http2/hpack/huffman-encode.ts';
import { type Field } from '../../gateway/message/field.ts';
import { field } from '../../gateway/message/names.ts';
import { decodeHex, encodeBlock, pairs, ROOMY } from '../support/hpack-blocks.ts';

const name = fc.oneof(
  fc.constantFrom(':path', ':method', ':status', 'accept', 'cookie', 'traceparent', 'x-a', 'x-b', 'x-api-key'),
  fc.string({ unit: fc.constantFrom('a', 'b', 'z', '-', '0', '\u0080', '\u00ff'), maxLength: 300 }),
);
const value = fc.oneof(
  fc.constantFrom('', '/', 'GET', '200', 'one', 'two', 'three'),
  fc.string({ unit: fc.nat(255).map((octet) => String.fromCharCode(octet)), maxLength: 300 }),
  fc.string({ unit: fc.constantFrom('0', 'e', '~', '\n'), minLength: 100, maxLength: 5000 }),
);
const anyField = fc.tuple(name, value, fc.boolean()).map(([text, content, secret]) => field(text, content, secret));
const tableBytes = fc.oneof(fc.constantFrom(0, 31, 32, 64, 200, 4096, 65_536), fc.nat(70_000));

/** A block of fields, or another limit for the table, from the decoder's side. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.array(fc.nat(), { maxLength: 12 }) },
  { weight: 1, arbitrary: tableBytes },
);

const seeds = (
  asList(JSON.parse(readFileSync(join(import.meta.dirname, '../fixtures/hpack/seeds.json'), 'utf8'))) ?? []
).map((seed) => {
  const [what, verdict, ...blocks] = (asList(seed) ?? []).map(String);
  return { what, verdict, blocks };
});

suite('HPACK', () => {
  test('what is encoded is decoded, over any sequence of blocks and changes of the table on both sides', () => {
    const run = fc.record({
      pool: fc.array(anyField, { minLength: 1, maxLength: 20 }),
      steps: fc.array(step, { maxLength: 40 }),
      ours: tableBytes,
    });
    fc.assert(
      fc.property(run, ({ pool, steps, ours }) => {
        const encoder = new HpackEncoder(ours);
        const decoder = new HpackDecoder(4096);
        for (const each of steps) {
          if (typeof each === 'number') {
            encoder.setTableLimit(each);
            decoder.setTableLimit(each);
            continue;
          }
          const fields = each.map((which): Field => pool[which % pool.length]!);
          const block = encodeBlock(encoder, fields);
          assert.ok(decoder.decode(block, 0, block.length, ROOMY));
          assert.deepEqual(pairs(decoder.fields), pairs(fields));
          decoder.fields.forEach((got, i) => assert.ok(got.sensitive || !fields[i]!.sensitive));
        }
      }),
      { numRuns: 1500 },
    );
  });

  test('any octets survive Huffman, and any that Huffman accepts are what it would have written', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
        const text = Buffer.from(octets).toString('latin1');
        const into = Buffer.alloc(octets.length * 4);
        const end = writeHuffman(text, into, 0);
        assert.equal(end, huffmanBytes(text));
        const back = Buffer.alloc(huffmanRoom(end));
        assert.equal(decodeHuffman(into, 0, end, back), octets.length);
        assert.deepEqual(new Uint8Array(back.subarray(0, octets.length)), octets);

        const encoded = Buffer.from(octets);
        const room = Buffer.alloc(huffmanRoom(encoded.length));
        const count = decodeHuffman(encoded, 0, encoded.length, room);
        if (count < 0) return;
        const again = Buffer.alloc(encoded.length);
        assert.equal(writeHuffman(room.toString('latin1', 0, count), again, 0), encoded.length);
        assert.deepEqual(again, encoded);
      }),
      { numRuns: 3000 },
    );
  });

  test('a mutated block is refused or decoded within the limits, and nothing is thrown', () => {
    const limits: BlockLimits = { bytesMax: 600, fieldsMax: 12, nameBytesMax: 40 };
    const change = fc.record({
      kind: fc.constantFrom('flip', 'set', 'cut', 'put', 'double'),
      at: fc.nat(),
      by: fc.integer({ min: 1, max: 255 }),
    });
    const run = fc.record({
      seed: fc.nat(),
      changes: fc.array(change, { minLength: 1, maxLength: 6 }),
      table: tableBytes,
    });
    fc.assert(
      fc.property(run, ({ seed, changes, table }) => {
        const decoder = new HpackDecoder(table);
        for (const hex of seeds[seed % seeds.length]!.blocks) {
          const block = mutated(Buffer.from(hex, 'hex'), changes);
          if (!decoder.decode(block, 0, block.length, limits)) return;
          assert.ok(decoder.fields.length <= limits.fieldsMax);
          let bytes = 0;
          for (const got of decoder.fields) {
            assert.ok(got.name.text.length <= limits.nameBytesMax);
            bytes += got.name.text.length + got.value.length + 4;
          }
          assert.ok(bytes <= limits.bytesMax);
        }
      }),
      { numRuns: 10_000 },
    );
  });

  for (const { what, verdict, blocks } of seeds) {
    test(`the corpus: ${what} is ${verdict}`, () => {
      const decoder = new HpackDecoder(4096);
      const verdicts = blocks.map((hex) => decodeHex(decoder, hex));
      assert.equal(verdicts.pop() === true ? 'taken' : 'refused', verdict);
      assert.ok(verdicts.every(Boolean), 'only the last block may be refused');
    });
  }
});

function mutated(block: Buffer, changes: readonly { kind: string; at: number; by: number }[]): Buffer {
  let octets = [...block];
  for (const { kind, at, by } of changes) {
    const place = octets.length === 0 ? 0 : at % octets.length;
    if (kind === 'flip' && octets.length > 0) octets[place]! ^= 1 << (by & 7);
    if (kind === 'set' && octets.length > 0) octets[place] = by;
    if (kind === 'cut') octets.splice(place, by & 15);
    if (kind === 'put') octets.splice(place, 0, by, by ^ 0x7f);
    if (kind === 'double') octets = [...octets, ...octets.slice(place)];
  }
  return Buffer.from(octets);
}

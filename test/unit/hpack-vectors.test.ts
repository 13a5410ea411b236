/** The examples of RFC 7541 Appendix C, to the octet. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { HpackDecoder } from '../../gateway/http2/hpack/decoder.ts';
import { huffmanBytes, writeHuffman } from '../../gateway/http2/hpack/huffman-encode.ts';
import { INTEGER_BYTES_MAX, IntegerReader, writeInteger } from '../../gateway/http2/hpack/integer.ts';
import { decodeHex, pairs } from '../support/hpack-blocks.ts';

const REQUEST_1 = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
const REQUEST_2 = [...REQUEST_1, 'cache-control: no-cache'];
const REQUEST_3 = [
  ':method: GET',
  ':scheme: https',
  ':path: /index.html',
  ':authority: www.example.com',
  'custom-key: custom-value',
];
const DATE_1 = 'date: Mon, 21 Oct 2013 20:13:21 GMT';
const DATE_2 = 'date: Mon, 21 Oct 2013 20:13:22 GMT';
const LOCATION = 'location: https://www.example.com';
const COOKIE = 'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';
const RESPONSES = [
  [':status: 302', 'cache-control: private', DATE_1, LOCATION],
  [':status: 307', 'cache-control: private', DATE_1, LOCATION],
  [':status: 200', 'cache-control: private', DATE_2, LOCATION, 'content-encoding: gzip', COOKIE],
];

function check(decoder: HpackDecoder, blocks: readonly string[], expected: readonly (readonly string[])[]): void {
  blocks.forEach((block, i) => {
    assert.ok(decodeHex(decoder, block), `block ${i}`);
    assert.deepEqual(pairs(decoder.fields), expected[i]);
  });
}

function tableOf(decoder: HpackDecoder): readonly string[] {
  const entries: string[] = [];
  for (let index = 62; decodeHex(decoder, (0x80 | index).toString(16)); index++) entries.push(...pairs(decoder.fields));
  return entries;
}

suite('RFC 7541 Appendix C', () => {
  test('C.1: integers', () => {
    const cases = [
      [10, 0x1f, '0a'],
      [1337, 0x1f, '1f9a0a'],
      [42, 0xff, '2a'],
    ] as const;
    for (const [value, mask, hex] of cases) {
      const into = Buffer.alloc(INTEGER_BYTES_MAX);
      const end = writeInteger(value, { pattern: 0, mask }, into, 0);
      assert.equal(into.toString('hex', 0, end), hex);
      const reader = new IntegerReader();
      assert.equal(reader.read(into, end, mask), value);
      assert.equal(reader.at, end);
    }
  });

  test('C.2: each form of a field', () => {
    const cases = [
      [
        '400a637573746f6d2d6b65790d637573746f6d2d686561646572',
        'custom-key: custom-header',
        ['custom-key: custom-header'],
      ],
      ['040c2f73616d706c652f70617468', ':path: /sample/path', []],
      ['100870617373776f726406736563726574', 'password: secret', []],
      ['82', ':method: GET', []],
    ] as const;
    for (const [block, expected, table] of cases) {
      const decoder = new HpackDecoder(4096);
      check(decoder, [block], [[expected]]);
      assert.equal(decoder.fields[0]?.sensitive, expected === 'password: secret');
      assert.deepEqual(tableOf(decoder), table);
    }
  });

  test('C.3 and C.4: requests, without and with Huffman', () => {
    const plain = [
      '828684410f7777772e6578616d706c652e636f6d',
      '828684be58086e6f2d6361636865',
      '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
    ];
    const huffman = [
      '828684418cf1e3c2e5f23a6ba0ab90f4ff',
      '828684be5886a8eb10649cbf',
      '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
    ];
    for (const blocks of [plain, huffman]) {
      const decoder = new HpackDecoder(4096);
      check(decoder, blocks, [REQUEST_1, REQUEST_2, REQUEST_3]);
      assert.deepEqual(tableOf(decoder), [
        'custom-key: custom-value',
        'cache-control: no-cache',
        ':authority: www.example.com',
      ]);
    }
  });

  test('C.5 and C.6: responses with eviction from a table of 256 bytes, without and with Huffman', () => {
    const plain = [
      '4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d',
      '4803333037c1c0bf',
      '88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31',
    ];
    const huffman = [
      '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
      '4883640effc1c0bf',
      '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
    ];
    for (const blocks of [plain, huffman]) {
      const decoder = new HpackDecoder(256);
      check(decoder, blocks, RESPONSES);
      assert.deepEqual(tableOf(decoder), [COOKIE, 'content-encoding: gzip', DATE_2]);
    }
  });

  test('strings are encoded as in C.4 and C.6', () => {
    const cases = [
      ['www.example.com', 'f1e3c2e5f23a6ba0ab90f4ff'],
      ['no-cache', 'a8eb10649cbf'],
      ['Mon, 21 Oct 2013 20:13:21 GMT', 'd07abe941054d444a8200595040b8166e082a62d1bff'],
      ['', ''],
    ] as const;
    for (const [text, hex] of cases) {
      const into = Buffer.alloc(100);
      assert.equal(into.toString('hex', 0, writeHuffman(text, into, 0)), hex);
      assert.equal(huffmanBytes(text), hex.length / 2);
    }
  });
});

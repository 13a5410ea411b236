/** What a decoder of header blocks refuses, what it bounds, and which objects it hands out. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { type BlockLimits, HpackDecoder } from '../../gateway/http2/hpack/decoder.ts';
import { type Field } from '../../gateway/message/field.ts';
import { fieldName } from '../../gateway/message/names.ts';
import { decodeHex, pairs, rawHex, ROOMY } from '../support/hpack-blocks.ts';

/** Whether a new decoder with a table of 4096 bytes takes the block. */
function takes(hex: string): boolean {
  return decodeHex(new HpackDecoder(4096), hex);
}

suite('compression errors', () => {
  test('an index is from 1 to the last entry', () => {
    assert.ok(takes('81') && takes('bd'));
    for (const block of ['80', 'be', 'ff00', 'ffffffff0f', '7f0000', '7f0001 61', '0f30 0161'])
      assert.ok(!takes(block), block);
    assert.ok(takes('4001610162 be') && !takes('4001610162 bf'));
    assert.ok(takes('0f2e 0161'), 'name 61 is the last of the static table');
  });

  test('integers end within four octets behind the prefix, and within the block', () => {
    assert.ok(takes('00 0161 7f81808000' + '61'.repeat(128)), 'padded with zeros to four octets');
    assert.ok(!takes('00 0161 7f8180808000' + '61'.repeat(128)), 'padded to five');
    for (const block of ['ff', 'ff80', 'ffffffffffffffffff7f', '3fffffffffffffffff0f', '00 0161 7fffffffff7f'])
      assert.ok(!takes(block), block);
  });

  test('strings end within the block', () => {
    for (const block of ['40', '00', '4001', '400161', '40016101', '40016102 61', '0001', '0082f1', '41', '01', '1f'])
      assert.ok(!takes(block), block);
    assert.ok(takes('40016100') && takes('0000 00') && takes('4080 80'), 'empty strings are strings');
  });

  test('Huffman padding is at most seven ones, and EOS is never coded', () => {
    const value = (hex: string): string => `000161${(0x80 | (hex.length / 2)).toString(16)}${hex}`;
    assert.ok(takes(value('1f')), '"a" and three ones');
    assert.ok(takes(value('f8')), '"&" without padding');
    for (const wrong of [
      '18',
      '1e',
      'ff',
      '1fff',
      'f8ff',
      'fffffffc',
      'ffffffff',
      '1fffffffff',
      'fffffffffffffffc',
      '1fffffffff1f',
    ])
      assert.ok(!takes(value(wrong)), wrong);
    assert.ok(takes(value('fffffff3')), 'octet 10 has 30 bits, 111...00, and two ones follow');
  });

  test('wrong Huffman is an error also where the string is beyond every limit', () => {
    const none: BlockLimits = { bytesMax: 0, fieldsMax: 0, nameBytesMax: 0 };
    const decoder = new HpackDecoder(4096);
    assert.ok(decodeHex(decoder, '000161 811f', none));
    assert.ok(!decodeHex(decoder, '000161 81ff', none));
  });
});

suite('the size of the table', () => {
  test('an update is up to the limit, at the beginning, and there are at most two', () => {
    assert.ok(takes('20') && takes('2082') && takes('203fe11f 82') && takes('3fe11f'));
    for (const block of ['3fe21f', '8220', '8220 0161 0162', '400161016220', '202020', '20203fe11f'])
      assert.ok(!takes(block), block);
  });

  test('an update evicts, also on its way to a larger one', () => {
    const decoder = new HpackDecoder(4096);
    assert.ok(decodeHex(decoder, '4001610162 4001630164'));
    assert.ok(decodeHex(decoder, '3f25 bf'), 'both entries have 34 bytes');
    assert.ok(decodeHex(decoder, '3f24 be'));
    assert.deepEqual(pairs(decoder.fields), ['c: d']);
    assert.ok(!decodeHex(decoder, 'bf'));
    assert.ok(decodeHex(decoder, '20 3fe11f') && !decodeHex(decoder, 'be'));
  });

  test('a table larger than 4096 bytes begins with the update that permits it', () => {
    const filled = (decoder: HpackDecoder, update: string): boolean =>
      decodeHex(decoder, `${update} 400161${rawHex('x'.repeat(3000))} 400162${rawHex('y'.repeat(3000))} bf`);
    assert.ok(!filled(new HpackDecoder(65_536), ''));
    assert.ok(filled(new HpackDecoder(65_536), '3fe1ff03'));
  });

  test('after the limit went below the size of the table, the next block begins with an update', () => {
    const decoder = new HpackDecoder(4096);
    decoder.setTableLimit(100);
    assert.ok(!decodeHex(decoder, '82'));
    assert.ok(!decodeHex(decoder, '3f46 82'), '101 bytes');
    assert.ok(decodeHex(decoder, '3f45 82'), '100 bytes');
    assert.ok(decodeHex(decoder, '82'), 'once');
    decoder.setTableLimit(200);
    assert.ok(decodeHex(decoder, '82'), 'a higher limit requires nothing');
  });

  test('an entry larger than the table empties it and is still a field', () => {
    const decoder = new HpackDecoder(100);
    assert.ok(decodeHex(decoder, `4001610162 400161${rawHex('x'.repeat(67))}`));
    assert.ok(decodeHex(decoder, 'be'), '1 + 67 + 32 bytes fit 100');
    assert.ok(decodeHex(decoder, `400161${rawHex('x'.repeat(68))}`));
    assert.equal(decoder.fields.length, 1);
    assert.ok(!decodeHex(decoder, 'be'));
  });

  test('entries keep their places when the table has grown over many and evicted many', () => {
    const decoder = new HpackDecoder(4096);
    for (let i = 0; i < 1000; i++) assert.ok(decodeHex(decoder, `40${rawHex('n')}${rawHex(String(1000 + i))}`));
    for (let age = 0; age < 110; age++) {
      const index = 62 + age;
      assert.ok(
        decodeHex(
          decoder,
          index < 127 ? (0x80 | index).toString(16) : `ff${(index - 127).toString(16).padStart(2, '0')}`,
        ),
      );
      assert.deepEqual(pairs(decoder.fields), [`n: ${1999 - age}`]);
    }
    assert.ok(!decodeHex(decoder, `ff${(62 + 110 - 127).toString(16)}`), '4096 / 37 is 110');
  });
});

suite('objects', () => {
  test('a field from a table is the same object each time, and its name with it', () => {
    const decoder = new HpackDecoder(4096);
    assert.ok(decodeHex(decoder, '82 4003612d620163'));
    const [get, made] = decoder.fields;
    assert.ok(decodeHex(decoder, '82 be be 7e0164'));
    assert.deepEqual(pairs(decoder.fields), [':method: GET', 'a-b: c', 'a-b: c', 'a-b: d']);
    assert.ok(decoder.fields[0] === get && decoder.fields[1] === made && decoder.fields[2] === made);
    assert.equal(decoder.fields[3]?.name, made?.name);
    const other = new HpackDecoder(4096);
    assert.ok(decodeHex(other, '82'));
    assert.equal(other.fields[0], get);
  });

  test('literal names that are well known are the shared object, others one object while they come again', () => {
    const decoder = new HpackDecoder(4096);
    assert.ok(decodeHex(decoder, `00${rawHex('traceparent')}00 00${rawHex('x-a')}00 00${rawHex('x-a')}0161`));
    const [trace, first, second] = decoder.fields;
    assert.equal(trace?.name, fieldName('traceparent'));
    assert.equal(first?.name, second?.name);
    assert.notEqual(first, second);
  });

  test('a literal that comes again without entering the table is the same object, another value or name never is', () => {
    const decoder = new HpackDecoder(4096);
    const path = (value: string): Field | undefined => {
      assert.ok(decodeHex(decoder, `04${rawHex(value)}`));
      return decoder.fields[0];
    };
    const first = path('/orders/1');
    assert.equal(first?.value, '/orders/1');
    assert.equal(path('/orders/1'), first);
    for (const other of ['/orders/2', '/orders/11', '/order/s1', '', '/Orders/1', 'x'.repeat(200)]) {
      assert.equal(path(other)?.value, other);
      assert.notEqual(path(other), first);
    }
    assert.ok(decodeHex(decoder, `01${rawHex('/orders/1')}`));
    const [named] = decoder.fields;
    assert.notEqual(named, first);
    assert.equal(named?.name.text, ':authority');
    // Never-indexed stays sensitive, whatever came before.
    assert.ok(decodeHex(decoder, `14${rawHex('/orders/1')}`));
    const [never] = decoder.fields;
    assert.equal(never?.sensitive, true);
  });

  test('each block has an array of its own', () => {
    const decoder = new HpackDecoder(4096);
    assert.ok(decodeHex(decoder, '82'));
    const { fields } = decoder;
    assert.ok(decodeHex(decoder, '83'));
    assert.deepEqual(pairs(fields), [':method: GET']);
  });

  test('what came never-indexed, or is secret by its name, is sensitive', () => {
    const decoder = new HpackDecoder(4096);
    assert.ok(decodeHex(decoder, `10${rawHex('a')}00 00${rawHex('a')}00 40${rawHex('a')}00 40${rawHex('cookie')}00`));
    assert.deepEqual(
      decoder.fields.map(({ sensitive }) => sensitive),
      [true, false, false, true],
    );
  });
});

suite('limits', () => {
  const field = `00${rawHex('name')}${rawHex('value')}`; // 4 + 5 + 4 bytes

  function overrunOf(hex: string, limits: Partial<BlockLimits>): readonly [string | undefined, number] {
    const decoder = new HpackDecoder(4096);
    assert.ok(decodeHex(decoder, hex, { ...ROOMY, ...limits }));
    return [decoder.overrun, decoder.fields.length];
  }

  test('bytes, fields and the bytes of a name', () => {
    assert.deepEqual(overrunOf(field + field, { bytesMax: 27 }), [undefined, 2]);
    assert.deepEqual(overrunOf(field + field, { bytesMax: 26 }), [undefined, 2]);
    assert.deepEqual(overrunOf(field + field, { bytesMax: 25 }), ['limit-header-bytes', 1]);
    assert.deepEqual(overrunOf(field + field, { fieldsMax: 2 }), [undefined, 2]);
    assert.deepEqual(overrunOf(field + field, { fieldsMax: 1 }), ['limit-header-fields', 1]);
    assert.deepEqual(overrunOf(field, { nameBytesMax: 4 }), [undefined, 1]);
    assert.deepEqual(overrunOf('95', { nameBytesMax: 3 }), [undefined, 1]);
    assert.deepEqual(overrunOf(`${field}95`, { nameBytesMax: 3 }), ['limit-header-bytes', 0]);
  });

  test('after an overrun nothing more is taken, and the next block is judged anew', () => {
    const decoder = new HpackDecoder(4096);
    assert.ok(decodeHex(decoder, `00${rawHex('a')}${rawHex('x'.repeat(90))} 82`, { ...ROOMY, bytesMax: 50 }));
    assert.deepEqual([decoder.overrun, decoder.fields.length], ['limit-header-bytes', 0]);
    assert.ok(decodeHex(decoder, '82', { ...ROOMY, bytesMax: 50 }));
    assert.deepEqual([decoder.overrun, decoder.fields.length], [undefined, 1]);
  });

  test('entries enter the table also beyond the limits', () => {
    const decoder = new HpackDecoder(4096);
    const none: BlockLimits = { bytesMax: 10, fieldsMax: 1, nameBytesMax: 10 };
    assert.ok(
      decodeHex(decoder, `40${rawHex('n'.repeat(20))}${rawHex('v'.repeat(20))} 40${rawHex('a')}${rawHex('b')}`, none),
    );
    assert.deepEqual(decoder.fields, []);
    assert.ok(decodeHex(decoder, 'bf be'));
    assert.deepEqual(pairs(decoder.fields), [`${'n'.repeat(20)}: ${'v'.repeat(20)}`, 'a: b']);
  });

  test('a 4 KiB entry referred to 16,000 times is one string and as many fields as fit', () => {
    const decoder = new HpackDecoder(4096);
    const bomb = `400161${rawHex('x'.repeat(4000))}${'be'.repeat(16_000)}`;
    assert.ok(decodeHex(decoder, bomb, { bytesMax: 16_384, fieldsMax: 100, nameBytesMax: 100 }));
    assert.equal(decoder.overrun, 'limit-header-bytes');
    assert.equal(decoder.fields.length, 4);
    assert.equal(new Set(decoder.fields).size, 1);
    assert.ok(decodeHex(decoder, 'be') && !decodeHex(decoder, 'bf'));
  });

  test('each crumb of a cookie counts', () => {
    const crumb = `00${rawHex('cookie')}${rawHex('a=b')}`;
    assert.deepEqual(overrunOf(crumb.repeat(1000), { bytesMax: 13 * 99 + 12 }), ['limit-header-bytes', 99]);
  });

  test('a Huffman string that is longer than the scratch is decoded all the same', () => {
    const decoder = new HpackDecoder(4096);
    // 5000 times "0", five zero bits each: 3125 octets.
    assert.ok(decodeHex(decoder, `000161ffb617${'00'.repeat(3125)}`));
    assert.equal(decoder.fields[0]?.value, '0'.repeat(5000));
  });
});

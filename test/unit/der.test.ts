/** The strict DER reader. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  derBitString,
  derBoolean,
  derElement,
  derInteger,
  derOid,
  DerReader,
  derSequence,
  derTag,
  derTime,
} from '../../base/der.ts';
import { der, derOidOf, derText } from '../support/der-writer.ts';

const refused = { code: 'der-malformed' };

function only(hex: string): ReturnType<DerReader['next']> {
  const reader = new DerReader(Buffer.from(hex, 'hex'), 'test');
  const element = reader.next();
  reader.end();
  return element;
}

for (const [name, hex] of [
  ['an indefinite length', '30800000'],
  ['a long form for a short length', '04810100'],
  ['a leading zero in the length', `04820080${'00'.repeat(128)}`],
  ['a length beyond the end', '040200'],
  ['a length of four octets', '048400000001ff'],
  ['a high tag number', '1f8101'],
  ['nothing', ''],
  ['a tag alone', '30'],
  ['something after the end', '050000'],
] as const) {
  test(`${name} is refused`, () => {
    assert.throws(() => only(hex), refused);
  });
}

test('elements are read in turn, optional ones by their tag', () => {
  const reader = derSequence(Buffer.from('3006020105040141', 'hex'), 'test');
  assert.equal(reader.optional(derTag.octetString), undefined);
  assert.equal(derInteger(reader.next(derTag.integer)), 5n);
  assert.throws(() => reader.end(), refused);
  assert.equal(Buffer.from(reader.optional(derTag.octetString)?.content ?? []).toString(), 'A');
  reader.end();
  assert.throws(() => reader.next(), refused);
  assert.throws(() => derElement(Buffer.from('0500', 'hex'), derTag.integer, 'test'), refused);
});

test('integers have one form', () => {
  for (const [hex, value] of [
    ['020100', 0n],
    ['02017f', 127n],
    ['02020080', 128n],
    ['020180', -128n],
    ['0202ff7f', -129n],
  ] as const) {
    assert.equal(derInteger(only(hex)), value);
  }
  for (const hex of ['0200', '0202007f', '0202ff80']) assert.throws(() => derInteger(only(hex)), refused);
});

test('booleans, bit strings and object identifiers have one form', () => {
  assert.equal(derBoolean(only('0101ff')), true);
  assert.equal(derBoolean(only('010100')), false);
  for (const hex of ['010101', '0100', '0102ffff']) assert.throws(() => derBoolean(only(hex)), refused);
  assert.deepEqual([...derBitString(only('03020780')).bytes], [0x80]);
  for (const hex of ['0300', '03020801', '03020781', '030101']) assert.throws(() => derBitString(only(hex)), refused);
  for (const oid of ['2.5.29.17', '1.2.840.10045.2.1', '0.9.1', '2.999.1']) {
    assert.equal(derOid({ ...only('0500'), content: derOidOf(oid).subarray(2) }), oid);
  }
  for (const hex of ['0600', '06028001', '06022a80']) assert.throws(() => derOid(only(hex)), refused);
});

test('times are those of RFC 5280 and no others', () => {
  const time = (tag: number, text: string): number => derTime(only(Buffer.from(derText(tag, text)).toString('hex')));
  assert.equal(time(0x17, '270301120000Z'), Date.parse('2027-03-01T12:00:00Z'));
  assert.equal(time(0x17, '500101000000Z'), Date.parse('1950-01-01T00:00:00Z'));
  assert.equal(time(0x17, '491231235959Z'), Date.parse('2049-12-31T23:59:59Z'));
  assert.equal(time(0x18, '99991231235959Z'), Date.parse('9999-12-31T23:59:59Z'));
  for (const [tag, text] of [
    [0x17, '2703011200Z'],
    [0x17, '270301120000+0000'],
    [0x17, '270230120000Z'],
    [0x17, '270301240000Z'],
    [0x17, '270301126000Z'],
    [0x18, '20270301120000Z'],
    [0x18, '20510301120000.5Z'],
    [0x0c, '270301120000Z'],
  ] as const) {
    assert.throws(() => time(tag, text), refused, text);
  }
  assert.equal(der(0x05).length, 2);
});

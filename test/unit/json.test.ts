/** The strict JSON reader. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseJson } from '../../base/json.ts';

test('what JSON.parse reads and is unambiguous is read alike', () => {
  for (const text of [
    '{}',
    '[]',
    ' {"a" : [1, -2.5e3, true, false, null, "x\\n\\u00e9\\ud83d\\ude00"]} ',
    '"\u00fc"',
    '0',
  ]) {
    assert.deepEqual(parseJson(text), JSON.parse(text));
    assert.deepEqual(parseJson(Buffer.from(text)), JSON.parse(text));
  }
});

test('integers beyond 2^53 - 1 are exact', () => {
  assert.equal(parseJson('9007199254740991'), 9007199254740991);
  assert.equal(parseJson('9007199254740993'), 9007199254740993n);
  assert.equal(parseJson('18446744073709551615'), 18446744073709551615n);
  assert.equal(parseJson('-9007199254740993'), -9007199254740993n);
});

test('a member called __proto__ is a member and changes no prototype', () => {
  const value = parseJson('{"__proto__": {"polluted": 1}}');
  assert.ok(typeof value === 'object' && value !== null);
  assert.deepEqual(Object.keys(value), ['__proto__']);
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
  assert.equal('polluted' in value, false);
});

for (const [name, text] of [
  ['duplicate members', '{"a":1,"a":2}'],
  ['duplicate members behind an escape', '{"a":1,"\\u0061":2}'],
  ['duplicate __proto__', '{"__proto__":1,"__proto__":2}'],
  ['a trailing comma', '[1,]'],
  ['a trailing comma in an object', '{"a":1,}'],
  ['a comment', '[1] // one'],
  ['two documents', '{} {}'],
  ['a leading zero', '01'],
  ['a bare minus', '-'],
  ['NaN', 'NaN'],
  ['an infinite number', '1e999'],
  ['a very long number', '1'.repeat(200)],
  ['a raw control character', '"a\nb"'],
  ['an unknown escape', '"\\x41"'],
  ['a lone surrogate', '"\\ud800"'],
  ['an unterminated string', '"abc'],
  ['an unquoted name', '{a:1}'],
  ['nothing', ''],
  ['a byte order mark', '\ufeff{}'],
  ['nesting of 65', '['.repeat(65) + ']'.repeat(65)],
  ['nesting of 100,000', '['.repeat(100_000)],
] as const) {
  test(`${name} is refused`, () => {
    assert.throws(() => parseJson(text), { code: 'json-malformed' });
  });
}

test('limits hold: 64 levels are read, octets are counted and not characters, invalid UTF-8 is refused', () => {
  assert.ok(parseJson('['.repeat(64) + ']'.repeat(64)));
  assert.equal(parseJson('"\u00fc"', { maxBytes: 4 }), '\u00fc');
  assert.throws(() => parseJson('"\u00fc"', { maxBytes: 3 }), { code: 'json-malformed' });
  assert.throws(() => parseJson('[[]]', { maxDepth: 1 }), { code: 'json-malformed' });
  assert.throws(() => parseJson(new Uint8Array([0x22, 0xff, 0x22])), { code: 'json-malformed' });
});

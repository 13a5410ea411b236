/** What an encoder of header blocks puts into the table, what it keeps out of it, and how it follows the other end's limits. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { HpackDecoder } from '../../gateway/http2/hpack/decoder.ts';
import { HpackEncoder } from '../../gateway/http2/hpack/encoder.ts';
import { type Field } from '../../gateway/message/field.ts';
import { field } from '../../gateway/message/names.ts';
import { encodeBlock, pairs, ROOMY } from '../support/hpack-blocks.ts';

const FIRST = [field('user-agent', 'grpc-go/1.71.0'), field('x-tenant', 'blue'), field(':authority', 'cart.example')];

/** The octets that one more block of these fields takes. */
function cost(encoder: HpackEncoder, ...fields: readonly Field[]): number {
  return encodeBlock(encoder, fields).length;
}

function first(encoder: HpackEncoder, one: Field): number {
  return encodeBlock(encoder, [one])[0] ?? 0;
}

/** Fills the half of the table that anything may enter. */
function fill(encoder: HpackEncoder): void {
  for (let i = 0; i < 200; i++) encodeBlock(encoder, [field('x-fill', `${i}${'~'.repeat(i < 100 ? 50 : 0)}`)]);
}

suite('what repeats', () => {
  test('a field of the static table is one octet', () => {
    assert.deepEqual(
      [
        ...encodeBlock(new HpackEncoder(4096), [
          field(':method', 'GET'),
          field(':status', '500'),
          field('accept-encoding', 'gzip, deflate'),
        ]),
      ],
      [0x82, 0x8e, 0x90],
    );
  });

  test('in an empty table a field is an index from the second time on, also as another object', () => {
    const encoder = new HpackEncoder(4096);
    assert.ok(cost(encoder, ...FIRST) > 30);
    assert.equal(cost(encoder, ...FIRST), 3);
    assert.equal(cost(encoder, ...FIRST.map(({ name, value }) => field(name.text, value))), 3);
  });

  test('in a full table a field is an index from the third time on', () => {
    const encoder = new HpackEncoder(4096);
    fill(encoder);
    const path = field(':path', '/shop.Cart/AddItem');
    assert.deepEqual(
      [0, 1, 2].map(() => first(encoder, path) & 0xc0),
      [0x00, 0x40, 0x80],
    );
  });

  test('the same field object is found by any number of encoders', () => {
    const encoders = Array.from({ length: 20 }, () => new HpackEncoder(4096));
    encoders.forEach((encoder, i) => {
      for (let k = 0; k < i; k++) encodeBlock(encoder, [field('x-other', String(k))]);
      encodeBlock(encoder, FIRST);
    });
    for (const encoder of encoders) assert.equal(cost(encoder, ...FIRST), 3);
  });
});

suite('what does not repeat', () => {
  test('values of each call never enter, their names do once', () => {
    const encoder = new HpackEncoder(4096);
    const trace = (call: number): Field => field('traceparent', `00-${call}`);
    assert.equal(first(encoder, trace(1)), 0x40);
    for (let call = 2; call < 500; call++)
      assert.equal(first(encoder, trace(call)), 0x0f, 'not indexed, with the name of the entry');
    for (let call = 0; call < 5; call++) assert.equal(first(encoder, field('date', 'Mon, 21 Oct 2013')), 0x0f);
    encodeBlock(encoder, FIRST);
    assert.equal(cost(encoder, ...FIRST), 3);
  });

  for (const [what, make] of [
    ['paths', (call: number): Field => field(':path', `/items/${call}`)],
    ['values of a header that nobody knows', (call: number): Field => field('x-user-id', `user-${call}`)],
    ['names', (call: number): Field => field(`x-${call}`, 'same')],
  ] as const) {
    test(`${what} that never come again leave the repeating fields in the table`, () => {
      const encoder = new HpackEncoder(4096);
      let octets = 0;
      for (let call = 0; call < 10_000; call++) {
        encodeBlock(encoder, [make(call)]);
        const octetsNow = cost(encoder, ...FIRST);
        if (call >= 100) octets += octetsNow;
      }
      assert.equal(octets, 3 * 9_900);
    });
  }

  test('more repeating paths than the table holds do not turn it over with each call', () => {
    const encoder = new HpackEncoder(4096);
    const calls = 20_000;
    let octets = 0;
    let entered = 0;
    for (let call = 0; call < calls; call++) {
      if ((first(encoder, field(':path', `/items/${'-'.repeat(40)}/${call % 100}`)) & 0xc0) === 0x40) entered++;
      octets += cost(encoder, ...FIRST);
    }
    // Without patience 0.30 of the calls enter a path.
    assert.ok(entered < 0.2 * calls, `${entered} of ${calls} paths entered`);
    assert.ok(octets < 3.5 * calls, `${octets / calls} octets for 3 fields`);
  });

  test('an entry of more than three quarters of the table never enters', () => {
    const large = (bytes: number): Field => field(':path', '/'.repeat(bytes - 32 - 5));
    const forms = (one: Field): readonly number[] => {
      const encoder = new HpackEncoder(4096);
      return [0, 1, 2].map(() => first(encoder, one) & 0xc0);
    };
    assert.deepEqual(forms(large(3072)), [0x00, 0x40, 0x80]);
    assert.deepEqual(forms(large(3073)), [0x00, 0x00, 0x00]);
  });
});

suite('secrets', () => {
  test('are never indexed, by their name or because they came so', () => {
    const encoder = new HpackEncoder(4096);
    const secrets = [
      'authorization',
      'cookie',
      'set-cookie',
      'proxy-authorization',
      'x-api-key',
      'x-auth-token',
      'x-amz-security-token',
    ];
    for (const one of [
      ...secrets.map((name) => field(name, 'abc')),
      field('x-plain', 'abc', true),
      field(':path', '/', true),
    ]) {
      for (let again = 0; again < 4; again++) assert.equal(first(encoder, one) & 0xf0, 0x10, one.name.text);
    }
    assert.notEqual(first(encoder, field('x-authority', 'abc')) & 0xf0, 0x10);
    assert.notEqual(first(encoder, field('x-tokenizer', 'abc')) & 0xf0, 0x10);
  });

  test('come out sensitive at the other end', () => {
    const block = encodeBlock(new HpackEncoder(4096), [field('x-plain', 'abc', true), field('x-plain', 'abc')]);
    const decoder = new HpackDecoder(4096);
    assert.ok(decoder.decode(block, 0, block.length, ROOMY));
    assert.deepEqual(
      decoder.fields.map(({ sensitive }) => sensitive),
      [true, false],
    );
  });
});

suite('the size of the table', () => {
  const begun = (encoder: HpackEncoder): string => encodeBlock(encoder, []).toString('hex');

  test('is told once when it is not the default', () => {
    for (const [bytes, update] of [
      [4096, ''],
      [0, '20'],
      [256, '3fe101'],
      [65_536, ''],
    ] as const) {
      const encoder = new HpackEncoder(bytes);
      assert.equal(begun(encoder), update);
      assert.equal(begun(encoder), '');
    }
  });

  test('follows the other end up to our own limit', () => {
    const encoder = new HpackEncoder(65_536);
    encoder.setTableLimit(2 ** 32 - 1);
    assert.equal(begun(encoder), '3fe1ff03');
    encoder.setTableLimit(65_536);
    assert.equal(begun(encoder), '');
    encoder.setTableLimit(100);
    assert.equal(begun(encoder), '3f45');
  });

  test('tells the smallest size on the way, and forgets what did not fit it', () => {
    const encoder = new HpackEncoder(4096);
    encodeBlock(encoder, FIRST);
    encoder.setTableLimit(1000);
    encoder.setTableLimit(0);
    encoder.setTableLimit(4096);
    assert.equal(begun(encoder), '203fe11f');
    assert.ok(cost(encoder, ...FIRST) > 30);
    assert.equal(cost(encoder, ...FIRST), 3);
  });

  test('without a table everything is a literal that can be read', () => {
    const encoder = new HpackEncoder(0);
    const decoder = new HpackDecoder(0);
    for (let again = 0; again < 3; again++) {
      const block = encodeBlock(encoder, FIRST);
      assert.ok(decoder.decode(block, 0, block.length, ROOMY));
      assert.deepEqual(pairs(decoder.fields), pairs(FIRST));
    }
  });
});

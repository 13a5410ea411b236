/** The first bytes of a TLS client: what is read from them, and what is refused with which alert. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';

import { servesName } from '../../federation/policy/server-name.ts';
import { ALERT, alertRecord } from '../../gateway/tcp/alert.ts';
import { HELD_BYTES_MAX, HELLO_BYTES_MAX, type HelloStep } from '../../gateway/tcp/client-hello.ts';
import {
  alpnExtension,
  extension,
  type HelloParts,
  hello,
  helloMessage,
  record,
  records,
  serverNameExtension,
  u16,
  vector,
} from '../support/client-hello-writer.ts';
import { readHello } from '../support/read-hello.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/client-hello');

/** What clients of the wild sent: their server name and protocols, or why it is refused. */
const CAPTURED: Readonly<Record<string, readonly [serverName: string | undefined, alpn: readonly string[]] | string>> =
  {
    'node-no-sni': [undefined, []],
    'node-sni-alpn': ['db.shop.example', ['h2', 'http/1.1']],
    'node-tls12': ['db.shop.example', []],
    'node-upper-case': ['db.shop.example', []],
    'openssl-ip-name': 'server-name-malformed',
    'openssl-many-groups': ['a.example', []],
    'openssl-no-sni': [undefined, []],
    'openssl-sni': ['vault.shop.example', []],
    'openssl-split-512': ['a.example', Array.from({ length: 60 }, (_, index) => `protocol-name-${index}`)],
    'openssl-tls12-alpn': ['a.example', ['postgresql']],
    'openssl-trailing-dot': 'server-name-malformed',
    'openssl-underscore': 'server-name-malformed',
  };

function outcome(step: HelloStep): unknown {
  if (step.kind === 'refused') return step.reason;
  return step.kind === 'hello' ? [step.hello.serverName, step.hello.alpn] : step.kind;
}

suite('captured hellos', () => {
  test('are all known here', () => {
    const names = readdirSync(FIXTURES).map((file) => file.replace('.bin', ''));
    assert.deepEqual(names.sort(), Object.keys(CAPTURED));
  });

  for (const [name, expected] of Object.entries(CAPTURED)) {
    test(`${name} is read alike in one piece, in bytes and in odd pieces, and goes on unchanged`, () => {
      const bytes = readFileSync(join(FIXTURES, `${name}.bin`));
      for (const size of [bytes.length, 1, 7, 511]) {
        const step = readHello(bytes, size);
        assert.deepEqual(outcome(step), expected, `pieces of ${size}`);
        if (step.kind === 'hello') assert.ok(step.bytes.equals(bytes));
      }
      assert.equal(readHello(bytes.subarray(0, -1), 1).kind, 'incomplete');
    });
  }
});

const refusal = (bytes: Uint8Array): readonly [reason: string, alert: number | undefined] => {
  const step = readHello(bytes);
  if (step.kind !== 'refused') return [step.kind, undefined];
  assert.deepEqual(step.alert.subarray(0, 6), Buffer.from([21, 3, 3, 0, 2, 2]));
  assert.match(step.message, /^expected .*, found /s);
  return [step.reason, step.alert[6]];
};
const named = (...names: readonly Uint8Array[]): Buffer => extension(0, vector(2, Buffer.concat(names)));
const hostName = (name: string): Buffer => Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name, 'latin1'))]);
const refusalOf = (parts: HelloParts): readonly [string, number | undefined] => refusal(hello(parts));

suite('records', () => {
  const whole = hello({ extensions: [serverNameExtension('a.example')] });

  test('of one byte each, of several kinds of version and with bytes after the hello are read', () => {
    const message = helloMessage({ extensions: [serverNameExtension('a.example')] });
    const single = records(message, 1);
    assert.deepEqual(outcome(readHello(single)), ['a.example', []]);
    assert.deepEqual(outcome(readHello(single, 1)), ['a.example', []]);
    for (const minor of [0, 1, 3, 4, 255]) {
      const bytes = Buffer.from(whole);
      bytes[2] = minor;
      assert.deepEqual(outcome(readHello(bytes)), ['a.example', []]);
    }
    const early = Buffer.concat([whole, record(Buffer.from('early'), 23)]);
    const step = readHello(early);
    assert.ok(step.kind === 'hello' && step.bytes.equals(early), 'early data goes on with the hello');
  });

  test('that are none of TLS are refused at the byte that shows it', () => {
    assert.deepEqual(refusal(Buffer.from('G')), ['not-tls', ALERT.unexpectedMessage]);
    assert.deepEqual(refusal(Buffer.from([21])), ['not-tls', ALERT.unexpectedMessage]);
    assert.deepEqual(refusal(Buffer.from([22, 2])), ['record-malformed', ALERT.protocolVersion]);
    assert.deepEqual(refusal(Buffer.from([0x80, 0x2e, 1, 3, 1])), ['ssl2-hello', ALERT.protocolVersion]);
    assert.deepEqual(refusal(Buffer.from([0x80])), ['ssl2-hello', ALERT.protocolVersion]);
    const broken = Buffer.concat([record(whole.subarray(5, 20)), Buffer.from([23])]);
    assert.deepEqual(refusal(broken), ['record-malformed', ALERT.unexpectedMessage]);
  });

  test('may hold 16 KiB and not a byte more, and never nothing', () => {
    assert.equal(readHello(Buffer.from([22, 3, 1, ...u16(16_384)])).kind, 'incomplete');
    assert.deepEqual(refusal(Buffer.from([22, 3, 1, ...u16(16_385)])), ['record-malformed', ALERT.recordOverflow]);
    assert.deepEqual(refusal(Buffer.from([22, 3, 1, 0, 0])), ['record-malformed', ALERT.unexpectedMessage]);
  });

  test('hold the hello and nothing else', () => {
    const two = Buffer.concat([helloMessage({}), helloMessage({})]);
    assert.deepEqual(refusal(record(two)), ['not-a-client-hello', ALERT.unexpectedMessage]);
    const message = helloMessage({});
    message[0] = 2;
    assert.deepEqual(refusal(record(message)), ['not-a-client-hello', ALERT.unexpectedMessage]);
  });
});

suite('limits', () => {
  const ofLength = (length: number): Buffer => {
    const bare = helloMessage({ extensions: [extension(21, Buffer.alloc(0))] }).length - 4;
    return helloMessage({ extensions: [extension(21, Buffer.alloc(length - bare))] });
  };

  test('a hello of one byte less than the limit and of the limit is read, of one more refused at its header', () => {
    for (const length of [HELLO_BYTES_MAX - 1, HELLO_BYTES_MAX])
      assert.equal(readHello(records(ofLength(length), 16_384), 1_000).kind, 'hello', String(length));
    const over = records(ofLength(HELLO_BYTES_MAX + 1), 4);
    assert.deepEqual(refusal(over.subarray(0, 9)), ['hello-too-long', ALERT.illegalParameter]);
  });

  test('a hello in records so small that all of it is over the limit of what is held is refused, at the limit read', () => {
    // Records of one byte: six bytes each.
    const fits = Math.floor(HELD_BYTES_MAX / 6) - 4;
    assert.equal(readHello(records(ofLength(fits), 1), 1).kind, 'hello');
    const over = records(ofLength(fits + 1), 1);
    assert.equal(readHello(over.subarray(0, HELD_BYTES_MAX), 1).kind, 'incomplete');
    assert.deepEqual(readHello(over, 1).kind, 'refused');
    assert.deepEqual(refusal(over.subarray(0, HELD_BYTES_MAX + 1)), ['hello-too-long', ALERT.illegalParameter]);
  });

  test('128 extensions are read, one more is refused', () => {
    const many = (count: number): Buffer[] =>
      Array.from({ length: count }, (_, index) => extension(1_000 + index, Buffer.alloc(0)));
    assert.equal(readHello(hello({ extensions: many(128) })).kind, 'hello');
    assert.deepEqual(refusalOf({ extensions: many(129) }), ['hello-malformed', ALERT.illegalParameter]);
  });
});

suite('a server name', () => {
  test('is one host name, in lower case afterwards', () => {
    const longest = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
    for (const name of ['a', 'a.example', 'A-1.Example', 'xn--bcher-kva.example', longest])
      assert.deepEqual(outcome(readHello(hello({ extensions: [serverNameExtension(name)] }))), [
        name.toLowerCase(),
        [],
      ]);
  });

  test('that two readers could take for two names, or for none, is refused', () => {
    const bad = [
      'a.example.',
      '.a.example',
      'a..example',
      'a_b.example',
      '10.0.0.1',
      'a.1',
      '::1',
      '[::1]',
      'a.example:443',
      'a b',
      'a\0.example',
    ];
    const odd = [
      'a.example\0',
      '*.example',
      '-a.example',
      'ä.example',
      '\u212A.example'.slice(0, 1),
      'x'.repeat(64),
      `${'a.'.repeat(126)}aa`,
    ];
    for (const name of [...bad, ...odd])
      assert.deepEqual(
        refusalOf({ extensions: [serverNameExtension(name)] }),
        ['server-name-malformed', ALERT.illegalParameter],
        name,
      );
  });

  test('is exactly one: two in a list, two lists, another type beside it or no name are refused', () => {
    const one = serverNameExtension('a.example');
    assert.deepEqual(refusalOf({ extensions: [one, serverNameExtension('b.example')] }), [
      'hello-malformed',
      ALERT.illegalParameter,
    ]);
    assert.deepEqual(refusalOf({ extensions: [one, one] }), ['hello-malformed', ALERT.illegalParameter]);
    const other = Buffer.from([1, 0, 1, 65]);
    const lists = [
      named(hostName('a.example'), hostName('b.example')),
      named(hostName('a.example'), other),
      named(other, hostName('a.example')),
      named(other),
      named(),
      named(Buffer.from([0])),
      extension(0, Buffer.alloc(0)),
      extension(0, Buffer.concat([vector(2, hostName('a.example')), Buffer.from([0])])),
    ];
    for (const list of lists)
      assert.deepEqual(refusalOf({ extensions: [list] }), ['hello-malformed', ALERT.decodeError]);
    assert.equal(refusalOf({ extensions: [named(hostName(''))] })[0], 'server-name-malformed');
  });
});

suite('the rest of a hello', () => {
  test('may have no extensions, or an empty list of them', () => {
    assert.deepEqual(outcome(readHello(hello({}))), [undefined, []]);
    assert.deepEqual(outcome(readHello(hello({ extensions: [] }))), [undefined, []]);
  });

  test('has lengths that add up', () => {
    const malformed = ['hello-malformed', ALERT.decodeError];
    assert.deepEqual(refusalOf({ session: Buffer.alloc(33) }), malformed);
    assert.equal(readHello(hello({ session: Buffer.alloc(32) })).kind, 'hello');
    assert.deepEqual(refusalOf({ ciphers: Buffer.alloc(0) }), malformed);
    assert.deepEqual(refusalOf({ ciphers: Buffer.alloc(3) }), malformed);
    assert.deepEqual(refusalOf({ compressions: Buffer.alloc(0) }), malformed);
    assert.deepEqual(refusalOf({ extensions: [], tail: Buffer.from([0]) }), malformed);
    assert.deepEqual(refusalOf({ tail: Buffer.from([0]) }), malformed);
    assert.deepEqual(refusalOf({ extensions: [Buffer.from([0, 0, 0])] }), malformed);
    assert.deepEqual(refusalOf({ extensions: [Buffer.from([0, 9, 0, 1])] }), malformed);
    const body = helloMessage({ extensions: [serverNameExtension('a.example'), alpnExtension('h2')] }).subarray(4);
    for (let length = 0; length < body.length; length += 1) {
      const cut = Buffer.concat([Buffer.from([1, 0, ...u16(length)]), body.subarray(0, length)]);
      const step = readHello(record(cut));
      // It may end after the compression methods: a hello of old, without extensions.
      assert.equal(step.kind === 'hello', length === helloMessage({}).length - 4, `cut at ${length}`);
    }
  });

  test('offers protocols in order, none of them empty', () => {
    assert.deepEqual(outcome(readHello(hello({ extensions: [alpnExtension('postgresql', 'h2')] }))), [
      undefined,
      ['postgresql', 'h2'],
    ]);
    for (const content of [
      vector(2, Buffer.alloc(0)),
      vector(2, Buffer.from([0])),
      vector(2, Buffer.from([2, 65])),
      Buffer.from([0]),
    ])
      assert.deepEqual(refusalOf({ extensions: [extension(16, content)] }), ['hello-malformed', ALERT.decodeError]);
  });
});

test('a name is served when it is there, or one label before what follows "*"', () => {
  const names = ['db.example.org', '*.db.example.org'];
  for (const name of ['db.example.org', 'a.db.example.org', 'x-1.db.example.org'])
    assert.ok(servesName(names, name), name);
  for (const name of [
    'example.org',
    'a.b.db.example.org',
    '.db.example.org',
    '*.db.example.org.',
    'xdb.example.org',
    '',
  ])
    assert.ok(!servesName(names, name), name);
  assert.ok(!servesName([], 'db.example.org'));
  assert.ok(!servesName(['*.org', '*'], 'example.org'), 'a malformed pattern matches nothing');
});

test('an alert for a name that is not served is a record of its own', () => {
  assert.deepEqual(alertRecord(ALERT.unrecognizedName), Buffer.from([21, 3, 3, 0, 2, 2, 112]));
  assert.equal(alertRecord(ALERT.internalError)[6], 80);
});

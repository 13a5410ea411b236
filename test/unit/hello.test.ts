/** The hello of a link: what is read, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { commonVersion, readHello, writeHello, type Hello } from '../../gateway/link/hello.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';

const hello: Hello = {
  versions: { min: 1, max: 2 },
  trustDomain: parseTrustDomain('us.example'),
  instance: 'us-1',
  epoch: 12345678901234567n,
  worker: 0,
  workers: 2,
  features: ['reprove'],
};

test('a hello survives writing and reading, and unknown members are ignored', () => {
  assert.deepEqual(readHello(writeHello(hello)), hello);
  const newer = writeHello(hello).replace('{', '{"later":{"x":1},');
  assert.deepEqual(readHello(newer), hello);
});

test('a hello that is not exactly one is refused', () => {
  const bad: readonly [string, unknown][] = [
    ['versions', { min: 2, max: 1 }],
    ['versions', { min: 0, max: 1 }],
    ['trustDomain', 'US.example'],
    ['instance', 'a b'],
    ['instance', 'x'.repeat(65)],
    ['epoch', '-1'],
    ['epoch', 7],
    ['worker', 2],
    ['workers', 0],
    ['features', ['Upper']],
    ['features', Array.from({ length: 33 }, () => 'a')],
  ];
  for (const [member, value] of bad) {
    const text = JSON.stringify({ ...hello, epoch: '1', [member]: value });
    assert.throws(() => readHello(text), { code: 'hello-malformed' }, text);
  }
  assert.throws(() => readHello('x'), { code: 'hello-malformed' });
  assert.throws(() => readHello(' '.repeat(5_000)), { code: 'hello-malformed' });
});

test('the newest common version is used, and without one the message names both ranges', () => {
  assert.deepEqual(commonVersion({ min: 1, max: 3 }, { min: 2, max: 9 }), { kind: 'common', version: 3 });
  const none = commonVersion({ min: 1, max: 1 }, { min: 2, max: 3 });
  assert.equal(
    none.kind === 'none' && none.message,
    'expected a link version of 1 to 1, found 2 to 3: one side needs an upgrade',
  );
});

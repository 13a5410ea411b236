import assert from 'node:assert/strict';
import test from 'node:test';

import { type Frame } from '../../federation/peering/frame.ts';
import { Tally } from '../../federation/peering/tally.ts';

const nack = (code: string, rejected: readonly string[] = []): Frame => ({
  kind: 'nack',
  version: 1n,
  code,
  message: '',
  rejections: rejected.map((each) => ({ entry: 'a', code: each, message: '' })),
});

const snapshot = (end: boolean): Frame => ({
  kind: 'snapshot',
  version: 1n,
  entries: [],
  end,
  count: 0,
  digest: '',
  bundleSequence: undefined,
});

test('acknowledged versions and whole catalogues each way are counted, chunks are not', () => {
  const tally = new Tally();
  tally.received({ kind: 'ack', version: 1n });
  tally.sent({ kind: 'ack', version: 1n });
  for (const end of [false, false, true]) tally.sent(snapshot(end));
  tally.received(snapshot(true));
  tally.received(snapshot(true));
  assert.equal(tally.acks, 1);
  assert.deepEqual(
    [...tally.resyncs],
    [
      ['sent', 1],
      ['received', 2],
    ],
  );
});

test('refused entries count each by its code, and a version refused whole once', () => {
  const tally = new Tally();
  tally.received(nack('entries-refused', ['name-refused', 'name-refused', 'protocol-unknown']));
  tally.received(nack('digest-mismatch'));
  tally.sent(nack('base-unknown'));
  assert.deepEqual(
    [...tally.nacks],
    [
      ['name-refused', 2],
      ['protocol-unknown', 1],
      ['digest-mismatch', 1],
    ],
  );
});

test('a peer makes 32 codes at most, and none that is no code', () => {
  const tally = new Tally();
  for (let index = 0; index < 100; index += 1) tally.received(nack(`code-${index}`));
  tally.received(nack('"} 1\nforged 7'));
  tally.received(nack('code-0'));
  assert.equal(tally.nacks.size, 33);
  assert.equal(tally.nacks.get('unknown'), 69);
  assert.equal(tally.nacks.get('code-0'), 2);
});

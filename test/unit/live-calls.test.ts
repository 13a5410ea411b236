/** The list of calls under way: every one found, none twice, none after it ended. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';

import { type LiveCall, LiveCalls } from '../../gateway/forward/live-calls.ts';
import { View } from '../../gateway/forward/view.ts';
import { type ReasonCode } from '../../gateway/refusal/reason.ts';
import { type CallSubject } from '../../gateway/telemetry/call-subject.ts';
import { subjectOf } from '../support/ended-calls.ts';
import { euSnapshot } from '../support/forward-snapshots.ts';

class Listed implements LiveCall {
  readonly subject: CallSubject;
  following: LiveCall | undefined = undefined;
  preceding: LiveCall | undefined = undefined;
  readonly cuts: string[] = [];
  readonly #onCut: (call: Listed) => void;
  readonly #refused: ReasonCode | undefined;

  constructor(peer: string, onCut: (call: Listed) => void = () => undefined, refused?: ReasonCode) {
    this.#refused = refused;
    this.subject = subjectOf({ peer });
    this.#onCut = onCut;
  }

  refusedUnder(): ReasonCode | undefined {
    return this.#refused;
  }

  cut(reason: string): void {
    this.cuts.push(reason);
    this.#onCut(this);
  }
}

test('exactly the calls that are meant are cut, once each', () => {
  const live = new LiveCalls();
  const calls = ['a', 'b', 'a', 'c'].map((peer) => new Listed(peer, (call) => live.remove(call)));
  for (const call of calls) live.add(call);
  assert.equal(live.size, 4);
  assert.equal(
    live.cut(({ facts }) => facts.peer === 'a', 'link-failed'),
    2,
  );
  assert.deepEqual(
    calls.map(({ cuts }) => cuts),
    [['link-failed'], [], ['link-failed'], []],
  );
  assert.equal(live.size, 2);
  assert.equal(
    live.cut(({ facts }) => facts.peer === 'a', 'link-failed'),
    0,
  );
  assert.equal(
    live.cut(() => true, 'draining'),
    2,
  );
  assert.equal(live.size, 0);
  assert.equal(
    live.cut(() => true, 'draining'),
    0,
  );
});

test('a cut that makes new calls does not cut these', () => {
  const live = new LiveCalls();
  const next = new Listed('a');
  const call = new Listed('a', (self) => {
    live.remove(self);
    live.add(next);
  });
  live.add(call);
  assert.equal(
    live.cut(() => true, 'draining'),
    1,
  );
  assert.deepEqual([call.cuts, next.cuts, live.size], [['draining'], [], 1]);
});

test('a call that is removed holds no other alive', () => {
  const live = new LiveCalls();
  const calls = ['a', 'b', 'c'].map((peer) => new Listed(peer));
  for (const call of calls) live.add(call);
  const [, middle] = calls;
  if (middle !== undefined) live.remove(middle);
  assert.deepEqual([middle?.following, middle?.preceding, live.size], [undefined, undefined, 2]);
});

test('in whatever order calls come and go, those that are there are found', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9), { maxLength: 60 }), (toggles) => {
      const live = new LiveCalls();
      const calls = Array.from({ length: 10 }, (_, index) => new Listed(`p${index}`));
      const there = new Set<Listed>();
      for (const index of toggles) {
        const call = calls[index];
        if (call === undefined) continue;
        if (there.delete(call)) live.remove(call);
        else {
          live.add(call);
          there.add(call);
        }
        assert.equal(live.size, there.size);
      }
      assert.equal(
        live.cut(() => true, 'draining'),
        there.size,
      );
      for (const call of calls) assert.equal(call.cuts.length, there.has(call) ? 1 : 0);
    }),
  );
});

test('a review cuts each call that is not admitted any more, with its own reason, and no other', () => {
  const live = new LiveCalls();
  const view = new View(euSnapshot([]));
  const calls = [undefined, 'no-route', undefined, 'denied-by-import'] as const;
  const listed = calls.map((reason) => new Listed('a', (call) => live.remove(call), reason));
  for (const call of listed) live.add(call);
  assert.equal(live.review(view), 2);
  assert.deepEqual(
    listed.map(({ cuts }) => cuts),
    [[], ['no-route'], [], ['denied-by-import']],
  );
  assert.equal(live.size, 2);
});

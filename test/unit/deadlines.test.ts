/** Deadlines on a wheel: none early, none lost, none much too late, whatever is taken off and however the clock moves. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';

import { Deadlines, Due } from '../../gateway/forward/deadlines.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** Lateness that a wheel may have: its own slot, and the tick that looks at it. */
const LATE_MS_MAX = 32;

class Noted extends Due {
  readonly name: string;
  readonly #then: (due: Noted) => void;

  constructor(name: string, then: (due: Noted) => void) {
    super();
    this.name = name;
    this.#then = then;
  }

  override onDue(): void {
    this.#then(this);
  }
}

function wheelAt(startMs: number) {
  const clock = new ManualClock(startMs);
  const wheel = new Deadlines(clock);
  const seen: string[] = [];
  const add = (name: string, inMs: number, then: (due: Noted) => void = () => undefined): Noted => {
    const due = new Noted(name, (self) => {
      seen.push(name);
      then(self);
    });
    wheel.add(due, clock.monotonic() + inMs);
    return due;
  };
  return { clock, wheel, seen, add };
}

test('a deadline comes at its time or up to two slots later, never before, and once', () => {
  for (const startMs of [0, 1, 15, 16, 17, 1_000_003]) {
    for (const inMs of [0, 1, 15, 16, 17, 31, 32, 100, 4079, 4080, 4096, 4097, 4112, 9999, 60_000]) {
      const { clock, seen, add } = wheelAt(startMs);
      add('a', inMs);
      if (inMs > 0) clock.advance(inMs - 1);
      assert.deepEqual(seen, [], `${startMs} + ${inMs} came early`);
      clock.advance(1 + LATE_MS_MAX);
      assert.deepEqual(seen, ['a'], `${startMs} + ${inMs} did not come`);
      clock.advance(10_000);
      assert.deepEqual(seen, ['a']);
      assert.equal(clock.pending, 0);
    }
  }
});

test('a clock whose timers are exact is at most one slot late', () => {
  const { clock, seen, add } = wheelAt(0);
  let at = 0;
  add('a', 1000, () => (at = clock.monotonic()));
  clock.advance(2000);
  assert.deepEqual(seen, ['a']);
  assert.ok(at >= 1000 && at <= 1016, `came at ${at}`);
});

test('deadlines come in the order of their slots, not of their making', () => {
  const { clock, seen, add } = wheelAt(5);
  add('c', 500);
  add('a', 20);
  add('far', 5000);
  add('b', 100);
  clock.advance(6000);
  assert.deepEqual(seen, ['a', 'b', 'c', 'far']);
});

test('a deadline in the past is due at the next tick, not at once and not a turn later', () => {
  const { clock, seen, add } = wheelAt(10_000);
  add('a', -9_000);
  assert.deepEqual(seen, []);
  clock.advance(LATE_MS_MAX);
  assert.deepEqual(seen, ['a']);
});

test('what is taken off never comes, and taking off what is not on is nothing', () => {
  const { clock, wheel, seen, add } = wheelAt(0);
  const gone = add('gone', 50);
  const first = add('first', 50);
  add('stays', 50);
  wheel.remove(gone);
  wheel.remove(gone);
  wheel.remove(new Noted('never on', () => undefined));
  clock.advance(200);
  assert.deepEqual(seen, ['first', 'stays']);
  wheel.remove(first);
  assert.equal(clock.pending, 0);
});

test('what one deadline takes off does not come in the same tick', () => {
  const { clock, wheel, seen, add } = wheelAt(0);
  const later: Noted[] = [];
  add('first', 50, () => {
    for (const each of later) wheel.remove(each);
  });
  later.push(add('same slot', 50), add('same tick, later slot', 60));
  add('stays', 60);
  clock.advance(500);
  assert.deepEqual(seen, ['first', 'stays']);
});

test('a deadline may be set anew while it or another comes, and comes at its new time only', () => {
  const { clock, wheel, seen, add } = wheelAt(0);
  let rounds = 0;
  add('again', 50, (self) => {
    rounds += 1;
    if (rounds < 3) wheel.add(self, clock.monotonic() + 100);
  });
  const late: Noted[] = [];
  add('mover', 49, () => {
    for (const each of late) {
      wheel.remove(each);
      wheel.add(each, clock.monotonic() + 1000);
    }
  });
  late.push(add('moved', 52));
  clock.advance(140);
  assert.deepEqual(seen, ['again', 'mover']);
  clock.advance(860);
  assert.deepEqual(seen, ['again', 'mover', 'again', 'again']);
  clock.advance(200);
  assert.deepEqual(seen.at(-1), 'moved');
  assert.equal(clock.pending, 0);
});

test('an empty wheel has no timer, and one that was empty for long is not behind', () => {
  const { clock, wheel, seen, add } = wheelAt(0);
  assert.equal(clock.pending, 0);
  const due = add('a', 1000);
  assert.equal(clock.pending, 1);
  add('b', 1000);
  assert.equal(clock.pending, 1);
  wheel.remove(due);
  clock.advance(1100);
  assert.equal(clock.pending, 0);
  clock.advance(3_600_000);
  add('c', 10);
  clock.advance(10 + LATE_MS_MAX);
  assert.deepEqual(seen, ['b', 'c']);
  wheel[Symbol.dispose]();
});

/** A process that was stopped: its timers come late, all at the time when it goes on. */
class StoppedClock extends ManualClock {
  skippedMs = 0;

  override monotonic(): number {
    return super.monotonic() + this.skippedMs;
  }
}

test('after a stop of the process all that is due comes at the next tick, and what is not stays', () => {
  for (const stopMs of [100, 4000, 4096, 4112, 100_000]) {
    const clock = new StoppedClock(0);
    const wheel = new Deadlines(clock);
    const seen: number[] = [];
    const times = Array.from({ length: 300 }, (_, index) => index * 33);
    for (const atMs of times) wheel.add(new Noted('', () => seen.push(atMs)), atMs);
    clock.skippedMs = stopMs;
    clock.advance(16);
    const byNumber = (a: number, b: number): number => a - b;
    const due = times.filter((atMs) => atMs <= stopMs);
    assert.deepEqual(seen.toSorted(byNumber).slice(0, due.length), due);
    assert.ok(
      seen.every((atMs) => atMs <= clock.monotonic()),
      'none is early',
    );
    clock.advance(20_000);
    assert.deepEqual(seen.toSorted(byNumber), times);
    assert.equal(clock.pending, 0);
  }
});

test('whatever is added, removed and waited for, what stays comes once, in time', () => {
  const step = fc.record({ inMs: fc.nat(9000), removes: fc.option(fc.nat(30)), waitsMs: fc.nat(500) });
  fc.assert(
    fc.property(fc.nat(100_000), fc.array(step, { maxLength: 30 }), (startMs, steps) => {
      const { clock, wheel, add } = wheelAt(startMs);
      const all: { readonly due: Due; readonly atMs: number; cameMs: number[]; gone: boolean }[] = [];
      for (const { inMs, removes, waitsMs } of steps) {
        const cameMs: number[] = [];
        const atMs = clock.monotonic() + inMs;
        all.push({ due: add('', inMs, () => cameMs.push(clock.monotonic())), atMs, cameMs, gone: false });
        const other = removes === null ? undefined : all[removes];
        if (other !== undefined) {
          wheel.remove(other.due);
          other.gone = other.cameMs.length === 0;
        }
        clock.advance(waitsMs);
      }
      clock.advance(10_000);
      for (const { atMs, cameMs, gone } of all) {
        assert.equal(cameMs.length, gone ? 0 : 1);
        for (const ms of cameMs) assert.ok(ms >= atMs && ms <= atMs + LATE_MS_MAX, `${ms} for ${atMs}`);
      }
      assert.equal(clock.pending, 0);
    }),
    { numRuns: 300 },
  );
});

test('a deadline that throws is seen, and keeps no other from its time, now or later', () => {
  const { clock, seen, add } = wheelAt(0);
  const breaks = (): never => {
    throw new Error('invariant broken');
  };
  add('broken', 50, breaks);
  add('same slot', 50);
  add('later', 100, breaks);
  add('later still', 500);
  assert.throws(() => clock.advance(70), /invariant broken/);
  assert.deepEqual(seen, ['broken', 'same slot']);
  assert.throws(() => clock.advance(70), /invariant broken/);
  add('new', 100);
  add('a', 150, breaks);
  add('b', 150, breaks);
  assert.throws(() => clock.advance(600), AggregateError);
  clock.advance(600);
  assert.deepEqual(seen, ['broken', 'same slot', 'later', 'new', 'a', 'b', 'later still']);
  assert.equal(clock.pending, 0);
});

test('a wheel that is disposed of has no timer', () => {
  const { clock, wheel, seen, add } = wheelAt(0);
  add('a', 10);
  wheel[Symbol.dispose]();
  clock.advance(1000);
  assert.deepEqual(seen, []);
  assert.equal(clock.pending, 0);
});

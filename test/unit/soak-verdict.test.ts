/** The verdict of a soak: what grows with the connections fails it, what only lies about a line does not. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { slopeOf } from '../soak/slope.ts';
import { judge, type Sample } from '../soak/verdict.ts';

/** A million connections in an hour, sampled ten times. */
function samples(change: (index: number) => Partial<Sample['processes'][number]>): readonly Sample[] {
  return Array.from({ length: 11 }, (_, index) => {
    const usual = { role: '0', fds: 30, rssBytes: 1e8, heldBytes: 2e7, active: { Pipe: 1 }, objects: { Stream: 4 } };
    return { connections: index * 100_000, seconds: index * 360, processes: [{ ...usual, ...change(index) }] };
  });
}

/** Up and down by half a megabyte. */
const noise = (index: number): number => (index % 2 === 0 ? 500_000 : -500_000);

test('a line is found through points that lie about it', () => {
  assert.deepEqual(slopeOf([0, 1, 2, 3].map((x) => ({ x, y: 5 + 2 * x }))), { slope: 2, error: 0 });
  const { slope, error } = slopeOf([0, 1, 2, 3, 4, 5].map((x) => ({ x, y: 2 * x + (x % 2) })));
  assert.ok(Math.abs(slope - 2) < 2 * error && error < 0.2, `${slope} ± ${error}`);
  assert.equal(slopeOf([{ x: 1, y: 1 }]).error, Infinity);
});

test('N12: memory that lies about a line passes, at the limit too, and above it it does not', () => {
  assert.equal(
    judge(
      'east',
      samples((index) => ({ rssBytes: 1e8 + noise(index) })),
    ).holds,
    true,
  );
  assert.equal(
    judge(
      'east',
      samples((index) => ({ heldBytes: 2e7 + index * 100_000 })),
    ).holds,
    true,
  );
  for (const grows of ['heldBytes', 'rssBytes']) {
    const { holds, lines } = judge(
      'east',
      samples((index) => ({ [grows]: 1e8 + index * 101_000 })),
    );
    assert.equal(holds, false);
    assert.equal(lines.filter((line) => line.startsWith('FAIL')).length, 1, lines.join());
  }
  // What grew before it was warm is no leak.
  assert.equal(
    judge(
      'east',
      samples((index) => ({ rssBytes: 1e8 + Math.min(index, 4) * 1e7 })),
    ).holds,
    true,
  );
});

test('N12: descriptors, handles and objects that are left fail it', () => {
  const left = [{ fds: 33 }, { active: { Pipe: 4 } }, { active: { Pipe: 1, Timeout: 3 } }, { objects: { Stream: 13 } }];
  for (const each of left) {
    const { holds, lines } = judge(
      'east',
      samples((index) => (index === 10 ? each : {})),
    );
    assert.equal(holds, false, JSON.stringify(each));
    assert.match(lines.join(), /FAIL east 0: /);
  }
  assert.equal(
    judge(
      'east',
      samples((index) => (index === 10 ? { objects: { Stream: 12 } } : {})),
    ).holds,
    true,
  );
  assert.equal(judge('east', []).holds, false);
});

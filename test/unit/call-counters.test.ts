/** Counters of calls: the same numbers as counting call by call, with closed labels, also merged. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';

import { CallCounters } from '../../gateway/telemetry/call-counters.ts';
import { type CallCounts, mergeCounts, OUTCOMES, outcomeIndex } from '../../gateway/telemetry/call-counts.ts';
import { CallSubject, type EndedCall } from '../../gateway/telemetry/call-subject.ts';
import { createMetrics, type MetricsOptions } from '../../gateway/telemetry/metrics.ts';
import { endedCall as call, scrapeLinesOf, subjectOf } from '../support/ended-calls.ts';

const NAMES = { peers: new Set(['eu-west', 'us-east']), exports: new Set(['payments', 'cart']) };
const EMPTY: CallCounts = { calls: [], denials: [] };

const subject = subjectOf;

function metricsOf(counts: MetricsOptions['counts']): ReturnType<typeof createMetrics> {
  return createMetrics({
    version: '1',
    sample: () => ({
      peers: [],
      bundleSequence: undefined,
      bundleNotAfterSeconds: undefined,
      accessLogDropped: 0,
      reloads: { applied: 0, refused: 0 },
      quarantine: new Map(),
      ready: true,
      storeAvailable: true,
      storeMended: 0,
      storeUnsaved: 0,
      svidNotAfterSeconds: undefined,
      identityFailing: false,
      workloadApi: { x509Issued: 0, jwtIssued: 0, streams: 0, turnedAway: 0 },
    }),
    counts,
  });
}

const OF_CALLS = /^jumpgate_(calls_total|call_|authz_)/;
const callLines = (text: string): readonly string[] =>
  text
    .split('\n')
    .filter((line) => OF_CALLS.test(line))
    .sort();

const subjects: fc.Arbitrary<readonly CallSubject[]> = fc.array(
  fc
    .record({
      direction: fc.constantFrom('outbound' as const, 'inbound' as const, 'edge' as const),
      listener: fc.constant('jump'),
      peer: fc.constantFrom('eu-west', 'us-east', 'self', 'stranger', 'a"\n', undefined),
      export: fc.constantFrom('payments', 'cart', 'other', '\\', undefined),
    })
    .map((facts) => new CallSubject(facts)),
  { minLength: 1, maxLength: 8 },
);
const bounds = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000];
const calls: fc.Arbitrary<readonly EndedCall[]> = subjects.chain((list) =>
  fc.array(
    fc.record({
      subject: fc.constantFrom(...list),
      startedAtMs: fc.constant(0),
      durationMs: fc.oneof(
        // Exact in binary, so that sums do not depend on their order.
        fc.constantFrom(0, 1000, 500, 250, 2000, 64_000),
        fc.constantFrom(1000, 2500, 10_000, 30_000),
      ),
      host: fc.constant(''),
      method: fc.constant('GET'),
      target: fc.constant('/'),
      protocol: fc.constant('http2' as const),
      status: fc.constantFrom(200, 304, 399, 400, 404, 499, 500, 503),
      grpcStatus: fc.integer({ min: -1, max: 40 }),
      verdict: fc.constantFrom('permit' as const, 'denial' as const, 'error' as const),
      reason: fc.constantFrom('denied-by-export', 'no-rule', 'Bad Reason', '', undefined),
      bytesIn: fc.nat(),
      bytesOut: fc.nat(),
    }),
    { maxLength: 40 },
  ),
);

test('a scrape shows the lines that counting one by one shows, of one process and of several merged', async () => {
  await fc.assert(
    fc.asyncProperty(calls, fc.integer({ min: 1, max: 3 }), async (list, workers) => {
      const counters = Array.from({ length: workers }, () => new CallCounters({ known: () => NAMES }));
      for (const [index, each] of list.entries()) counters[index % workers]?.record(each);
      const counts = mergeCounts(counters.map((each) => structuredClone(each.snapshot())));
      assert.deepEqual(callLines(await metricsOf(() => counts).text()), scrapeLinesOf(list, NAMES));
      assert.deepEqual(JSON.parse(JSON.stringify(counts)), counts);
    }),
    { numRuns: 200 },
  );
});

test('a call on the bound of a bucket is in it, and one beyond is in the next', async () => {
  const list = bounds.flatMap((bound) =>
    [bound - 0.001, bound, bound + 0.001].map((durationMs) => call({ durationMs })),
  );
  const counters = new CallCounters({ known: () => NAMES });
  for (const each of list) counters.record(each);
  assert.deepEqual(callLines(await metricsOf(() => counters.snapshot()).text()), scrapeLinesOf(list, NAMES));
  const [row] = counters.snapshot().calls;
  assert.deepEqual(row?.buckets, [2, ...Array.from({ length: 13 }, () => 3), 1]);
});

test('a second scrape shows totals, not sums of scrapes, and asks anew', async () => {
  const counters = new CallCounters({ known: () => NAMES });
  const metrics = metricsOf(async () => counters.snapshot());
  counters.record(call());
  const first = callLines(await metrics.text());
  assert.deepEqual(callLines(await metrics.text()), first);
  assert.ok(first.some((line) => /^jumpgate_call_duration_seconds_count\{.*\} 1$/.test(line)));
  counters.record(call());
  assert.ok(callLines(await metrics.text()).some((line) => /^jumpgate_calls_total\{.*outcome="ok"\} 2$/.test(line)));
});

test('names that configuration does not know become "unknown", so a caller makes no series', () => {
  const counters = new CallCounters({ known: () => NAMES });
  for (let index = 0; index < 1000; index += 1)
    counters.record(
      call({ subject: subject({ peer: `p${index}`, export: `e${index}` }), verdict: 'denial', reason: `R ${index}` }),
    );
  const { calls: rows, denials } = counters.snapshot();
  assert.deepEqual(
    rows.map(({ peer, export: exported, outcome }) => ({ peer, exported, outcome })),
    [{ peer: 'unknown', exported: 'unknown', outcome: 'denied' }],
  );
  assert.deepEqual(denials, [{ peer: 'unknown', export: 'unknown', reason: 'unknown', count: 1000 }]);
});

test('known names are asked once per subject, and again once they have changed', () => {
  let asked = 0;
  let names = NAMES;
  const counters = new CallCounters({
    known: () => {
      asked += 1;
      return names;
    },
  });
  const mine = subject({ peer: 'new-peer' });
  const stranger = subject({ peer: 'stranger' });
  const record = (): void => {
    // The stranger first: that it is found again must not make the other's place look new.
    for (const each of [stranger, mine, mine]) counters.record(call({ subject: each }));
  };
  const peers = (): unknown =>
    Object.fromEntries(counters.snapshot().calls.map(({ peer, bytesIn }) => [peer, bytesIn / 5]));
  record();
  assert.equal(asked, 2);
  assert.deepEqual(peers(), { unknown: 3 });
  names = { ...NAMES, peers: new Set([...NAMES.peers, 'new-peer']) };
  counters.namesChanged();
  record();
  record();
  assert.equal(asked, 4);
  assert.deepEqual(peers(), { unknown: 5, 'new-peer': 4 });
  names = NAMES;
  counters.namesChanged();
  record();
  assert.deepEqual(peers(), { unknown: 8, 'new-peer': 4 });
});

test('two counters that share subjects each count for themselves', () => {
  const of = subject();
  const one = new CallCounters({ known: () => NAMES });
  const other = new CallCounters({ known: () => NAMES });
  one.record(call({ subject: of }));
  other.record(call({ subject: of }));
  one.record(call({ subject: of }));
  assert.deepEqual(
    [one, other].map((each) => each.snapshot().calls[0]?.bytesIn),
    [10, 5],
  );
});

test('the 20,000th pair of names has a series, the one after counts as unknown', () => {
  const exports = new Set(Array.from({ length: 20_001 }, (_, index) => `e${index}`));
  const counters = new CallCounters({ known: () => ({ peers: NAMES.peers, exports }) });
  for (const name of exports) counters.record(call({ subject: subject({ export: name }) }));
  const rows = counters.snapshot().calls;
  assert.equal(rows.length, 20_001);
  assert.equal(rows[19_999]?.export, 'e19999');
  assert.deepEqual({ peer: rows[20_000]?.peer, export: rows[20_000]?.export }, { peer: 'unknown', export: 'unknown' });
  assert.ok(rows.every(({ buckets, bytesIn }) => bytesIn === 5 && buckets[4] === 1));
  counters.record(call({ subject: subject({ export: 'e0' }) }));
  assert.equal(counters.snapshot().calls[0]?.bytesIn, 10, 'those that have a series keep it');
});

test('reasons beyond 100 count as unknown', () => {
  const counters = new CallCounters({ known: () => NAMES });
  for (let index = 0; index <= 100; index += 1) counters.record(call({ verdict: 'denial', reason: `reason-${index}` }));
  const { denials } = counters.snapshot();
  assert.equal(denials.length, 101);
  assert.deepEqual(denials.at(-1), { peer: 'eu-west', export: 'payments', reason: 'unknown', count: 1 });
});

test('merging nothing is nothing, and merging leaves what it is given as it was', () => {
  assert.deepEqual(mergeCounts([]), EMPTY);
  const counters = new CallCounters({ known: () => NAMES });
  counters.record(call({ verdict: 'denial', reason: 'no-rule' }));
  const counts = counters.snapshot();
  const before = structuredClone(counts);
  const twice = mergeCounts([counts, EMPTY, counts]);
  assert.deepEqual(counts, before);
  assert.equal(twice.calls[0]?.bytesOut, 14);
  assert.deepEqual(twice.denials, [{ peer: 'eu-west', export: 'payments', reason: 'no-rule', count: 2 }]);
});

test('the trailers decide the outcome of a gRPC call', () => {
  const outcome = (changes: Partial<EndedCall>): string | undefined => OUTCOMES[outcomeIndex(call(changes))];
  for (const [code, expected] of [
    [0, 'ok'],
    [1, 'client-error'],
    [2, 'server-error'],
    [16, 'client-error'],
    [17, 'server-error'],
    [33, 'server-error'],
  ] as const)
    assert.equal(outcome({ grpcStatus: code }), expected);
  assert.equal(outcome({ status: 399 }), 'ok');
  assert.equal(outcome({ status: 400 }), 'client-error');
  assert.equal(outcome({ status: 500 }), 'server-error');
  assert.equal(outcome({ verdict: 'denial', status: 403, grpcStatus: 0 }), 'denied');
  assert.equal(outcome({ verdict: 'error', status: 503 }), 'failed');
});

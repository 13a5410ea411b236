/** The line of a call as the hot path makes it: what the plain way makes, and the log that takes it. */
import assert from 'node:assert/strict';
import { readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import test from 'node:test';
import fc from 'fast-check';

import { silentLog } from '../../base/log.ts';
import { AccessLineFormat } from '../../gateway/telemetry/access-line.ts';
import { type AccessLogLines, openAccessLogLines } from '../../gateway/telemetry/access-log-lines.ts';
import { CallSubject, type CallSubjectFacts, type EndedCall } from '../../gateway/telemetry/call-subject.ts';
import { openLineLog } from '../../gateway/telemetry/line-log.ts';
import { RecordedLog } from '../support/admin-operations.ts';
import { endedCall as call, FACTS, lineFactsOf } from '../support/ended-calls.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const parsed = (line: string): Readonly<Record<string, unknown>> =>
  JSON.parse(line) as Readonly<Record<string, unknown>>;

const anything = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  fc.constantFrom('\u0000\n\r\u001b[31m', '\u007f\u0085\u009b', '\u2028\u202e\u2066\ufeff', '\ud800', '"\\', 'é', '?'),
  fc.constantFrom('GET', 'POST', '/a?b', 'a.example'),
  fc
    .tuple(fc.constantFrom('a', '"', '\n', '\u202e', '😀'), fc.integer({ min: 4094, max: 8194 }))
    .map(([of, length]) => of.repeat(length)),
);
const maybe = fc.option(anything, { nil: undefined });
const facts: fc.Arbitrary<CallSubjectFacts> = fc.record({
  direction: fc.constantFrom('outbound', 'inbound', 'edge'),
  listener: anything,
  caller: maybe,
  gateway: maybe,
  peer: maybe,
  export: maybe,
  import: maybe,
  rule: maybe,
  origin: maybe,
});
const anyCall: fc.Arbitrary<EndedCall> = fc.record({
  subject: facts.map((each) => new CallSubject(each)),
  startedAtMs: fc.oneof(
    fc.integer({ min: 1_767_225_600_000, max: 1_767_225_603_000 }),
    fc.integer({ min: 0, max: 8.64e15 }),
  ),
  durationMs: fc.oneof(
    fc.double({ min: 0, max: 30_000, noNaN: true }),
    fc.double(),
    fc.constantFrom(0, -0, 0.0004, 0.0005, 1.0005, 999.9995, 2_147_483.647, 2_147_483.648),
  ),
  host: anything,
  method: anything,
  target: anything,
  protocol: fc.constantFrom('http1', 'http2', 'tcp'),
  status: fc.integer({ min: 100, max: 999 }),
  grpcStatus: fc.integer({ min: -1, max: 20 }),
  verdict: fc.constantFrom('permit', 'denial', 'error'),
  reason: maybe,
  bytesIn: fc.maxSafeNat(),
  bytesOut: fc.maxSafeNat(),
});

test('a line says what the plain way says of the same call, whatever a caller sends and whatever came before', () => {
  fc.assert(
    fc.property(fc.array(anyCall, { minLength: 1, maxLength: 6 }), fc.infiniteStream(fc.nat(5)), (calls, order) => {
      const format = new AccessLineFormat();
      // In any order and repeatedly: pieces that are kept from call to call must not be another call's.
      for (const index of [...calls.keys(), ...order.take(6)]) {
        const each = calls[index];
        if (each === undefined) continue;
        const line = format.format(each);
        assert.deepEqual(parsed(line), lineFactsOf(each));
        assert.equal(line.indexOf('\n'), line.length - 1);
        assert.doesNotMatch(line.slice(0, -1), UNSAFE);
      }
    }),
    { numRuns: 500 },
  );
});

const UNSAFE = /[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u;

test('neighbours that differ in one member only have a line each of their own', () => {
  const format = new AccessLineFormat();
  const subject = new CallSubject(FACTS);
  const changes: readonly Partial<EndedCall>[] = [
    {},
    { startedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 1) },
    { startedAtMs: Date.UTC(2026, 0, 2, 3, 4, 6) },
    { host: 'b' },
    { method: 'PUT' },
    { target: '/b' },
    { protocol: 'http1' },
    { status: 201 },
    { grpcStatus: 0 },
    { verdict: 'error' },
    { reason: 'no-peer' },
    { durationMs: 1 },
    { bytesIn: 9 },
    { bytesOut: 9 },
    { subject: new CallSubject({ ...FACTS, peer: 'us-east' }) },
  ];
  for (const change of changes.flatMap((each) => [{}, each])) {
    const each = call({ subject, ...change });
    assert.deepEqual(parsed(format.format(each)), lineFactsOf(each));
  }
});

test('the query of a target is not logged, and a tunnel is a protocol', () => {
  const line = parsed(new AccessLineFormat().format(call({ target: '/a?secret=1?b', protocol: 'tcp' })));
  assert.equal(line['path'], '/a');
  assert.equal(line['protocol'], 'tcp');
  assert.ok(!('grpcStatus' in line) && !('reason' in line) && !('import' in line));
});

test('a field is cut beyond 8192 characters, not at them', () => {
  const format = new AccessLineFormat();
  for (const field of ['host', 'method', 'target'] as const)
    for (const length of [8191, 8192, 8193]) {
      const line = parsed(format.format(call({ [field]: 'a'.repeat(length) })));
      const expected = length <= 8192 ? 'a'.repeat(length) : `${'a'.repeat(8192)}…`;
      assert.equal(line[field === 'target' ? 'path' : field], expected);
    }
});

const clock = new ManualClock();
const linesOf = (text: string): readonly Readonly<Record<string, unknown>>[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map(parsed);

test('lines reach the file in order and whole, also those that are not ASCII and those larger than a batch', async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, 'access.log');
  const log = await openAccessLogLines({ target: { kind: 'file', path }, log: silentLog, clock });
  const hosts = Array.from({ length: 5000 }, (_, index) => `é${index}${index % 100 === 0 ? '漢'.repeat(8000) : ''}`);
  for (const host of hosts) log.record(call({ host }));
  await log[Symbol.asyncDispose]();
  log.record(call());
  assert.deepEqual(
    linesOf(readFileSync(path, 'utf8')).map(({ host }) => host),
    hosts,
  );
  assert.equal(log.dropped, 1);
  assert.equal(statSync(path).mode & 0o007, 0);
});

test('after a rotation the log goes to the new file, and no line is lost', async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, 'access.log');
  await using log = await openAccessLogLines({ target: { kind: 'file', path }, log: silentLog, clock });
  log.record(call({ target: '/before' }));
  await log.flush();
  renameSync(path, `${path}.1`);
  log.record(call({ target: '/between' }));
  await log.reopen();
  log.record(call({ target: '/after' }));
  await log.flush();
  const paths = (file: string): readonly unknown[] => linesOf(readFileSync(file, 'utf8')).map((line) => line['path']);
  assert.deepEqual(paths(`${path}.1`), ['/before', '/between']);
  assert.deepEqual(paths(path), ['/after']);
});

/** A stream that is written to until the test lets it go on. */
function stalling(): { readonly stream: Writable; readonly written: string[]; readonly stalled: Promise<() => void> } {
  const written: string[] = [];
  const stalled = Promise.withResolvers<() => void>();
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      written.push(String(chunk));
      if (written.length > 1) done();
      else stalled.resolve(done);
    },
  });
  return { stream, written, stalled: stalled.promise };
}

test('a stalled output drops lines beyond the queue in lines or characters, and goes on when it moves again', async () => {
  for (const limit of [{ queueLinesMax: 3 }, { queueCharsMax: 21 }]) {
    const { stream, written, stalled } = stalling();
    const log = await openLineLog({ target: { kind: 'stream', stream }, log: silentLog, clock, ...limit });
    log.add('line 0\n');
    const goOn = await stalled;
    for (const line of ['line 1\n', 'line 2\n', 'line 3\n']) {
      assert.equal(log.full, false);
      log.add(line);
    }
    assert.equal(log.full, true);
    log.add('line 4\n');
    assert.equal(log.dropped, 1);
    goOn();
    await log[Symbol.asyncDispose]();
    assert.equal(written.join(''), 'line 0\nline 1\nline 2\nline 3\n');
  }
});

test('an output whose reader has stopped does not keep the log from closing', async () => {
  const { stream, stalled } = stalling();
  const log: AccessLogLines = await openAccessLogLines({ target: { kind: 'stream', stream }, log: silentLog, clock });
  log.record(call());
  await stalled;
  log.record(call());
  const closed = log[Symbol.asyncDispose]();
  clock.advance(5000);
  await closed;
  assert.equal(log.dropped, 1);
});

test('lines soon after a write gather until 20 ms after it, or until somebody waits for them', async () => {
  const time = new ManualClock();
  const writes: string[] = [];
  const wrote: (() => void)[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write: (chunk, _encoding, done) => {
      writes.push(String(chunk));
      done();
      wrote.shift()?.();
    },
  });
  const next = (): Promise<void> => new Promise((resolve) => wrote.push(resolve));
  await using log = await openLineLog({ target: { kind: 'stream', stream }, log: silentLog, clock: time });
  const first = next();
  log.add('1\n');
  await first;
  log.add('2\n');
  while (time.pending === 0) await new Promise((resolve) => setImmediate(resolve));
  log.add('3\n');
  time.advance(19);
  assert.deepEqual(writes, ['1\n']);
  const second = next();
  time.advance(1);
  await second;
  assert.deepEqual(writes, ['1\n', '2\n3\n']);
  log.add('4\n');
  await log.flush();
  assert.deepEqual(writes, ['1\n', '2\n3\n', '4\n']);
  assert.equal(time.pending, 0);
});

test('on a stream that others write to as well, whole lines go in pieces of one atomic write', async () => {
  const writes: string[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write: (chunk, _encoding, done) => {
      writes.push(String(chunk));
      done();
    },
  });
  await using log = await openLineLog({ target: { kind: 'stream', stream, shared: true }, log: silentLog, clock });
  const lines = [1_000, 3_094, 4_095, 4_096, 9_000, 1].map((length) => `${'é'.repeat(length / 2)}\n`);
  for (const line of lines) log.add(line);
  await log.flush();
  assert.equal(writes.join(''), lines.join(''));
  for (const text of writes) {
    assert.ok(text.endsWith('\n'));
    assert.ok(Buffer.byteLength(text) <= 4_096 || lines.includes(text));
  }
  assert.equal(writes[0], `${lines[0]}${lines[1]}`, 'exactly as many as fit');
});

test('an output that fails is told of once, counted, and never throws at a call', async () => {
  const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('ENOSPC')), autoDestroy: false });
  const told = new RecordedLog();
  await using log = await openAccessLogLines({ target: { kind: 'stream', stream }, log: told, clock });
  log.record(call());
  await log.flush();
  log.record(call());
  await log.flush();
  assert.equal(log.dropped, 2);
  assert.equal(told.lines.length, 1);
});

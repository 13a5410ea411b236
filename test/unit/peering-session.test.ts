/** The session machine of the control stream, without any stream. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { type CatalogueEntry } from '../../federation/catalogue/service.ts';
import { decodeFrame, encodeFrame, type Frame } from '../../federation/peering/frame.ts';
import {
  newSession,
  transition,
  type Session,
  type SessionEffect,
  type SessionEvent,
} from '../../federation/peering/session.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';

const A = parseTrustDomain('a.example');
const B = parseTrustDomain('b.example');
const timing = { heartbeatMs: 1_000, degradedAfterMs: 3_000, closedAfterMs: 10_000 };

/** Two machines with a queue of encoded frames each way. */
class Pair {
  readonly sessions: { a: Session; b: Session };
  readonly queues: { a: Frame[]; b: Frame[] } = { a: [], b: [] };
  readonly effects: { a: SessionEffect[]; b: SessionEffect[] } = { a: [], b: [] };
  nowMs = 1_000;

  constructor(a: readonly CatalogueEntry[], b: readonly CatalogueEntry[]) {
    const at = this.at();
    const bundles = { ours: 1n, theirs: 1n };
    const first = { trustDomain: A, instance: 'a-1', epoch: 1n };
    const second = { trustDomain: B, instance: 'b-1', epoch: 1n };
    const rest = { timing, held: undefined, bundles, at };
    this.sessions = {
      a: newSession({ self: first, expected: second, entries: a, ...rest }),
      b: newSession({ self: second, expected: first, entries: b, ...rest }),
    };
  }

  at(): { monotonicMs: number; wallMs: number } {
    return { monotonicMs: this.nowMs, wallMs: this.nowMs };
  }

  give(side: 'a' | 'b', event: SessionEvent): void {
    const step = transition(this.sessions[side], event, this.at());
    this.sessions[side] = step.session;
    for (const effect of step.effects) {
      this.effects[side].push(effect);
      if (effect.kind === 'send') this.queues[side === 'a' ? 'b' : 'a'].push(decodeFrame(encodeFrame(effect.frame))!);
      if (effect.kind === 'apply') this.give(side, { kind: 'applied', version: effect.received.catalogue.version });
    }
  }

  /** Delivers one waiting frame to a side. */
  deliver(side: 'a' | 'b'): boolean {
    const frame = this.queues[side].shift();
    if (frame !== undefined) this.give(side, { kind: 'frame', frame });
    return frame !== undefined;
  }

  settle(): void {
    while (this.deliver('a') || this.deliver('b'));
  }

  start(): void {
    this.give('a', { kind: 'started' });
    this.give('b', { kind: 'started' });
    this.settle();
  }

  names(side: 'a' | 'b'): string[] {
    return [...(this.sessions[side].importing.held?.catalogue.entries.keys() ?? [])].sort();
  }
}

const entries = (...names: string[]): CatalogueEntry[] => names.map((name) => ({ name, protocol: 'grpc' }));
const many = (count: number): CatalogueEntry[] => entries(...Array.from({ length: count }, (_, index) => `s${index}`));

test('both sides get active once each has applied the catalogue of the other, also an empty one', () => {
  const pair = new Pair(entries('x', 'y'), []);
  pair.start();
  assert.deepEqual([pair.sessions.a.phase, pair.sessions.b.phase], ['active', 'active']);
  assert.deepEqual([pair.names('a'), pair.names('b')], [[], ['x', 'y']]);
});

test('a catalogue of thousands comes in chunks, a change of it as the change alone', () => {
  const pair = new Pair(many(2_000), []);
  pair.start();
  assert.equal(pair.names('b').length, 2_000);
  pair.effects.a.length = 0;
  pair.give('a', { kind: 'exports', entries: [...many(1_999), { name: 'new', protocol: 'http1' }] });
  const sent = pair.effects.a.flatMap((effect) => (effect.kind === 'send' ? [effect.frame] : []));
  assert.deepEqual(
    sent.map((frame) => frame.kind),
    ['delta'],
  );
  assert.ok(encodeFrame(sent[0]!).length < 1_024);
  pair.settle();
  assert.equal(pair.names('b').includes('new') && !pair.names('b').includes('s1999'), true);
});

test('a bad entry is quarantined and told, and does not delay the others', () => {
  const pair = new Pair(
    [...entries('good'), { name: 'Bad_Name', protocol: 'grpc' }, { name: 'next', protocol: 'quic' }],
    [],
  );
  pair.start();
  assert.deepEqual(
    pair.sessions.b.importing.held?.catalogue.problems.map((problem) => problem.code),
    ['name-refused', 'protocol-unknown'],
  );
  assert.deepEqual(
    pair.sessions.a.exporting.rejections.map((rejection) => rejection.entry),
    ['Bad_Name', 'next'],
  );
  assert.equal(pair.sessions.a.phase, 'active');
});

test('server names cross, in chunks that stay under the frame limit whatever their number', () => {
  const wide = Array.from({ length: 300 }, (_, index) => ({
    name: `db${index}`,
    protocol: 'tls',
    serverNames: Array.from({ length: 16 }, (_each, name) => `${'x'.repeat(60)}.${'y'.repeat(60)}.n${name}.example`),
  }));
  const pair = new Pair([...wide, ...entries('plain')], []);
  pair.start();
  assert.deepEqual(pair.sessions.b.importing.held?.catalogue.entries.get('db7'), wide[7]);
  assert.deepEqual(pair.sessions.b.importing.held?.catalogue.entries.get('plain'), entries('plain')[0]);
  pair.give('a', { kind: 'exports', entries: wide.map((entry) => ({ ...entry, serverNames: ['db.example'] })) });
  pair.settle();
  assert.deepEqual(pair.sessions.b.importing.held?.catalogue.entries.get('db7')?.serverNames, ['db.example']);
  assert.equal(pair.sessions.a.phase, 'active');
});

test('a peer of version 1 is told of no entry with server names, at the start and later, and the rest holds', () => {
  const tls = { name: 'db', protocol: 'tls', serverNames: ['db.example'] };
  const pair = new Pair([tls, ...entries('x')], []);
  const old = { kind: 'open', versionMin: 1, versionMax: 1, trustDomain: B, instance: 'b-1', epoch: 1n } as const;
  pair.give('a', { kind: 'started' });
  pair.give('a', { kind: 'frame', frame: { ...old, heldDigest: '' } });
  const told = (): readonly string[] => {
    const frames = pair.effects.a.flatMap((effect) => (effect.kind === 'send' ? [effect.frame] : []));
    return frames.flatMap((frame) => {
      if (frame.kind === 'snapshot') return frame.entries.map((entry) => entry.name);
      return frame.kind === 'delta' ? frame.changed.map((entry) => entry.name) : [];
    });
  };
  assert.deepEqual(told(), ['x']);
  pair.give('a', { kind: 'frame', frame: { kind: 'ack', version: pair.sessions.a.exporting.version } });
  pair.give('a', { kind: 'exports', entries: [tls, { ...tls, name: 'db2' }, ...entries('x', 'y')] });
  assert.deepEqual(told(), ['x', 'y']);
});

test('silence degrades, more silence closes, and a heartbeat in between brings it back', () => {
  const pair = new Pair([], []);
  pair.start();
  pair.nowMs += 3_500;
  pair.give('a', { kind: 'tick' });
  assert.equal(pair.sessions.a.phase, 'degraded');
  pair.give('b', { kind: 'tick' });
  pair.settle();
  assert.equal(pair.sessions.a.phase, 'active');
  pair.nowMs += 10_500;
  pair.give('a', { kind: 'tick' });
  assert.equal(pair.sessions.a.phase, 'closed');
  assert.equal(pair.sessions.a.end?.code, 'silent');
});

test('a peer that beats but does not apply leaves active', () => {
  const pair = new Pair([], []);
  pair.start();
  pair.give('a', { kind: 'exports', entries: entries('x') });
  pair.queues.b.length = 0;
  for (let second = 0; second < 5; second += 1) {
    pair.nowMs += 1_000;
    pair.give('b', { kind: 'tick' });
    while (pair.deliver('a'));
  }
  assert.equal(pair.sessions.a.phase, 'degraded');
});

test('a wrong digest asks for a snapshot once, and a second wrong one closes', () => {
  const pair = new Pair(entries('x'), []);
  pair.start();
  const version = pair.sessions.b.importing.seen + 10n;
  const { digest: baseDigest } = pair.sessions.b.importing.held!;
  const wrong = { changed: entries('y'), removed: [], digest: '00', bundleSequence: undefined };
  pair.effects.b.length = 0;
  pair.give('b', { kind: 'frame', frame: { kind: 'delta', version, baseDigest, ...wrong } });
  assert.deepEqual(
    pair.effects.b.map((effect) => effect.kind === 'send' && effect.frame.kind),
    ['nack'],
  );
  assert.deepEqual(pair.names('b'), ['x']);
  const snapshot = {
    kind: 'snapshot',
    entries: [],
    end: true,
    count: 3,
    digest: '00',
    bundleSequence: undefined,
  } as const;
  pair.give('b', { kind: 'frame', frame: { ...snapshot, version: version + 1n } });
  assert.equal(pair.sessions.b.end?.code, 'unexpected-frame');
});

test('a snapshot that drops most imports is held until a heartbeat confirms it', () => {
  const drop = (): Pair => {
    const first = new Pair(many(30), []);
    first.start();
    const second = new Pair(many(5), []);
    const { importing } = second.sessions.b;
    second.sessions.b = { ...second.sessions.b, importing: { ...importing, held: first.sessions.b.importing.held } };
    second.start();
    return second;
  };
  const confirmed = drop();
  assert.equal(confirmed.names('b').length, 30);
  confirmed.nowMs += 1_000;
  confirmed.give('a', { kind: 'tick' });
  confirmed.settle();
  assert.equal(confirmed.names('b').length, 5);
  const mended = drop();
  mended.nowMs += 1_000;
  mended.give('a', { kind: 'exports', entries: many(30) });
  mended.give('a', { kind: 'tick' });
  mended.settle();
  assert.equal(mended.names('b').length, 30);
  assert.equal(mended.sessions.b.phase, 'active');
});

test('no common version, another name than the link proved and frames out of turn close', () => {
  const open = {
    kind: 'open',
    versionMin: 1,
    versionMax: 1,
    trustDomain: 'b.example',
    instance: 'b-1',
    epoch: 1n,
    heldDigest: '',
  } as const;
  const closing = (frame: Frame): string | undefined => {
    const pair = new Pair([], []);
    pair.give('a', { kind: 'frame', frame });
    return pair.sessions.a.end?.code;
  };
  assert.equal(closing(open), undefined);
  assert.equal(closing({ ...open, versionMin: 3, versionMax: 9 }), 'version');
  assert.equal(closing({ ...open, trustDomain: 'c.example' }), 'identity');
  assert.equal(closing({ ...open, instance: 'b-2' }), 'identity');
  assert.equal(closing({ kind: 'ack', version: 1n }), 'unexpected-frame');
  const pair = new Pair([], []);
  pair.start();
  pair.give('a', { kind: 'frame', frame: open });
  assert.equal(pair.sessions.a.end?.code, 'unexpected-frame');
});

test('a resumed stream whose digest fits confirms the catalogue instead of sending it again', () => {
  const first = new Pair(many(100), []);
  first.start();
  const second = new Pair(many(100), []);
  const { importing } = second.sessions.b;
  second.sessions.b = { ...second.sessions.b, importing: { ...importing, held: first.sessions.b.importing.held } };
  second.start();
  const kinds = second.effects.a.flatMap((effect) => (effect.kind === 'send' ? [effect.frame.kind] : []));
  assert.equal(kinds.includes('snapshot'), false);
  assert.equal(second.sessions.b.phase, 'active');
});

test('whatever is exported in whatever order, both sides end with the catalogue of the other', () => {
  const catalogue = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), { maxLength: 6 });
  const action = fc.oneof(
    fc.record({ side: fc.constantFrom('a' as const, 'b' as const), names: catalogue }),
    fc.record({ deliver: fc.constantFrom('a' as const, 'b' as const) }),
    fc.record({ passMs: fc.integer({ min: 1, max: 500 }) }),
  );
  fc.assert(
    fc.property(catalogue, catalogue, fc.array(action, { maxLength: 60 }), (a, b, actions) => {
      const pair = new Pair(entries(...a), entries(...b));
      const last = { a, b };
      pair.give('a', { kind: 'started' });
      pair.give('b', { kind: 'started' });
      for (const each of actions) {
        if ('deliver' in each) pair.deliver(each.deliver);
        else if ('passMs' in each) pair.nowMs += Math.min(each.passMs, 40);
        else {
          last[each.side] = each.names;
          pair.give(each.side, { kind: 'exports', entries: entries(...each.names) });
        }
      }
      pair.settle();
      assert.deepEqual([pair.names('b'), pair.names('a')], [[...last.a].sort(), [...last.b].sort()]);
      assert.deepEqual([pair.sessions.a.phase, pair.sessions.b.phase], ['active', 'active']);
    }),
  );
});

test('no frames, however wrong, make the machine throw', () => {
  const entry = fc.record({ name: fc.string({ maxLength: 4 }), protocol: fc.constantFrom('grpc', 'x') });
  const big = fc.bigInt({ min: 0n, max: 9n });
  const frame: fc.Arbitrary<Frame> = fc.oneof(
    fc.record({ kind: fc.constant('ack' as const), version: big }),
    fc.record({
      kind: fc.constant('nack' as const),
      version: big,
      code: fc.string(),
      message: fc.string(),
      rejections: fc.constant([]),
    }),
    fc.record({
      kind: fc.constant('snapshot' as const),
      version: big,
      entries: fc.array(entry),
      end: fc.boolean(),
      count: fc.nat(3),
      digest: fc.string(),
      bundleSequence: fc.constant(undefined),
    }),
    fc.record({
      kind: fc.constant('delta' as const),
      version: big,
      baseDigest: fc.constant(''),
      changed: fc.array(entry),
      removed: fc.array(fc.string()),
      digest: fc.string(),
      bundleSequence: fc.constant(undefined),
    }),
  );
  fc.assert(
    fc.property(fc.array(frame), (frames) => {
      const pair = new Pair(entries('x'), []);
      pair.start();
      for (const each of frames) pair.give('b', { kind: 'frame', frame: each });
    }),
  );
});

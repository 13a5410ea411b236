/** What peers see of our exports, and what we make of theirs. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { suite, test } from 'node:test';

import { diffCatalogues, type CatalogueDiff } from '../../federation/catalogue/diff.ts';
import { type CatalogueEntry } from '../../federation/catalogue/service.ts';
import { catalogueDigest, entryHash } from '../../federation/catalogue/digest.ts';
import { exportedTo } from '../../federation/catalogue/exported.ts';
import {
  applyUpdate,
  CATALOGUE_ENTRIES_MAX,
  CATALOGUE_SERVER_NAMES_MAX,
  catalogueConfirmed,
  EMPTY_CATALOGUE,
  importedDigest,
  type CatalogueUpdate,
  type ImportedCatalogue,
} from '../../federation/catalogue/imported.ts';
import { type AllowRule } from '../../federation/policy/rule.ts';
import { CATALOGUE_STALE_AFTER_MS, importState } from '../../federation/snapshot/import-state.ts';
import { AP, EU, rule } from '../support/federation-values.ts';

const ORDERS = { name: 'orders', protocol: 'http1' };
const STOCK = { name: 'stock', protocol: 'grpc' };

function after(state: ImportedCatalogue, update: CatalogueUpdate, nowMs = 5): ImportedCatalogue {
  const outcome = applyUpdate(state, update, nowMs);
  assert.ok(outcome.kind === 'applied', outcome.kind === 'refused' ? outcome.message : '');
  return outcome.state;
}

/** The catalogue that `diff` makes of `before`. */
function applyDiff(before: readonly CatalogueEntry[], diff: CatalogueDiff): readonly CatalogueEntry[] {
  const gone = new Set([...diff.removed, ...diff.changed.map((entry) => entry.name)]);
  return [...before.filter((entry) => !gone.has(entry.name)), ...diff.changed, ...diff.added];
}

suite('a peer sees', () => {
  const named = (name: string, ...allow: AllowRule[]) => ({ name, protocol: 'http1' as const, allow });
  const exports = [
    named('zeta', rule({ peers: ['eu-west'] })),
    named('by-pattern', rule({ who: ['spiffe://eu-west.example.org/ns/x/**'] })),
    named('for-another', rule({ peers: ['ap-south'] })),
    named('another-domain', rule({ peers: ['eu-west'], who: ['spiffe://ap-south.example.org/**'] })),
    named('for-us', rule({ peers: ['self'] })),
    named('for-nobody', rule({ peers: [] }), rule({})),
    named('no-rule'),
  ];

  test('exactly the exports that some rule names it for, by name, without backends and rules', () => {
    const seen = exportedTo(exports, { name: 'eu-west', trustDomain: EU });
    assert.deepEqual(seen, [
      { name: 'by-pattern', protocol: 'http1' },
      { name: 'zeta', protocol: 'http1' },
    ]);
    const names = exportedTo(exports, { name: 'ap-south', trustDomain: AP }).map((entry) => entry.name);
    assert.deepEqual(names, ['for-another']);
  });
});

suite('a catalogue digest', () => {
  test('is that of the documented encoding', () => {
    const text = (value: string): Buffer => Buffer.concat([Buffer.from([0, 0, 0, value.length]), Buffer.from(value)]);
    const sha = (...parts: Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();
    const orders = sha(text('jumpgate.catalogue.entry.v1'), text('orders'), text('http1'));
    assert.equal(entryHash(ORDERS), orders.toString('hex'));
    const whole = sha(text('jumpgate.catalogue.v1'), Buffer.from([0, 0, 0, 1]), text('orders'), orders);
    assert.equal(catalogueDigest([ORDERS]), whole.toString('hex'));
  });

  test('does not depend on order, and changes with every name and protocol', () => {
    assert.equal(catalogueDigest([ORDERS, STOCK]), catalogueDigest([STOCK, ORDERS]));
    const others = [[], [ORDERS], [ORDERS, { ...STOCK, protocol: 'http2' }], [ORDERS, { ...STOCK, name: 'stocks' }]];
    const digests = new Set([[ORDERS, STOCK], ...others].map((entries) => catalogueDigest(entries)));
    assert.equal(digests.size, others.length + 1);
    assert.notEqual(entryHash({ name: 'ab', protocol: 'c' }), entryHash({ name: 'a', protocol: 'bc' }));
  });
});

test('a diff names what was added, changed and removed, and leads from one catalogue to the other', () => {
  const before = [ORDERS, STOCK, { name: 'old', protocol: 'http1' }];
  const now = [ORDERS, { ...STOCK, protocol: 'http2' }, { name: 'new', protocol: 'http1' }];
  const diff = diffCatalogues(before, now);
  assert.deepEqual(diff, { added: [now[2]], changed: [now[1]], removed: ['old'] });
  assert.equal(catalogueDigest(applyDiff(before, diff)), catalogueDigest(now));
  assert.deepEqual(diffCatalogues(now, now), { added: [], changed: [], removed: [] });
});

suite('server names of tls exports', () => {
  const DB = { name: 'db', protocol: 'tls', serverNames: ['db.shop.example', '*.db.shop.example'] };

  test('are announced, and no other protocol announces any', () => {
    const allow = [rule({ peers: ['eu-west'] })];
    const exports = [
      { name: 'a', protocol: 'tcp' as const, serverNames: [], allow },
      { name: 'db', protocol: 'tls' as const, serverNames: DB.serverNames, allow },
    ];
    const seen = exportedTo(exports, { name: 'eu-west', trustDomain: EU });
    assert.deepEqual(seen, [{ name: 'a', protocol: 'tcp' }, DB]);
  });

  test('count for digest and difference, in their order, and an empty list is none', () => {
    const variants = [
      { ...DB, serverNames: ['db.shop.example'] },
      { ...DB, serverNames: [...DB.serverNames, 'more.example'] },
      { ...DB, serverNames: [...DB.serverNames].reverse() },
      { ...DB, serverNames: ['db.shop.exampl', 'e*.db.shop.example'] },
      { name: 'db', protocol: 'tls' },
    ];
    assert.equal(new Set([DB, ...variants].map(entryHash)).size, variants.length + 1);
    for (const other of variants) assert.deepEqual(diffCatalogues([DB], [other]).changed, [other]);
    assert.deepEqual(diffCatalogues([DB], [structuredClone(DB)]), { added: [], changed: [], removed: [] });
    assert.equal(entryHash({ ...ORDERS, serverNames: [] }), entryHash(ORDERS));
    assert.deepEqual(diffCatalogues([ORDERS], [{ ...ORDERS, serverNames: [] }]).changed, []);
  });

  test('are refused entry by entry when they are none, too many, or not to be matched', () => {
    const bad: readonly (readonly [CatalogueEntry, RegExp])[] = [
      [{ name: 'db', protocol: 'tls' }, /expected 1 to 16 server names with tls, found 0/],
      [{ ...DB, serverNames: Array.from({ length: 17 }, (_, index) => `n${index}.example`) }, /found 17/],
      [{ ...DB, protocol: 'tcp' }, /expected server names with tls only, found some with tcp/],
      [{ ...DB, serverNames: ['*'] }, /server name "\*": a wildcard is the whole first label/],
      [{ ...DB, serverNames: ['ok.example', 'Db.example'] }, /server name "Db.example": expected labels/],
    ];
    for (const [entry, message] of bad) {
      const outcome = applyUpdate(EMPTY_CATALOGUE, { kind: 'snapshot', version: 1n, entries: [entry, ORDERS] }, 1);
      assert.ok(outcome.kind === 'applied');
      assert.deepEqual(outcome.nacks.length, 1);
      assert.match(outcome.nacks[0]?.message ?? '', message);
      assert.equal(outcome.nacks[0]?.code, 'server-names-refused');
      assert.equal(importState({ catalogue: outcome.state, export: 'db', nowMs: 1 }), 'withdrawn');
      assert.equal(importState({ catalogue: outcome.state, export: 'orders', nowMs: 1 }), 'active');
    }
    const full = { ...DB, serverNames: Array.from({ length: 16 }, (_, index) => `n${index}.example`) };
    assert.deepEqual(after(EMPTY_CATALOGUE, { kind: 'snapshot', version: 1n, entries: [full] }).problems, []);
  });

  test('of a whole catalogue have a limit', () => {
    const entries = Array.from({ length: CATALOGUE_SERVER_NAMES_MAX / 16 }, (_, index) => ({
      name: `s${index}`,
      protocol: 'tls',
      serverNames: Array.from({ length: 16 }, (_each, name) => `n${name}.example`),
    }));
    const full = after(EMPTY_CATALOGUE, { kind: 'snapshot', version: 1n, entries });
    const one = { kind: 'delta', base: 1n, version: 2n, changed: [DB], removed: [] } as const;
    const outcome = applyUpdate(full, one, 1);
    assert.equal(outcome.kind === 'refused' && outcome.code, 'too-many-entries');
  });
});

suite('an imported catalogue', () => {
  const held = after(EMPTY_CATALOGUE, { kind: 'snapshot', version: 3n, entries: [ORDERS, STOCK] });

  test('becomes complete with its first snapshot, also an empty one', () => {
    assert.equal(EMPTY_CATALOGUE.complete, false);
    assert.equal(after(EMPTY_CATALOGUE, { kind: 'snapshot', version: 1n, entries: [] }).complete, true);
    assert.equal(importedDigest(held), catalogueDigest([STOCK, ORDERS]));
  });

  test('takes a change of the version it holds, and leaves the old value as it was', () => {
    const update = {
      kind: 'delta',
      base: 3n,
      version: 4n,
      changed: [{ ...STOCK, protocol: 'http2' }],
      removed: ['orders'],
    } as const;
    const next = after(held, update, 9);
    assert.deepEqual([...next.entries.values()], [{ name: 'stock', protocol: 'http2' }]);
    assert.equal(next.lastHeardMs, 9);
    assert.equal(held.entries.size, 2);
  });

  test('refuses a change of another version, of nothing, an older version, and a name twice', () => {
    const delta = { kind: 'delta', changed: [], removed: [] } as const;
    const cases = [
      [held, { ...delta, base: 2n, version: 4n }, 'base-unknown'],
      [EMPTY_CATALOGUE, { ...delta, base: 0n, version: 1n }, 'base-unknown'],
      [held, { kind: 'snapshot', version: 2n, entries: [] }, 'version-rollback'],
      [held, { kind: 'snapshot', version: 4n, entries: [ORDERS, ORDERS] }, 'entry-repeated'],
    ] as const;
    for (const [state, update, code] of cases) {
      const outcome = applyUpdate(state, update, 1);
      assert.equal(outcome.kind === 'refused' && outcome.code, code);
    }
  });

  test('quarantines bad entries one by one and uses the rest', () => {
    const names = ['*', 'localhost', '', 'a.b', 'UPPER', '127.0.0.1', 'x'.repeat(64), '-a', 'ıdn'];
    const entries = [ORDERS, { name: 'db', protocol: 'quic' }, ...names.map((name) => ({ name, protocol: 'http1' }))];
    const outcome = applyUpdate(EMPTY_CATALOGUE, { kind: 'snapshot', version: 1n, entries }, 1);
    assert.ok(outcome.kind === 'applied');
    assert.deepEqual(
      outcome.nacks.map((nack) => [nack.entry, nack.code]),
      [['db', 'protocol-unknown'], ...names.map((name) => [name, 'name-refused'])],
    );
    assert.equal(outcome.state.entries.size, entries.length);
    assert.equal(importState({ catalogue: outcome.state, export: 'orders', nowMs: 1 }), 'active');
    assert.equal(importState({ catalogue: outcome.state, export: 'UPPER', nowMs: 1 }), 'withdrawn');
    assert.equal(importState({ catalogue: outcome.state, export: 'db', nowMs: 1 }), 'withdrawn');
  });

  test('tells only of the entries that the update named, and remembers the others', () => {
    const bad = after(EMPTY_CATALOGUE, { kind: 'snapshot', version: 1n, entries: [{ name: 'db', protocol: 'quic' }] });
    const outcome = applyUpdate(bad, { kind: 'delta', base: 1n, version: 2n, changed: [ORDERS], removed: [] }, 1);
    assert.ok(outcome.kind === 'applied');
    assert.deepEqual(outcome.nacks, []);
    assert.equal(outcome.state.problems.length, 1);
  });

  test('holds at most its limit of entries', () => {
    const entries = Array.from({ length: CATALOGUE_ENTRIES_MAX }, (_, index) => ({
      name: `s${index}`,
      protocol: 'grpc',
    }));
    const full = after(EMPTY_CATALOGUE, { kind: 'snapshot', version: 1n, entries });
    assert.equal(full.entries.size, CATALOGUE_ENTRIES_MAX);
    const one = applyUpdate(full, { kind: 'delta', base: 1n, version: 2n, changed: [ORDERS], removed: [] }, 1);
    assert.equal(one.kind === 'refused' && one.code, 'too-many-entries');
    const swap = applyUpdate(full, { kind: 'delta', base: 1n, version: 2n, changed: [ORDERS], removed: ['s0'] }, 1);
    assert.equal(swap.kind, 'applied');
  });

  test('goes from awaiting to active, stale when nobody confirms it, active again when someone does, withdrawn when dropped', () => {
    const state = (catalogue: ImportedCatalogue | undefined, nowMs: number): string =>
      importState({ catalogue, export: 'orders', nowMs });
    assert.equal(state(undefined, 5), 'awaiting');
    assert.equal(state(EMPTY_CATALOGUE, 5), 'awaiting');
    assert.equal(state(held, 5), 'active');
    assert.equal(state(held, 5 + CATALOGUE_STALE_AFTER_MS - 1), 'active');
    assert.equal(state(held, 5 + CATALOGUE_STALE_AFTER_MS), 'stale');
    assert.equal(state(catalogueConfirmed(held, 20_000), 20_001), 'active');
    assert.equal(state({ ...held, lastHeardMs: undefined }, 5), 'stale');
    assert.equal(state(after(held, { kind: 'snapshot', version: 4n, entries: [STOCK] }), 5), 'withdrawn');
  });
});

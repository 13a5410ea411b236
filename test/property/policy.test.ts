/** Properties of policy that no example can show. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import fc from 'fast-check';

import { exportedTo } from '../../federation/catalogue/exported.ts';
import { diffCatalogues, type CatalogueDiff } from '../../federation/catalogue/diff.ts';
import { type CatalogueEntry } from '../../federation/catalogue/service.ts';
import { catalogueDigest } from '../../federation/catalogue/digest.ts';
import { decideExport } from '../../federation/policy/decide.ts';
import { checkPathPattern, matchesPath, pathProblem, withoutQuery } from '../../federation/policy/path.ts';
import { type AllowRule } from '../../federation/policy/rule.ts';
import { NO_DISTRUST } from '../../trust-bundles/distrust/distrust.ts';
import { parseSpiffeId, trustDomainOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { at } from '../support/federation-values.ts';

const RUNS = { numRuns: 2_000 };

const piece = fc.constantFrom(
  'a',
  'b',
  'A',
  '.',
  '..',
  '/',
  '//',
  '%',
  '%2e',
  '%2F',
  '%5c',
  '%00',
  '%25',
  ';',
  '\\',
  '?',
  '#',
  ' ',
  'é',
  '*',
  '~',
  '-',
);
const target = fc.array(piece, { maxLength: 12 }).map((pieces) => `/${pieces.join('')}`);
const segment = fc.stringMatching(/^[a-z0-9.+_$^|()-]{1,6}$/).filter((text) => text !== '.' && text !== '..');
const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => `/${segments.join('/')}`);
const caller = fc
  .tuple(
    fc.constantFrom('a.example', 'b.example', 'axexample'),
    fc.array(fc.constantFrom('ns', 'x', 'jumpgate'), { minLength: 1, maxLength: 3 }),
  )
  .map(([domain, segments]) => parseSpiffeId(`spiffe://${domain}/${segments.join('/')}`));
const who = fc
  .tuple(
    fc.constantFrom('a.example', 'b.example'),
    fc.array(fc.constantFrom('ns', 'x', '*', 'jumpgate'), { maxLength: 2 }),
    fc.constantFrom('ns', '*', '**'),
  )
  .map(([domain, segments, last]) => `spiffe://${[domain, ...segments, last].join('/')}`);
const rules: fc.Arbitrary<readonly AllowRule[]> = fc.array(
  fc
    .tuple(
      fc.option(fc.subarray(['a', 'b', 'self'])),
      fc.option(fc.array(who, { maxLength: 2 })),
      fc.option(fc.array(fc.constantFrom('/a', '/a/*', '/**', '/'), { maxLength: 2 })),
    )
    .map(([peers, patterns, paths]) => ({
      ...(peers === null ? {} : { peers }),
      ...(patterns === null ? {} : { who: patterns }),
      ...(paths === null ? {} : { what: { http: [{ paths }] } }),
      origin: at(1),
    })),
  { maxLength: 3 },
);
const question = fc.record({ allow: rules, caller, peer: fc.constantFrom('a', 'b', 'self'), path: target });

function ask(asked: {
  allow: readonly AllowRule[];
  caller: ReturnType<typeof parseSpiffeId>;
  peer: string;
  path: string;
}) {
  const exported = { name: 'e', protocol: 'http1' as const, allow: asked.allow, origin: at(2) };
  const call = { kind: 'call' as const, method: 'GET', path: asked.path, grpc: false };
  return decideExport({ exported, caller: asked.caller, peer: asked.peer, distrust: NO_DISTRUST, call });
}

/** The catalogue that `diff` makes of `before`. */
function applyDiff(before: readonly CatalogueEntry[], diff: CatalogueDiff): readonly CatalogueEntry[] {
  const gone = new Set([...diff.removed, ...diff.changed.map((entry) => entry.name)]);
  return [...before.filter((entry) => !gone.has(entry.name)), ...diff.changed, ...diff.added];
}

suite('for every call', () => {
  test('the verdict is the same each time, and the query does not matter', () => {
    fc.assert(
      fc.property(question, (asked) => {
        const verdict = ask(asked);
        assert.deepEqual(ask(structuredClone(asked)), verdict);
        const bare = withoutQuery(asked.path);
        if (pathProblem(asked.path) === undefined) assert.deepEqual(ask({ ...asked, path: bare }), verdict);
        if (pathProblem(bare) === undefined)
          assert.deepEqual(ask({ ...asked, path: `${bare}?x=/../y` }).kind, ask({ ...asked, path: bare }).kind);
      }),
      RUNS,
    );
  });

  test('a further rule never takes away what was permitted, and one rule less never adds', () => {
    fc.assert(
      fc.property(question, rules, (asked, more) => {
        if (ask(asked).kind === 'permit')
          assert.equal(ask({ ...asked, allow: [...asked.allow, ...more] }).kind, 'permit');
        if (ask(asked).kind === 'denial') assert.equal(ask({ ...asked, allow: asked.allow.slice(1) }).kind, 'denial');
      }),
      RUNS,
    );
  });

  test('a permit is by a rule that names the peer, and what is hidden is not in the catalogue', () => {
    fc.assert(
      fc.property(question, (asked) => {
        const verdict = ask(asked);
        const named = { name: asked.peer, trustDomain: trustDomainOf(asked.caller) };
        const seen = exportedTo([{ name: 'e', protocol: 'http1', allow: asked.allow }], named).length === 1;
        assert.equal(seen, !(verdict.kind === 'denial' && !verdict.visible));
        if (verdict.kind !== 'permit') return;
        const rule = asked.allow[Number(/\[(\d+)\]$/.exec(verdict.rule)?.[1])];
        assert.ok(rule !== undefined && (rule.peers?.includes(asked.peer) ?? true));
      }),
      RUNS,
    );
  });

  test('no permitted path has a dot segment or a separator that only a decoder sees, when a pattern admits it', () => {
    fc.assert(
      fc.property(target, (text) => {
        if (pathProblem(text) !== undefined || !matchesPath('/**', withoutQuery(text))) return;
        const once = decodeURIComponent(withoutQuery(text));
        const segments = once.slice(1).split(/[/\\]/);
        assert.equal(segments.length, withoutQuery(text).split('/').length - 1);
        assert.ok(segments.every((part) => part !== '.' && part !== '..'));
      }),
      RUNS,
    );
  });
});

suite('for every path pattern', () => {
  test('a literal matches itself and nothing longer, shorter or of another case; no character is special', () => {
    fc.assert(
      fc.property(path, path, (pattern, other) => {
        assert.equal(checkPathPattern(pattern), undefined);
        assert.equal(matchesPath(pattern, pattern), true);
        assert.equal(matchesPath(pattern, other), pattern === other);
        for (const longer of [`${pattern}x`, `${pattern}/x`, `/x${pattern}`, `${pattern}/`]) {
          assert.equal(matchesPath(pattern, longer), false, longer);
        }
        assert.equal(matchesPath(pattern, pattern.replace('.', 'x')), !pattern.includes('.'));
      }),
      RUNS,
    );
  });

  test('wildcards stand for one segment, or for a suffix', () => {
    fc.assert(
      fc.property(path, segment, path, (prefix, one, rest) => {
        assert.ok(matchesPath(`${prefix}/*`, `${prefix}/${one}`));
        assert.ok(!matchesPath(`${prefix}/*`, `${prefix}/${one}${rest}`));
        assert.ok(matchesPath(`${prefix}/**`, `${prefix}/${one}${rest}`));
        assert.ok(matchesPath(`${prefix}/**`, prefix));
        assert.ok(!matchesPath(`${prefix}/**`, `${prefix}${one}`));
      }),
      RUNS,
    );
  });
});

test('for every two catalogues the diff leads from one to the other, and digests tell them apart', () => {
  const entry = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    protocol: fc.constantFrom('http1', 'grpc', 'tcp'),
  });
  const catalogue = fc.uniqueArray(entry, { selector: (item) => item.name });
  fc.assert(
    fc.property(catalogue, catalogue, (before, after) => {
      const diff = diffCatalogues(before, after);
      const empty = diff.added.length + diff.changed.length + diff.removed.length === 0;
      assert.equal(catalogueDigest(applyDiff(before, diff)), catalogueDigest(after));
      assert.equal(catalogueDigest(before) === catalogueDigest(after), empty);
    }),
    RUNS,
  );
});

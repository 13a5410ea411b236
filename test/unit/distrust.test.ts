/** What can be distrusted, and whom that means. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { admitOwn } from '../../gateway/listen/own-callers.ts';
import { compileDistrust, distrustsId, NO_DISTRUST } from '../../trust-bundles/distrust/distrust.ts';
import { DISTRUST_KINDS, distrustKindOf, parseTarget } from '../../trust-bundles/distrust/target.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { usSnapshot } from '../support/forward-snapshots.ts';
import { systemClock } from '../../base/clock.ts';
import { testDomain, trustIn } from '../support/trust.ts';

const HEX = 'ab'.repeat(32);

const GOOD = [
  ['spiffe', 'spiffe://a.example/ns/x/sa/web'],
  ['spiffe', 'spiffe://a.example/ns/*/sa/**'],
  ['spiffe', 'spiffe://a.example/jumpgate'],
  ['spiffe', 'spiffe://a.example/jumpgate/edge/front'],
  ['key', HEX],
  ['peer', 'eu-west'],
  ['domain', 'eu-west.example.org'],
  ['export', 'payments'],
] as const;

const BAD = [
  ['spiffe', 'spiffe://a.example', /a trust domain alone is no workload/],
  ['spiffe', 'spiffe://*/x', /the trust domain is literal/],
  ['spiffe', 'spiffe://a.example/x*', /a wildcard is a whole segment/],
  ['spiffe', 'spiffe://a.example/jumpgate/*', /it matches nothing/],
  ['spiffe', `spiffe://a.example/${'x'.repeat(2048)}`, /longer than 2048 octets/],
  [
    'spiffe',
    'spiffe://a.example/x\u001b[2J',
    /path segments are made of .*, found "spiffe:\/\/a.example\/x\\u001b\[2J"$/,
  ],
  ['spiffe', 'spiffe://a.example/x\n', /path segments are made of/],
  ['key', 'ab', /expected a fingerprint of 64 hexadecimal digits, found "ab"/],
  ['key', `${HEX}\n`, /64 hexadecimal digits/],
  ['key', `${HEX.slice(2)}zz`, /64 hexadecimal digits/],
  ['peer', 'EU', /expected the name of a peer, found "EU"/],
  ['peer', 'a'.repeat(64), /expected the name of a peer/],
  ['peer', '../x', /expected the name of a peer/],
  ['peer', '', /expected the name of a peer, found ""/],
  ['domain', 'EU.example', /expected a trust domain of 1 to 255/],
  ['domain', 'a\u0000', /expected a trust domain/],
  ['export', '__proto__', /expected the name of an export/],
] as const;

test('what is distrusted is named exactly: everything else is refused, and shown without what steers a terminal', () => {
  for (const [kind, name] of GOOD) assert.deepEqual(parseTarget(kind, name), { kind, name });
  const written = HEX.toUpperCase().replace(/(..)(?!$)/g, '$1:');
  assert.deepEqual(parseTarget('key', written), { kind: 'key', name: HEX }, 'as openssl prints it');
  for (const [kind, text, message] of BAD) {
    assert.throws(
      () => parseTarget(kind, text),
      (error: Error & { code?: string }) => {
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\p{Cc}/u);
        assert.ok(error.message.length < 600);
        return error.code === 'distrust-malformed';
      },
    );
  }
  assert.deepEqual(DISTRUST_KINDS.map(distrustKindOf), DISTRUST_KINDS);
  for (const odd of ['', 'keys', 'constructor', undefined, 1]) assert.equal(distrustKindOf(odd), undefined);
});

test('each kind means its own things only, and nothing is distrusted by default', () => {
  const of = (kind: string, name: string): ReturnType<typeof compileDistrust> =>
    compileDistrust([parseTarget(distrustKindOf(kind) ?? assert.fail(kind), name)]);
  const web = parseSpiffeId('spiffe://a.example/ns/x/sa/web');
  const gateway = parseSpiffeId('spiffe://a.example/jumpgate');
  const means = (kind: string, name: string): readonly boolean[] =>
    [web, gateway].map((id) => distrustsId(of(kind, name), id));
  assert.deepEqual(means('spiffe', web), [true, false]);
  assert.deepEqual(means('spiffe', gateway), [false, true]);
  assert.deepEqual(means('spiffe', 'spiffe://a.example/**'), [true, false], 'reserved IDs literally only');
  assert.deepEqual(means('spiffe', 'spiffe://b.example/**'), [false, false]);
  assert.deepEqual(means('domain', 'a.example'), [true, true]);
  assert.deepEqual(means('domain', 'example'), [false, false]);
  for (const [kind, name] of [
    ['peer', 'a'],
    ['export', 'web'],
    ['key', HEX],
  ] as const)
    assert.deepEqual(means(kind, name), [false, false], kind);
  assert.deepEqual([...of('key', HEX).tainted], [HEX]);
  assert.deepEqual([...of('peer', 'a').peers, ...of('export', 'b').exports], ['a', 'b']);
  assert.deepEqual(
    [web, gateway].map((id) => distrustsId(NO_DISTRUST, id)),
    [false, false],
  );
});

test('a quarantined workload of ours is refused by the listeners that ask for its certificate, and others are not', () => {
  const us = testDomain('us.test');
  const own = { ...usSnapshot([]), ...trustIn(us) };
  const admitted = (path: string, targets: Parameters<typeof compileDistrust>[0]): string => {
    const snapshot = { ...own, distrust: compileDistrust(targets) };
    const verdict = admitOwn(us.svid(path).chain, snapshot, systemClock.now());
    return verdict.kind === 'rejected' ? verdict.code : verdict.kind;
  };
  const web = [{ kind: 'spiffe', name: 'spiffe://us.test/web' } as const];
  assert.deepEqual(
    [admitted('/web', []), admitted('/web', web), admitted('/other', web)],
    ['verified', 'quarantined', 'verified'],
  );
});

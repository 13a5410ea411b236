/** Whom a set of distrusted things means, against the rule written out in the plainest way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { compileDistrust, distrustsId } from '../../trust-bundles/distrust/distrust.ts';
import { parseTarget } from '../../trust-bundles/distrust/target.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';

const domain = fc.constantFrom('a.example', 'b.example', 'axexample');
const segments = fc.array(fc.constantFrom('ns', 'x', 'y', 'jumpgate'), { minLength: 1, maxLength: 4 });
const wanted = fc
  .tuple(fc.array(fc.constantFrom('ns', 'x', '*', 'y'), { maxLength: 3 }), fc.constantFrom('ns', 'x', '*', '**'))
  .map(([first, last]) => [...first, last]);

/** The specification: segment by segment. */
function means(pattern: readonly string[], path: readonly string[]): boolean {
  const [first, ...more] = pattern;
  if (first === undefined) return path.length === 0;
  if (first === '**' && more.length === 0) return path.length > 0;
  return path.length > 0 && (first === '*' || first === path[0]) && means(more, path.slice(1));
}

test('an identity is distrusted if its domain is, if it is named, or if a pattern means it and it is not reserved', () => {
  const target = fc.oneof(
    fc.record({ kind: fc.constant('domain' as const), domain, path: fc.constant([]) }),
    fc.record({ kind: fc.constant('spiffe' as const), domain, path: fc.oneof(segments, wanted) }),
  );
  fc.assert(
    fc.property(fc.array(target, { maxLength: 6 }), domain, segments, (targets, of, path) => {
      const compiled = compileDistrust(
        targets.map((each) =>
          parseTarget(
            each.kind,
            each.kind === 'domain' ? each.domain : `spiffe://${each.domain}/${each.path.join('/')}`,
          ),
        ),
      );
      const expected = targets.some((each) => {
        if (each.domain !== of) return false;
        if (each.kind === 'domain' || each.path.join('/') === path.join('/')) return true;
        return path[0] !== 'jumpgate' && means(each.path, path);
      });
      assert.equal(distrustsId(compiled, parseSpiffeId(`spiffe://${of}/${path.join('/')}`)), expected);
    }),
    { numRuns: 5_000 },
  );
});

/** Mutations of tokens and of the bundles that hold their keys: nothing but a refusal comes of them, and no forgery holds. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';

import fc from 'fast-check';

import { codeOf } from '../../base/errors.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { readBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { validateJwtSvid } from '../../trust-bundles/jwt/jwt-svid.ts';
import { JWT_AUDIENCE, JWT_NOW_MS } from '../support/jwt.ts';

const CORPUS = join(import.meta.dirname, '../fixtures/jwt');
const RUNS = { numRuns: 3_000 };
const OWN = parseTrustDomain('a.test');

/** `name verdict token`, a line each; the keys that signed them stand in `bundle.json`, their private halves nowhere. */
const seeds = readFileSync(join(CORPUS, 'tokens.txt'), 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => {
    const [name = '', verdict = '', ...token] = line.split(' ');
    return { name, verdict, token: token.join(' ') };
  });
const document = readFileSync(join(CORPUS, 'bundle.json'), 'utf8').trim();
const { bundle: honest } = readBundleDocument(document, OWN);
/** What honest signatures are over. */
const signed = new Set(seeds.filter(({ verdict }) => verdict.startsWith('spiffe:')).map(({ token }) => inputOf(token)));
const fingerprints = new Set(seeds.flatMap(({ token }) => validated(token, honest).keyFingerprint ?? []));

function inputOf(token: string): string {
  return token.slice(0, token.lastIndexOf('.'));
}

function validated(token: string, bundle: Bundle): { readonly verdict: string; readonly keyFingerprint?: string } {
  const trust = { bundles: new Map([[bundle.trustDomain, bundle]]), tainted: new Set<string>() };
  const outcome = validateJwtSvid({ token, audience: JWT_AUDIENCE, trust, nowMs: JWT_NOW_MS });
  if (outcome.kind === 'verified') return { verdict: outcome.id, keyFingerprint: outcome.keyFingerprint };
  assert.match(outcome.message, /^[\x20-\x7e]{1,1200}$/, 'a message is short and harmless');
  return { verdict: outcome.code };
}

/** Texts that mean something to a reader of JSON, base64url or a token. */
const interesting = fc.oneof(
  fc.constantFrom(
    ...[
      '.',
      '..',
      '=',
      '-',
      '_',
      '+',
      '/',
      ' ',
      '\n',
      '\0',
      '\u{1F600}',
      'A',
      'AA',
      'e30',
      'bnVsbA',
      '"',
      '{',
      '[',
      ']',
    ],
    ...[',', ':', 'null', 'true', '0', '-1', '1e999', '18446744073709551616', '"alg":"none",', '"__proto__":{},'],
    ...[
      '"kid":"p384",',
      '"use":"x509-svid",',
      '"kty":"RSA",',
      '"crv":"P-521",',
      '"e":"AQ",',
      '"x":"",',
      '"alg":"ES256",',
    ],
  ),
  fc.string({ maxLength: 3, unit: 'binary' }),
);

interface Edit {
  readonly at: number;
  readonly remove: number;
  readonly add: string;
}

const edits = fc.array(fc.record<Edit>({ at: fc.nat(), remove: fc.nat({ max: 6 }), add: interesting }), {
  minLength: 1,
  maxLength: 4,
});

function edited(text: string, changes: readonly Edit[]): string {
  let result = text;
  for (const { at, remove, add } of changes) {
    const place = at % (result.length + 1);
    result = result.slice(0, place) + add + result.slice(place + remove);
  }
  return result;
}

/** The token with one part's octets edited: what a signature, a header or claims say, in proper base64url. */
function editedWithin(token: string, part: number, changes: readonly Edit[]): string {
  const parts = token.split('.');
  const octets = Buffer.from(parts[part] ?? '', 'base64url').toString('latin1');
  parts[part] = Buffer.from(edited(octets, changes), 'latin1').toString('base64url');
  return parts.join('.');
}

function assertNoForgery(token: string): void {
  const { verdict } = validated(token, honest);
  if (verdict.startsWith('spiffe:')) assert.ok(signed.has(inputOf(token)), `accepted: ${token}`);
}

const seed = fc.constantFrom(...seeds.map(({ token }) => token));

suite('tokens', () => {
  test('H12: each of the corpus gets the verdict that stands beside it', () => {
    assert.ok(seeds.length >= 40);
    assert.equal(signed.size, 13);
    assert.equal(fingerprints.size, 4);
    for (const { name, verdict, token } of seeds) assert.equal(validated(token, honest).verdict, verdict, name);
  });

  test('H12: edited anywhere, a token is refused unless what was signed is unchanged, and nothing is thrown', () => {
    fc.assert(
      fc.property(seed, edits, (token, changes) => assertNoForgery(edited(token, changes))),
      RUNS,
    );
  });

  test('H12: edited within the header, the claims or the signature, a token is refused, and nothing is thrown', () => {
    fc.assert(
      fc.property(seed, fc.nat({ max: 2 }), edits, (token, part, changes) =>
        assertNoForgery(editedWithin(token, part, changes)),
      ),
      RUNS,
    );
  });

  test('H12: a token put together from parts of others is refused', () => {
    fc.assert(
      fc.property(seed, seed, seed, (one, two, three) => {
        const header = one.split('.')[0] ?? '';
        const payload = two.split('.')[1] ?? '';
        assertNoForgery(`${header}.${payload}.${three.split('.')[2] ?? ''}`);
      }),
      RUNS,
    );
  });
});

suite('bundles', () => {
  test('H12: an edited bundle is read or refused as malformed, and no key in it but the published ones verifies a token', () => {
    let read = 0;
    let refused = 0;
    fc.assert(
      fc.property(edits, seed, (changes, token) => {
        const bundle = readOrRefuse(edited(document, changes));
        if (bundle === undefined) {
          refused += 1;
          return;
        }
        read += 1;
        const { keyFingerprint } = validated(token, bundle);
        assert.ok(keyFingerprint === undefined || fingerprints.has(keyFingerprint));
      }),
      RUNS,
    );
    assert.ok(read > 100 && refused > 100, `${read} read, ${refused} refused: both are tried`);
  });

  test('H12: a JWK with any value in any member is taken as it was or passed over', () => {
    const { keys } = JSON.parse(document) as { readonly keys: readonly Readonly<Record<string, unknown>>[] };
    const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), interesting);
    const member = fc.constantFrom('kty', 'crv', 'x', 'y', 'n', 'e', 'alg', 'kid', 'key_ops', 'd', '__proto__');
    fc.assert(
      fc.property(fc.constantFrom(...keys), member, value, seed, (jwk, name, odd, token) => {
        const spoiled = JSON.stringify({ keys: [Object.fromEntries([...Object.entries(jwk), [name, odd]])] });
        const bundle = readOrRefuse(spoiled);
        assert.ok(bundle !== undefined, 'one odd key spoils no bundle');
        const { keyFingerprint } = validated(token, bundle);
        assert.ok(keyFingerprint === undefined || fingerprints.has(keyFingerprint));
      }),
      RUNS,
    );
  });
});

function readOrRefuse(text: string): Bundle | undefined {
  try {
    return readBundleDocument(text, OWN).bundle;
  } catch (error) {
    if (codeOf(error) === 'bundle-malformed') return undefined;
    throw error;
  }
}

/** Certificate chains of all shapes by a seed: honest ones, hostile ones, and ones whose signed bytes were changed before signing. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

import { DerReader, derSequence, derTag } from '../../base/der.ts';
import {
  type CertificateOverrides,
  oids,
  TEST_NOW_MS,
  type TestAuthority,
  testIntermediate,
  testKeys,
  testRoot,
  testSvid,
  usage,
} from './certificates.ts';
import { der, derBits, derSequenceOf } from './der-writer.ts';

/** Leaves that are presented with the same certificates above them, against the same anchors. */
export interface ChainWorld {
  readonly anchors: readonly TestAuthority[];
  /** DER, as a peer sends them behind its leaf. */
  readonly above: readonly Uint8Array[];
  readonly leaves: readonly { readonly der: Uint8Array; readonly shape: string }[];
}

/** A source of numbers in [0, 1) that repeats itself: of use for tests alone (mulberry32). */
export type Dice = () => number;

/** Dice by a seed. */
export function dice(seed: number): Dice {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const DAY_MS = 86_400_000;
const ID = 'spiffe://a.test/ns/shop/sa/web';

const KEYS: readonly (() => CertificateOverrides)[] = (() => {
  const made = [
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('rsa', { modulusLength: 1024 }),
    generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    generateKeyPairSync('ec', { namedCurve: 'P-521' }),
    generateKeyPairSync('ed25519'),
  ];
  return made.map((keys) => () => ({ keys }));
})();

type Shapes = Readonly<Record<string, CertificateOverrides>>;

/** What a CA certificate may look like; the first is honest. */
const CA_SHAPES: Shapes = {
  honest: {},
  expired: { notBeforeMs: TEST_NOW_MS - 2 * DAY_MS, notAfterMs: TEST_NOW_MS - DAY_MS },
  'not yet valid': { notBeforeMs: TEST_NOW_MS + DAY_MS, notAfterMs: TEST_NOW_MS + 2 * DAY_MS },
  'no CA': { ca: false },
  'no basic constraints': { ca: null },
  'no keyCertSign': { keyUsage: usage.digitalSignature },
  'no key usage': { keyUsage: null },
  'path length 0': { pathLength: 0 },
  'path length 1': { pathLength: 1 },
  'permitted a.test': { uris: [], permittedUris: ['a.test'] },
  'permitted b.test': { uris: [], permittedUris: ['b.test'] },
  'permitted .test': { uris: [], permittedUris: ['.test'] },
  'excluded a.test': { uris: [], excludedUris: ['a.test'] },
  'permitted dns': { uris: [], permittedDns: ['a.test'] },
  'server only': { extendedKeyUsage: [oids.serverAuth] },
  'client only': { extendedKeyUsage: [oids.clientAuth] },
  'unknown critical': { extraExtensions: [{ oid: '1.3.6.1.4.1.99999.1', critical: true, value: der(0x05) }] },
  'foreign id': { uris: ['spiffe://b.test'] },
  'no key id': { subjectKeyId: null },
  'wrong authority key id': { authorityKeyId: 'ffff' },
};

const LEAF_SHAPES: Shapes = {
  honest: {},
  named: { commonName: 'web', sanCritical: false },
  expired: { notBeforeMs: TEST_NOW_MS - 2 * DAY_MS, notAfterMs: TEST_NOW_MS - DAY_MS },
  'not yet valid': { notBeforeMs: TEST_NOW_MS + DAY_MS, notAfterMs: TEST_NOW_MS + 2 * DAY_MS },
  'a CA': { ca: true, keyUsage: usage.keyCertSign | usage.digitalSignature },
  'no key usage': { keyUsage: null },
  'no digitalSignature': { keyUsage: 0x20 },
  'two URIs': { uris: [ID, 'spiffe://a.test/other'] },
  'no URI': { uris: [], dns: ['a.test'] },
  'a DNS name too': { dns: ['web.a.test'] },
  'no path': { uris: ['spiffe://a.test'] },
  'server only': { extendedKeyUsage: [oids.serverAuth] },
  'client only': { extendedKeyUsage: [oids.clientAuth] },
  'code signing': { extendedKeyUsage: [oids.codeSigning] },
  'no EKU': { extendedKeyUsage: null },
  'unknown critical': { extraExtensions: [{ oid: '1.3.6.1.4.1.99999.1', critical: true, value: der(0x05) }] },
  'wrong authority key id': { authorityKeyId: 'ffff' },
};

/** The world of this number; every draw comes from `roll`. */
export function chainWorld(roll: Dice, leaves: number): ChainWorld {
  const depth = Math.floor(roll() * 4);
  const root = testRoot('a.test', caShape(roll));
  let issuer = root;
  for (let level = 0; level < depth; level += 1) issuer = testIntermediate(issuer, caShape(roll));
  const anchors = [...decoys(roll, root), ...(roll() < 0.2 && depth > 0 ? [issuer] : [root])];
  const above = issuer.intermediates.map((upper) => (roll() < 0.05 ? flipped(roll, upper) : upper));
  return { anchors, above, leaves: Array.from({ length: leaves }, () => leafOf(roll, issuer, root)) };
}

/** Anchors of the same name, and of the same name and key id, stand before the one that signed. */
function decoys(roll: Dice, root: TestAuthority): readonly TestAuthority[] {
  if (roll() > 0.3) return [];
  const commonName = commonNameOf(root);
  const other = testRoot('a.test', { commonName });
  return roll() < 0.5 ? [other] : [other, testRoot('a.test', { commonName, subjectKeyId: root.keyId ?? null })];
}

function leafOf(roll: Dice, issuer: TestAuthority, root: TestAuthority): ChainWorld['leaves'][number] {
  const kind = roll();
  const [name, overrides] = pick(roll, LEAF_SHAPES);
  const keys = roll() < 0.15 ? (pickOf(roll, KEYS)?.() ?? {}) : {};
  const signer = roll() < 0.05 ? root : issuer;
  const made = testSvid(signer, ID, { ...overrides, ...keys }).chain[0] ?? new Uint8Array();
  if (kind < 0.35) return { der: made, shape: name };
  if (kind < 0.5) return { der: flipped(roll, made), shape: `${name}, changed after signing` };
  return { der: signedAnew(roll, made, signer.key), shape: `${name}, changed before signing` };
}

/** Mostly honest, or nothing would ever hold. */
function caShape(roll: Dice): CertificateOverrides {
  const [, overrides] = roll() < 0.7 ? ['honest', {}] : pick(roll, CA_SHAPES);
  // A key that we do not let sign stands at leaves only: OpenSSL may.
  const keys = roll() < 0.1 ? (pickOf(roll, [KEYS[0], KEYS[2], KEYS[4]])?.() ?? {}) : { keys: testKeys() };
  return { ...overrides, ...keys };
}

/** One to three octets of what is signed become others, and it is signed by the same key. */
function signedAnew(roll: Dice, certificate: Uint8Array, key: KeyObject): Uint8Array {
  const outer = derSequence(certificate, 'certificate');
  const tbs = flipped(roll, outer.next(derTag.sequence).whole);
  const algorithm = outer.next(derTag.sequence).whole;
  const digest = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  return derSequenceOf(tbs, algorithm, derBits(sign(digest, tbs, key)));
}

function flipped(roll: Dice, bytes: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(bytes);
  for (let count = 1 + Math.floor(roll() * 3); count > 0; count -= 1) {
    const at = Math.floor(roll() * changed.length);
    changed[at] = roll() < 0.5 ? (changed[at] ?? 0) ^ (1 << Math.floor(roll() * 8)) : Math.floor(roll() * 256);
  }
  return changed;
}

function commonNameOf({ subject }: TestAuthority): string {
  const set = new DerReader(derSequence(subject, 'name').next(derTag.set).content, 'name');
  const attribute = new DerReader(set.next(derTag.sequence).content, 'name');
  attribute.next();
  return Buffer.from(attribute.next().content).toString('latin1');
}

function pick(roll: Dice, shapes: Shapes): readonly [string, CertificateOverrides] {
  return pickOf(roll, Object.entries(shapes)) ?? ['honest', {}];
}

function pickOf<T>(roll: Dice, list: readonly T[]): T | undefined {
  return list[Math.floor(roll() * list.length)];
}

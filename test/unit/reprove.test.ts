/** Statements of re-proof: what they prove, and every other use of them that must prove nothing. */
import assert from 'node:assert/strict';
import {
  constants,
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  type SignKeyObjectInput,
} from 'node:crypto';
import { test } from 'node:test';

import { LinkProof } from '../../gateway/link/link-proof.ts';
import { type ChainVerifier } from '../../trust-bundles/tls/connection.ts';
import {
  checkReproof,
  readReproof,
  REPROOF_BYTES_MAX,
  signReproof,
  writeReproof,
  type Reproof,
  type ReproofBinding,
} from '../../trust-bundles/tls/reprove.ts';
import { type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { TEST_NOW_MS, testBundle, testIntermediate, testKeys, testRoot, testSvid } from '../support/certificates.ts';

const ID = 'spiffe://eu.test/jumpgate';
const root = testRoot('eu.test');
const foreign = testRoot('other.test');
const bundles = new Map([root, foreign].map((each) => [each.trustDomain, testBundle([each])]));

/** Stolen, and said to be so. */
const stolen = testKeys();
const tainted = new Set([
  createHash('sha256')
    .update(stolen.publicKey.export({ format: 'der', type: 'spki' }))
    .digest('hex'),
]);

const admit: ChainVerifier = (chain) =>
  verifySvid({ chain, trust: { bundles, tainted }, role: 'client', nowMs: TEST_NOW_MS });

function verified(svid: X509Svid): VerifiedIdentity {
  const verdict = admit(svid.chain);
  assert.equal(verdict.kind, 'verified');
  return verdict;
}

/** Both ends of one connection: what they export depends on a secret of its own. */
function connection(): ReproofBinding['socket'] {
  const secret = randomBytes(32);
  return {
    exportKeyingMaterial: (length, label, context) =>
      createHmac('sha256', secret).update(`${label}\0`).update(context).digest().subarray(0, length),
  };
}

const socket = connection();
const binding: ReproofBinding = { socket, role: 'client', counter: 1 };
const before = verified(testSvid(root, ID));
const codeOf = (stated: Pick<Reproof, 'chain' | 'signature'>, bound = binding): string => {
  const verdict = checkReproof(stated, bound, { before, admit });
  return verdict.kind === 'verified' ? 'verified' : verdict.code;
};

const rsa = (modulusLength: number): { privateKey: KeyObject; publicKey: KeyObject } =>
  generateKeyPairSync('rsa', { modulusLength });

test('a statement by any kind of key that is admitted proves its SVID, and survives writing and reading', () => {
  const kinds: Readonly<Record<string, { privateKey: KeyObject; publicKey: KeyObject }>> = {
    'P-256': testKeys(),
    'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    RSA: rsa(2048),
    Ed25519: generateKeyPairSync('ed25519'),
  };
  for (const [kind, keys] of Object.entries(kinds)) {
    const svid = testSvid(testIntermediate(root), ID, { keys });
    const stated = readReproof(Buffer.from(writeReproof(signReproof(svid, binding))));
    assert.equal(stated.counter, 1);
    const verdict = checkReproof(stated, binding, { before, admit });
    assert.ok(verdict.kind === 'verified', kind);
    assert.deepEqual(verdict.chain, svid.chain);
  }
});

test('a statement proves nothing on another connection, for the other end or in another exchange', () => {
  const stated = signReproof(testSvid(root, ID), binding);
  assert.equal(codeOf(stated), 'verified');
  assert.equal(codeOf(stated, { ...binding, socket: connection() }), 'signature');
  assert.equal(codeOf(stated, { ...binding, role: 'server' }), 'signature');
  assert.equal(codeOf(stated, { ...binding, counter: 2 }), 'signature');
});

test('a statement is about the whole chain that it was made with, and made by the key of its leaf', () => {
  const [one, other] = [testIntermediate(root), testIntermediate(root)];
  const keys = testKeys();
  const svid = testSvid(one, ID, { keys });
  const twin = testSvid(other, ID, { keys });
  const stated = signReproof(svid, binding);
  assert.equal(codeOf({ ...stated, chain: twin.chain }), 'signature', 'the same key under another intermediate');
  assert.equal(codeOf({ ...stated, chain: [...svid.chain, root.certificate] }), 'signature', 'a certificate more');
  assert.equal(codeOf(signReproof({ ...svid, key: testKeys().privateKey }, binding)), 'signature', 'another key');
  assert.equal(codeOf(signReproof({ ...svid, key: root.key }, binding)), 'signature', 'the key of the root');
  for (const at of [0, 20, stated.signature.length - 1]) {
    const bent = Uint8Array.from(stated.signature, (byte, index) => (index === at ? byte ^ 1 : byte));
    assert.equal(codeOf({ ...stated, signature: bent }), 'signature', `bit ${at}`);
  }
});

/** What wire.md says is signed, written down once more. */
function contentOf(chain: readonly Uint8Array[]): Buffer {
  const context = Buffer.from('010000000000000001', 'hex');
  const digest = createHash('sha256');
  for (const der of chain) digest.update(Buffer.from([0, 0, der.length >> 8, der.length & 255])).update(der);
  return Buffer.concat([
    Buffer.from(`${' '.repeat(64)}jumpgate reprove, client\0`),
    socket.exportKeyingMaterial(32, 'EXPORTER-jumpgate-reprove', context),
    digest.digest(),
  ]);
}

test('a signature of another form, digest or padding than the key demands is refused', () => {
  const ec = testSvid(root, ID);
  const p384 = testSvid(root, ID, { keys: generateKeyPairSync('ec', { namedCurve: 'P-384' }) });
  const bySvid = testSvid(root, ID, { keys: rsa(2048) });
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  const signed = (svid: X509Svid, digest: string, how: Omit<SignKeyObjectInput, 'key'> = {}): string => {
    const content = contentOf(svid.chain);
    return codeOf({ chain: svid.chain, signature: sign(digest, content, { key: svid.key, ...how }) });
  };
  assert.equal(signed(ec, 'sha256'), 'verified');
  assert.equal(signed(ec, 'sha384'), 'signature');
  assert.equal(signed(ec, 'sha1'), 'signature');
  assert.equal(signed(ec, 'sha256', { dsaEncoding: 'ieee-p1363' }), 'signature');
  assert.equal(signed(p384, 'sha384'), 'verified');
  assert.equal(signed(p384, 'sha256'), 'signature');
  assert.equal(signed(bySvid, 'sha256', { padding, saltLength: 32 }), 'verified');
  assert.equal(signed(bySvid, 'sha256', { padding, saltLength: 0 }), 'signature');
  assert.equal(signed(bySvid, 'sha512', { padding, saltLength: 64 }), 'signature');
  assert.equal(signed(bySvid, 'sha256'), 'signature', 'PKCS#1 v1.5');
});

test('the chain of a statement is verified like that of a handshake, and is of the identity that the end had', () => {
  const refusals: readonly [string, X509Svid][] = [
    ['other-identity', testSvid(root, 'spiffe://eu.test/ns/shop/sa/web')],
    ['other-identity', testSvid(foreign, 'spiffe://other.test/jumpgate')],
    ['not-vouched-for', testSvid(foreign, ID)],
    ['not-vouched-for', testSvid(testRoot('eu.test'), ID)],
    ['unknown-trust-domain', testSvid(testRoot('third.test'), 'spiffe://third.test/jumpgate')],
    ['expired', testSvid(root, ID, { notAfterMs: TEST_NOW_MS - 1000 })],
    ['not-yet-valid', testSvid(root, ID, { notBeforeMs: TEST_NOW_MS + 120_000 })],
    ['key-tainted', testSvid(root, ID, { keys: stolen })],
    ['key-tainted', testSvid(testIntermediate(root, { keys: stolen }), ID)],
    ['leaf-constraints', testSvid(root, ID, { ca: true })],
    ['weak-key', testSvid(root, ID, { keys: rsa(1024) })],
  ];
  for (const [code, svid] of refusals) assert.equal(codeOf(signReproof(svid, binding)), code);
});

test('a statement that is not exactly one is refused', () => {
  const good = JSON.parse(writeReproof(signReproof(testSvid(root, ID), binding))) as Record<string, unknown>;
  const read = (change: Record<string, unknown>): Reproof =>
    readReproof(Buffer.from(JSON.stringify({ ...good, ...change })));
  assert.equal(read({ later: 1 }).counter, 1);
  const bad: Record<string, unknown>[] = [
    ...[0, -1, 1.5, 2 ** 53, '1', null].map((counter) => ({ counter })),
    ...[[], 'x', null, [''], ['!'], [1], [[]], Array.from({ length: 9 }, () => 'AA==')].map((chain) => ({ chain })),
    ...['', 'A', 'AA', 'AA==\n', 7, Buffer.alloc(1025).toString('base64')].map((signature) => ({ signature })),
  ];
  for (const change of bad) assert.throws(() => read(change), { code: 'reproof-malformed' }, JSON.stringify(change));
  for (const text of ['', '[]', 'null', '{"counter":1}', ' '.repeat(REPROOF_BYTES_MAX + 1)]) {
    assert.throws(() => readReproof(Buffer.from(text)), { code: 'reproof-malformed' });
  }
});

/** Both ends of one link, as each sees it. */
function linkEnds(on = connection()): { client: LinkProof; server: LinkProof } {
  const ends = (role: 'client' | 'server'): LinkProof => new LinkProof({ socket: on, role, identity: before, admit });
  return { client: ends('client'), server: ends('server') };
}

const said = (text: string): Buffer => Buffer.from(text);

test('both ends of a link prove themselves in one exchange, as often as they like', () => {
  const { client, server } = linkEnds();
  for (const svid of [testSvid(root, ID), testSvid(root, ID), testSvid(root, ID)]) {
    assert.deepEqual(server.hear(said(client.begin(svid))).chain, svid.chain);
    assert.deepEqual(client.hear(said(server.answer(svid))).chain, svid.chain);
    assert.deepEqual([client.identity.chain, server.identity.chain], [svid.chain, svid.chain]);
  }
});

test('what was stated before, on another link, by the other end or for another exchange changes nothing', () => {
  const link = linkEnds();
  const other = linkEnds();
  const svid = testSvid(root, ID);
  const first = said(link.client.begin(svid));
  link.server.hear(first);
  const answer = said(link.server.answer(svid));
  link.client.hear(answer);
  const { identity } = link.server;
  const refused = { code: 'reproof-refused' };
  assert.throws(() => link.server.hear(first), refused, 'replayed');
  assert.throws(() => link.server.hear(answer), refused, 'its own answer');
  assert.throws(() => other.server.hear(first), refused, 'another link');
  other.client.begin(svid);
  assert.throws(() => other.client.hear(answer), refused, 'an answer of another link');
  const second = said(link.client.begin(svid));
  assert.throws(() => link.client.hear(answer), refused, 'the answer before');
  assert.throws(() => link.client.hear(second), refused, 'its own statement come back');
  const raised = said(second.toString().replace('"counter":2', '"counter":3'));
  assert.throws(() => link.server.hear(raised), refused, 'another counter');
  assert.equal(link.server.identity, identity);
  link.server.hear(second);
});

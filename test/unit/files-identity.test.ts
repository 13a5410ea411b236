/** Our identity from files: what is taken, what is refused while the last good one stays, and when that ends. */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';

import { type Clock, systemClock } from '../../base/clock.ts';
import { createLog } from '../../base/log.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { openFilesIdentity } from '../../trust-bundles/source/files.ts';
import { type IdentitySource } from '../../trust-bundles/source/identity-source.ts';
import { OwnSequence, readOwnSequence } from '../../trust-bundles/source/own-sequence.ts';
import { until } from '../support/gateways.ts';
import { identityTexts, type IdentityMount, type IdentityTexts, mountIdentity } from '../support/identity-files.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { testDomain } from '../support/trust.ts';

const us = testDomain('us.test');
const gatewayId = parseSpiffeId('spiffe://us.test/jumpgate');
const WATCH = { quietMs: 5, pollMs: 50 };

interface Rig {
  readonly mount: IdentityMount;
  readonly source: IdentitySource;
  readonly lines: string[];
  readonly state: string;
}

const texts = (): IdentityTexts => identityTexts(us, us.svid('/jumpgate'));

async function rig(t: TestContext, first = texts(), clock: Clock = systemClock): Promise<Rig> {
  const directory = temporaryDirectory();
  const state = temporaryDirectory();
  const mount = mountIdentity(directory.path, first);
  const lines: string[] = [];
  const log = createLog({ level: 'info', write: (line) => void lines.push(line), now: () => 0 });
  const sequence = new OwnSequence({ path: join(state.path, 'own-bundle.json'), last: 0n, clock, log });
  const { files } = mount;
  const source = await openFilesIdentity({
    files,
    gatewayId,
    sequence,
    refreshHintSeconds: 300,
    clock,
    log,
    watch: WATCH,
  });
  t.after(async () => {
    await source[Symbol.asyncDispose]();
    directory[Symbol.dispose]();
    state[Symbol.dispose]();
  });
  return { mount, source, lines, state: state.path };
}

const pemOf = (source: IdentitySource): string =>
  Buffer.from(source.svid.current()?.chain[0] ?? [])
    .toString('base64')
    .slice(-40);

const problemOf = (source: IdentitySource): string | undefined => source.status().problem?.code;

test('chain, key and bundle of files are the identity of the gateway, numbered by the time', async (t) => {
  const { source, state, lines } = await rig(t);
  assert.equal(source.svid.current()?.id, gatewayId);
  const bundle = source.bundle();
  assert.deepEqual(
    bundle?.x509Authorities.map(({ fingerprint }) => fingerprint),
    [us.root.fingerprint],
  );
  assert.equal(bundle.refreshHintSeconds, 300);
  assert.ok((bundle.sequence ?? 0n) >= BigInt(Math.floor(systemClock.now() / 1000)) - 60n);
  const log = createLog({ level: 'error', write: () => undefined, now: () => 0 });
  assert.equal(await readOwnSequence(join(state, 'own-bundle.json'), log), bundle.sequence);
  assert.equal(source.status().problem, undefined);
  assert.doesNotMatch(lines.join(''), /BEGIN|PRIVATE/);
});

test('L6: a swap of all three through a symbolic link is taken whole, and watchers hear of the bundle before the SVID', async (t) => {
  const { mount, source } = await rig(t);
  const before = pemOf(source);
  const sequence = source.bundle()?.sequence ?? 0n;
  const changes: string[] = [];
  source.watch((change) => changes.push(change));
  const next = testDomain('us.test');
  mount.swap(identityTexts(next, next.svid('/jumpgate')));
  await until('the new SVID', () => pemOf(source) !== before);
  assert.deepEqual(changes, ['bundle', 'svid']);
  assert.deepEqual(
    source.bundle()?.x509Authorities.map(({ fingerprint }) => fingerprint),
    [next.root.fingerprint],
  );
  assert.ok((source.bundle()?.sequence ?? 0n) > sequence);
});

test('a renewed SVID under the same bundle leaves the sequence as it is', async (t) => {
  const { mount, source } = await rig(t);
  const [before, sequence] = [pemOf(source), source.bundle()?.sequence];
  mount.swap(texts());
  await until('the new SVID', () => pemOf(source) !== before);
  assert.equal(source.bundle()?.sequence, sequence);
});

const stranger = testDomain('us.test');
const other = testDomain('eu.test');
const REFUSED: readonly (readonly [what: string, texts: () => Partial<IdentityTexts>, code: string])[] = [
  ['the key of another certificate', () => ({ key: texts().key }), 'svid-key-mismatch'],
  ['half a chain', () => ({ svid: texts().svid.slice(0, 200) }), 'pem-malformed'],
  ['a key in the place of the chain', () => ({ svid: texts().key }), 'pem-malformed'],
  ['no key', () => ({ key: 'nothing' }), 'pem-malformed'],
  ['an empty file', () => ({ key: '' }), 'identity-file'],
  [
    'a chain that its own bundle does not vouch for',
    () => identityTexts(us, stranger.svid('/jumpgate')),
    'svid-unverified',
  ],
  ['an empty bundle', () => ({ bundle: '{"keys":[]}' }), 'svid-unverified'],
  ['a bundle that is none', () => ({ bundle: '{}' }), 'bundle-malformed'],
  ['a leaf in the place of the roots', () => ({ bundle: texts().svid }), 'authority-unusable'],
  ["another mesh's bundle", () => ({ bundle: identityTexts(other, other.svid('/w')).bundle }), 'bundle-malformed'],
  ['the SVID of another workload', () => identityTexts(us, us.svid('/ns/shop/sa/web')), 'svid-id-mismatch'],
];

for (const [what, wrong, code] of REFUSED) {
  test(`A30: ${what} is refused, the last good identity stays, and the next good one is taken`, async (t) => {
    const { mount, source, lines } = await rig(t);
    const before = pemOf(source);
    mount.swap({ ...texts(), ...wrong() });
    await until('the alarm', () => problemOf(source) !== undefined);
    assert.equal(problemOf(source), code, source.status().problem?.message);
    assert.equal(pemOf(source), before);
    assert.match(lines.join(''), new RegExp(`own identity cannot be renewed.*"code":"${code}"`));
    assert.doesNotMatch(lines.join(''), /BEGIN|PRIVATE/);
    mount.swap(texts());
    await until('the good one', () => pemOf(source) !== before);
    assert.equal(problemOf(source), undefined);
  });
}

test('L1: a key file, or a directory, that others could use is refused at the start and at every renewal', async (t) => {
  const { mount, source } = await rig(t);
  const before = pemOf(source);
  const { key } = mount.files;
  const touch = (): void => writeFileSync(key, texts().key);
  chmodSync(key, 0o640);
  touch();
  await until('the alarm', () => problemOf(source) === 'key-permissions');
  assert.equal(pemOf(source), before);
  const directory = join(key, '..');
  chmodSync(directory, 0o777);
  chmodSync(key, 0o600);
  mount.swap(texts());
  await until('the directory to be named', () => /writable/.test(source.status().problem?.message ?? ''));
  chmodSync(directory, 0o700);
  mount.swap(texts());
  await until('the good one', () => pemOf(source) !== before);
});

test('files that are no identity at the start give none, say why, and are taken once they are', async (t) => {
  const { mount, source } = await rig(t, { ...texts(), key: texts().key });
  assert.deepEqual(
    [source.svid.current(), source.bundle(), problemOf(source)],
    [undefined, undefined, 'svid-key-mismatch'],
  );
  mount.swap(texts());
  await until('the good one', () => source.svid.current() !== undefined && source.bundle() !== undefined);
});

test('an SVID that ends and has no successor is used no more, and the alarm names the end', async (t) => {
  const clock = new ManualClock(systemClock.now());
  const { source } = await rig(t, texts(), clock);
  const held: boolean[] = [];
  source.svid.watch((svid) => held.push(svid !== undefined));
  const endMs = source.svid.current()?.notAfterMs ?? 0;
  clock.advance(endMs - clock.now());
  assert.deepEqual(held, [], 'it is good to its last millisecond');
  clock.advance(60_000);
  assert.deepEqual(held, [false]);
  assert.equal(problemOf(source), 'svid-expired');
  assert.notEqual(source.bundle(), undefined, 'what peers verify others with has not changed');
});

test('roots in PEM are a bundle too, each once', async (t) => {
  const roots = identityTexts(us, { ...us.svid('/jumpgate'), chain: [us.root.certificate, us.root.certificate] }).svid;
  const { source } = await rig(t, { ...texts(), bundle: roots });
  assert.equal(source.bundle()?.x509Authorities.length, 1);
});

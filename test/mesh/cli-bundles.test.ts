/** `jumpgate bundles` with files: what is exported in each format is what is shown, compared and imported. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { writeBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { testBundle, testRoot, testSvid } from '../support/certificates.ts';
import { type CliBench, cliBench } from '../support/cli-bench.ts';
import { pem } from '../support/trust.ts';

const ROOTS = [testRoot('west.example'), testRoot('west.example')];
const [FIRST, SECOND] = ROOTS.map(({ fingerprint }) => fingerprint);
const BUNDLE = testBundle(ROOTS, { sequence: 2n ** 64n - 1n });
const DOCUMENT = writeBundleDocument(BUNDLE);

/** A gateway whose every bundle is {@link DOCUMENT}, and the password of PKCS#12 in a file. */
async function bench(document = DOCUMENT): Promise<CliBench> {
  const made = await cliBench();
  made.operations.bundleDocument = async () => document;
  writeFileSync(join(made.directory, 'word.txt'), 'pass word\n');
  return made;
}

for (const format of ['spiffe', 'pem', 'pkcs7', 'pkcs12'] as const) {
  test(`a bundle goes out and comes in as ${format}, with the same roots`, async () => {
    await using b = await bench();
    const word = ['--password-file', 'word.txt'];
    const out = await b.cli(['bundles', 'export', 'self', '--as', format, '--out', './west', ...word]);
    assert.deepEqual([out.code, out.out, out.err], [0, '', '']);
    const shown = await b.cli(['bundles', 'show', './west', ...word]);
    const rows = `${FIRST} +2\\d{3}-.*Z\n${SECOND} +2\\d{3}-.*Z\n`.replaceAll('\\\\', '\\');
    assert.match(shown.out, new RegExp(`^format: ${format}\nFINGERPRINT +NOT-AFTER\n${rows}$`));
    assert.equal((await b.cli(['bundles', 'diff', 'west', './west', ...word])).code, 0);
    const named = ['--fingerprint', `${FIRST},${SECOND}`];
    assert.equal((await b.cli(['bundles', 'import', 'west', './west', ...named, ...word])).code, 0);
    const whole = writeBundleDocument({ ...BUNDLE, sequence: undefined, refreshHintSeconds: undefined });
    const document = format === 'spiffe' ? `${DOCUMENT}\n` : whole;
    assert.deepEqual(b.operations.told, [['importBundle', ['west', { document, fingerprints: [FIRST, SECOND] }]]]);
  });
}

test('one root goes out as DER, and text goes to standard output where no file is named', async () => {
  await using b = await bench(writeBundleDocument(testBundle(ROOTS.slice(0, 1))));
  assert.equal((await b.cli(['bundles', 'export', 'west', '--as', 'der', '--out', 'west.der'])).code, 0);
  assert.deepEqual(readFileSync(join(b.directory, 'west.der')), Buffer.from(ROOTS[0]?.certificate ?? []));
  assert.match((await b.cli(['bundles', 'export', 'west', '--as', 'pem'])).out, /^-----BEGIN CERTIFICATE-----\n/);
  assert.match((await b.cli(['bundles', 'export', 'west'])).out, /^\{"spiffe_sequence":1,/);
});

test('what differs is told apart, and is exit code 1', async () => {
  await using b = await bench();
  const third = testRoot('west.example');
  writeFileSync(join(b.directory, 'other.json'), writeBundleDocument(testBundle([...ROOTS.slice(1), third])));
  const { code, out } = await b.cli(['bundles', 'diff', 'west', 'other.json']);
  assert.equal(code, 1);
  const lines = out.split('\n').map((line) => line.split(/ +/).slice(0, 2));
  assert.deepEqual(lines.slice(1, 4), [
    ['believed', FIRST],
    ['both', SECOND],
    ['file', third.fingerprint],
  ]);
});

test('certificates that are no CA are left out and counted, and a bundle map is not shown as a bundle', async () => {
  await using b = await bench();
  const chain = `${pem(testSvid(testRoot('a.test'), 'spiffe://a.test/w')).cert}${pem({ ...testSvid(testRoot('a.test'), 'spiffe://a.test/w'), chain: [testRoot('a.test').certificate] }).cert}`;
  writeFileSync(join(b.directory, 'chain.pem'), chain);
  assert.match((await b.cli(['bundles', 'show', 'chain.pem'])).out, /left out: 1 certificates that are no CA's\n$/);
  writeFileSync(join(b.directory, 'map.json'), '{"trust_domains":{}}');
  assert.match((await b.cli(['bundles', 'show', 'map.json'])).err, /expected a SPIFFE bundle with keys, found none/);
});

for (const [args, code, message] of [
  [['export', 'self', '--as', 'pkcs7'], 2, /expected --out PATH: pkcs7 is no text/],
  [['export', 'self', '--as', 'jks'], 2, /expected --as spiffe, pem, der, pkcs7, pkcs12, found "jks"/],
  [['export', 'self', '--as', 'der', '--out', 'x'], 2, /which holds one certificate, found 2: choose pem/],
  [['export', 'self', '--as', 'pkcs12', '--out', 'x'], 2, /expected a password of ASCII for PKCS#12/],
  [['export'], 2, /expected the NAME of a peer/],
  [['export', 'self', 'x'], 2, /unexpected argument "x"/],
  [['diff', 'self'], 2, /expected the FILE with the bundle/],
  [['import', 'west', 'word.txt'], 2, /certificates as PEM, DER, PKCS#7 or PKCS#12 in word\.txt/],
  [['import', 'west', 'none.pem'], 2, /cannot read none\.pem: .*no such file/],
] as const) {
  test(`bundles ${args.join(' ')} is refused, and nothing is written or sent`, async () => {
    await using b = await bench();
    const failed = await b.cli(['bundles', ...args]);
    assert.match(failed.err, message);
    assert.equal(failed.code, code);
    assert.equal(failed.out, '');
    assert.ok(!existsSync(join(b.directory, 'x')));
    assert.deepEqual(b.operations.told, []);
  });
}

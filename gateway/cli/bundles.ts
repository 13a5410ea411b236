/** `jumpgate bundles`: the keys of each trust domain, and what an operator decides about a peer's by hand. */
import { asRecord } from '../../base/brand.ts';
import { type Anchor, anchorsOf, bundleAs, bundleFormatOf, readBundleFile, writeBundle } from './bundle-files.ts';
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { cell, type Column, formatOf, listOf, memberOf, print, table, textOf } from './output.ts';
import { LIVE_OPTIONS, usage, type Verb, type VerbContext } from './verb.ts';

const COLUMNS: readonly Column[] = [
  { heading: 'PEER', member: 'peer' },
  { heading: 'TRUST-DOMAIN', member: 'trustDomain' },
  { heading: 'SEQUENCE', member: 'sequence' },
  { heading: 'USE', member: 'authority.use' },
  { heading: 'STATE', member: 'authority.state' },
  { heading: 'FINGERPRINT', member: 'authority.fingerprint' },
  { heading: 'NOT-AFTER', member: 'authority.notAfter' },
  { heading: 'PUBLISHED', member: 'authority.publishedAt', wide: true },
  { heading: 'STALE', member: 'stale' },
  { heading: 'PROFILE', member: 'profile', wide: true },
  { heading: 'ENDPOINT', member: 'endpoint', wide: true },
  { heading: 'BY', member: 'authenticatedBy', wide: true },
  { heading: 'FETCHED', member: 'fetchedAt', wide: true },
  { heading: 'NEXT', member: 'nextFetchAt', wide: true },
  { heading: 'STALE-AT', member: 'staleAt', wide: true },
  { heading: 'IGNORED', member: 'ignoredKeys', wide: true },
  { heading: 'MESSAGE', member: 'message' },
];

const FILE_COLUMNS: readonly Column[] = [
  { heading: 'FINGERPRINT', member: 'fingerprint' },
  { heading: 'NOT-AFTER', member: 'notAfter' },
];

/** Shows bundles, one line per authority, and replaces a peer's. */
export const bundlesVerb: Verb = {
  name: 'bundles',
  summary: 'show the trust bundles with their fingerprints; export, compare, accept or import one by hand',
  operands: '[list | show [PEER | FILE] | export PEER | diff PEER FILE | accept PEER | import PEER FILE]',
  operandsMin: 0,
  operandsMax: 3,
  options: {
    ...LIVE_OPTIONS,
    as: { argument: 'FORMAT', help: 'export: spiffe (default), pem, der, pkcs7 or pkcs12' },
    out: { argument: 'PATH', help: 'export: the file to write, instead of standard output' },
    'password-file': { argument: 'PATH', help: 'the password of PKCS#12, read or to be written' },
    fingerprint: { argument: 'SHA256[,...]', help: 'the roots that the bundle must hold, exactly; accept demands it' },
  },
  details: [
    'list     one line per root: active signs now; published verifies, and of a peer no more than that is known',
    'show     prints a SPIFFE bundle document (PEER self: ours), without PEER the SPIFFE bundle map of all;',
    '         of a FILE (a path with a dot or slash in it) the format and the fingerprints',
    'export   writes the bundle of PEER (self: ours); other formats than spiffe hold the X.509 roots alone',
    'diff     compares the roots that are believed of PEER with those in FILE; exit code 1 if they differ',
    'accept   fetches the bundle of PEER now and believes it although its sequence went back',
    'import   believes the bundle (or the entry of a bundle map) in FILE, whatever came before',
    'FILE is a SPIFFE bundle, or certificates as PEM, DER, PKCS#7 or PKCS#12',
  ],
  run: async (context) => {
    formatOf(context);
    const [action = 'list', peer, file, ...more] = context.given.operands;
    const extra = { list: peer, show: file, export: file, accept: file, diff: more[0], import: more[0] }[action];
    if (extra !== undefined) throw usage(`unexpected argument ${JSON.stringify(extra)}`);
    switch (action) {
      case 'list':
        return list(context);
      case 'show':
        return peer !== undefined && /[./]/.test(peer) ? showFile(context, peer) : show(context, peer);
      case 'export':
        return exportTo(context, nameOf(peer));
      case 'diff':
        return diff(context, nameOf(peer), file);
      case 'accept':
        return change(context, `/v1/bundles/${nameOf(peer)}/accept`, { fingerprints: fingerprintsOf(context, true) });
      case 'import':
        return change(context, `/v1/bundles/${nameOf(peer)}/import`, {
          document: (await readBundleFile(context, file)).document,
          fingerprints: fingerprintsOf(context, false),
        });
      default:
        throw usage(`expected list, show, export, diff, accept or import, found ${JSON.stringify(action)}`);
    }
  },
};

async function list(context: VerbContext): Promise<number> {
  const bundles = await (await openClient(context)).ask('GET', '/v1/bundles');
  print(context, bundles, (wide) => table(listOf({ bundles }, 'bundles').flatMap(perAuthority), COLUMNS, wide));
  return EXIT.ok;
}

async function show(context: VerbContext, peer: string | undefined): Promise<number> {
  const path = peer === undefined ? '/v1/bundle-map' : documentPath(nameOf(peer));
  const shown = await (await openClient(context)).ask('GET', path);
  context.io.stdout.write(`${textOf(shown, 'document')}\n`);
  return EXIT.ok;
}

async function showFile(context: VerbContext, path: string): Promise<number> {
  const { format, document, leftOut } = await readBundleFile(context, path);
  const rows = anchorsOf(document).map(({ fingerprint, notAfter }) => ({ fingerprint, notAfter }));
  print(context, { format, authorities: rows, leftOut }, (wide) => {
    const others = leftOut === 0 ? '' : `left out: ${leftOut} certificates that are no CA's\n`;
    return `format: ${format}\n${table(rows, FILE_COLUMNS, wide)}${others}`;
  });
  return EXIT.ok;
}

async function exportTo(context: VerbContext, peer: string): Promise<number> {
  const format = bundleFormatOf(context);
  const out = context.given.text('out');
  if (out === undefined && format !== 'spiffe' && format !== 'pem')
    throw usage(`expected --out PATH: ${format} is no text`);
  const shown = await (await openClient(context)).ask('GET', documentPath(peer));
  const bytes = await bundleAs(context, format, textOf(shown, 'document'));
  if (out === undefined) context.io.stdout.write(Buffer.from(bytes).toString('utf8'));
  else await writeBundle(context, out, bytes);
  return EXIT.ok;
}

async function diff(context: VerbContext, peer: string, file: string | undefined): Promise<number> {
  const theirs = anchorsOf((await readBundleFile(context, file)).document);
  const shown = await (await openClient(context)).ask('GET', documentPath(peer));
  const ours = anchorsOf(textOf(shown, 'document'));
  const holds = (anchors: readonly Anchor[], { fingerprint }: Anchor): boolean =>
    anchors.some((each) => each.fingerprint === fingerprint);
  const rows = [
    ...ours.map((anchor) => ({ anchor, where: holds(theirs, anchor) ? 'both' : 'believed' })),
    ...theirs.filter((anchor) => !holds(ours, anchor)).map((anchor) => ({ anchor, where: 'file' })),
  ].map(({ anchor: { fingerprint, notAfter }, where }) => ({ where, fingerprint, notAfter }));
  print(context, rows, (wide) => table(rows, [{ heading: 'IN', member: 'where' }, ...FILE_COLUMNS], wide));
  return rows.every(({ where }) => where === 'both') ? EXIT.ok : EXIT.problems;
}

function documentPath(peer: string): string {
  return `/v1/bundles/${peer}/document`;
}

async function change(context: VerbContext, path: string, body: Readonly<Record<string, unknown>>): Promise<number> {
  const changed = await (await openClient(context)).ask('POST', path, body);
  const part = (at: string): string =>
    `sequence ${cell(memberOf(changed, `${at}.sequence`))}, roots ${cell(memberOf(changed, `${at}.fingerprints`))}`;
  print(context, changed, () => `believed now: ${part('after')}\nbefore:       ${part('before')}\n`);
  return EXIT.ok;
}

function perAuthority(bundle: unknown): readonly Readonly<Record<string, unknown>>[] {
  const roots = listOf(bundle, 'authorities').map((root) => ({ ...asRecord(root), use: 'x509' }));
  const jwtKeys = listOf(bundle, 'jwtKeys').map((key) => ({
    ...asRecord(key),
    use: 'jwt',
    fingerprint: memberOf(key, 'keyId'),
  }));
  const authorities = [...roots, ...jwtKeys];
  return (authorities.length === 0 ? [undefined] : authorities).map((authority) => ({
    ...asRecord(bundle),
    authority,
  }));
}

/** A name goes into a path, so nothing else may. */
function nameOf(name: string | undefined): string {
  if (name === undefined) throw usage('expected the NAME of a peer');
  if (!/^[a-z0-9-]{1,63}$/.test(name)) throw usage(`expected the name of a peer, found ${JSON.stringify(name)}`);
  return name;
}

/** Accepts what openssl prints: upper case, with colons. */
function fingerprintsOf({ given }: VerbContext, demanded: boolean): readonly string[] | undefined {
  const written = demanded ? given.required('fingerprint') : given.text('fingerprint');
  return written?.split(',').map((each) => {
    const hex = each.trim().replaceAll(':', '').toLowerCase();
    if (/^[0-9a-f]{64}$/.test(hex)) return hex;
    throw usage('expected --fingerprint to be SHA-256 of 64 hexadecimal digits, several with commas between them');
  });
}

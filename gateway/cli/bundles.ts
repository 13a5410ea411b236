/** `jumpgate bundles`: the keys of each trust domain, and what an operator decides about a peer's by hand. */
import { open } from 'node:fs/promises';
import { resolve } from 'node:path';

import { asRecord } from '../../base/brand.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { cell, type Column, formatOf, listOf, memberOf, print, table, textOf } from './output.ts';
import { LIVE_OPTIONS, usage, type Verb, type VerbContext } from './verb.ts';

const COLUMNS: readonly Column[] = [
  { heading: 'PEER', member: 'peer' },
  { heading: 'TRUST-DOMAIN', member: 'trustDomain' },
  { heading: 'SEQUENCE', member: 'sequence' },
  { heading: 'STATE', member: 'authority.state' },
  { heading: 'FINGERPRINT', member: 'authority.fingerprint' },
  { heading: 'NOT-AFTER', member: 'authority.notAfter' },
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

/** The most that a gateway takes of a bundle (SPIFFE documents; a map of several may be no larger either). */
const FILE_BYTES_MAX = 900 * 1024;

/** Shows bundles, one line per authority, and replaces a peer's. */
export const bundlesVerb: Verb = {
  name: 'bundles',
  summary: 'show the trust bundles with their fingerprints; accept or import one by hand',
  operands: '[list | show [PEER] | accept PEER | import PEER FILE]',
  operandsMin: 0,
  operandsMax: 3,
  options: {
    ...LIVE_OPTIONS,
    fingerprint: { argument: 'SHA256[,...]', help: 'the roots that the bundle must hold, exactly; accept demands it' },
  },
  details: [
    'show     prints a SPIFFE bundle document (PEER self: ours), without PEER the SPIFFE bundle map of all',
    'accept   fetches the bundle of PEER now and believes it although its sequence went back',
    'import   believes the SPIFFE bundle (or the entry of a bundle map) in FILE, whatever came before',
  ],
  run: async (context) => {
    formatOf(context);
    const [action = 'list', peer, file, ...more] = context.given.operands;
    const extra = { list: peer, show: file, accept: file, import: more[0] }[action];
    if (extra !== undefined) throw usage(`unexpected argument ${JSON.stringify(extra)}`);
    switch (action) {
      case 'list':
        return list(context);
      case 'show':
        return show(context, peer);
      case 'accept':
        return change(context, `/v1/bundles/${nameOf(peer)}/accept`, { fingerprints: fingerprintsOf(context, true) });
      case 'import':
        return change(context, `/v1/bundles/${nameOf(peer)}/import`, {
          document: await contentOf(context, file),
          fingerprints: fingerprintsOf(context, false),
        });
      default:
        throw usage(`expected list, show, accept or import, found ${JSON.stringify(action)}`);
    }
  },
};

async function list(context: VerbContext): Promise<number> {
  const bundles = await (await openClient(context)).ask('GET', '/v1/bundles');
  print(context, bundles, (wide) => table(listOf({ bundles }, 'bundles').flatMap(perAuthority), COLUMNS, wide));
  return EXIT.ok;
}

async function show(context: VerbContext, peer: string | undefined): Promise<number> {
  const path = peer === undefined ? '/v1/bundle-map' : `/v1/bundles/${nameOf(peer)}/document`;
  const shown = await (await openClient(context)).ask('GET', path);
  context.io.stdout.write(`${textOf(shown, 'document')}\n`);
  return EXIT.ok;
}

async function change(context: VerbContext, path: string, body: Readonly<Record<string, unknown>>): Promise<number> {
  const changed = await (await openClient(context)).ask('POST', path, body);
  const part = (at: string): string =>
    `sequence ${cell(memberOf(changed, `${at}.sequence`))}, roots ${cell(memberOf(changed, `${at}.fingerprints`))}`;
  print(context, changed, () => `believed now: ${part('after')}\nbefore:       ${part('before')}\n`);
  return EXIT.ok;
}

function perAuthority(bundle: unknown): readonly Readonly<Record<string, unknown>>[] {
  const authorities = listOf(bundle, 'authorities');
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

async function contentOf({ io }: VerbContext, path: string | undefined): Promise<string> {
  if (path === undefined) throw usage('expected the FILE with the bundle');
  try {
    await using file = await open(resolve(io.cwd, path), 'r');
    const { size } = await file.stat();
    if (size > FILE_BYTES_MAX) throw new Error(`expected at most ${FILE_BYTES_MAX} bytes, found ${size}`);
    return await file.readFile('utf8');
  } catch (cause) {
    throw new JumpgateError('bundle-file', `cannot read ${path}: ${messageOf(cause)}`, { source: 'caller', cause });
  }
}

/** `jumpgate bundles`: the keys of each trust domain, with their fingerprints. */
import { asRecord } from '../../base/brand.ts';
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { type Column, formatOf, listOf, print, table } from './output.ts';
import { LIVE_OPTIONS, type Verb } from './verb.ts';

const COLUMNS: readonly Column[] = [
  { heading: 'PEER', member: 'peer' },
  { heading: 'TRUST-DOMAIN', member: 'trustDomain' },
  { heading: 'SEQUENCE', member: 'sequence' },
  { heading: 'STATE', member: 'authority.state' },
  { heading: 'FINGERPRINT', member: 'authority.fingerprint' },
  { heading: 'NOT-AFTER', member: 'authority.notAfter' },
  { heading: 'FETCHED', member: 'fetchedAt', wide: true },
  { heading: 'MESSAGE', member: 'message' },
];

/** Shows bundles, one line per authority. */
export const bundlesVerb: Verb = {
  name: 'bundles',
  summary: 'show the trust bundles with their fingerprints',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: LIVE_OPTIONS,
  run: async (context) => {
    formatOf(context);
    const bundles = await (await openClient(context)).ask('GET', '/v1/bundles');
    print(context, bundles, (wide) => table(listOf({ bundles }, 'bundles').flatMap(perAuthority), COLUMNS, wide));
    return EXIT.ok;
  },
};

function perAuthority(bundle: unknown): readonly Readonly<Record<string, unknown>>[] {
  const authorities = listOf(bundle, 'authorities');
  return (authorities.length === 0 ? [undefined] : authorities).map((authority) => ({
    ...asRecord(bundle),
    authority,
  }));
}

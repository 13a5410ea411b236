/** `jumpgate bundles`: the keys of each trust domain, with their fingerprints. */
import { asRecord } from '../../base/brand.ts';
import { listVerb } from './list-verb.ts';
import { type Column, listOf } from './output.ts';

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
export const bundlesVerb = listVerb({
  name: 'bundles',
  summary: 'show the trust bundles with their fingerprints',
  path: '/v1/bundles',
  columns: COLUMNS,
  rowsOf: (bundles) => listOf({ bundles }, 'bundles').flatMap(perAuthority),
});

function perAuthority(bundle: unknown): readonly Readonly<Record<string, unknown>>[] {
  const authorities = listOf(bundle, 'authorities');
  return (authorities.length === 0 ? [undefined] : authorities).map((authority) => ({
    ...asRecord(bundle),
    authority,
  }));
}

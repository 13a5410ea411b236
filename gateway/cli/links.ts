/** `jumpgate links`: links between gateways. */
import { listVerb } from './list-verb.ts';
import { type Column } from './output.ts';

const COLUMNS: readonly Column[] = [
  { heading: 'PEER', member: 'peer' },
  { heading: 'DIRECTION', member: 'direction' },
  { heading: 'STATE', member: 'state' },
  { heading: 'ADDRESS', member: 'address' },
  { heading: 'CALLS', member: 'calls' },
  { heading: 'SINCE', member: 'since' },
  { heading: 'EXPIRES', member: 'expiresAt', wide: true },
  { heading: 'INSTANCE', member: 'instance', wide: true },
];

/** Shows links between gateways. */
export const linksVerb = listVerb({
  name: 'links',
  summary: 'show links between gateways',
  path: '/v1/links',
  columns: COLUMNS,
});

/** `jumpgate imports`: peers' services as seen here. */
import { listVerb } from './list-verb.ts';
import { type Column } from './output.ts';

const COLUMNS: readonly Column[] = [
  { heading: 'NAME', member: 'name' },
  { heading: 'PEER', member: 'peer' },
  { heading: 'EXPORT', member: 'export' },
  { heading: 'STATE', member: 'state' },
  { heading: 'PROTOCOL', member: 'protocol' },
  { heading: 'HOSTS', member: 'hosts' },
  { heading: 'ORIGIN', member: 'origin', wide: true },
];

/** Shows peers' services as seen here. */
export const importsVerb = listVerb({
  name: 'imports',
  summary: "show peers' services as seen here",
  path: '/v1/imports',
  columns: COLUMNS,
});

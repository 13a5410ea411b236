/** `jumpgate imports`: peers' services as seen here. */
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { type Column, formatOf, print, table } from './output.ts';
import { LIVE_OPTIONS, type Verb } from './verb.ts';

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
export const importsVerb: Verb = {
  name: 'imports',
  summary: "show peers' services as seen here",
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: LIVE_OPTIONS,
  run: async (context) => {
    formatOf(context);
    const rows = await (await openClient(context)).ask('GET', '/v1/imports');
    print(context, rows, (wide) => table(rows, COLUMNS, wide));
    return EXIT.ok;
  },
};

/** `jumpgate links`: links between gateways. */
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { type Column, formatOf, print, table } from './output.ts';
import { LIVE_OPTIONS, type Verb } from './verb.ts';

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
export const linksVerb: Verb = {
  name: 'links',
  summary: 'show links between gateways',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: LIVE_OPTIONS,
  run: async (context) => {
    formatOf(context);
    const rows = await (await openClient(context)).ask('GET', '/v1/links');
    print(context, rows, (wide) => table(rows, COLUMNS, wide));
    return EXIT.ok;
  },
};

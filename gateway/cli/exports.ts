/** `jumpgate exports`: the services of this mesh that peers may call. */
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { type Column, formatOf, print, table } from './output.ts';
import { LIVE_OPTIONS, type Verb } from './verb.ts';

const COLUMNS: readonly Column[] = [
  { heading: 'NAME', member: 'name' },
  { heading: 'PROTOCOL', member: 'protocol' },
  { heading: 'PEERS', member: 'peers' },
  { heading: 'ACKNOWLEDGED', member: 'acknowledgedBy' },
  { heading: 'BACKENDS', member: 'backends', wide: true },
  { heading: 'ORIGIN', member: 'origin', wide: true },
];

/** Shows the services of this mesh that peers may call. */
export const exportsVerb: Verb = {
  name: 'exports',
  summary: 'show the services of this mesh that peers may call',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: LIVE_OPTIONS,
  run: async (context) => {
    formatOf(context);
    const rows = await (await openClient(context)).ask('GET', '/v1/exports');
    print(context, rows, (wide) => table(rows, COLUMNS, wide));
    return EXIT.ok;
  },
};

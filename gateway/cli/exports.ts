/** `jumpgate exports`: the services of this mesh that peers may call. */
import { listVerb } from './list-verb.ts';
import { type Column } from './output.ts';

const COLUMNS: readonly Column[] = [
  { heading: 'NAME', member: 'name' },
  { heading: 'PROTOCOL', member: 'protocol' },
  { heading: 'PEERS', member: 'peers' },
  { heading: 'ACKNOWLEDGED', member: 'acknowledgedBy' },
  { heading: 'BACKENDS', member: 'backends', wide: true },
  { heading: 'ORIGIN', member: 'origin', wide: true },
];

/** Shows the services of this mesh that peers may call. */
export const exportsVerb = listVerb({
  name: 'exports',
  summary: 'show the services of this mesh that peers may call',
  path: '/v1/exports',
  columns: COLUMNS,
});

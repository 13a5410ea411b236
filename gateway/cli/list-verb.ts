/** A verb that shows one list of a running gateway as a table: what `exports`, `imports`, `links` and `bundles` share. */
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { type Column, formatOf, print, table } from './output.ts';
import { LIVE_OPTIONS, type Verb } from './verb.ts';

/** What tells one list from another. */
export interface ListVerb {
  readonly name: string;
  readonly summary: string;
  /** Route of the admin API. */
  readonly path: string;
  readonly columns: readonly Column[];
  /** The lines to show of what came; default what came. */
  readonly rowsOf?: (items: unknown) => unknown;
}

/** Makes the verb. */
export function listVerb({ name, summary, path, columns, rowsOf }: ListVerb): Verb {
  return {
    name,
    summary,
    operands: '',
    operandsMin: 0,
    operandsMax: 0,
    options: LIVE_OPTIONS,
    run: async (context) => {
      formatOf(context);
      const items = await (await openClient(context)).ask('GET', path);
      print(context, items, (wide) => table(rowsOf === undefined ? items : rowsOf(items), columns, wide));
      return EXIT.ok;
    },
  };
}

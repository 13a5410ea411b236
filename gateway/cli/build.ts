/** Which build this is: the version of the package around this file. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { textOf } from './output.ts';

/** Version of Jumpgate and of the Node that runs it. */
export interface Build {
  readonly version: string;
  readonly node: string;
}

/** From a checkout the package is two folders up, from a compiled package (`dist/`) three. */
const PLACES = ['../../package.json', '../../../package.json'] as const;

/** Reads it. Throws if the package is not whole. */
export function readBuild(): Build {
  const failures: string[] = [];
  for (const place of PLACES) {
    try {
      const description = parseJson(readFileSync(join(import.meta.dirname, place)));
      if (textOf(description, 'name') === 'jumpgate')
        return { version: textOf(description, 'version'), node: process.version };
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  throw new Error(`no package.json of jumpgate around ${import.meta.dirname}: ${failures.join('; ')}`);
}

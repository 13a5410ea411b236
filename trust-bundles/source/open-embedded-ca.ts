/** Opens the embedded CA of a directory, or makes it. */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { JumpgateError } from '../../base/errors.ts';
import { readRootSet } from '../rotation/root-file.ts';
import { type EmbeddedCa, type EmbeddedCaOptions } from './embedded.ts';
import { checkSvidTtl, FileCa } from './file-ca.ts';

/** In the directory of the CA. */
export const EMBEDDED_CA_FILE = 'embedded-ca.json';
const DIRECTORY_MODE = 0o700;

/**
 * Opens the CA in `directory`, with a first root when there is none. Throws `key-permissions`, `ca-state-damaged`,
 * `ca-state-newer`, `ca-state-missing`, `ca-trust-domain` and `svid-ttl`.
 */
export async function openEmbeddedCa(options: EmbeddedCaOptions): Promise<EmbeddedCa> {
  const ttlMs = options.svidTtlMs;
  if (ttlMs !== undefined) checkSvidTtl(ttlMs);
  await mkdir(options.directory, { recursive: true, mode: DIRECTORY_MODE });
  const path = join(options.directory, EMBEDDED_CA_FILE);
  const stored = await readRootSet(path, options.trustDomain);
  if (stored === undefined && options.mustExist === true) {
    const message = `expected the embedded CA in ${path}, found none, although this mesh has run before: restore it from a backup, or start with an empty state directory and join its peers anew`;
    throw new JumpgateError('ca-state-missing', message, { source: 'config' });
  }
  if (stored === undefined) await chmod(options.directory, DIRECTORY_MODE);
  const ca = new FileCa(path, options, stored);
  await ca.start();
  return ca;
}

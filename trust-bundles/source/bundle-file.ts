/** A bootstrap bundle from a file: a SPIFFE bundle document, bound to the trust domain that the configuration names. */
import { readFile } from 'node:fs/promises';

import { JumpgateError, messageOf } from '../../base/errors.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { readBundleDocument } from '../bundle/document.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';

/** Reads the bundle of `trustDomain`. Throws `bundle-file` (source config), which names the file. */
export async function readBundleFile(path: string, trustDomain: TrustDomain): Promise<Bundle> {
  try {
    return readBundleDocument(await readFile(path), trustDomain).bundle;
  } catch (cause) {
    throw new JumpgateError('bundle-file', `expected a SPIFFE bundle in ${path}: ${messageOf(cause)}`, {
      source: 'config',
      cause,
    });
  }
}

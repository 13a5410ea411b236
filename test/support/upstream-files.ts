/** An upstream CA in files, for an embedded CA below it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { privateKeyToPem, certificatesToPem } from '../../trust-bundles/x509/pem.ts';
import { type UpstreamFiles } from '../../trust-bundles/source/upstream.ts';
import { type CertificateOverrides, type TestAuthority, testRoot } from './certificates.ts';

/** What stands in the files; without `bundle` there is no such file. */
export interface UpstreamContents {
  readonly authority: TestAuthority;
  /** Above it, in the file of the chain. */
  readonly chain?: readonly Uint8Array[];
  readonly bundle?: readonly Uint8Array[];
}

/** A root of an enterprise, without an identity, that lives for `lifeMs` from `nowMs`. */
export function enterpriseRoot(nowMs: number, lifeMs: number, overrides: CertificateOverrides = {}): TestAuthority {
  const dates = { notBeforeMs: nowMs - 600_000, notAfterMs: nowMs + lifeMs };
  return testRoot('us.test', { ...dates, uris: [], commonName: 'Example Corporation Root', ...overrides });
}

/** Writes them into `directory`, which is made for its owner alone. */
export async function writeUpstream(
  directory: string,
  { authority, bundle, chain }: UpstreamContents,
): Promise<UpstreamFiles> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const put = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text, { mode: 0o600 });
    return join(directory, name);
  };
  const certificateFile = await put('ca.pem', certificatesToPem([authority.certificate]));
  const keyFile = await put('ca-key.pem', privateKeyToPem(authority.key));
  const chainFile = chain && (await put('chain.pem', certificatesToPem(chain)));
  const bundleFile = bundle && (await put('bundle.pem', certificatesToPem(bundle)));
  return { certificateFile, keyFile, chainFile, bundleFile, keyReadableBy: 'owner' };
}

/** An identity in files, written as Kubernetes mounts a secret: three links through `..data`, which is swapped whole. */
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { writeBundleDocument } from '../../trust-bundles/bundle/document.ts';
import { type IdentityFiles } from '../../trust-bundles/source/files.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { bundleOf, pem, type TestDomain } from './trust.ts';

/** What the three files hold. */
export interface IdentityTexts {
  readonly svid: string;
  readonly key: string;
  readonly bundle: string;
}

/** The texts of an SVID of `domain`. */
export function identityTexts(domain: TestDomain, svid: X509Svid): IdentityTexts {
  const { cert, key } = pem(svid);
  return { svid: cert, key, bundle: writeBundleDocument(bundleOf(domain.trustDomain, [domain.root])) };
}

/** Files that change together. */
export interface IdentityMount {
  readonly files: IdentityFiles;
  /** Swaps all three at once. */
  swap(texts: IdentityTexts): void;
}

/** Mounts them in `directory`. */
export function mountIdentity(directory: string, first: IdentityTexts): IdentityMount {
  let version = 0;
  const swap = (texts: IdentityTexts): void => {
    version += 1;
    const folder = `..v${version}`;
    mkdirSync(join(directory, folder));
    for (const [name, text] of Object.entries(texts))
      writeFileSync(join(directory, folder, `${name}.pem`), String(text), { mode: 0o600 });
    symlinkSync(folder, join(directory, '..next'));
    renameSync(join(directory, '..next'), join(directory, '..data'));
  };
  swap(first);
  const path = (name: string): string => {
    const link = join(directory, `${name}.pem`);
    symlinkSync(join('..data', `${name}.pem`), link);
    return link;
  };
  const files = { svid: path('svid'), key: path('key'), bundle: path('bundle'), keyReadableBy: 'owner' } as const;
  return { files, swap };
}

/** Files of keys, certificates and bundles that somebody else writes: read in bounds, keys from owners alone, and watched. */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

import { type WatchOptions, watchDirectory } from '../../base/config/watch.ts';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { type Bundle } from '../bundle/bundle.ts';
import { readBundleDocument, x509Authority } from '../bundle/document.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { certificatesFromPem } from '../x509/pem.ts';

/** Who may read a key file: its owner alone, or its group too, as volumes of Kubernetes with an fsGroup are. */
export type KeyReaders = 'owner' | 'group';

const FILE_BYTES_MAX = 1024 * 1024;
/** Whoever may write where the key lies can put another in its place, unless only owners may rename there. */
const STICKY = 0o1000;
/** Bits that may not be set, by who may read the key. */
const FORBIDDEN = {
  owner: { file: 0o077, directory: 0o022 },
  group: { file: 0o027, directory: 0o002 },
} as const;

/** The text of the file at `path`; `what` it is, for messages. Throws `identity-file` (source config). */
export function readTrustFile(path: string, what: string): Promise<string> {
  return readWhole(path, what, () => Promise.resolve());
}

/** As {@link readTrustFile}, of a file that nobody but `readers` may read or replace. Throws `key-permissions` too. */
export function readKeyFile(path: string, what: string, readers: KeyReaders): Promise<string> {
  return readWhole(path, what, (file) => checkMode(file, path, readers));
}

/** The authorities of a bundle's text: JSON begins with a brace, PEM with anything else. Throws what their readers throw. */
export function readAuthorities(
  text: string,
  path: string,
  trustDomain: TrustDomain,
): Pick<Bundle, 'x509Authorities' | 'jwtAuthorities'> {
  if (!/^\s*\{/.test(text)) {
    const authorities = certificatesFromPem(text, path).map((der) => x509Authority(der));
    const unique = new Map(authorities.map((authority) => [authority.fingerprint, authority]));
    return { x509Authorities: [...unique.values()], jwtAuthorities: [] };
  }
  const { x509Authorities, jwtAuthorities } = readBundleDocument(text, trustDomain).bundle;
  return { x509Authorities, jwtAuthorities };
}

/** Calls `onQuiet` after a change of any of the `paths`, also through swapped mounts, until disposed of. */
export async function watchFiles(
  options: Omit<WatchOptions, 'directory' | 'relevant'> & { readonly paths: readonly string[] },
): Promise<AsyncDisposable> {
  const { paths, ...watch } = options;
  await using held = new AsyncDisposableStack();
  for (const directory of new Set(paths.map((path) => dirname(path)))) {
    const names = new Set(paths.filter((path) => dirname(path) === directory).map((path) => basename(path)));
    held.use(await watchDirectory({ ...watch, directory, relevant: (name) => names.has(name) }));
  }
  return held.move();
}

/** Of the very file that is read, not of a path that may change in between. */
async function checkMode(file: FileHandle, path: string, readers: KeyReaders): Promise<void> {
  const forbidden = FORBIDDEN[readers];
  const { mode } = await file.stat();
  if ((mode & forbidden.file) !== 0) {
    const wanted = readers === 'owner' ? '0600 (or 0640 with keyReadableBy: group)' : '0640 or less';
    const message = `expected mode ${wanted} on ${path}, which holds a private key, found ${octal(mode)}: close it, and renew the key if others could read it`;
    throw new JumpgateError('key-permissions', message, { source: 'config' });
  }
  const directory = await stat(dirname(path));
  if ((directory.mode & forbidden.directory) === 0 || (directory.mode & STICKY) !== 0) return;
  const message = `expected the directory of ${path} to be writable for its owner alone, found mode ${octal(directory.mode)}: others could replace the key`;
  throw new JumpgateError('key-permissions', message, { source: 'config' });
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}

async function readWhole(path: string, what: string, check: (file: FileHandle) => Promise<void>): Promise<string> {
  try {
    await using file = await open(path, 'r');
    await check(file);
    const { size } = await file.stat();
    if (size === 0 || size > FILE_BYTES_MAX)
      throw new Error(`expected 1 to ${FILE_BYTES_MAX} bytes in ${path}, found ${size}`);
    return await file.readFile('utf8');
  } catch (cause) {
    if (cause instanceof JumpgateError) throw cause;
    const found = codeOf(cause) === 'ENOENT' ? `no such file: ${path}` : messageOf(cause);
    throw new JumpgateError('identity-file', `cannot read ${what}: ${found}`, { source: 'config', cause });
  }
}

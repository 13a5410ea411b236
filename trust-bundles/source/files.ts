/** Our identity from files that somebody else renews (cert-manager, a sidecar, Vault): PEM chain, key, and bundle. */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

import { type Clock } from '../../base/clock.ts';
import { watchDirectory } from '../../base/config/watch.ts';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { Lifetime } from '../../base/lifetime.ts';
import { type Logger } from '../../base/log.ts';
import { readBundleDocument, x509Authority } from '../bundle/document.ts';
import { type SpiffeId, trustDomainOf } from '../identity/spiffe-id.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { certificatesFromPem, privateKeyFromPem } from '../x509/pem.ts';
import { HeldIdentity } from './held-identity.ts';
import { type IdentitySource } from './identity-source.ts';
import { type OfferedIdentity } from './offered-identity.ts';
import { type OwnSequence } from './own-sequence.ts';

/** Where the files are. */
export interface IdentityFiles {
  /** PEM, leaf first, with its intermediates. */
  readonly svid: string;
  /** PEM, PKCS#8, not encrypted. */
  readonly key: string;
  /** A SPIFFE bundle document, or PEM. */
  readonly bundle: string;
  /** Who may read the key file: its owner alone, or its group too, as volumes of Kubernetes with an fsGroup are. */
  readonly keyReadableBy: 'owner' | 'group';
}

/** What the source needs. */
export interface FilesIdentityOptions {
  readonly files: IdentityFiles;
  readonly gatewayId: SpiffeId;
  readonly sequence: OwnSequence;
  readonly refreshHintSeconds: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long the files must be still, and how often they are looked at without being told; default as for documents. */
  readonly watch?: { readonly quietMs?: number; readonly pollMs?: number };
}

const FILE_BYTES_MAX = 1024 * 1024;
/** Whoever may write where the key lies can put another in its place, unless only owners may rename there. */
const STICKY = 0o1000;
/** Bits that may not be set, by who may read the key. */
const FORBIDDEN = {
  owner: { file: 0o077, directory: 0o022 },
  group: { file: 0o027, directory: 0o002 },
} as const;

/**
 * Follows the files. A pair that does not fit, or that does not verify with its own bundle, changes nothing: the last
 * good one is held until it ends, and the next change of a file is another chance. Never throws on their account.
 */
export async function openFilesIdentity(options: FilesIdentityOptions): Promise<IdentitySource> {
  const { clock, files, gatewayId, log } = options;
  const lifetime = new Lifetime((task, error) => log.error('own identity task failed', { task, error }));
  const held = new HeldIdentity({ kind: 'files', from: files.svid, ...options });
  lifetime.use(held);
  let looking: Promise<void> = Promise.resolve();
  const look = (): Promise<void> => {
    looking = looking.then(async () => {
      try {
        await held.take(await readOffer(files, trustDomainOf(gatewayId)));
      } catch (error) {
        held.failed(error);
      }
    });
    return looking;
  };
  const names = new Map<string, Set<string>>();
  for (const path of [files.svid, files.key, files.bundle]) {
    const directory = dirname(path);
    names.set(directory, (names.get(directory) ?? new Set()).add(basename(path)));
  }
  for (const [directory, relevant] of names) {
    const onQuiet = (): void => void look();
    const isOurs = (name: string): boolean => relevant.has(name);
    lifetime.use(await watchDirectory({ directory, relevant: isOurs, onQuiet, clock, ...options.watch }));
  }
  await look();
  return {
    svid: held.svid,
    bundle: () => held.bundle(),
    status: () => held.status(),
    watch: (listener) => held.watch(listener),
    [Symbol.asyncDispose]: async () => {
      await lifetime[Symbol.asyncDispose]();
      await looking;
    },
  };
}

/** Reads all three. Throws `key-permissions`, `identity-file`, `pem-malformed`, `bundle-malformed`, `authority-unusable` (source config). */
async function readOffer(files: IdentityFiles, trustDomain: TrustDomain): Promise<OfferedIdentity> {
  const chain = await readWhole(files.svid, 'svid');
  const key = await readWhole(files.key, 'key', (file) => checkMode(file, files));
  const bundle = await readWhole(files.bundle, 'bundle');
  return {
    chain: certificatesFromPem(chain, files.svid),
    key: privateKeyFromPem(key, files.key),
    ...authoritiesOf(bundle, files.bundle, trustDomain),
  };
}

/** JSON begins with a brace, PEM with anything else. */
function authoritiesOf(
  text: string,
  path: string,
  trustDomain: TrustDomain,
): Pick<OfferedIdentity, 'x509Authorities' | 'jwtAuthorities'> {
  if (!/^\s*\{/.test(text)) {
    const authorities = certificatesFromPem(text, path).map((der) => x509Authority(der));
    const unique = new Map(authorities.map((authority) => [authority.fingerprint, authority]));
    return { x509Authorities: [...unique.values()], jwtAuthorities: [] };
  }
  const { x509Authorities, jwtAuthorities } = readBundleDocument(text, trustDomain).bundle;
  return { x509Authorities, jwtAuthorities };
}

/** Of the very file that is read, not of a path that may change in between. */
async function checkMode(file: FileHandle, { key, keyReadableBy }: IdentityFiles): Promise<void> {
  const forbidden = FORBIDDEN[keyReadableBy];
  const { mode } = await file.stat();
  if ((mode & forbidden.file) !== 0) {
    const wanted = keyReadableBy === 'owner' ? '0600 (or 0640 with keyReadableBy: group)' : '0640 or less';
    const message = `expected mode ${wanted} on ${key}, which holds a private key, found ${octal(mode)}: close it, and renew the key if others could read it`;
    throw new JumpgateError('key-permissions', message, { source: 'config' });
  }
  const directory = await stat(dirname(key));
  if ((directory.mode & forbidden.directory) === 0 || (directory.mode & STICKY) !== 0) return;
  const message = `expected the directory of ${key} to be writable for its owner alone, found mode ${octal(directory.mode)}: others could replace the key`;
  throw new JumpgateError('key-permissions', message, { source: 'config' });
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}

async function readWhole(
  path: string,
  what: string,
  check: (file: FileHandle) => Promise<void> = () => Promise.resolve(),
): Promise<string> {
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
    throw new JumpgateError('identity-file', `cannot read the ${what} of identity.files: ${found}`, {
      source: 'config',
      cause,
    });
  }
}

/** Our identity from files that somebody else renews (cert-manager, a sidecar, Vault): PEM chain, key, and bundle. */
import { type Clock } from '../../base/clock.ts';
import { Lifetime } from '../../base/lifetime.ts';
import { type Logger } from '../../base/log.ts';
import { type SpiffeId, trustDomainOf } from '../identity/spiffe-id.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';
import { certificatesFromPem, privateKeyFromPem } from '../x509/pem.ts';
import { HeldIdentity } from './held-identity.ts';
import { type IdentitySource } from './identity-source.ts';
import { type OfferedIdentity } from './offered-identity.ts';
import { type OwnSequence } from './own-sequence.ts';
import { type KeyReaders, readAuthorities, readKeyFile, readTrustFile, watchFiles } from './trust-files.ts';

/** Where the files are. */
export interface IdentityFiles {
  /** PEM, leaf first, with its intermediates. */
  readonly svid: string;
  /** PEM, PKCS#8, not encrypted. */
  readonly key: string;
  /** A SPIFFE bundle document, or PEM. */
  readonly bundle: string;
  /** Who may read the key file: its owner alone, or its group too, as volumes of Kubernetes with an fsGroup are. */
  readonly keyReadableBy: KeyReaders;
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
  const paths = [files.svid, files.key, files.bundle];
  lifetime.use(await watchFiles({ paths, onQuiet: () => void look(), clock, ...options.watch }));
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
  const chain = await readTrustFile(files.svid, 'the svid of identity.files');
  const key = await readKeyFile(files.key, 'the key of identity.files', files.keyReadableBy);
  const bundle = await readTrustFile(files.bundle, 'the bundle of identity.files');
  return {
    chain: certificatesFromPem(chain, files.svid),
    key: privateKeyFromPem(key, files.key),
    ...readAuthorities(bundle, files.bundle, trustDomain),
  };
}

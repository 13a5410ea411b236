/** Opens the source of identity that the Mesh document names. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { type Clock } from '../../base/clock.ts';
import { type Logger } from '../../base/log.ts';
import { type MeshSpec } from '../../federation/resources/values.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { sharedAuthority } from '../../trust-bundles/bundle/merge.ts';
import { readRootSet } from '../../trust-bundles/rotation/root-file.ts';
import { type EmbeddedCa } from '../../trust-bundles/source/embedded.ts';
import { EMBEDDED_CA_FILE, openEmbeddedCa } from '../../trust-bundles/source/open-embedded-ca.ts';
import { openFilesIdentity } from '../../trust-bundles/source/files.ts';
import { type IdentitySource } from '../../trust-bundles/source/identity-source.ts';
import { openUpstream } from '../../trust-bundles/source/upstream-source.ts';
import { openWorkloadApiIdentity } from '../../trust-bundles/source/workload-api.ts';
import { OwnSequence, type OwnSequenceOptions, readOwnSequence } from '../../trust-bundles/source/own-sequence.ts';
import { type TrustDomain } from '../../trust-bundles/identity/trust-domain.ts';

/** Who we are, and what only an embedded CA can do. */
export interface OpenIdentity {
  readonly identity: IdentitySource;
  /** The same as `identity` where it is the embedded CA, which can issue and rotate. */
  readonly ca: EmbeddedCa | undefined;
}

/** What opening needs beside the document. */
export interface OpenIdentityOptions {
  /** This mesh has run here before, so that an embedded CA that is not there has been lost. */
  readonly mustExist: boolean;
  /** SPIFFE_ENDPOINT_SOCKET, where the document names no socket. */
  readonly endpointSocket: string | undefined;
  /** Those of the peers' trust domains, as far as they are known: our roots may stand in none of them. */
  readonly bundles: () => ReadonlyMap<TrustDomain, Bundle>;
  readonly clock: Clock;
  readonly log: Logger;
}

const SEQUENCE_FILE = 'own-bundle.json';

/** Throws what {@link openUpstream}, {@link openEmbeddedCa} and {@link openWorkloadApiIdentity} throw. Other sources may have nothing to give yet. */
export async function openIdentity(spec: MeshSpec, options: OpenIdentityOptions): Promise<OpenIdentity> {
  const { clock, log } = options;
  const { gatewayId, identity: from, trustDomain } = spec;
  const { refreshHintSeconds } = spec.listeners.bundle;
  const shared = { gatewayId, refreshHintSeconds, clock, log };
  const path = join(from.directory, SEQUENCE_FILE);
  // The sequence goes on when the source changes: peers refuse a bundle that is older than the one they hold.
  const other = await readOwnSequence(path, log);
  const last = other ?? 0n;
  switch (from.kind) {
    case 'embedded': {
      const { directory, svidTtlMs, rootTtlMs } = from;
      const ownerOf = (bundle: Bundle): TrustDomain | undefined => sharedAuthority(bundle, options.bundles().values());
      await using held = new AsyncDisposableStack();
      const above = { trustDomain, ownerOf, clock, log };
      const upstream = from.upstream && held.use(await openUpstream({ files: from.upstream, ...above }));
      // Without one, but after another source, it is a new one that is meant; peers have to accept its bundle.
      const mustExist = options.mustExist && other === undefined;
      const made = { directory, svidTtlMs, rootTtlMs, mustExist, trustDomain, sequenceAbove: last, upstream };
      const ca = await openEmbeddedCa({ ...shared, ...made });
      held.move();
      await rm(path, { force: true });
      return { identity: ca, ca };
    }
    case 'files': {
      const sequence = await sequenceAfter({ path, last, clock, log }, from.directory, trustDomain);
      return { identity: await openFilesIdentity({ ...shared, files: from.files, sequence }), ca: undefined };
    }
    case 'workloadApi': {
      const sequence = await sequenceAfter({ path, last, clock, log }, from.directory, trustDomain);
      const { hint, socket = options.endpointSocket } = from;
      return { identity: openWorkloadApiIdentity({ ...shared, socket, hint, sequence }), ca: undefined };
    }
    default:
      return from satisfies never;
  }
}

/** Above what an embedded CA has published from here before, as far as its file can be read. */
async function sequenceAfter(
  options: OwnSequenceOptions,
  directory: string,
  trustDomain: TrustDomain,
): Promise<OwnSequence> {
  const embedded = await readRootSet(join(directory, EMBEDDED_CA_FILE), trustDomain).catch(() => undefined);
  const published = embedded?.sequence ?? 0n;
  return new OwnSequence({ ...options, last: published > options.last ? published : options.last });
}

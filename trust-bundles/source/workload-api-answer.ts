/** What a SPIFFE Workload API answers about our X.509-SVIDs, read into an offer of identity (SPIFFE Workload API §5). */
import { createPrivateKey, type KeyObject } from 'node:crypto';

import { DerReader, derTag } from '../../base/der.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { type X509Authority } from '../bundle/bundle.ts';
import { x509Authority } from '../bundle/document.ts';
import { type SpiffeId } from '../identity/spiffe-id.ts';
import { type X509SVID, type X509SVIDResponse } from '../workload-api-proto/generated/workload-api_pb.js';
import { type OfferedIdentity } from './offered-identity.ts';

/** Which SVID of several is meant. */
export interface SvidChoice {
  readonly gatewayId: SpiffeId;
  /** By hint instead of by ID. */
  readonly hint: string | undefined;
}

/** What an answer means: an identity, or that the one that is meant is not ours any more. */
export type WorkloadApiAnswer =
  | { readonly kind: 'offer'; readonly offer: OfferedIdentity }
  | { readonly kind: 'redacted'; readonly error: JumpgateError };

/** A workload has a handful of identities; what is beyond is not meant for us. */
const SVIDS_MAX = 256;
/** As many as verification takes; a longer chain is refused there, this only bounds the reading. */
const CHAIN_CERTIFICATES_MAX = 16;
/** As many as a bundle may hold. */
const BUNDLE_CERTIFICATES_MAX = 256;
/** RSA-4096 in PKCS#8 is 2.4 KB. */
const KEY_OCTETS_MAX = 16 * 1024;

/**
 * Chooses our SVID by its hint, else by the gateway ID. An answer without any SVID, or with a mandatory field left
 * empty, is discarded: throws `workload-api-message` (source local), also for what is no DER. `redacted` is an answer
 * that has SVIDs, but not ours.
 */
export function readAnswer({ svids }: X509SVIDResponse, choice: SvidChoice): WorkloadApiAnswer {
  if (svids.length === 0) throw unreadable('expected at least one SVID, found none');
  if (svids.length > SVIDS_MAX) throw unreadable(`expected at most ${SVIDS_MAX} SVIDs, found ${svids.length}`);
  for (const svid of svids) checkComplete(svid);
  const { gatewayId, hint } = choice;
  // The first of those with the same hint counts (§8).
  const chosen = svids.find((svid) => (hint === undefined ? svid.spiffeId === gatewayId : svid.hint === hint));
  if (chosen === undefined) return { kind: 'redacted', error: redaction(svids, choice) };
  if (chosen.spiffeId !== gatewayId) return { kind: 'redacted', error: redaction([chosen], choice) };
  return {
    kind: 'offer',
    offer: {
      chain: certificatesOf(chosen.x509Svid, 'x509_svid', CHAIN_CERTIFICATES_MAX),
      key: keyOf(chosen.x509SvidKey),
      x509Authorities: authoritiesOf(chosen.bundle),
      jwtAuthorities: [],
    },
  };
}

function checkComplete({ spiffeId, x509Svid, x509SvidKey, bundle }: X509SVID): void {
  const fields = { spiffe_id: spiffeId, x509_svid: x509Svid, x509_svid_key: x509SvidKey, bundle };
  const empty = Object.entries(fields).find(([, value]) => value.length === 0);
  if (empty !== undefined) throw unreadable(`expected ${empty[0]} in every SVID, found it empty`);
}

function redaction(svids: readonly X509SVID[], { gatewayId, hint }: SvidChoice): JumpgateError {
  const found = svids.slice(0, 4).map(({ spiffeId }) => JSON.stringify(spiffeId.slice(0, 200)));
  const meant = hint === undefined ? gatewayId : `${gatewayId} with hint ${JSON.stringify(hint)}`;
  const message = `expected the SVID of ${meant}, the Workload API gives ${found.join(', ')}: register it there, or set gatewayId of the Mesh`;
  return new JumpgateError('svid-redacted', message, { source: 'config' });
}

/** Concatenated DER (§5.2.1), each one whole. */
function certificatesOf(bytes: Uint8Array, what: string, max: number): readonly Uint8Array[] {
  try {
    const reader = new DerReader(bytes, what);
    const certificates: Uint8Array[] = [];
    while (!reader.done) {
      if (certificates.length >= max) throw new Error(`expected at most ${max} certificates`);
      certificates.push(new Uint8Array(reader.next(derTag.sequence).whole));
    }
    return certificates;
  } catch (cause) {
    throw unreadable(`expected concatenated DER certificates in ${what}, found: ${messageOf(cause)}`, cause);
  }
}

/** As in a bundle document, an authority that could vouch for nothing is passed over. */
function authoritiesOf(bytes: Uint8Array): readonly X509Authority[] {
  const usable = new Map<string, X509Authority>();
  for (const der of certificatesOf(bytes, 'bundle', BUNDLE_CERTIFICATES_MAX)) {
    try {
      const authority = x509Authority(der);
      usable.set(authority.fingerprint, authority);
    } catch (error) {
      if (!(error instanceof JumpgateError)) throw error;
    }
  }
  return [...usable.values()];
}

/** Never shows what it was given. */
function keyOf(der: Uint8Array): KeyObject {
  if (der.length > KEY_OCTETS_MAX) throw unreadable(`expected at most ${KEY_OCTETS_MAX} octets in x509_svid_key`);
  try {
    return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
  } catch {
    throw unreadable('expected an unencrypted PKCS#8 key in x509_svid_key');
  }
}

function unreadable(message: string, cause?: unknown): JumpgateError {
  return new JumpgateError('workload-api-message', message, { source: 'local', cause });
}

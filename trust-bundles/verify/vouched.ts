/** What is kept for a bundle: its anchors made ready, and the chains that it has vouched for. */
import { hash } from 'node:crypto';

import { type Bundle } from '../bundle/bundle.ts';
import { type SpiffeId } from '../identity/spiffe-id.ts';
import { Anchors } from './authority.ts';
import { type PresenterRole } from './purpose.ts';

/** What a chain proved, apart from when it is looked at. */
export interface ChainProof {
  readonly id: SpiffeId;
  readonly anchorFingerprint: string;
  /** The latest notBefore and the earliest notAfter of the path, milliseconds since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Of every certificate that was sent, and of the anchor; lower-case hex SHA-256. */
  readonly keyFingerprints: readonly string[];
}

/** About a kilobyte each, so that a peer with many SVIDs costs us a megabyte; more than a mesh has workloads that dial anew at once. */
const PROOFS_MAX = 1_024;

/**
 * What one bundle has vouched for. Only chains that held are in it, so nobody else's certificates push them out; each
 * bundle has its own, so no peer pushes another's out. The value of a bundle never changes: a rotated bundle starts empty.
 */
export class Vouched {
  readonly anchors: Anchors;
  readonly #proofs = new Map<string, ChainProof>();

  constructor(bundle: Bundle) {
    this.anchors = new Anchors(bundle);
  }

  /** What the chain under this key proved. */
  find(key: string): ChainProof | undefined {
    return this.#proofs.get(key);
  }

  /** Keeps it; the one that has been here longest goes. */
  keep(key: string, proof: ChainProof): void {
    this.#proofs.delete(key);
    this.#proofs.set(key, proof);
    if (this.#proofs.size <= PROOFS_MAX) return;
    for (const oldest of this.#proofs.keys()) {
      this.#proofs.delete(oldest);
      return;
    }
  }
}

/** A memo by identity of an immutable value: it changes no answer, and goes when the bundle goes. */
const VOUCHED = new WeakMap<Bundle, Vouched>();

/** What is kept for `bundle`. */
export function vouchedBy(bundle: Bundle): Vouched {
  let vouched = VOUCHED.get(bundle);
  if (vouched === undefined) {
    vouched = new Vouched(bundle);
    VOUCHED.set(bundle, vouched);
  }
  return vouched;
}

/** SHA-256 over the chain; the lengths keep one that is cut elsewhere apart. */
export function chainKey(chain: readonly Uint8Array[], role: PresenterRole): string {
  return `${role} ${chain.map((der) => der.length).join(' ')} ${hash('sha256', Buffer.concat(chain), 'base64')}`;
}

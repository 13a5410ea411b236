/** An X.509-SVID with its private key: who we are. */
import { type KeyObject } from 'node:crypto';

import { type SpiffeId } from '../identity/spiffe-id.ts';

/** A certificate chain and its key. */
export interface X509Svid {
  readonly id: SpiffeId;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  readonly key: KeyObject;
  /** Validity of the leaf, milliseconds since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Where our own SVID comes from; it changes at every rotation. */
export interface SvidSource {
  current(): X509Svid;
  /** Calls `listener` after each change, until disposed of. */
  watch(listener: (svid: X509Svid) => void): Disposable;
}

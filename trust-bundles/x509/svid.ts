/** An X.509-SVID with its private key: who we are. */
import { type KeyObject } from 'node:crypto';

import { JumpgateError } from '../../base/errors.ts';
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
  /** `undefined` while there is none: not yet, expired, or taken back by whoever issues it. */
  current(): X509Svid | undefined;
  /** Calls `listener` after each change, until disposed of. */
  watch(listener: (svid: X509Svid | undefined) => void): Disposable;
}

/** The SVID in use. Throws `no-svid` (source local, retry later) while there is none. */
export function heldSvid(source: SvidSource): X509Svid {
  const svid = source.current();
  if (svid !== undefined) return svid;
  throw new JumpgateError(
    'no-svid',
    'expected an SVID of this gateway to show, found none: "jumpgate status" says what its source waits for',
    { source: 'local', retry: 'later' },
  );
}

/** Where this gateway's own identity comes from: its SVID, and the bundle of its trust domain. */
import { type Bundle } from '../bundle/bundle.ts';
import { type SvidSource } from '../x509/svid.ts';

/** The kinds of source, as configuration names them. */
export type IdentitySourceKind = 'embedded' | 'files' | 'workloadApi';

/** What changed: the SVID (also when it went), or the bundle. */
export type IdentityChange = 'svid' | 'bundle';

/** Why the newest that a source offers is not in use. */
export interface IdentityProblem {
  readonly code: string;
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
}

/** How a source stands, for people and metrics. */
export interface IdentityStatus {
  readonly kind: IdentitySourceKind;
  /** A directory, a file or an address. */
  readonly from: string;
  /** `undefined` when the last look at the source went well. */
  readonly problem: IdentityProblem | undefined;
  /** The CA above an embedded one: its file, and the end of it or of what stands above it, milliseconds since 1970. */
  readonly upstream?: { readonly from: string; readonly notAfterMs: number };
}

/** An open source of identity. */
export interface IdentitySource extends AsyncDisposable {
  readonly svid: SvidSource;
  /** The bundle of our trust domain; `undefined` until it is known. Sequence as an issuer's: never the same for two contents, never lower. */
  bundle(): Bundle | undefined;
  status(): IdentityStatus;
  /** Calls `listener` after each change, until disposed of. */
  watch(listener: (change: IdentityChange) => void): Disposable;
}

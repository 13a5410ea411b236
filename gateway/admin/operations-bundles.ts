/** What the admin API says of trust bundles: plain JSON values, as in `operations`. */

/** The bundle of one trust domain, ours or a peer's. */
export interface BundleStatus {
  readonly trustDomain: string;
  /** Peer name, or `self`. */
  readonly peer: string;
  readonly sequence: string | null;
  readonly authorities: readonly {
    /** SHA-256 over the DER, lower-case hex. */
    readonly fingerprint: string;
    readonly notAfter: string;
    /**
     * Of our embedded CA: `active` signs now; `published` only verifies (a root to come, or one that goes). Of all others
     * it says no more than that they are published.
     */
    readonly state: 'active' | 'published';
  }[];
  /** Keys that sign JWT-SVIDs. Of a peer's they say no more than that they are published. */
  readonly jwtKeys: readonly {
    readonly keyId: string;
    /** `prepared` signs next, `active` now, `retired` no more. */
    readonly state: 'prepared' | 'active' | 'retired' | 'published';
    readonly publishedAt: string | null;
    readonly notAfter: string | null;
  }[];
  /** The earliest end of an authority. */
  readonly notAfter: string | null;
  /** How it comes here: `link`, `https_spiffe` or `https_web`, from `endpoint`; `null` for our own. */
  readonly profile: string | null;
  readonly endpoint: string | null;
  /** The trust domain whose bundle authenticates the endpoint; `null` where the CAs of the web do. */
  readonly authenticatedBy: string | null;
  /** When it was last obtained or confirmed, also before this start. */
  readonly fetchedAt: string | null;
  readonly nextFetchAt: string | null;
  readonly staleAt: string | null;
  readonly stale: boolean;
  /** Keys of the last document that were passed over. */
  readonly ignoredKeys: number;
  /** Code of the refusal, if the last offer was refused. */
  readonly refused: string | null;
  /** The last fetch's failure; `null` when it succeeded. */
  readonly message: string | null;
}

/** What tells one bundle of a domain from another. */
export interface BundleSummary {
  readonly sequence: string | null;
  /** Of the roots. */
  readonly fingerprints: readonly string[];
}

/** What an operator changed by hand. */
export interface BundleChange {
  readonly peer: string;
  readonly trustDomain: string;
  readonly action: 'accept' | 'import';
  readonly before: BundleSummary | null;
  readonly after: BundleSummary;
}

/** What the admin API tells of the gateway's own identity. */

/** Where the gateway's own identity comes from, and how it stands. */
export interface OwnIdentityStatus {
  readonly source: 'embedded' | 'files' | 'workloadApi';
  /** A file, or an address. */
  readonly from: string;
  /** The CA above an embedded one; `null` where there is none. */
  readonly upstream: {
    /** The file of its certificate. */
    readonly from: string;
    /** Of it, or of what stands above it. */
    readonly expiresAt: string;
  } | null;
  /** End of the SVID in use; `null` while there is none. */
  readonly expiresAt: string | null;
  /** Why it is not the newest, or why there is none; `null` when all is well. */
  readonly message: string | null;
}

/** What the admin API tells of the gateway's own identity. */

/** Where the gateway's own identity comes from, and how it stands. */
export interface OwnIdentityStatus {
  readonly source: 'embedded' | 'files' | 'workloadApi';
  /** A file, or an address. */
  readonly from: string;
  /** End of the SVID in use; `null` while there is none. */
  readonly expiresAt: string | null;
  /** Why it is not the newest, or why there is none; `null` when all is well. */
  readonly message: string | null;
}

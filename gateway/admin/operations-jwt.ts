/** What the admin API says of JWT-SVIDs and the keys that sign them: plain JSON values, as in `operations`. */

/** Which token to issue. */
export interface JwtSvidRequest {
  readonly id: string;
  /** Whom it is for. */
  readonly audience: readonly string[];
  /** Default 300. */
  readonly ttlSeconds?: number;
}

/** A fresh token: whoever holds it can use it. Never logged. */
export interface IssuedJwtSvid {
  readonly id: string;
  readonly token: string;
  readonly expiresAt: string;
}

/** A token as somebody presented it, and the name of whoever validates it. */
export interface JwtSvidValidation {
  readonly token: string;
  readonly audience: string;
}

/** What the bundles that this gateway believes say of a token. */
export type JwtSvidVerdict =
  | {
      readonly verdict: 'valid';
      readonly id: string;
      readonly audience: readonly string[];
      readonly expiresAt: string;
      /** SHA-256 over SubjectPublicKeyInfo, lower-case hex. */
      readonly keyFingerprint: string;
      /** All of them; integers beyond 2^53 are decimal strings. */
      readonly claims: Readonly<Record<string, unknown>>;
    }
  | { readonly verdict: 'refused'; readonly code: string; readonly message: string };

/** Where a rotation of the JWT key stands. */
export interface JwtRotationStatus {
  readonly activeKeyId: string;
  /** `null` where the one that was published has just begun to sign. */
  readonly nextKeyId: string | null;
  /** When the next key begins to sign. */
  readonly nextSignsAt: string | null;
  /** Of the bundle that publishes it. */
  readonly sequence: string;
}

/** What a running gateway can be asked and told about JWT-SVIDs. */
export interface JwtOperations {
  /** Throws `no-embedded-ca`, `spiffe-id-malformed`, and what `JwtIssuer` throws. */
  issueJwtSvid(request: JwtSvidRequest): Promise<IssuedJwtSvid>;
  validateJwtSvid(request: JwtSvidValidation): Promise<JwtSvidVerdict>;
  /** Publishes the next JWT key, which signs by itself when the peers have had time for it. Throws `too-many-jwt-keys`. */
  rotateJwtKey(): Promise<JwtRotationStatus>;
}

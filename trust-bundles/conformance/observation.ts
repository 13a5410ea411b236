/** What was seen of a bundle endpoint, as plain values: the sockets are elsewhere, so that judging is pure. */
import { type SpiffeId } from '../identity/spiffe-id.ts';
import { type TrustDomain } from '../identity/trust-domain.ts';

/** Something that was tried. `code` is that of the error, `reason` its text, which may be the server's. */
export type Attempt<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed'; readonly code: string; readonly reason: string };

/** A whole response. */
export interface HttpAnswer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Uint8Array;
}

/** Handshakes that offered one thing each; what was agreed, such as `TLSv1.3 TLS_AES_128_GCM_SHA256`. */
export interface Handshakes {
  readonly tls13: Attempt<string>;
  /** With the suites of Mozilla's intermediate list only. */
  readonly tls12: Attempt<string>;
  /** TLS 1.0 and 1.1. */
  readonly older: Attempt<string>;
  /** TLS 1.2 with suites that are not in that list. */
  readonly weak: Attempt<string>;
}

/** What is wrong with a certificate of the web; `undefined` where nothing is. */
export interface WebProof {
  /** It does not name the host. */
  readonly host: string | undefined;
  /** `unknown-issuer` is a CA that is not among those asked for; every other code is a fault of the chain itself. */
  readonly chain: { readonly unknownIssuer: boolean; readonly reason: string } | undefined;
  /** Whether the CAs were named, or are those of this machine. */
  readonly authoritiesNamed: boolean;
}

/** One GET without a client certificate. */
export interface Visit {
  readonly url: string;
  /** The certificates shown, DER, leaf first. */
  readonly chain: Attempt<readonly Uint8Array[]>;
  readonly answer: Attempt<HttpAnswer>;
}

/** Whose document is expected, and who is expected to serve it. */
export interface ExpectedEndpoint {
  readonly profile: 'https_web' | 'https_spiffe';
  readonly trustDomain: TrustDomain;
  /** Of https_spiffe; without one any ID of `trustDomain` will do. */
  readonly spiffeId: SpiffeId | undefined;
  /** A bundle document that vouches for the server; without one the document that it serves has to. */
  readonly bundle: Uint8Array | undefined;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** Everything that was seen. */
export interface EndpointObservation extends ExpectedEndpoint {
  readonly handshakes: Handshakes;
  /** Of https_web. */
  readonly web: WebProof | undefined;
  /** The URL, then where redirects led. */
  readonly visits: readonly [Visit, ...Visit[]];
  /** The same again later, oldest first. */
  readonly later: readonly Visit[];
  /** A POST. */
  readonly post: Attempt<HttpAnswer>;
}

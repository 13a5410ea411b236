/** What a TLS listener or dialler hands on: sockets whose handshake is over, with what is known about their peer. */
import { type TLSSocket } from 'node:tls';

import { type Verification, type VerifiedIdentity } from '../verify/verified-identity.ts';

/** A connection whose peer has proved an identity. Nothing has been read from or written to `socket` yet. */
export interface VerifiedConnection {
  readonly socket: TLSSocket;
  readonly identity: VerifiedIdentity;
  readonly alpn: string;
  /** Address of the peer, without port; empty on a Unix socket. */
  readonly remoteAddress: string;
}

/** A connection whose peer has proved nothing: the caller of a listener that asks for no client certificate. */
export interface StrangerConnection {
  readonly socket: TLSSocket;
  /** `undefined` when the client offered none. */
  readonly alpn: string | undefined;
  /** The host name that the client asked for by SNI, lower-case. */
  readonly serverName: string | undefined;
  /** Address of the peer, without port; empty on a Unix socket. */
  readonly remoteAddress: string;
}

/** Judges a chain (DER, leaf first). Synchronous, because nothing may be read from the socket before the verdict. */
export type ChainVerifier = (chain: readonly Uint8Array[]) => Verification;

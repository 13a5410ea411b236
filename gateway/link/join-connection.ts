/** A stranger's connection that wants to join, wherever its TLS ends. */
import { type Duplex } from 'node:stream';

import { type StrangerConnection } from '../../trust-bundles/tls/connection.ts';
import { peerChain, type PeerChain } from '../../trust-bundles/tls/peer-chain.ts';
import { type VerificationFailure } from '../../trust-bundles/verify/verified-identity.ts';

/** What an invite's server needs to know of it. */
export interface JoinConnection {
  /** Nothing has been read from it that is not in it. */
  readonly socket: Duplex;
  /** The certificates that the stranger showed, whose key it has, but which nobody has verified. */
  readonly peer: PeerChain | VerificationFailure;
}

/** Of a connection whose TLS ends in this process. */
export function joinOf({ socket }: StrangerConnection): JoinConnection {
  return { socket, peer: peerChain(socket) };
}

/** The gRPC method of the control stream and the metadata around it, for both sides. Messages cross as bytes: frames are read by `frame`. */
import { timingSafeEqual } from 'node:crypto';

/** Proves to either side that the other is this gateway's own process. */
export const TOKEN_FIELD = 'jumpgate-token';
/** Name of the peer, added by the engine. */
export const PEER_FIELD = 'jumpgate-peer';
/** Instance of the peer: added by the engine on the way in, named by the client on the way out. */
export const INSTANCE_FIELD = 'jumpgate-peer-instance';
/** What the authority of a call to a peer ends in, on the local socket. */
export const PEERING_AUTHORITY_SUFFIX = '.peering.jumpgate';

/** Whether `shown` is `token`; the time that it takes tells nothing of where they differ. */
export function isSameToken(shown: string | undefined, token: string): boolean {
  const left = Buffer.from(shown ?? '');
  const right = Buffer.from(token);
  return left.length === right.length && timingSafeEqual(left, right);
}

/** The method, as grpc-js wants it described. */
export const SYNC_METHOD = {
  path: '/jumpgate.peering.v1.Peering/Sync',
  requestStream: true,
  responseStream: true,
  requestSerialize: (bytes: Buffer): Buffer => bytes,
  requestDeserialize: (bytes: Buffer): Buffer => bytes,
  responseSerialize: (bytes: Buffer): Buffer => bytes,
  responseDeserialize: (bytes: Buffer): Buffer => bytes,
} as const;

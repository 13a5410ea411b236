/** What the calls of a link hand on when they are tunnels: a CONNECT whose caller is known and that is no loop. */
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type RequestHead } from '../message/head.ts';
import { type ServerStream, type StreamReceiver } from '../message/stream.ts';

/** A CONNECT of a link. */
export interface AskedTunnel {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  /** The caller has nothing to send. */
  readonly end: boolean;
  /** Of the trust domain that the link proved. */
  readonly caller: SpiffeId;
  /** Name of the peer. */
  readonly peer: string;
  /** Gateway ID of the peer. */
  readonly gateway: SpiffeId;
  readonly snapshot: Snapshot;
}

/** Who takes tunnels. */
export interface InboundTunnels {
  /** Answers through the stream, now or later, and is told what else comes. */
  open(asked: AskedTunnel): StreamReceiver;
}

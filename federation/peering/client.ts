/** The opening side of control streams: grpc-js calling the gateway's own engine over a Unix socket. */
import { Client, credentials, Metadata } from '@grpc/grpc-js';

import { FRAME_BYTES_MAX } from './frame.ts';
import { frameStream, type FrameStream } from './frame-stream.ts';
import { INSTANCE_FIELD, PEERING_AUTHORITY_SUFFIX, SYNC_METHOD, TOKEN_FIELD } from './service.ts';

/** Where the engine serves, and what it wants to see. */
export interface PeeringClientOptions {
  readonly socketPath: string;
  readonly token: string;
}

/** Opens control streams. */
export interface PeeringClient extends Disposable {
  /** Starts a stream to one instance of a peer; that it cannot be reached shows when it is read. */
  open(peer: string, instance: string): FrameStream;
}

/** A client on the engine's socket. It connects when the first stream is opened. */
export function createPeeringClient(options: PeeringClientOptions): PeeringClient {
  const client = new Client(`unix:${options.socketPath}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': FRAME_BYTES_MAX,
    'grpc.enable_retries': 0,
    // Channels of other gateways in this process (tests, the demo) are none of ours.
    'grpc.use_local_subchannel_pool': 1,
    // The supervisor does the waiting; a second backoff underneath would add to it.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
  });
  return {
    open: (peer, instance) => {
      const metadata = new Metadata();
      metadata.set(TOKEN_FIELD, options.token);
      metadata.set(INSTANCE_FIELD, instance);
      const { path, requestSerialize, responseDeserialize } = SYNC_METHOD;
      const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, {
        host: `${peer}${PEERING_AUTHORITY_SUFFIX}`,
      });
      return frameStream(call, () => call.cancel());
    },
    [Symbol.dispose]: () => client.close(),
  };
}

/** The accepting side of control streams: grpc-js behind the gateway's own engine, on a Unix socket. */
import { rm } from 'node:fs/promises';

import { Server, ServerCredentials, status, type Metadata, type ServerDuplexStream } from '@grpc/grpc-js';

import { JumpgateError } from '../../base/errors.ts';
import { FRAME_BYTES_MAX } from './frame.ts';
import { frameStream, type FrameStream } from './frame-stream.ts';
import { INSTANCE_FIELD, isSameToken, PEER_FIELD, SYNC_METHOD, TOKEN_FIELD } from './service.ts';

/** Streams of all peers at once; the engine limits each peer far below this. */
const STREAMS_MAX = 1_000;

/** Where to serve, and what a caller must show. */
export interface PeeringServerOptions {
  readonly socketPath: string;
  readonly token: string;
  /** Takes a stream from an instance of a registered peer, both as the engine proved them. */
  readonly onStream: (peer: string, instance: string, stream: FrameStream) => void;
}

/** Serves `jumpgate.peering.v1.Peering`. Disposing of it cuts every stream. Throws `listen-failed`. */
export async function servePeering(options: PeeringServerOptions): Promise<AsyncDisposable> {
  const server = new Server({
    'grpc.max_receive_message_length': FRAME_BYTES_MAX,
    'grpc.max_concurrent_streams': STREAMS_MAX,
  });
  const sync = (call: ServerDuplexStream<Buffer, Buffer>): void => {
    const peer = sole(call.metadata, PEER_FIELD);
    const instance = sole(call.metadata, INSTANCE_FIELD);
    if (!isSameToken(sole(call.metadata, TOKEN_FIELD), options.token) || peer === undefined || instance === undefined) {
      call.emit('error', { code: status.UNAUTHENTICATED, details: 'not this gateway' });
      return;
    }
    const cut = (): void => {
      call.emit('error', { code: status.ABORTED, details: 'the session is over' });
    };
    options.onStream(peer, instance, frameStream(call, cut));
  };
  server.addService({ sync: SYNC_METHOD }, { sync });
  // The directory is ours alone, so this was left by a process of ours that has crashed.
  await rm(options.socketPath, { force: true });
  await bind(server, options.socketPath);
  return {
    [Symbol.asyncDispose]: async () => {
      server.forceShutdown();
    },
  };
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (cause) => {
      if (cause === null) resolve();
      else
        reject(
          new JumpgateError('listen-failed', `cannot listen on ${path}: ${cause.message}`, { source: 'local', cause }),
        );
    });
  });
}

function sole(metadata: Metadata, name: string): string | undefined {
  const values = metadata.get(name);
  const [value] = values;
  return values.length === 1 && typeof value === 'string' ? value : undefined;
}

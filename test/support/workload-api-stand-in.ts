/** A SPIFFE Workload API by hand: it says what a test tells it to, however wrong. */
import { join } from 'node:path';

import { Server, ServerCredentials, type ServerWritableStream, status } from '@grpc/grpc-js';
import { create } from '@bufbuild/protobuf';

import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import {
  type X509SVIDRequest,
  type X509SVIDResponse,
  X509SVIDResponseSchema,
  X509SVIDSchema,
} from '../../trust-bundles/workload-api-proto/generated/workload-api_pb.js';
import { FETCH_X509_SVID } from '../../trust-bundles/workload-api-proto/methods.ts';
import { temporaryDirectory } from './temporary-directory.ts';
import { type TestDomain } from './trust.ts';

type Stream = ServerWritableStream<X509SVIDRequest, X509SVIDResponse>;

/** One SVID of a message, with what a test wants to be wrong with it. */
export type SvidFields = Parameters<typeof create<typeof X509SVIDSchema>>[1];

/** The stand-in. */
export interface WorkloadApiStandIn extends AsyncDisposable {
  /** `unix:///…`. */
  readonly socket: string;
  /** The metadata of each call so far. */
  readonly calls: Readonly<Record<string, unknown>>[];
  /** What each new call is answered with at once. */
  onCall: (stream: Stream) => void;
  /** Open calls. */
  streams(): number;
  /** Says it on every open call, and to whoever calls later. */
  say(...svids: SvidFields[]): void;
  /** Ends every open call like this. */
  end(code: status, details?: string): void;
}

/** The fields of an SVID as a well-behaved server fills them. */
export function svidFields(domain: TestDomain, svid: X509Svid, hint = ''): NonNullable<SvidFields> & object {
  return {
    spiffeId: svid.id,
    x509Svid: Buffer.concat(svid.chain),
    x509SvidKey: svid.key.export({ type: 'pkcs8', format: 'der' }),
    bundle: Buffer.from(domain.root.certificate),
    hint,
  };
}

/** Serves on a Unix socket of its own; every call waits until something is said. */
export async function standInWorkloadApi(): Promise<WorkloadApiStandIn> {
  const room = temporaryDirectory();
  const path = join(room.path, 'api.sock');
  const server = new Server();
  const open = new Set<Stream>();
  const calls: Readonly<Record<string, unknown>>[] = [];
  const api: WorkloadApiStandIn = {
    socket: `unix://${path}`,
    calls,
    onCall: () => undefined,
    streams: () => open.size,
    say: (...svids) => {
      const message = create(X509SVIDResponseSchema, { svids: svids.map((svid) => create(X509SVIDSchema, svid)) });
      api.onCall = (stream) => void stream.write(message);
      for (const stream of open) stream.write(message);
    },
    end: (code, details = '') => {
      for (const stream of [...open]) {
        open.delete(stream);
        if (code === status.OK) stream.end();
        else stream.emit('error', { code, details });
      }
    },
    [Symbol.asyncDispose]: async () => {
      server.forceShutdown();
      room[Symbol.dispose]();
    },
  };
  server.addService(
    { fetchX509SVID: FETCH_X509_SVID },
    {
      fetchX509SVID: (stream: Stream) => {
        calls.push(stream.metadata.getMap());
        open.add(stream);
        stream.on('cancelled', () => open.delete(stream));
        api.onCall(stream);
      },
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  return api;
}

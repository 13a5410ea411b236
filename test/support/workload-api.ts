/** A Workload API socket of a test's own trust domain, and a client by hand that speaks to it. */
import { join } from 'node:path';

import { Client, credentials, Metadata, status } from '@grpc/grpc-js';

import { silentLog } from '../../base/log.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { parseSpiffeId, type SpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { issueJwtSvid } from '../../trust-bundles/jwt/issue.ts';
import {
  serveWorkloadApi,
  type WorkloadApiLimits,
  type WorkloadApiServer,
} from '../../trust-bundles/serve/workload-api.ts';
import { workloadRpcs } from '../../trust-bundles/serve/workload/rpcs.ts';
import { SvidRotation } from '../../trust-bundles/serve/workload/svid-rotation.ts';
import { issueSvid } from '../../trust-bundles/x509/issue.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { jwtBundle, jwkOf, type TestJwtKey, testJwtKey } from './jwt.ts';
import { ManualClock } from './manual-clock.ts';
import { temporaryDirectory } from './temporary-directory.ts';
import { testDomain, type TestDomain } from './trust.ts';

/** Of the SVIDs that a test's socket issues. */
export const TTL_MS = 20 * 60_000;
/** Every change has been told this much later. */
export const SPREAD_MS = 2_000;

/** What a test changes while the socket is served; `changed` tells the socket. */
export interface WorkloadRig extends AsyncDisposable {
  readonly path: string;
  readonly id: SpiffeId;
  readonly clock: ManualClock;
  readonly own: TestDomain;
  readonly jwtKey: TestJwtKey;
  readonly server: WorkloadApiServer;
  readonly issued: X509Svid[];
  federated: readonly Bundle[];
  ownBundle: Bundle;
  refusal: string | undefined;
  /** Of others: as the above. */
  refused: ReadonlySet<string>;
  signer: string;
  /** Thrown instead of issuing. */
  failure: Error | undefined;
  tainted: ReadonlySet<string>;
  changed(): void;
}

/** What may be another way. */
export interface WorkloadRigOptions {
  readonly hint?: string;
  readonly jwt?: boolean;
  readonly limits?: Partial<WorkloadApiLimits>;
}

const LIMITS: WorkloadApiLimits = { connectionsMax: 64, streamsMax: 256, requestsPerSecondMax: 500 };

/** Serves a workload of `us.test`. */
export async function serveTestWorkload(options: WorkloadRigOptions = {}): Promise<WorkloadRig> {
  const room = temporaryDirectory();
  const clock = new ManualClock();
  const own = testDomain('us.test', clock.now());
  const jwtKey = testJwtKey('us-1');
  const { jwtAuthorities } = jwtBundle('us.test', [jwkOf(jwtKey)]);
  const id = parseSpiffeId('spiffe://us.test/ns/shop/sa/web');
  const listeners = new Set<() => void>();
  const watch = (listener: () => void): Disposable => {
    const entry = (): void => listener();
    listeners.add(entry);
    return { [Symbol.dispose]: () => void listeners.delete(entry) };
  };
  const issued: X509Svid[] = [];
  const path = join(room.path, 'api.sock');
  const state = {
    federated: [] as readonly Bundle[],
    ownBundle: { ...own.bundle, jwtAuthorities },
    refusal: undefined as string | undefined,
    refused: new Set<string>() as ReadonlySet<string>,
    signer: 'first',
    failure: undefined as Error | undefined,
    tainted: new Set<string>() as ReadonlySet<string>,
  };
  const issue = (): X509Svid => {
    if (state.failure !== undefined) throw state.failure;
    const svid = issueSvid({ root: own.root, id, nowMs: clock.now(), ttlMs: TTL_MS });
    issued.push(svid);
    return svid;
  };
  const svid = new SvidRotation({ issue, signer: () => state.signer, watch }, clock);
  const trust = {
    own: () => state.ownBundle,
    federated: () => state.federated,
    tainted: () => state.tainted,
    refusal: (asked: SpiffeId) =>
      asked === id ? state.refusal : state.refused.has(asked) ? 'it is quarantined' : undefined,
    watch,
  };
  const mint = (audience: readonly string[]): ReturnType<typeof issueJwtSvid> => {
    const { keyId, privateKey: key } = jwtKey;
    return issueJwtSvid({ key, keyId, id, audience, nowMs: clock.now(), ttlMs: 300_000 });
  };
  const rpcs = workloadRpcs({ id, hint: options.hint, svid, trust }, options.jwt === false ? undefined : mint, clock);
  const server = await serveWorkloadApi({
    socket: { path, mode: 0o600, uid: undefined, gid: undefined },
    rpcs,
    limits: { ...LIMITS, ...options.limits },
    clock,
    log: silentLog,
  });
  return Object.assign(state, {
    path,
    id,
    clock,
    own,
    jwtKey,
    server,
    issued,
    changed: () => {
      for (const listener of [...listeners]) listener();
    },
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      svid[Symbol.dispose]();
      room[Symbol.dispose]();
    },
  });
}

interface Wire<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (message: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** How a call ended: the name of its status, and what the server said of it. */
export interface CallEnd {
  readonly status: string;
  readonly message: string;
}

/** A stream as a test reads it. */
export interface ReadStream<Response> {
  /** The next message; rejects when the stream ends first. */
  next(): Promise<Response>;
  /** How it ended. */
  readonly ended: Promise<CallEnd>;
  cancel(): void;
}

/** A caller at a socket. */
export interface WorkloadCaller extends Disposable {
  /** Asks one after another on one stream, and ends it behind the last answer. */
  exchange<Request, Response>(
    wire: Wire<Request, Response>,
    requests: readonly Request[],
  ): Promise<readonly Response[]>;
  unary<Request, Response>(wire: Wire<Request, Response>, request: Request): Promise<Response>;
  stream<Request, Response>(wire: Wire<Request, Response>, request: Request): ReadStream<Response>;
}

/** Calls with the header that the specification demands, unless another is given. */
export function callWorkloadApi(
  path: string,
  header: Readonly<Record<string, string>> = { 'workload.spiffe.io': 'true' },
): WorkloadCaller {
  const client = new Client(`unix:${path}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    'grpc.max_send_message_length': -1,
  });
  const metadata = (): Metadata => {
    const fields = new Metadata();
    for (const [name, value] of Object.entries(header)) fields.set(name, value);
    return fields;
  };
  return {
    unary: (wire, request) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          wire.path,
          wire.requestSerialize,
          wire.responseDeserialize,
          request,
          metadata(),
          (error, value) => {
            if (error !== null) reject(new Error(endText({ status: nameOf(error.code), message: error.details })));
            else if (value !== undefined) resolve(value);
          },
        );
      }),
    stream: (wire, request) =>
      readStream(
        client.makeServerStreamRequest(wire.path, wire.requestSerialize, wire.responseDeserialize, request, metadata()),
      ),
    exchange: <Request, Response>(
      { path: method, requestSerialize, responseDeserialize }: Wire<Request, Response>,
      requests: readonly Request[],
    ) =>
      new Promise<readonly Response[]>((resolve, reject) => {
        const call = client.makeBidiStreamRequest(method, requestSerialize, responseDeserialize, metadata());
        const replies: Response[] = [];
        call.on('data', (reply: Response) => replies.push(reply));
        call.on('error', reject);
        call.on('end', () => resolve(replies));
        for (const request of requests) call.write(request);
        call.end();
      }),
    [Symbol.dispose]: () => client.close(),
  };
}

/** How an end is compared in tests. */
export function endText({ status: name, message }: CallEnd): string {
  return `${name}: ${message}`;
}

interface Readable<Response> {
  on(event: 'data', listener: (message: Response) => void): unknown;
  on(event: 'error', listener: () => void): unknown;
  on(event: 'status', listener: (end: { code: number; details: string }) => void): unknown;
  cancel(): void;
}

function readStream<Response>(call: Readable<Response>): ReadStream<Response> {
  const arrived: Response[] = [];
  const waiting: PromiseWithResolvers<Response>[] = [];
  const ended = Promise.withResolvers<CallEnd>();
  call.on('data', (message) => {
    const first = waiting.shift();
    if (first === undefined) arrived.push(message);
    else first.resolve(message);
  });
  call.on('error', () => undefined);
  call.on('status', ({ code, details }) => {
    const end = { status: nameOf(code), message: details };
    ended.resolve(end);
    for (const each of waiting) each.reject(new Error(endText(end)));
  });
  return {
    next: () => {
      const first = arrived.shift();
      if (first !== undefined) return Promise.resolve(first);
      const later = Promise.withResolvers<Response>();
      waiting.push(later);
      return later.promise;
    },
    ended: ended.promise,
    cancel: () => call.cancel(),
  };
}

function nameOf(code: number): string {
  return status[code] ?? String(code);
}

/** Our identity from a SPIFFE Workload API, such as that of a SPIRE agent: one stream, each message the whole state. */
import { randomInt } from 'node:crypto';

import { Client, type ClientReadableStream, credentials, Metadata, status } from '@grpc/grpc-js';
import { create } from '@bufbuild/protobuf';

import { backoffMs, type BackoffOptions } from '../../base/backoff.ts';
import { type Clock, sleep } from '../../base/clock.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { Lifetime } from '../../base/lifetime.ts';
import { type Logger } from '../../base/log.ts';
import { type SpiffeId } from '../identity/spiffe-id.ts';
import { type X509SVIDResponse, X509SVIDRequestSchema } from '../workload-api-proto/generated/workload-api_pb.js';
import { FETCH_X509_SVID, SECURITY_HEADER } from '../workload-api-proto/methods.ts';
import { HeldIdentity } from './held-identity.ts';
import { type IdentitySource } from './identity-source.ts';
import { type OwnSequence } from './own-sequence.ts';
import { readWorkloadApiAddress, WORKLOAD_API_ADDRESS, type WorkloadApiAddress } from './workload-api-address.ts';
import { readAnswer } from './workload-api-answer.ts';

/** What the source needs. */
export interface WorkloadApiIdentityOptions {
  /** `unix:///…` or `tcp://IP:PORT`. */
  readonly socket: string | undefined;
  readonly gatewayId: SpiffeId;
  readonly hint: string | undefined;
  readonly sequence: OwnSequence;
  readonly refreshHintSeconds: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Between attempts that fail. Default 500 ms to 30 s. */
  readonly backoff?: BackoffOptions;
}

/** What gRPC allows by itself: bundles of many federated domains come in the same message. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
const BACKOFF: BackoffOptions = { minMs: 500, maxMs: 30_000 };
/** A server that ends every stream after its first message is no reason to ask without end. */
const LIVED_MS = 1_000;
const RANDOM_STEPS = 2 ** 32;

/** How a stream ended. */
interface StreamEnd {
  readonly code: status;
  readonly details: string;
  /** Whether it said something that was of use, and lived. */
  readonly heard: boolean;
}

/**
 * ```
 * connecting ──message──> open ──ends──> connecting (at once)
 *     │  └──unavailable, denied (and then nothing is used any more)──> waiting ──back-off──> connecting
 *     └──invalid argument, unimplemented──> stopped
 * ```
 * Follows the stream until disposed of. A message that cannot be used is discarded and reported, and what was held is
 * held on (SPIFFE Workload API §4.5). Throws `workload-api-address` (source config).
 */
export function openWorkloadApiIdentity(options: WorkloadApiIdentityOptions): IdentitySource {
  const { log, socket } = options;
  const address = socket === undefined ? undefined : readWorkloadApiAddress(socket);
  if (address === undefined) {
    const found = socket === undefined ? 'neither that nor SPIFFE_ENDPOINT_SOCKET' : JSON.stringify(socket);
    const message = `expected identity.workloadApi.socket as ${WORKLOAD_API_ADDRESS}, found ${found}`;
    throw new JumpgateError('workload-api-address', message, { source: 'config' });
  }
  const lifetime = new Lifetime((task, error) => log.error('own identity task failed', { task, error }));
  const held = new HeldIdentity({ kind: 'workloadApi', from: socket ?? '', ...options });
  lifetime.use(held);
  const client = clientOf(address);
  lifetime.use({ [Symbol.dispose]: () => client.close() });
  lifetime.run('workload api', (signal) => follow({ ...options, client, held, signal }));
  return {
    svid: held.svid,
    bundle: () => held.bundle(),
    status: () => held.status(),
    watch: (listener) => held.watch(listener),
    [Symbol.asyncDispose]: () => lifetime[Symbol.asyncDispose](),
  };
}

interface Following extends WorkloadApiIdentityOptions {
  readonly client: Client;
  readonly held: HeldIdentity;
  readonly signal: AbortSignal;
}

async function follow(following: Following): Promise<void> {
  const { backoff = BACKOFF, clock, held, log, signal } = following;
  let failures = 0;
  const isOver = (): boolean => signal.aborted;
  while (!isOver()) {
    const end = await stream(following);
    if (isOver()) return;
    const error = errorOf(end);
    if (end.code === status.INVALID_ARGUMENT || end.code === status.UNIMPLEMENTED) {
      held.failed(error);
      log.error('the workload api is not asked again', { code: error.code, reason: error.message });
      return;
    }
    if (end.code === status.PERMISSION_DENIED) held.withdraw(error);
    else if (end.code !== status.OK) held.failed(error);
    // A stream that worked is opened again at once; one that ends before it says anything is a failure, however politely.
    failures = end.heard ? 0 : failures + 1;
    if (failures === 0) continue;
    const random = (): number => randomInt(RANDOM_STEPS) / RANDOM_STEPS;
    await sleep(clock, backoffMs(failures - 1, backoff, random), signal).catch(() => undefined);
  }
}

/** One stream, to its end. */
async function stream(following: Following): Promise<StreamEnd> {
  const { client, clock, signal } = following;
  const metadata = new Metadata();
  metadata.set(SECURITY_HEADER.name, SECURITY_HEADER.value);
  const { path, requestSerialize, responseDeserialize } = FETCH_X509_SVID;
  const request = create(X509SVIDRequestSchema);
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, metadata);
  const cancel = (): void => call.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  let heard = false;
  const sinceMs = clock.monotonic();
  const isLong = (): boolean => clock.monotonic() - sinceMs >= LIVED_MS;
  try {
    for await (const message of messagesOf(call)) {
      if (await isTaken(following, message)) heard = true;
    }
    return { code: status.OK, details: '', heard: heard && isLong() };
  } catch (error) {
    return { ...statusOf(error), heard: heard && isLong() };
  } finally {
    signal.removeEventListener('abort', cancel);
    call.cancel();
  }
}

function messagesOf(call: ClientReadableStream<X509SVIDResponse>): AsyncIterable<X509SVIDResponse> {
  // A cancelled call may fail once more when nobody reads it any longer.
  call.on('error', () => undefined);
  return call;
}

async function isTaken({ gatewayId, held, hint }: Following, message: X509SVIDResponse): Promise<boolean> {
  try {
    const answer = readAnswer(message, { gatewayId, hint });
    if (answer.kind === 'redacted') held.withdraw(answer.error);
    else await held.take(answer.offer);
    return true;
  } catch (error) {
    held.failed(error);
    return false;
  }
}

function statusOf(error: unknown): Pick<StreamEnd, 'code' | 'details'> {
  const code =
    error instanceof Error && 'code' in error ? Object.values(status).find((each) => each === error.code) : undefined;
  return { code: typeof code === 'number' ? code : status.UNKNOWN, details: messageOf(error).slice(0, 500) };
}

function errorOf({ code, details }: StreamEnd): JumpgateError {
  switch (code) {
    case status.PERMISSION_DENIED:
      return failure('workload-api-denied', `the Workload API knows no identity for this process: ${details}`);
    case status.INVALID_ARGUMENT:
    case status.UNIMPLEMENTED:
      return failure('workload-api-refused', `expected a SPIFFE Workload API, it refuses the question: ${details}`);
    default:
      return failure('workload-api-unavailable', `the Workload API gives no answer: ${details}`);
  }
}

function failure(code: string, message: string): JumpgateError {
  return new JumpgateError(code, message, { source: 'local', retry: 'later' });
}

function clientOf(address: WorkloadApiAddress): Client {
  const host = address.kind === 'tcp' && address.host.includes(':') ? `ipv6:[${address.host}]` : undefined;
  const target = address.kind === 'unix' ? `unix:${address.path}` : `${host ?? `ipv4:${address.host}`}:${address.port}`;
  return new Client(target, credentials.createInsecure(), {
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.enable_retries': 0,
    'grpc.enable_http_proxy': 0,
    // Channels of other gateways in this process (tests, the demo) are none of ours.
    'grpc.use_local_subchannel_pool': 1,
    // The loop above does the waiting; a second back-off underneath would add to it.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
  });
}

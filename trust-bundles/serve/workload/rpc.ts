/** What a socket of the Workload API answers, without a word of gRPC's machinery: the door translates. */
import { JumpgateError, messageOf } from '../../../base/errors.ts';

/** Status codes of gRPC that a caller is told (SPIFFE Workload Endpoint §6, Appendix A). */
export type RpcStatus =
  'invalid-argument' | 'not-found' | 'permission-denied' | 'unavailable' | 'unimplemented' | 'internal';

/** Why there is no answer. */
export interface Refused {
  readonly kind: 'refused';
  readonly status: RpcStatus;
  readonly message: string;
}

/** A message, or why there is none. */
export type Answer = { readonly kind: 'message'; readonly bytes: Uint8Array } | Refused;

/** A state that is told now, and again whenever it has changed. */
export interface Feed {
  /** The whole state; the same bytes object as long as it is the same state. */
  current(): Answer;
  /** Calls `listener` when `current` may have changed, until disposed of. */
  watch(listener: () => void): Disposable;
}

interface Method {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Of the Workload API, whose calls must say that they are meant (SPIFFE Workload Endpoint §3). */
  readonly needsHeader: boolean;
}

/** A method that answers: `unary` once, `exchange` each message of a stream. */
export interface AnsweringRpc extends Method {
  readonly kind: 'unary' | 'exchange';
  readonly answer: (request: Uint8Array) => Answer;
}

/** A method that keeps telling. */
export interface StreamRpc extends Method {
  readonly kind: 'stream';
  readonly open: (request: Uint8Array) => Feed | Refused;
}

/** A method. */
export type Rpc = AnsweringRpc | StreamRpc;

/** What of a method is needed to read requests and write answers. */
interface Wire<Request, Response> {
  readonly path: string;
  readonly requestDeserialize: (bytes: Uint8Array) => Request;
  readonly responseSerialize: (message: Response) => Uint8Array;
}

/** A refusal. */
export function refused(status: RpcStatus, message: string): Refused {
  return { kind: 'refused', status, message };
}

/** Whether it is one. */
export function isRefused(outcome: object): outcome is Refused {
  return 'kind' in outcome && outcome.kind === 'refused';
}

/**
 * What a caller is told of a failure: what it can mend itself is InvalidArgument, what another may mend in time Unavailable
 * (SPIFFE Workload Endpoint §6). Only failures that are the caller's own are described: the rest is for the log.
 */
export function failureOf(error: unknown): Refused {
  if (!(error instanceof JumpgateError)) return refused('internal', 'the server failed');
  if (error.source === 'caller') return refused('invalid-argument', messageOf(error));
  return refused('unavailable', 'the server cannot answer now');
}

/** A method that answers once. Bytes that are no request are InvalidArgument. */
export function unary<Request, Response extends object>(
  wire: Wire<Request, Response>,
  answer: (request: Request) => Response | Refused,
): AnsweringRpc {
  return {
    kind: 'unary',
    path: wire.path,
    needsHeader: true,
    answer: (bytes) => {
      const request = read(wire, bytes);
      if (isRefused(request)) return request;
      const outcome = answer(request.value);
      if (isRefused(outcome)) return outcome;
      return { kind: 'message', bytes: wire.responseSerialize(outcome) };
    },
  };
}

/** A method that keeps telling what `feedOf` the request tells. */
export function stream<Request>(wire: Wire<Request, never>, feedOf: (request: Request) => Feed | Refused): StreamRpc {
  return {
    kind: 'stream',
    path: wire.path,
    needsHeader: true,
    open: (bytes) => {
      const request = read(wire, bytes);
      return isRefused(request) ? request : feedOf(request.value);
    },
  };
}

function read<Request>(wire: Wire<Request, never>, bytes: Uint8Array): { readonly value: Request } | Refused {
  try {
    return { value: wire.requestDeserialize(bytes) };
  } catch {
    return refused('invalid-argument', `expected a request of ${wire.path}, found bytes that are none`);
  }
}

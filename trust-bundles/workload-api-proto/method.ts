/** Methods of protobuf services as grpc-js wants them described. */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';

/** A method: where it is called, and how its messages become bytes. Reading throws for bytes that are no such message. */
export interface WireMethod<RequestInit, Request, ResponseInit, Response> {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (message: RequestInit) => Buffer;
  readonly requestDeserialize: (bytes: Uint8Array) => Request;
  readonly responseSerialize: (message: ResponseInit) => Buffer;
  readonly responseDeserialize: (bytes: Uint8Array) => Response;
}

/** What of a generated method is needed. */
interface GeneratedMethod<Q extends DescMessage, R extends DescMessage> {
  readonly name: string;
  readonly parent: { readonly typeName: string };
  readonly methodKind: 'unary' | 'server_streaming' | 'client_streaming' | 'bidi_streaming';
  readonly input: Q;
  readonly output: R;
}

/** Describes a generated method. Messages to be written may leave out what has its default value. */
export function methodOf<Q extends DescMessage, R extends DescMessage>({
  name,
  parent,
  methodKind,
  input,
  output,
}: GeneratedMethod<Q, R>): WireMethod<MessageInitShape<Q>, MessageShape<Q>, MessageInitShape<R>, MessageShape<R>> {
  return {
    path: `/${parent.typeName}/${name}`,
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
    requestSerialize: (message) => Buffer.from(toBinary(input, create(input, message))),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(output, create(output, message))),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}

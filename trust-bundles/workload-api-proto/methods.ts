/** The methods of the SPIFFE Workload API as grpc-js wants them described, for both sides (SPIFFE Workload API §5.4, §6.4). */
import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';

import {
  JWTBundlesRequestSchema,
  JWTBundlesResponseSchema,
  JWTSVIDRequestSchema,
  JWTSVIDResponseSchema,
  SpiffeWorkloadAPI,
  ValidateJWTSVIDRequestSchema,
  ValidateJWTSVIDResponseSchema,
  X509BundlesRequestSchema,
  X509BundlesResponseSchema,
  X509SVIDRequestSchema,
  X509SVIDResponseSchema,
} from './generated/workload-api_pb.js';

/** Every call carries this field with this value, else it is none from a workload that meant it (SPIFFE Workload Endpoint §3). */
export const SECURITY_HEADER = { name: 'workload.spiffe.io', value: 'true' } as const;

/** A method: where it is called, and how its messages become bytes. Reading throws for bytes that are no such message. */
export interface WorkloadMethod<Request, Response> {
  readonly path: string;
  readonly requestStream: false;
  readonly responseStream: boolean;
  readonly requestSerialize: (message: Request) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Request;
  readonly responseSerialize: (message: Response) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** Streams the SVIDs of the caller, with bundles. */
export const FETCH_X509_SVID = method('fetchX509SVID', X509SVIDRequestSchema, X509SVIDResponseSchema);
/** Streams the X.509 bundles that the caller may know. */
export const FETCH_X509_BUNDLES = method('fetchX509Bundles', X509BundlesRequestSchema, X509BundlesResponseSchema);
/** Answers JWT-SVIDs for an audience. */
export const FETCH_JWT_SVID = method('fetchJWTSVID', JWTSVIDRequestSchema, JWTSVIDResponseSchema);
/** Streams the JWT bundles that the caller may know. */
export const FETCH_JWT_BUNDLES = method('fetchJWTBundles', JWTBundlesRequestSchema, JWTBundlesResponseSchema);
/** Answers whose JWT-SVID it is. */
export const VALIDATE_JWT_SVID = method('validateJWTSVID', ValidateJWTSVIDRequestSchema, ValidateJWTSVIDResponseSchema);

function method<Q extends DescMessage, R extends DescMessage>(
  name: keyof typeof SpiffeWorkloadAPI.method,
  request: Q,
  response: R,
): WorkloadMethod<MessageShape<Q>, MessageShape<R>> {
  const { methodKind, name: called } = SpiffeWorkloadAPI.method[name];
  return {
    path: `/${SpiffeWorkloadAPI.typeName}/${called}`,
    requestStream: false,
    responseStream: methodKind === 'server_streaming',
    requestSerialize: (message) => Buffer.from(toBinary(request, message)),
    requestDeserialize: (bytes) => fromBinary(request, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(response, message)),
    responseDeserialize: (bytes) => fromBinary(response, bytes),
  };
}

/** The demo's gRPC service and its client: `payments.v1.Payments`, unary and server streaming, over `google.protobuf.StringValue`. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import {
  Client,
  type ClientReadableStream,
  credentials,
  type Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  type ServerWritableStream,
  type ServiceError,
  status,
} from '@grpc/grpc-js';

import { type Clock } from '../../base/clock.ts';
import { type SampleService } from './http-services.ts';

/** How often `Watch` says that it lives. */
const TICK_MS = 100;

const serialize = (value: string): Buffer =>
  Buffer.from(toBinary(StringValueSchema, create(StringValueSchema, { value })));
const deserialize = (bytes: Buffer): string => fromBinary(StringValueSchema, bytes).value;

function method(name: string, responseStream: boolean): MethodDefinition<string, string> {
  return {
    path: `/payments.v1.Payments/${name}`,
    requestStream: false,
    responseStream,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  };
}

const CHARGE = method('Charge', false);
const WATCH = method('Watch', true);

/** Starts `payments`: `Charge` answers who charged what, `Watch` streams ticks until its caller has had enough. */
export async function startPayments(clock: Clock): Promise<SampleService> {
  const server = new Server();
  server.addService(
    { Charge: CHARGE, Watch: WATCH },
    {
      Charge: (call: ServerUnaryCall<string, string>, answer: sendUnaryData<string>) => {
        answer(null, `charged ${call.request} for ${callerOf(call.metadata)}`);
      },
      Watch: (call: ServerWritableStream<string, string>) => {
        let count = 0;
        const tick = (): void => {
          if (call.cancelled) return;
          count += 1;
          call.write(`tick ${count}`);
          timer = clock.after(TICK_MS, tick);
        };
        let timer = clock.after(0, tick);
        call.on('cancelled', () => {
          timer[Symbol.dispose]();
        });
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(error);
      else resolve(bound);
    });
  });
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      server.forceShutdown();
    },
  };
}

function callerOf(metadata: Metadata): string {
  return metadata
    .get('x-forwarded-client-cert')
    .map((value) => value.toString())
    .join();
}

/** A client of `payments` that sends its calls to an outbound listener under the import's host name. */
export class PaymentsClient implements Disposable {
  readonly #client: Client;

  constructor(address: string, authority: string) {
    this.#client = new Client(address, credentials.createInsecure(), { 'grpc.default_authority': authority });
  }

  /** A unary call; a failure comes back as its status name and details. */
  charge(amount: string): Promise<string> {
    return new Promise((resolve) => {
      const settle = (error: ServiceError | null, answer?: string): void => {
        resolve(error ? `${status[error.code]}: ${error.details}` : (answer ?? ''));
      };
      this.#client.makeUnaryRequest(CHARGE.path, serialize, deserialize, amount, settle);
    });
  }

  /** A server stream of ticks. */
  watch(): ClientReadableStream<string> {
    return this.#client.makeServerStreamRequest(WATCH.path, serialize, deserialize, 'ticks');
  }

  /** The first `count` ticks of a stream, which is then cancelled. */
  async ticks(count: number): Promise<readonly string[]> {
    const stream = this.watch();
    const ticks: string[] = [];
    try {
      for await (const tick of stream) {
        ticks.push(String(tick));
        if (ticks.length === count) break;
      }
    } finally {
      stream.on('error', () => undefined);
      stream.cancel();
    }
    return ticks;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** What every gateway of this bench is to the harness. */
import { type Running } from '../measure/running.ts';
import { type Service } from '../load/services.ts';

/** The processes of the two gateways. */
export interface Jumps {
  readonly a: number;
  readonly b: number;
  /** Called with each measured round, which it has to do: how a run under the profiler knows when to look. */
  readonly during?: (round: () => Promise<void>) => Promise<void>;
}

/** A mutual-TLS listener and who may come in; each identity is a certificate chain and its key, as PEM. */
export interface HandshakeTarget {
  readonly port: number;
  readonly serverPid: number;
  readonly serverName: string;
  readonly ca: string;
  readonly identities: readonly { readonly cert: string; readonly key: string }[];
}

/** Two running gateways: `client -> A (plaintext in, mutual TLS out) -> B -> backend`. */
export interface TwoJumps extends AsyncDisposable, Jumps {
  /** Where clients enter A, on loopback. */
  readonly port: number;
  /** The authority that clients ask for. */
  readonly host: string;
  /** Called before each workload: empties what has grown on disk. */
  readonly tidy?: () => void;
  /** A mutual-TLS listener with `count` different clients' identities, or `undefined` where this one is not measured so. */
  readonly handshakes: ((count: number) => Promise<HandshakeTarget>) | undefined;
}

/** What a start needs. */
export interface StartOptions {
  readonly running: Running;
  readonly service: Service;
  readonly backendPort: number;
}

/** A gateway program. */
export interface Competitor {
  readonly name: string;
  /** What to type where it is missing. */
  readonly install: string;
  /** The version installed here, or `undefined`. */
  readonly version: () => string | undefined;
  /** Why it has no part in a service; `undefined` where it has. */
  without(service: Service): string | undefined;
  start(options: StartOptions): Promise<TwoJumps>;
}

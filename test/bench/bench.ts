/** What every workload is given, and what it gives back. */
import { type Competitor, type TwoJumps } from './gateways/competitor.ts';
import { type BackendPorts, type Service } from './load/services.ts';
import { type Running } from './measure/running.ts';

/** How much is measured. */
export interface Sizing {
  /** How long one round lasts, about: rounds are counted in calls. */
  readonly seconds: number;
  readonly rounds: number;
  /** So many calls, at least, before the first round. */
  readonly warmUpCalls: number;
  readonly streamBytes: number;
  readonly handshakes: number;
  readonly idleConnections: number;
  /** How long memory is left alone before it is read: collections and the kernel's accounts follow after a moment. */
  readonly settleMs: number;
  /** Imports and routes, and peers, of the large mesh. */
  readonly manyImports: number;
  readonly manyPeers: number;
}

/** One run. */
export interface Bench {
  readonly running: Running;
  readonly ports: BackendPorts;
  readonly sizing: Sizing;
  readonly competitors: readonly Competitor[];
  say(line: string): void;
}

/** The units of figures; only rates are better when higher. */
export type Unit = 'µs/call' | 'MB/s per core' | '/s per core' | 'µs' | 'KiB' | 'MiB';

/** What was measured of one gateway in one workload. */
export interface Figure {
  readonly workload: string;
  readonly competitor: string;
  readonly unit: Unit;
  /** `undefined` where it could not be measured; `note` says why. */
  readonly value: number | undefined;
  /** Processor microseconds per call at each jump. */
  readonly aUs?: number;
  readonly bUs?: number;
  readonly perSecond?: number;
  readonly p50Us?: number;
  readonly p99Us?: number;
  readonly peakRssBytes?: number;
  /** Microseconds per call by process, where a gateway is several. */
  readonly processes?: Readonly<Record<string, number>>;
  /** How much worse the worst round was than the best, as a share of it: how noisy the machine was. */
  readonly spread?: number;
  /** Share of one core that both gateways took: well below 1 the load or the backend set the pace, or the wait for answers. */
  readonly busy?: number;
  readonly note?: string;
}

/** A figure without its names. */
export type Measured = Omit<Figure, 'workload' | 'competitor'>;

/** A workload over two running gateways of any competitor; those of one service share a start. */
export interface JumpsWorkload {
  readonly name: string;
  readonly what: string;
  readonly service: Service;
  /** Gateways are started for it alone, since earlier load would leave its marks. */
  readonly fresh?: boolean;
  measure(bench: Bench, jumps: TwoJumps): Promise<readonly (Measured & { readonly part?: string })[]>;
}

/** A workload that starts what it needs. */
export interface OwnWorkload {
  readonly name: string;
  readonly what: string;
  run(bench: Bench): Promise<readonly Figure[]>;
}

/** The data side as control sees it, whether it is in this process or in workers. */
import { connect } from 'node:net';

import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { type LogLevel } from '../../base/log.ts';
import { type PeeringClient } from '../../federation/peering/client.ts';
import { type FrameStream } from '../../federation/peering/frame-stream.ts';
import { TOKEN_FIELD } from '../../federation/peering/service.ts';
import { type LinkStatus } from '../admin/operations.ts';
import { type DialFailure } from '../link/dial.ts';
import { BUNDLE_AUTHORITY } from '../link/hello.ts';
import { askSmall, type SmallAnswer, type SmallAnswerLimits } from '../link/small-body.ts';
import { STRANGER_CONNECTION } from '../http2/limits.ts';
import { field } from '../message/names.ts';
import { connectHttp2 } from '../socket/http2-socket.ts';
import { type CallCounts } from '../telemetry/call-counts.ts';
import { type ProcessStatus } from './channel.ts';
import { type DataPlane } from './data-plane.ts';
import { type EdgeListen } from './edge-credentials.ts';

/** See the head of this file. What it tells may be a second old, unless {@link DataSide.refresh} was waited for. */
export interface DataSide {
  links(): readonly LinkStatus[];
  /** Why addresses of peers have no link. */
  failures(): readonly DialFailure[];
  /** Lines that the access log had to drop. */
  accessLogDropped(): number;
  /** Control and the workers; empty when all is one process. */
  processes(): readonly ProcessStatus[];
  /** Workers that did not answer when they were last asked. */
  silent(): readonly number[];
  /** Asks every worker for its news, and waits for them a second at most. */
  refresh(): Promise<void>;
  counts(): Promise<CallCounts>;
  /** Instances of the peer that a link of ours reaches, which is not going away. */
  instancesOf(peer: string): readonly string[];
  /** Calls `listener` whenever links came or went. */
  watchLinks(listener: () => void): Disposable;
  /** Starts a control stream; that the instance cannot be reached shows when it is read. */
  open(peer: string, instance: string): FrameStream;
  /** Reads the peer's bundle over a link. Throws `peer-unavailable` without one, and what `askSmall` throws. */
  readBundle(peer: string, limits: SmallAnswerLimits): Promise<SmallAnswer>;
  /** Throws `certificate-unusable` and keeps what the edge had. */
  replaceCertificates(edges: readonly EdgeListen[]): void;
  setLogLevel(level: LogLevel): void;
  /** Resolves when every call is judged by the snapshot of now. Throws `workers-late` when that takes too long. */
  settled(): Promise<void>;
}

/** A local socket and what it wants to see. */
export interface LocalSocket {
  readonly socketPath: string;
  readonly token: string;
}

/** The data side of this process. */
export function localSide(data: DataPlane, client: PeeringClient): DataSide {
  const { accessLog, calls, counters, dialer, pool } = data;
  return {
    links: () => data.links(),
    failures: () => dialer.failures(),
    accessLogDropped: () => accessLog.dropped,
    processes: () => [],
    silent: () => [],
    refresh: () => Promise.resolve(),
    counts: async () => counters.snapshot(),
    instancesOf: (peer) => pool.instancesOf(peer),
    watchLinks: (listener) => pool.watch(listener),
    open: (peer, instance) => client.open(peer, instance),
    readBundle: async (peer, limits) => {
      const link = pool.pick(peer, []);
      if (link === undefined) throw unavailable();
      return askSmall(link, { method: 'GET', authority: BUNDLE_AUTHORITY, path: '/' }, limits);
    },
    replaceCertificates: (edges) => calls.replaceCertificates(edges),
    // There is one log.
    setLogLevel: () => undefined,
    settled: () => Promise.resolve(),
  };
}

/** What `readBundle` throws without a link. */
export function unavailable(): JumpgateError {
  return new JumpgateError('peer-unavailable', 'no link to the peer is up', { source: 'peer', retry: 'later' });
}

/** Reads a peer's bundle over a link of the worker behind a socket. */
export async function readBundleThrough(
  { socketPath, token }: LocalSocket,
  peer: string,
  { clock, limits }: { readonly clock: Clock; readonly limits: SmallAnswerLimits },
): Promise<SmallAnswer> {
  const connection = connectHttp2(connect(socketPath), { clock, limits: STRANGER_CONNECTION });
  // What goes wrong breaks the question off.
  connection.ready.catch(() => undefined);
  try {
    const fields = [field(TOKEN_FIELD, token, true)];
    const answer = await askSmall(
      connection,
      { method: 'GET', authority: `${peer}.${BUNDLE_AUTHORITY}`, path: '/', fields },
      limits,
    );
    if (answer.status === 503) throw unavailable();
    return answer;
  } finally {
    connection.destroy();
  }
}

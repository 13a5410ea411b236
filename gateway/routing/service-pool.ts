/** Connections to the backends of our exports: kept alive over HTTP/1.1, shared over HTTP/2 with prior knowledge. */
import { connect, type Socket } from 'node:net';

import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { type HostPort } from '../../federation/resources/values.ts';
import { type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { type Upstream } from '../forward/exchange.ts';
import { createHttp1Backend } from '../http1/client.ts';
import { http2Client, type Http2Connection } from '../http2/client.ts';
import { LINK_LIMITS } from '../http2/server.ts';
import { type Balance, roundRobin } from './balance.ts';

/** Time for a TCP connection to a backend: these are near. */
const CONNECT_TIMEOUT_MS = 3_000;

/** HTTP/2 connections per backend; more are made only when the backend's limit on streams is reached. */
const SESSIONS_MAX = 8;

/** A connection to a backend, ready for one request. */
export interface OpenedService {
  readonly upstream: Upstream;
  /** The backend's address as written: the service's authority where none is declared. */
  readonly authority: string;
}

/** The pools of all exports. */
export interface ServicePools extends Disposable {
  /** A connection to some backend that accepts one; `undefined` when none does or `signal` is aborted. */
  open(exported: SnapshotExport, signal: AbortSignal): Promise<OpenedService | undefined>;
  /** Gives up the pools of exports that are not in `exports` any more, or have changed; their calls finish. */
  keep(exports: ReadonlyMap<string, SnapshotExport>): void;
}

/** One backend, in whichever protocol. */
interface Backend extends Disposable {
  readonly authority: string;
  open(signal: AbortSignal): Promise<Upstream>;
}

interface Pool {
  /** What the pool was made for; another one is made when it changes. */
  readonly shape: string;
  readonly balance: Balance<Backend>;
  readonly backends: readonly Backend[];
}

/** Makes the pools; connects to nothing yet. */
export function createServicePools(clock: Clock): ServicePools {
  const pools = new Map<string, Pool>();
  const poolOf = (exported: SnapshotExport): Pool => {
    const present = pools.get(exported.name);
    const shape = shapeOf(exported);
    if (present?.shape === shape) return present;
    if (present !== undefined) retire(present);
    const backends = exported.backends.map((address) => backendOf(exported, address, clock));
    const pool = { shape, backends, balance: roundRobin(backends, clock) };
    pools.set(exported.name, pool);
    return pool;
  };
  return {
    open: async (exported, signal) => {
      const { balance } = poolOf(exported);
      for (const backend of balance.order()) {
        try {
          return { upstream: await backend.open(signal), authority: backend.authority };
        } catch {
          if (signal.aborted) return undefined;
          balance.refused(backend);
        }
      }
      return undefined;
    },
    keep: (exports) => {
      for (const [name, pool] of pools) {
        const exported = exports.get(name);
        if (exported !== undefined && shapeOf(exported) === pool.shape) continue;
        pools.delete(name);
        retire(pool);
      }
    },
    [Symbol.dispose]: () => {
      for (const pool of pools.values()) retire(pool);
      pools.clear();
    },
  };
}

function shapeOf(exported: SnapshotExport): string {
  return JSON.stringify([exported.protocol, exported.backends]);
}

function retire(pool: Pool): void {
  for (const backend of pool.backends) backend[Symbol.dispose]();
}

function backendOf(exported: SnapshotExport, address: HostPort, clock: Clock): Backend {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  const authority = `${host}:${address.port}`;
  const dial = (signal: AbortSignal): Promise<Socket> => dialBackend(address, clock, signal);
  if (exported.protocol !== 'http1') return { authority, ...http2Backend(dial) };
  const http1 = createHttp1Backend();
  return {
    authority,
    open: (signal) => http1.open(dial, signal),
    [Symbol.dispose]: () => http1[Symbol.dispose](),
  };
}

type Dial = (signal: AbortSignal) => Promise<Socket>;

function http2Backend(dial: Dial): Omit<Backend, 'authority'> {
  const sessions = new Set<Http2Connection>();
  let dialling: Promise<Http2Connection> | undefined;
  const connectOne = async (): Promise<Http2Connection> => {
    // The connection is shared, so it is not given up with the call that asked for it.
    const session = http2Client(await dial(new AbortController().signal), LINK_LIMITS);
    await session.ready;
    sessions.add(session);
    void session.closed.then(() => sessions.delete(session));
    return session;
  };
  const free = (): Http2Connection | undefined => {
    const usable = [...sessions].filter((session) => session.usable);
    const idle = usable.find((session) => session.streams < session.streamsMax);
    return idle ?? (usable.length >= SESSIONS_MAX ? usable[0] : undefined);
  };
  return {
    open: async () => {
      const present = free();
      if (present !== undefined) return present;
      dialling ??= connectOne().finally(() => {
        dialling = undefined;
      });
      return dialling;
    },
    [Symbol.dispose]: () => {
      for (const session of sessions) session.finish();
    },
  };
}

function dialBackend(address: HostPort, clock: Clock, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address.host, port: address.port, noDelay: true, keepAlive: true });
    const fail = (cause: unknown): void => {
      settle();
      socket.destroy();
      reject(new JumpgateError('tcp', 'the backend accepts no connection', { source: 'local', retry: 'later', cause }));
    };
    const timer = clock.after(CONNECT_TIMEOUT_MS, () => fail(new Error('timed out')));
    const onAbort = (): void => fail(signal.reason);
    const settle = (): void => {
      timer[Symbol.dispose]();
      signal.removeEventListener('abort', onAbort);
    };
    socket.on('error', fail);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => {
      settle();
      socket.off('error', fail);
      socket.on('error', () => undefined);
      resolve(socket);
    });
    if (signal.aborted) onAbort();
  });
}

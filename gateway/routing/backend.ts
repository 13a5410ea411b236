/** One backend of an export: its connections, over HTTP/1.1 one call each, over HTTP/2 (with prior knowledge) shared. */
import { connect, type Socket } from 'node:net';

import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { type Limits } from '../../federation/resources/limits.ts';
import { type BackendSpec } from '../../federation/resources/values.ts';
import { type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { type Http1Limits } from '../http1/limits.ts';
import { ResponseHeads } from '../http1/response-heads.ts';
import { Spelling } from '../http1/spelling.ts';
import { type Field } from '../message/field.ts';
import { field } from '../message/names.ts';
import { type BufferPool } from '../message/output.ts';
import { type ClientConnection } from '../message/stream.ts';
import { serviceHttp1, serviceHttp2 } from '../socket/connection-limits.ts';
import { connectHttp1 } from '../socket/http1-socket.ts';
import { connectHttp2 } from '../socket/http2-socket.ts';
import { type BackendTls, type ReadyBackend } from './backend-tls.ts';

/** Time for a TCP connection to a backend: these are near. */
const CONNECT_TIMEOUT_MS = 3_000;

/** HTTP/2 connections per backend unless the export says otherwise; more than one only when all are full. */
const SHARED_MAX = 8;

/** Connections per backend over HTTP/1.1 unless the export says otherwise: each call has one, and more than this waits. */
const EXCLUSIVE_MAX = 1_024;

/** Taken off what a service says it keeps connections for, against the race with its own timer. */
const IDLE_MARGIN_MS = 1_000;

/** How often connections that have rested long enough are looked for. */
const SWEEP_MS = 500;

const HTTP = field(':scheme', 'http');
const HTTPS = field(':scheme', 'https');

/** What a backend is made of. */
export interface BackendOptions {
  readonly exported: SnapshotExport;
  /** Of the mesh. */
  readonly limits: Limits;
  readonly address: BackendSpec;
  readonly tls: BackendTls;
  readonly clock: Clock;
  readonly buffers: BufferPool;
  /** Where the reads of all connections land, of all backends: each is copied before the next begins. */
  readonly reads: Buffer;
  /** Told when a connection takes calls again. */
  readonly onFree: () => void;
}

interface Pooled extends ClientConnection {
  readonly closed: Promise<void>;
  finish(): void;
}

/** A connection over HTTP/2, and since when it has been seen without calls; monotonic milliseconds. */
interface Shared {
  readonly connection: Pooled;
  idleAtMs: number;
  readonly provenUntilMs: number;
}

/** A connection over HTTP/1.1. */
interface Exclusive {
  readonly connection: Pooled;
  /** Until when it may be used if it rests; monotonic milliseconds. */
  untilMs: number;
  readonly provenUntilMs: number;
  /** Whether it stands among those that rest, where it stays for a while when it is taken. */
  isListed: boolean;
}

/** See the head of this file. */
export class Backend {
  /** The backend's address as written: the service's authority where none is declared. */
  readonly authority: Field;
  readonly scheme: Field;
  /** Whether a connection carries one call at a time. */
  readonly exclusive: boolean;
  /** Monotonic milliseconds of the last refusal. */
  refusedAtMs = -Infinity;
  readonly #options: BackendOptions;
  readonly #spelling: Spelling | undefined;
  /** One object for all connections, as their heads are. */
  readonly #http1Limits: Http1Limits;
  readonly #connections = new Set<Pooled>();
  /** HTTP/1.1: connections that came to rest, the latest last, each once. Those taken since are dropped when they are met. */
  #resting: Exclusive[] = [];
  /** HTTP/1.1: what the backend says on all of its connections. */
  readonly #heads = new ResponseHeads();
  #shared: Shared[] = [];
  #sweep: Disposable | undefined;
  #dialling = 0;
  #retired = false;

  constructor(options: BackendOptions) {
    const { address, exported } = options;
    const host = address.host.includes(':') ? `[${address.host}]` : address.host;
    this.#options = options;
    this.#http1Limits = serviceHttp1(options.limits);
    this.authority = field(':authority', `${host}:${address.port}`);
    this.scheme = address.tls === undefined ? HTTP : HTTPS;
    this.exclusive = exported.protocol === 'http1';
    const { headerSpelling } = exported;
    this.#spelling = headerSpelling && new Spelling(headerSpelling.case, headerSpelling.names);
  }

  /** Whether another connection may be made. */
  get mayDial(): boolean {
    const { limits } = this.#options.exported;
    const max = limits.connectionsPerBackend ?? (this.exclusive ? EXCLUSIVE_MAX : SHARED_MAX);
    return !this.#retired && this.#connections.size + this.#dialling < max;
  }

  /** Whether there is no connection, and none in the making. */
  get isBare(): boolean {
    return !this.#retired && this.#connections.size + this.#dialling === 0;
  }

  /** A connection that takes a request now, none of `tried`. */
  free(tried: readonly ClientConnection[]): ClientConnection | undefined {
    return this.exclusive ? this.#latestResting(tried) : this.#leastBusy(tried);
  }

  /** Makes a connection; false when the backend accepts none. */
  async dial(): Promise<boolean> {
    this.#dialling += 1;
    try {
      const { address: backend, exported, tls } = this.#options;
      const ready = await tls.secure({ raw: await dialBackend(this.#options), exported, backend });
      if (this.#retired) {
        ready.socket.destroy();
        return false;
      }
      await this.#take(ready);
      return true;
    } catch {
      return false;
    } finally {
      this.#dialling -= 1;
    }
  }

  /** Closes idle connections now, the others when their calls are done. */
  retire(): void {
    this.#retired = true;
    this.#sweep?.[Symbol.dispose]();
    for (const connection of this.#connections) connection.finish();
  }

  async #take({ socket, provenUntilMs }: ReadyBackend): Promise<void> {
    const { clock, buffers, limits } = this.#options;
    const options = { clock, pool: buffers };
    if (this.exclusive) {
      const onIdle = (): void => this.#rest(exclusive, http1.keepAliveMs);
      const [spelling, heads] = [this.#spelling, this.#heads];
      const http1 = connectHttp1(socket, { ...options, limits: this.#http1Limits, spelling, heads, onIdle });
      const exclusive = { connection: http1, untilMs: 0, provenUntilMs, isListed: false };
      this.#keep(http1);
      this.#rest(exclusive, -1);
    } else {
      // One that refuses calls so (Node's does when its session has used up its memory) goes on to: the next has another.
      const onCalm = (): void => http2.finish();
      const http2 = connectHttp2(socket, { ...options, limits: serviceHttp2(limits), onCalm });
      const timer = clock.after(CONNECT_TIMEOUT_MS, () => http2.destroy());
      // What it takes at once is known when its settings are in.
      await http2.ready.finally(() => timer[Symbol.dispose]());
      this.#keep(http2);
      this.#shared.push({ connection: http2, idleAtMs: clock.monotonic(), provenUntilMs });
      this.#sweepLater();
    }
  }

  #keep(connection: Pooled): void {
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    if (this.#retired) connection.finish();
  }

  /** The last one to rest has the most of its time left, and lets the others age out. */
  #latestResting(tried: readonly ClientConnection[]): ClientConnection | undefined {
    const resting = this.#resting;
    const nowMs = resting.length === 0 ? 0 : this.#options.clock.monotonic();
    for (let at = resting.length - 1; at >= 0; at -= 1) {
      const each = resting[at];
      const isFree = each !== undefined && each.connection.usable && each.untilMs > nowMs;
      if (isFree && !tried.includes(each.connection)) return each.connection;
      if (each !== undefined && !isFree && at === resting.length - 1) {
        resting.pop();
        drop(each);
      }
    }
    return undefined;
  }

  #leastBusy(tried: readonly ClientConnection[]): ClientConnection | undefined {
    const max = this.#options.exported.limits.streamsPerBackendConnection ?? Infinity;
    let best: ClientConnection | undefined;
    for (const connection of this.#connections) {
      if (!connection.usable || connection.streams >= max || tried.includes(connection)) continue;
      if (best === undefined || connection.streams < best.streams) best = connection;
    }
    return best;
  }

  #rest(exclusive: Exclusive, keepAliveMs: number): void {
    if (this.#retired) {
      exclusive.connection.finish();
      return;
    }
    const { clock, limits, onFree } = this.#options;
    const { backendIdleMs } = limits;
    const idleMs = keepAliveMs < 0 ? backendIdleMs : Math.min(backendIdleMs, Math.max(0, keepAliveMs - IDLE_MARGIN_MS));
    exclusive.untilMs = Math.min(clock.monotonic() + idleMs, exclusive.provenUntilMs);
    if (!exclusive.isListed) this.#resting.push(exclusive);
    exclusive.isListed = true;
    this.#sweepLater();
    onFree();
  }

  #sweepLater(): void {
    this.#sweep ??= this.#options.clock.after(SWEEP_MS, this.#onSweep);
  }

  readonly #onSweep = (): void => {
    const { clock, limits } = this.#options;
    const nowMs = clock.monotonic();
    this.#shared = this.#shared.filter((each) => {
      if (each.connection.streams > 0) each.idleAtMs = nowMs;
      if (nowMs >= each.provenUntilMs) each.connection.finish();
      if (each.connection.usable && nowMs - each.idleAtMs < limits.backendIdleMs) return true;
      if (each.connection.streams === 0) each.connection.finish();
      return each.connection.streams > 0;
    });
    this.#resting = this.#resting.filter((each) => {
      if (each.connection.usable && each.untilMs > nowMs) return true;
      drop(each);
      return false;
    });
    const isEmpty = this.#resting.length + this.#shared.length === 0;
    this.#sweep = !isEmpty && !this.#retired ? clock.after(SWEEP_MS, this.#onSweep) : undefined;
  };
}

/** One that is not under a call has rested too long, and nobody would look for it any more. */
function drop(exclusive: Exclusive): void {
  exclusive.isListed = false;
  if (exclusive.connection.usable) exclusive.connection.finish();
}

function dialBackend({ address, clock, limits, reads }: BackendOptions): Promise<Socket> {
  const { host, port, tls } = address;
  const keepAlive = { keepAlive: true, keepAliveInitialDelay: limits.keepAliveProbeMs };
  return new Promise((resolve, reject) => {
    // A copy of what came costs less than the 64 KiB that Node allocates for each read, however little it brings.
    const callback = (count: number): boolean => {
      socket.emit('data', Buffer.from(reads.subarray(0, count)));
      return true;
    };
    // TLS reads by itself.
    const reading = tls === undefined ? { onread: { buffer: reads, callback } } : {};
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true, ...keepAlive, ...reading });
    const timer = clock.after(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error('timed out')));
    const fail = (cause: Error): void => {
      timer[Symbol.dispose]();
      reject(new JumpgateError('tcp', 'the backend accepts no connection', { source: 'local', retry: 'later', cause }));
    };
    socket.once('error', fail);
    socket.once('connect', () => {
      timer[Symbol.dispose]();
      socket.off('error', fail);
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

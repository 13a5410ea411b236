/** A connection to one backend of an export: tries each in turn until one accepts. */
import { connect, type Socket } from 'node:net';

import { type Clock } from '../../base/clock.ts';
import { formatAddress } from '../../base/net/bind-server.ts';
import { type BackendSpec, type HostPort } from '../../federation/resources/values.ts';
import { type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { type BackendTls } from '../routing/backend-tls.ts';

/** Time for a TCP connection to a backend: these are near. */
const CONNECT_TIMEOUT_MS = 3_000;

/** How long a backend that refused a connection comes last. Short: it is still tried when no other accepts. */
const REFUSED_MS = 5_000;

/** Which backend comes next, and which ones refused lately, of the exports of one process. */
export class BackendTurns {
  readonly #clock: Clock;
  readonly #turns = new Map<string, number>();
  /** Monotonic milliseconds by address; as many as backends are configured. */
  readonly #refusedAtMs = new Map<string, number>();
  /** Connections, being made or open, by export and address. */
  readonly #open = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Forgets exports and backends that are not configured any more. */
  keep(exports: ReadonlyMap<string, SnapshotExport>): void {
    for (const name of this.#turns.keys()) if (!exports.has(name)) this.#turns.delete(name);
    const backends = new Set([...exports.values()].flatMap((each) => each.backends.map(keyOf)));
    for (const key of this.#refusedAtMs.keys()) if (!backends.has(key)) this.#refusedAtMs.delete(key);
  }

  /** All backends in the order in which they are to be tried now. */
  next({ name, backends }: SnapshotExport): readonly BackendSpec[] {
    const turn = (this.#turns.get(name) ?? 0) % backends.length;
    this.#turns.set(name, turn + 1);
    const turned = [...backends.slice(turn), ...backends.slice(0, turn)];
    if (this.#refusedAtMs.size === 0) return turned;
    const nowMs = this.#clock.monotonic();
    const isResting = (each: HostPort): boolean =>
      nowMs - (this.#refusedAtMs.get(keyOf(each)) ?? -Infinity) < REFUSED_MS;
    return [...turned.filter((each) => !isResting(each)), ...turned.filter(isResting)];
  }

  /** Takes a place at a backend for one connection; false when the export has as many there as it may. */
  hold({ name, limits }: SnapshotExport, backend: HostPort): boolean {
    const key = `${name} ${keyOf(backend)}`;
    const open = this.#open.get(key) ?? 0;
    if (open >= (limits.connectionsPerBackend ?? Infinity)) return false;
    this.#open.set(key, open + 1);
    return true;
  }

  /** Gives the place back. */
  release({ name }: SnapshotExport, backend: HostPort): void {
    const key = `${name} ${keyOf(backend)}`;
    const open = (this.#open.get(key) ?? 1) - 1;
    if (open === 0) this.#open.delete(key);
    else this.#open.set(key, open);
  }

  /** The backend accepted a connection, or did not. */
  tried(backend: HostPort, accepted: boolean): void {
    if (accepted) this.#refusedAtMs.delete(keyOf(backend));
    else this.#refusedAtMs.set(keyOf(backend), this.#clock.monotonic());
  }
}

/** The way to all backends. */
export interface BackendWays {
  readonly turns: BackendTurns;
  readonly tls: BackendTls;
}

/** What dialling needs. */
export interface BackendDialOptions extends BackendWays {
  readonly exported: SnapshotExport;
  readonly clock: Clock;
  readonly keepAliveMs: number;
  /** Takes over a connected, paused socket. */
  readonly onConnected: (socket: Socket) => void;
  /** No backend accepts, or `isFull`, one has as many connections as it may. */
  readonly onFailed: (isFull: boolean) => void;
}

/** One attempt at all backends. Dispose of it to give up; nobody is told then. */
export class BackendDial implements Disposable {
  readonly #options: BackendDialOptions;
  readonly #left: BackendSpec[];
  #socket: Socket | undefined;
  #timer: Disposable | undefined;
  #isFull = false;

  constructor(options: BackendDialOptions) {
    this.#options = options;
    this.#left = [...options.turns.next(options.exported)];
    this.#dial();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#left.length = 0;
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  /** The next backend with a place for the connection, which has it then. Tells when there is none. */
  #next(): BackendSpec | undefined {
    const { exported, turns, onFailed } = this.#options;
    for (let backend = this.#left.shift(); backend !== undefined; backend = this.#left.shift()) {
      if (turns.hold(exported, backend)) return backend;
      this.#isFull = true;
    }
    onFailed(this.#isFull);
    return undefined;
  }

  #dial(): void {
    const { exported, turns, clock, keepAliveMs } = this.#options;
    const backend = this.#next();
    if (backend === undefined) return;
    const { host, port } = backend;
    const keepAlive = { keepAlive: true, keepAliveInitialDelay: keepAliveMs };
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true, ...keepAlive });
    this.#socket = socket;
    socket.once('close', () => turns.release(exported, backend));
    this.#timer = clock.after(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error('timed out')));
    const settle = (): boolean => {
      this.#timer?.[Symbol.dispose]();
      const isOurs = this.#socket === socket;
      if (isOurs) this.#socket = undefined;
      return isOurs;
    };
    // Whether it failed or was given up: both close it.
    const onClose = (): void => {
      if (!settle()) return;
      turns.tried(backend, false);
      this.#dial();
    };
    socket.on('error', () => undefined);
    socket.once('close', onClose);
    socket.once('connect', () => {
      if (backend.tls !== undefined) {
        this.#timer?.[Symbol.dispose]();
        void this.#secure(socket, backend, settle);
        return;
      }
      socket.off('close', onClose).pause();
      if (settle()) this.#connected(backend, socket);
    });
  }

  /** What fails destroys `raw`, whose closing leads to the next backend. */
  async #secure(raw: Socket, backend: BackendSpec, settle: () => boolean): Promise<void> {
    const { exported, tls } = this.#options;
    const ready = await tls.secure({ raw, exported, backend }).catch(() => undefined);
    if (ready === undefined) return;
    ready.socket.pause();
    if (settle()) this.#connected(backend, ready.socket);
    else ready.socket.destroy();
  }

  #connected(backend: BackendSpec, socket: Socket): void {
    const { turns, onConnected } = this.#options;
    turns.tried(backend, true);
    onConnected(socket);
  }
}

function keyOf({ host, port }: HostPort): string {
  return formatAddress({ kind: 'tcp', host, port });
}

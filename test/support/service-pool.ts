/** What tests of pools share: backends on real sockets, pools on a clock by hand, and who takes, waits and asks. */
import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';

import { DEFAULT_LIMITS } from '../../federation/resources/limits.ts';
import { type HostPort } from '../../federation/resources/values.ts';
import { type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { type Taken, type Waiter } from '../../gateway/forward/destination.ts';
import { BufferPool } from '../../gateway/message/output.ts';
import { type ClientConnection, type ResponseReceiver } from '../../gateway/message/stream.ts';
import { createServicePools } from '../../gateway/routing/service-pool.ts';
import { backendTls } from './backend-tls.ts';
import { headOf } from './call-heads.ts';
import { at } from './federation-values.ts';
import { ManualClock } from './manual-clock.ts';

/** A service that answers each request when told, and knows its connections. */
export class TestBackend implements AsyncDisposable {
  /** Connections in the order in which they came. */
  readonly sockets: Socket[] = [];
  /** Of connections that are gone. */
  closed = 0;
  readonly #server: Server;
  readonly #changed = new Set<() => void>();
  #requests = 0;

  constructor() {
    this.#server = createServer((socket) => {
      this.sockets.push(socket);
      socket.on('error', () => undefined);
      socket.on('data', () => {
        this.#requests += 1;
        this.#tell();
      });
      socket.on('close', () => {
        this.closed += 1;
        this.#tell();
      });
      this.#tell();
    });
  }

  get requests(): number {
    return this.#requests;
  }

  async listen(port = 0): Promise<HostPort> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('expected a port');
    return { host: '127.0.0.1', port: address.port };
  }

  /** Resolves when `isSo` of this backend. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => this.#changed.add(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  #tell(): void {
    const waiting = [...this.#changed];
    this.#changed.clear();
    for (const each of waiting) each();
  }
}

/** A port on which nobody listens. */
export async function refusingAddress(): Promise<HostPort> {
  await using backend = new TestBackend();
  return await backend.listen();
}

export function exported(backends: readonly HostPort[], parts: Partial<SnapshotExport> = {}): SnapshotExport {
  return {
    name: 'cart',
    protocol: 'http1',
    backends,
    authority: undefined,
    serverNames: [],
    limits: {},
    allow: [],
    origin: at(1),
    ...parts,
  };
}

/** A waiter that is told. */
export function waiting(): { readonly waiter: Waiter; readonly told: Promise<'connection' | 'unreachable'> } {
  const { promise, resolve } = Promise.withResolvers<'connection' | 'unreachable'>();
  return {
    waiter: { onConnection: () => resolve('connection'), onUnreachable: () => resolve('unreachable') },
    told: promise,
  };
}

export function poolsOn(clock = new ManualClock(), tls = backendTls(clock)) {
  return { clock, pools: createServicePools({ limits: DEFAULT_LIMITS, tls, clock, buffers: new BufferPool() }) };
}

export type Pools = ReturnType<typeof createServicePools>;

/** Takes a connection, waiting for one if there is none. */
export async function taken(pools: Pools, to: SnapshotExport, tried: readonly ClientConnection[] = []): Promise<Taken> {
  for (;;) {
    const free = pools.take(to, tried);
    if (free !== undefined) return free;
    const { waiter, told } = waiting();
    pools.wait(to, waiter);
    assert.equal(await told, 'connection');
  }
}

/** Sends a request; resolves when its answer has ended or broken. */
export function request({ connection, authority }: Taken): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const receiver: ResponseReceiver = {
    onInterim: () => undefined,
    onResponse: ({ status }, end) => {
      if (end) resolve(String(status));
    },
    onData: (_bytes, end) => {
      if (end) resolve('data');
    },
    onTrailers: () => resolve('trailers'),
    onReset: (code) => resolve(`reset ${code}`),
    onSent: () => undefined,
  };
  const sent = connection.open({ ...headOf(), authority }, true, receiver);
  assert.notEqual(sent, undefined, 'the connection takes a request');
  return promise;
}

/** Sends a request; resolves with the very bytes of its answer, which came in one piece. */
export function bodyOf({ connection, authority }: Taken): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const receiver: ResponseReceiver = {
    onInterim: () => undefined,
    onResponse: () => undefined,
    onData: resolve,
    onTrailers: () => undefined,
    onReset: (code) => reject(new Error(`reset ${code}`)),
    onSent: () => undefined,
  };
  connection.open({ ...headOf(), authority }, true, receiver);
  return promise;
}

/** Connections to the backends of our exports: taken by calls at once where there is one, made while calls wait where there is none. */
import { type Clock } from '../../base/clock.ts';
import { type Limits } from '../../federation/resources/limits.ts';
import { type SnapshotExport } from '../../federation/snapshot/snapshot.ts';
import { type Taken, type Waiter } from '../forward/destination.ts';
import { type Services } from '../forward/service-destination.ts';
import { type BufferPool } from '../message/output.ts';
import { type ClientConnection } from '../message/stream.ts';
import { Backend } from './backend.ts';
import { type BackendTls } from './backend-tls.ts';

/** How long a backend that refused a connection comes last. Short: it is still tried when no other takes the call. */
const REFUSED_MS = 5_000;

/** How often calls that wait for room on connections that are all full look again. */
const LOOK_AGAIN_MS = 10;

/** What one read of a service's connection may bring, as Node's own. */
const READ_BYTES = 64 * 1024;

/** What pools are made with. */
export interface ServicePoolsOptions {
  /** Of the mesh. */
  readonly limits: Limits;
  readonly tls: BackendTls;
  readonly clock: Clock;
  readonly buffers: BufferPool;
}

/** The pools of all exports. */
export interface ServicePools extends Services, Disposable {
  /** Gives up the pools of exports that are not in `exports` any more, or have changed; their calls finish. */
  keep(exports: ReadonlyMap<string, SnapshotExport>): void;
}

/** What the pools of all exports share. */
interface PoolHost extends ServicePoolsOptions {
  readonly reads: Buffer;
}

/** Makes the pools; connects to nothing yet. */
export function createServicePools(options: ServicePoolsOptions): ServicePools {
  const host: PoolHost = { ...options, reads: Buffer.allocUnsafeSlow(READ_BYTES) };
  const pools = new Map<string, ServicePool>();
  // A call that was judged by an older snapshot goes to the present backends.
  const poolOf = (exported: SnapshotExport): ServicePool => {
    let pool = pools.get(exported.name);
    if (pool === undefined) {
      pool = new ServicePool(exported, host);
      pools.set(exported.name, pool);
    }
    return pool;
  };
  return {
    take: (exported, tried) => poolOf(exported).take(tried),
    wait: (exported, waiter) => {
      poolOf(exported).wait(waiter);
    },
    // Those that wait are always at the present pool: at its replacement they have looked again.
    leave: (exported, waiter) => pools.get(exported.name)?.leave(waiter),
    keep: (exports) => {
      for (const [name, pool] of pools) {
        const exported = exports.get(name);
        if (exported !== undefined && shapeOf(exported, host) === pool.shape) continue;
        // In its place before those that wait look elsewhere: they know the backends of yesterday only.
        if (exported === undefined) pools.delete(name);
        else pools.set(name, new ServicePool(exported, host));
        pool.retire(exported !== undefined);
      }
    },
    [Symbol.dispose]: () => {
      for (const pool of pools.values()) pool.retire(false);
      pools.clear();
    },
  };
}

/** What a pool depends on, over TLS also whom we have shown to be; another one is made when it changes. */
function shapeOf({ protocol, backends, headerSpelling, limits }: SnapshotExport, { tls }: PoolHost): string {
  const shown = backends.some((each) => each.tls !== undefined) ? tls.svidGeneration : undefined;
  return JSON.stringify([protocol, backends, headerSpelling, limits, shown]);
}

class ServicePool {
  readonly shape: string;
  readonly #clock: Clock;
  readonly #backends: readonly Backend[];
  readonly #waiters = new Set<Waiter>();
  #next = 0;
  #dialling = 0;
  #lookAgain: Disposable | undefined;

  constructor(exported: SnapshotExport, host: PoolHost) {
    this.shape = shapeOf(exported, host);
    this.#clock = host.clock;
    const onFree = (): void => this.#serve();
    const common = { ...host, exported, onFree };
    this.#backends = exported.backends.map((address) => new Backend({ ...common, address }));
  }

  /** Backends take turns; those that refused lately come last. */
  take(tried: readonly ClientConnection[]): Taken | undefined {
    const count = this.#backends.length;
    this.#next = count < 2 ? 0 : (this.#next + 1) % count;
    let resting: Taken | undefined;
    for (let step = 0; step < count; step += 1) {
      const backend = this.#backends[(this.#next + step) % count];
      const connection = backend?.free(tried);
      if (backend === undefined || connection === undefined) continue;
      if (step > 0) this.#join(this.#backends[this.#next]);
      const taken = { connection, authority: backend.authority, scheme: backend.scheme };
      if (count === 1 || !this.#isResting(backend)) return taken;
      resting ??= taken;
    }
    return resting;
  }

  /** The backend whose turn it was had no connection: its next turn shall find one. Nobody waits for it. */
  #join(backend: Backend | undefined): void {
    if (backend === undefined || !backend.isBare || this.#isResting(backend)) return;
    void backend.dial().then((connected) => {
      if (connected) this.#serve();
      else backend.refusedAtMs = this.#clock.monotonic();
    });
  }

  wait(waiter: Waiter): void {
    this.#waiters.add(waiter);
    // Over HTTP/2 one connection serves all who wait; over HTTP/1.1 each needs its own.
    const isExclusive = this.#backends[0]?.exclusive === true;
    if (this.#dialling === 0 || (isExclusive && this.#dialling < this.#waiters.size)) this.#dial();
  }

  leave(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  /** New calls do not come here any more. Those that wait look at the pool that has replaced this one, if any has. */
  retire(isReplaced: boolean): void {
    this.#lookAgain?.[Symbol.dispose]();
    for (const backend of this.#backends) backend.retire();
    if (!isReplaced) {
      this.#giveUp();
      return;
    }
    for (const waiter of [...this.#waiters]) {
      this.#waiters.delete(waiter);
      waiter.onConnection();
    }
  }

  #isResting(backend: Backend): boolean {
    return this.#clock.monotonic() - backend.refusedAtMs < REFUSED_MS;
  }

  /** Tries each backend once, those that refused lately last. */
  #dial(): void {
    const turned = [...this.#backends.slice(this.#next), ...this.#backends.slice(0, this.#next)];
    const rested = turned.filter((each) => !this.#isResting(each));
    const open = [...rested, ...turned.filter((each) => this.#isResting(each))].filter((each) => each.mayDial);
    if (open.length === 0 && this.#backends.length > 0) {
      this.#lookLater();
      return;
    }
    this.#dialling += 1;
    void this.#dialOneOf(open);
  }

  async #dialOneOf(backends: readonly Backend[]): Promise<void> {
    let connected = false;
    for (const backend of backends) {
      connected = await backend.dial();
      if (connected) break;
      backend.refusedAtMs = this.#clock.monotonic();
    }
    this.#dialling -= 1;
    if (connected) this.#serve();
    else if (this.#dialling === 0) this.#giveUp();
  }

  /** Lets those who wait take what is free, in order. */
  #serve(): void {
    // With each call that ends, and mostly nobody waits.
    if (this.#waiters.size === 0) return;
    for (const waiter of [...this.#waiters]) {
      if (!this.#backends.some((backend) => backend.free([]) !== undefined)) break;
      this.#waiters.delete(waiter);
      waiter.onConnection();
    }
    if (this.#waiters.size > 0 && this.#dialling === 0) this.#dial();
  }

  #giveUp(): void {
    for (const waiter of [...this.#waiters]) {
      this.#waiters.delete(waiter);
      waiter.onUnreachable();
    }
  }

  /** Every connection is full and no more may be made: those who wait have their deadlines. */
  #lookLater(): void {
    this.#lookAgain ??= this.#clock.after(LOOK_AGAIN_MS, () => {
      this.#lookAgain = undefined;
      this.#serve();
    });
  }
}

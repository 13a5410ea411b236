/** The program of a worker, `INDEX WORKERS RUNTIME-DIRECTORY`: carries calls by what control has told it, and knows nothing else. */
import { isDeepStrictEqual } from 'node:util';

import { systemClock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { createLog, type LogRoot } from '../../base/log.ts';
import { openRuntimeDirectory, type RuntimePaths } from '../../federation/peering/runtime-directory.ts';
import { type Limits } from '../../federation/resources/limits.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { ReplaceableSnapshot } from '../../federation/snapshot/source.ts';
import { keepUnchanged } from '../../federation/snapshot/unchanged.ts';
import { JoinRelay } from '../link/join-relay.ts';
import { type LinkPool } from '../link/pool.ts';
import { SiblingLinks } from '../link/siblings.ts';
import { linkHttp2 } from '../socket/connection-limits.ts';
import { ChildChannel } from './child-channel.ts';
import { type DataPlane, openDataPlane } from './data-plane.ts';
import { HandedListeners } from './handed-listeners.ts';
import { Lifecycle } from './lifecycle.ts';
import { ReplaceableSvid } from './replaceable-svid.ts';
import { readToWorker, type WorkerSettings, writeFromWorker } from './worker-message.ts';

/** A crash loses this much of the counts at most. */
const REPORT_EVERY_MS = 1_000;
/** A connection that was accepted a moment ago has its first request under way. */
const GRACE_MS = 300;
/** The primary has gone: EX_SOFTWARE of sysexits(3). */
const ORPHANED = 70;

/**
 * ```
 * waiting ──settings, SVID and snapshot are here──> serving ──drain──> draining ──done, or deadline──> ended
 * ```
 */
class Worker {
  readonly #index: number;
  readonly #workers: number;
  readonly #runtime: string;
  readonly #log: LogRoot;
  readonly #channel: ChildChannel;
  readonly #lifecycle: Lifecycle;
  #settings: WorkerSettings | undefined;
  #svid: ReplaceableSvid | undefined;
  #snapshots: ReplaceableSnapshot | undefined;
  #sequence = 0;
  #holders: ReadonlyMap<string, readonly number[]> = new Map();
  #siblings: SiblingLinks | undefined;
  #handed: HandedListeners | undefined;
  #plane: DataPlane | undefined;
  #opening = false;
  #draining = false;
  #telling = false;

  constructor(index: number, workers: number, runtime: string) {
    this.#index = index;
    this.#workers = workers;
    this.#runtime = runtime;
    this.#log = createLog({
      level: 'info',
      write: (line) => void process.stderr.write(line),
      now: () => systemClock.now(),
    });
    this.#lifecycle = new Lifecycle({ clock: systemClock, log: this.#log });
    this.#channel = new ChildChannel({
      onConnection: (socket, listener) => !this.#draining && this.#handed?.serve(listener, socket) === true,
      onRelay: (_, bytes, from) => {
        if (from === 'control') this.#heard(bytes);
      },
      onDrain: (deadlineMs) => void this.#drain(deadlineMs),
      onHangUp: () => void this.#plane?.accessLog.reopen(),
      onOrphaned: () => process.exit(ORPHANED),
    });
  }

  #heard(bytes: Uint8Array): void {
    const message = readToWorker(bytes);
    switch (message?.kind) {
      case 'settings':
        this.#take(message.settings);
        break;
      case 'svid':
        if (this.#svid === undefined) this.#svid = new ReplaceableSvid(message.svid);
        else this.#svid.replace(message.svid);
        break;
      case 'snapshot':
        this.#sequence = message.sequence;
        this.#replace(message.snapshot);
        this.#confirm();
        break;
      case 'holders':
        this.#holdersChanged(message.holders);
        return;
      case 'report':
        this.#report(message.id);
        return;
      case undefined:
        this.#log.error('control said what this worker does not understand', { worker: this.#index });
        return;
      default:
        message satisfies never;
    }
    if (!this.#opening) void this.#open();
  }

  #replace(next: Snapshot): void {
    const snapshots = this.#snapshots;
    if (snapshots === undefined) this.#snapshots = new ReplaceableSnapshot(next);
    else snapshots.replace({ ...next, bundles: keepUnchanged(next.bundles, snapshots.current().bundles) });
  }

  #take(settings: WorkerSettings): void {
    if (this.#settings !== undefined && !isDeepStrictEqual(fixedOf(settings), fixedOf(this.#settings))) {
      // Control keeps what its workers were started with; whatever else this is, what it was told cannot be served here.
      this.#log.warn('the worker starts anew, since its listeners are others now', { worker: this.#index });
      process.exit(0);
    }
    this.#settings = settings;
    this.#log.level = settings.logLevel;
    try {
      this.#plane?.calls.replaceCertificates(settings.calls.edges);
    } catch (error) {
      this.#log.error('the certificate of an edge is not usable, the last one stays', { error: messageOf(error) });
    }
  }

  async #open(): Promise<void> {
    const settings = this.#settings;
    const svid = this.#svid;
    const snapshots = this.#snapshots;
    if (settings === undefined || svid === undefined || snapshots === undefined || this.#draining) return;
    this.#opening = true;
    try {
      const paths = await openRuntimeDirectory(this.#runtime);
      const joins = new JoinRelay(paths);
      const handed = new HandedListeners(settings.bound);
      const { instance, epoch, linksPerPeer, jump, bundleServerName, calls, accessLogFile: path } = settings;
      this.#plane = await openDataPlane({
        snapshots,
        svid,
        self: { instance, epoch, worker: this.#index, workers: this.#workers },
        linksPerPeer,
        jump,
        bundleServerName,
        calls,
        bindOf: (name) => handed.bind(name),
        runtime: { ...paths, clientSocket: paths.workerSocket(this.#index) },
        onJoin: (connection) => joins.serve(connection),
        linksOver: (pool) => this.#linksOver(pool, snapshots.current().limits, paths),
        accessLog:
          path === undefined ? { kind: 'stream', stream: process.stdout, shared: true } : { kind: 'file', path },
        lifecycle: this.#lifecycle,
        clock: systemClock,
        log: this.#log.with({ worker: this.#index }),
      });
      this.#handed = handed;
      this.#plane.pool.watch(() => this.#reportSoon());
      if (this.#lifecycle.state !== 'ready') return;
      this.#confirm();
      this.#channel.ready();
      this.#tick();
    } catch (error) {
      this.#log.error('the worker cannot start', { worker: this.#index, error: messageOf(error) });
      process.exit(1);
    }
  }

  #linksOver(pool: LinkPool, limits: Limits, { token, workerSocket }: RuntimePaths): SiblingLinks {
    const made = { pool, socketOf: workerSocket, token, limits: linkHttp2(limits), clock: systemClock };
    this.#siblings = new SiblingLinks(made);
    this.#replaceHolders();
    return this.#siblings;
  }

  /** A peer that a sibling has reached can be reached from here. */
  #holdersChanged(holders: ReadonlyMap<string, readonly number[]>): void {
    const before = this.#holders;
    this.#holders = holders;
    this.#replaceHolders();
    for (const [peer, workers] of holders) {
      const known = before.get(peer) ?? [];
      if (workers.some((worker) => worker !== this.#index && !known.includes(worker))) this.#plane?.dialer.wake(peer);
    }
  }

  #replaceHolders(): void {
    const others = [...this.#holders].map(
      ([peer, workers]) => [peer, workers.filter((worker) => worker !== this.#index)] as const,
    );
    this.#siblings?.replaceHolders(new Map(others));
  }

  /** What is judged by is what is confirmed; before there are calls there is nothing to confirm. */
  #confirm(): void {
    if (this.#plane === undefined) return;
    this.#channel.relay(
      { to: 'control', topic: 'applied' },
      writeFromWorker({ kind: 'applied', sequence: this.#sequence }),
    );
  }

  #tick(): void {
    this.#report(undefined);
    systemClock.after(REPORT_EVERY_MS, () => this.#tick());
  }

  /** Once a turn, however many links came or went in it. */
  #reportSoon(): void {
    if (this.#telling) return;
    this.#telling = true;
    setImmediate(() => {
      this.#telling = false;
      this.#report(undefined);
    });
  }

  #report(id: number | undefined): void {
    const plane = this.#plane;
    if (plane === undefined) return;
    const report = {
      links: plane.links(),
      failures: plane.dialer.failures(),
      dropped: plane.accessLog.dropped,
      counts: plane.counters.snapshot(),
    };
    this.#channel.relay({ to: 'control', topic: 'report' }, writeFromWorker({ kind: 'report', id, report }));
  }

  async #drain(deadlineMs: number): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    await this.#lifecycle.shutdown({ deadlineMs, graceMs: Math.min(GRACE_MS, deadlineMs) });
    this.#report(undefined);
    await this.#plane?.[Symbol.asyncDispose]();
    process.exit(0);
  }
}

/** What a running worker cannot change. */
function fixedOf(settings: WorkerSettings): unknown {
  const { jump, calls, bound, linksPerPeer, accessLogFile } = settings;
  const edges = calls.edges.map(({ name, address }) => [name, address]);
  return [jump, calls.outbound, calls.imports, edges, bound, linksPerPeer, accessLogFile];
}

const [index = '0', workers = '1', runtime = ''] = process.argv.slice(2);
new Worker(Number(index), Number(workers), runtime);

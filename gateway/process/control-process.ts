/** The program of control, `DIRECTORY LOG-LEVEL RUNTIME-DIRECTORY ENDPOINT-SOCKET`: everything but calls, for the workers that carry them. */
import { availableParallelism } from 'node:os';

import { systemClock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { createLog, LOG_LEVELS, type LogRoot } from '../../base/log.ts';
import { formatAddress } from '../../base/net/bind-server.ts';
import { type ImportedCatalogue } from '../../federation/catalogue/imported.ts';
import { openRuntimeDirectory, type RuntimePaths } from '../../federation/peering/runtime-directory.ts';
import { restartFields } from '../../federation/resources/restart.ts';
import { isShared, sharedServerName } from '../../federation/resources/shared-port.ts';
import { type MeshSpec } from '../../federation/resources/values.ts';
import { type ListenerStatus } from '../admin/operations.ts';
import { listenForJoins } from '../link/join-relay.ts';
import { awaitedImports } from './awaited-imports.ts';
import { type BoundListener, type ProcessStatus, type WantedListener } from './channel.ts';
import { ChildChannel } from './child-channel.ts';
import { keepMesh } from './configuration.ts';
import {
  type ControlCore,
  type ControlPlane,
  loadDocuments,
  type LoadedDocuments,
  openControlCore,
  openControlPlane,
} from './control-plane.ts';
import { readEdges, renewedEdges } from './edge-credentials.ts';
import { HandedListeners } from './handed-listeners.ts';
import { callListenSpecs, type CallListenSpecs, namedListeners } from './listeners.ts';
import { readCatalogues, readStarted, type StartedWith, writeCatalogues, writeStarted } from './worker-message.ts';
import { WorkerSide } from './worker-side.ts';

/** Catalogues are stale some seconds after they were heard; the process after this one must find them fresher. */
const KEEP_CATALOGUES_EVERY_MS = 1_000;
/** Bad configuration, or an address in use: starting again cannot help. */
const CANNOT_START = 2;
/** The primary has gone: EX_SOFTWARE of sysexits(3). */
const ORPHANED = 70;

/**
 * ```
 * opening ──ready──> serving ──drain──> draining ──finish──> ended
 *    └── cannot start: exit code 2
 * ```
 */
class ControlProcess {
  readonly #directory: string;
  readonly #runtime: string;
  readonly #endpointSocket: string | undefined;
  readonly #log: LogRoot;
  readonly #logLevel: (typeof LOG_LEVELS)[number] | undefined;
  readonly #held = new AsyncDisposableStack();
  readonly #channel: ChildChannel;
  /** Of the process before this one, and as the process after this one would find them. */
  #catalogues: ReadonlyMap<string, ImportedCatalogue> = new Map();
  /** What the first control process started the listeners and workers with. */
  #started: StartedWith | undefined;
  #keptCatalogues: ReadonlyMap<string, ImportedCatalogue> = new Map();
  #processes: readonly ProcessStatus[] = [];
  #core: ControlCore | undefined;
  #side: WorkerSide | undefined;
  #handed: HandedListeners | undefined;
  #plane: ControlPlane | undefined;
  #awaitingWorkers: Disposable | undefined;
  #callersAreIn = false;

  constructor([directory = '', level = '', runtime = '', endpointSocket = '']: readonly string[]) {
    this.#directory = directory;
    this.#runtime = runtime;
    this.#endpointSocket = endpointSocket === '' ? undefined : endpointSocket;
    this.#logLevel = LOG_LEVELS.find((each) => each === level);
    this.#log = createLog({
      level: this.#logLevel ?? 'info',
      write: (line) => void process.stderr.write(line),
      now: () => systemClock.now(),
    });
    this.#channel = new ChildChannel({
      onConnection: (socket, listener) => this.#handed?.serve(listener, socket) === true,
      onRelay: (topic, bytes, from) => {
        if (from === 'control' && topic === 'started') this.#started = readStarted(bytes);
        else if (from === 'control') this.#catalogues = readCatalogues(bytes);
        else this.#side?.heard(from, bytes);
      },
      onProcesses: (processes) => this.#processesChanged(processes),
      onDrain: (deadlineMs) => void this.#core?.lifecycle.shutdown({ deadlineMs }),
      onFinish: () => void this.#finish(),
      onHangUp: () => this.#plane?.reload(),
      onOrphaned: () => process.exit(ORPHANED),
    });
  }

  /** Opens everything; ends the process when that cannot be. */
  async run(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      process.stderr.write(`${messageOf(error)}\n`);
      await this.#held.disposeAsync();
      process.exit(CANNOT_START);
    }
  }

  async #open(): Promise<void> {
    const held = this.#held;
    const options = {
      directory: this.#directory,
      logLevel: this.#logLevel,
      endpointSocket: this.#endpointSocket,
      clock: systemClock,
      log: this.#log,
    };
    // What the process before kept came before anything else was read.
    const { loaded, calls } = await this.#asStarted(await loadDocuments(options));
    const runtime = await openRuntimeDirectory(this.#runtime);
    const core = await openControlCore(options, loaded.set, held, this.#catalogues);
    this.#core = core;
    const starting = core.lifecycle.begin('start');
    this.#awaitingWorkers = core.lifecycle.begin('workers');
    const bound = await this.#listen(loaded, calls);
    const handed = new HandedListeners(bound);
    const side = held.use(this.#openSide(core, { loaded, calls, bound, runtime }));
    held.use(
      await listenForJoins({ ...runtime, onJoin: (connection) => core.joins.serve(connection), clock: systemClock }),
    );
    const { jump } = loaded.set.mesh.spec.listeners;
    this.#plane = await openControlPlane(
      options,
      {
        core,
        loaded,
        data: side,
        runtime,
        jump: handed.addressOf('jump') ?? jump.address,
        calls: statusesOf(calls, handed),
        bindOf: (name) => handed.bind(name),
      },
      held,
    );
    this.#handed = handed;
    this.#channel.ready();
    starting[Symbol.dispose]();
  }

  /** The documents, but for what has changed since the workers were started: they serve on, and that waits for a restart. */
  async #asStarted(loaded: LoadedDocuments): Promise<Pick<Opened, 'loaded' | 'calls'>> {
    const edges = await readEdges(loaded.set.edges);
    const started = this.#started;
    const needsRestart = started === undefined ? [] : restartFields(started.set, loaded.set);
    if (started === undefined || needsRestart.length === 0) {
      const calls = callListenSpecs(loaded.set, edges);
      const bytes = writeStarted({ set: loaded.set, calls });
      this.#channel.relay({ to: 'control', topic: 'started', retained: true }, bytes);
      return { loaded, calls };
    }
    this.#log.warn('fields of the documents have changed that wait for a restart', { needsRestart });
    const set = keepMesh(loaded.set, started.set);
    const calls = { ...started.calls, edges: renewedEdges(started.calls.edges, edges) };
    return { loaded: { ...loaded, set, started: started.set, needsRestart }, calls };
  }

  /** Listens by what the documents say now. Throws what binding throws. */
  #listen(loaded: LoadedDocuments, calls: CallListenSpecs): Promise<readonly BoundListener[]> {
    const { spec } = loaded.set.mesh;
    const listeners = wantedListeners(spec, calls);
    const workers = spec.workers === 'auto' ? availableParallelism() : spec.workers;
    const listen = (drainMs: number): Promise<readonly BoundListener[]> =>
      this.#channel.listen({ listeners, workers: Math.max(1, workers), drainMs });
    let { drainMs } = spec;
    this.#held.use(
      this.#control().snapshots.watch(() => {
        const { spec: now } = this.#control().resources.mesh;
        if (now.drainMs === drainMs) return;
        drainMs = now.drainMs;
        listen(drainMs).catch((error: unknown) =>
          this.#log.error('the time to drain could not be changed', { error: messageOf(error) }),
        );
      }),
    );
    return listen(drainMs);
  }

  #openSide({ identity, control, instance }: ControlCore, { loaded, calls, bound, runtime }: Opened): WorkerSide {
    const { spec } = loaded.set.mesh;
    const side = new WorkerSide({
      relay: (target, bytes) => this.#channel.relay(target, bytes),
      settings: {
        logLevel: this.#log.level,
        linksPerPeer: (loaded.started ?? loaded.set).mesh.spec.linksPerPeer,
        instance: instance.id,
        epoch: instance.epoch,
        jump: spec.listeners.jump.address,
        bundleServerName: sharedServerName(spec.listeners),
        calls,
        bound,
        accessLogFile: spec.accessLogFile,
      },
      runtime,
      clock: systemClock,
      log: this.#log,
    });
    side.replaceSvid(identity.svid.current());
    side.replaceSnapshot(control.snapshots.current());
    this.#held.use(identity.svid.watch((svid) => side.replaceSvid(svid)));
    this.#held.use(control.snapshots.watch((snapshot) => side.replaceSnapshot(snapshot)));
    this.#side = side;
    this.#processesChanged(this.#processes);
    this.#held.use(control.snapshots.watch(() => this.#keepCatalogues(isAnotherCatalogue)));
    this.#keepCataloguesFresh();
    // Behind what tells the workers: they know it too when the callers come.
    const look = (): void => this.#letCallersIn(side);
    this.#held.use(control.snapshots.watch(look));
    this.#held.use(side.watchLinks(look));
    look();
    return side;
  }

  /** Once, when every import can be called that may be: until then, and for a bounded time, callers are kept waiting. */
  #letCallersIn(side: WorkerSide): void {
    const isLinked = (peer: string): boolean => side.instancesOf(peer).length > 0;
    if (this.#callersAreIn || awaitedImports(this.#control().snapshots.current(), isLinked).length > 0) return;
    this.#callersAreIn = true;
    this.#channel.callsCanBeCarried();
  }

  #keepCataloguesFresh(): void {
    this.#keepCatalogues((now, kept) => now !== kept);
    systemClock.after(KEEP_CATALOGUES_EVERY_MS, () => this.#keepCataloguesFresh());
  }

  /** Gives the process after this one what peers have announced, if some of it `differs` from what that would find. */
  #keepCatalogues(differs: (now: ImportedCatalogue, kept: ImportedCatalogue | undefined) => boolean): void {
    const { catalogues } = this.#control();
    const kept = this.#keptCatalogues;
    const same = catalogues.size === kept.size && [...catalogues].every(([peer, now]) => !differs(now, kept.get(peer)));
    if (same) return;
    this.#keptCatalogues = new Map(catalogues);
    this.#channel.relay({ to: 'control', topic: 'catalogues', retained: true }, writeCatalogues(catalogues));
  }

  #control(): ControlCore['control'] {
    if (this.#core === undefined) throw new Error('expected an open core');
    return this.#core.control;
  }

  #processesChanged(processes: readonly ProcessStatus[]): void {
    this.#processes = processes;
    this.#side?.processesChanged(processes);
    const serving = (this.#side?.ready().length ?? 0) > 0;
    if (serving) {
      this.#awaitingWorkers?.[Symbol.dispose]();
      this.#awaitingWorkers = undefined;
    } else if (this.#side !== undefined) this.#awaitingWorkers ??= this.#core?.lifecycle.begin('workers');
  }

  async #finish(): Promise<void> {
    await this.#held.disposeAsync();
    process.exit(0);
  }
}

/** More than heard again: a new version, or the first whole one. */
function isAnotherCatalogue(now: ImportedCatalogue, kept: ImportedCatalogue | undefined): boolean {
  return now.version !== kept?.version || now.complete !== kept.complete;
}

interface Opened {
  readonly loaded: LoadedDocuments;
  readonly calls: CallListenSpecs;
  readonly bound: readonly BoundListener[];
  readonly runtime: RuntimePaths;
}

function wantedListeners({ listeners }: MeshSpec, calls: CallListenSpecs): readonly WantedListener[] {
  const { jump, bundle, status, admin } = listeners;
  return [
    { name: 'jump', address: jump.address, to: 'workers', forCalls: false },
    ...namedListeners(calls).map(({ binding, at }) => {
      return { name: binding, address: at, to: 'workers', forCalls: true } as const;
    }),
    ...(isShared(listeners)
      ? []
      : [{ name: 'bundle', address: bundle.address, to: 'control', forCalls: false } as const]),
    { name: 'status', address: status, to: 'control', forCalls: false },
    { name: 'admin', address: admin.address, to: 'control', forCalls: false },
  ];
}

function statusesOf(calls: CallListenSpecs, handed: HandedListeners): readonly ListenerStatus[] {
  return namedListeners(calls).map(({ binding, name, kind, at, caller }) => {
    return { name, kind, address: formatAddress(handed.addressOf(binding) ?? at), caller };
  });
}

await new ControlProcess(process.argv.slice(2)).run();

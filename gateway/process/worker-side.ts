/** The data side in workers, as control sees it through the primary. */
import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { type Logger, type LogLevel } from '../../base/log.ts';
import { createPeeringClient, type PeeringClient } from '../../federation/peering/client.ts';
import { type FrameStream } from '../../federation/peering/frame-stream.ts';
import { type RuntimePaths } from '../../federation/peering/runtime-directory.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { type LinkStatus } from '../admin/operations.ts';
import { type DialFailure } from '../link/dial.ts';
import { type SmallAnswer, type SmallAnswerLimits } from '../link/small-body.ts';
import { type CallCounts } from '../telemetry/call-counts.ts';
import { type ProcessId, type ProcessStatus } from './channel.ts';
import { type RelayTarget } from './child-channel.ts';
import { CounterSum } from './counter-sum.ts';
import { type DataSide, readBundleThrough, unavailable } from './data-side.ts';
import { type EdgeListen, renewedEdges } from './edge-credentials.ts';
import { readFromWorker, type ToWorker, type WorkerSettings, writeToWorker } from './worker-message.ts';
import { type WorkerReport } from './worker-report.ts';
import { Waits } from './waits.ts';

/** A worker that has not answered by then is shown as it was. */
const ANSWER_MS_MAX = 1_000;
/** A worker takes a snapshot in milliseconds; one that does not in this long hangs. */
const SETTLE_MS_MAX = 5_000;
/** Sequences of one control process; those of the next are higher, since its epoch is. */
const SEQUENCES_PER_EPOCH = 2n ** 32n;

/** What it needs. */
export interface WorkerSideOptions {
  readonly relay: (target: RelayTarget, bytes: Uint8Array) => void;
  readonly settings: WorkerSettings;
  readonly runtime: Pick<RuntimePaths, 'workerSocket' | 'token'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** See the head of this file. */
export class WorkerSide implements DataSide, Disposable {
  readonly #options: WorkerSideOptions;
  readonly #reports = new Map<number, WorkerReport>();
  readonly #applied = new Map<number, number>();
  readonly #pids = new Map<number, number | null>();
  readonly #clients = new Map<number, PeeringClient>();
  readonly #sum = new CounterSum();
  readonly #linkListeners = new Set<() => void>();
  /** Called at everything that is heard. */
  readonly #waits: Waits;
  readonly #answers = new Map<number, number>();
  #settings: WorkerSettings;
  #processes: readonly ProcessStatus[] = [];
  #silent: readonly number[] = [];
  #droppedByEnded = 0;
  #sequence: number;
  #sent: Uint8Array | undefined;
  #nextId = 0;

  constructor(options: WorkerSideOptions) {
    this.#options = options;
    this.#waits = new Waits(options.clock);
    this.#settings = options.settings;
    this.#sequence = Number(options.settings.epoch * SEQUENCES_PER_EPOCH);
    this.#settingsChanged(options.settings);
  }

  /** Workers judge by `snapshot` from when they have it. */
  replaceSnapshot(snapshot: Snapshot): void {
    const bytes = writeToWorker({ kind: 'snapshot', sequence: 0, snapshot });
    // Most rebuilds change nothing; workers would drop what they have derived, and large meshes have large snapshots.
    if (this.#sent !== undefined && Buffer.compare(bytes, this.#sent) === 0) return;
    this.#sent = bytes;
    this.#sequence += 1;
    this.#tell({ kind: 'snapshot', sequence: this.#sequence, snapshot });
  }

  /** Workers show it from when they have it; without one they make and take no links. */
  replaceSvid(svid: X509Svid | undefined): void {
    this.#tell({ kind: 'svid', svid });
  }

  /** What a worker said. */
  heard(from: ProcessId, bytes: Uint8Array): void {
    const message = from === 'control' ? undefined : readFromWorker(bytes);
    if (message === undefined || from === 'control') {
      this.#options.log.error('a worker said what does not fit', { worker: from });
      return;
    }
    if (message.kind === 'applied') this.#applied.set(from, message.sequence);
    else {
      const before = linksKey(this.#reports.get(from));
      this.#reports.set(from, message.report);
      this.#sum.report(from, message.report.counts);
      if (message.id !== undefined) this.#answers.set(from, message.id);
      if (before !== linksKey(message.report)) this.#linksChanged();
    }
    this.#waits.look();
  }

  /** What the primary said of the processes. */
  processesChanged(processes: readonly ProcessStatus[]): void {
    this.#processes = processes;
    for (const { id, pid } of processes) {
      if (id === 'control' || this.#pids.get(id) === pid) continue;
      this.#pids.set(id, pid);
      this.#ended(id);
    }
    this.#waits.look();
  }

  /** Workers that serve. */
  ready(): readonly number[] {
    return this.#processes.flatMap(({ id, state }) => (id !== 'control' && state === 'ready' ? [id] : []));
  }

  links(): readonly LinkStatus[] {
    return [...this.#reports.values()].flatMap(({ links }) => links);
  }

  /** Once for each address, whichever worker tells. */
  failures(): readonly DialFailure[] {
    const all = [...this.#reports.values()].flatMap(({ failures }) => failures);
    return [...new Map(all.map((failure) => [`${failure.peer} ${failure.address}`, failure])).values()];
  }

  accessLogDropped(): number {
    return [...this.#reports.values()].reduce((sum, { dropped }) => sum + dropped, this.#droppedByEnded);
  }

  processes(): readonly ProcessStatus[] {
    return this.#processes;
  }

  silent(): readonly number[] {
    return this.#silent;
  }

  async refresh(): Promise<void> {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#tell({ kind: 'report', id });
    const missing = (): readonly number[] => this.ready().filter((index) => (this.#answers.get(index) ?? -1) < id);
    await this.#waits.until(() => missing().length === 0, ANSWER_MS_MAX);
    this.#silent = missing();
  }

  async counts(): Promise<CallCounts> {
    await this.refresh();
    return this.#sum.total();
  }

  instancesOf(peer: string): readonly string[] {
    const links = this.links().filter((link) => isWay(link, peer));
    return [...new Set(links.map(({ instance }) => instance).filter((instance) => instance !== null))];
  }

  watchLinks(listener: () => void): Disposable {
    // A function of its own, so that the same listener can watch twice.
    const entry = (): void => listener();
    this.#linkListeners.add(entry);
    return { [Symbol.dispose]: () => void this.#linkListeners.delete(entry) };
  }

  open(peer: string, instance: string): FrameStream {
    const worker = this.#workerWith((link) => isWay(link, peer) && link.instance === instance);
    // Without one any worker says that the peer cannot be reached.
    return this.#client(worker ?? this.ready()[0] ?? 0).open(peer, instance);
  }

  async readBundle(peer: string, limits: SmallAnswerLimits): Promise<SmallAnswer> {
    const worker = this.#workerWith((link) => isWay(link, peer));
    if (worker === undefined) throw unavailable();
    const { clock, runtime } = this.#options;
    const socket = { socketPath: runtime.workerSocket(worker), token: runtime.token };
    return readBundleThrough(socket, peer, { clock, limits });
  }

  replaceCertificates(edges: readonly EdgeListen[]): void {
    const { calls } = this.#settings;
    this.#settingsChanged({ ...this.#settings, calls: { ...calls, edges: renewedEdges(calls.edges, edges) } });
  }

  setLogLevel(logLevel: LogLevel): void {
    if (logLevel !== this.#settings.logLevel) this.#settingsChanged({ ...this.#settings, logLevel });
  }

  async settled(): Promise<void> {
    const sequence = this.#sequence;
    const late = (): readonly number[] => this.ready().filter((index) => (this.#applied.get(index) ?? -1) < sequence);
    if (await this.#waits.until(() => late().length === 0, SETTLE_MS_MAX)) return;
    const message = `workers ${late().join(', ')} have not taken the change within ${SETTLE_MS_MAX / 1000} s: see their log`;
    throw new JumpgateError('workers-late', message, { source: 'local', retry: 'later' });
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients.values()) client[Symbol.dispose]();
  }

  #settingsChanged(settings: WorkerSettings): void {
    this.#settings = settings;
    this.#tell({ kind: 'settings', settings });
  }

  #tell(message: ToWorker): void {
    this.#options.relay(
      { to: 'workers', topic: message.kind, retained: message.kind !== 'report' },
      writeToWorker(message),
    );
  }

  #client(worker: number): PeeringClient {
    const { runtime } = this.#options;
    let client = this.#clients.get(worker);
    if (client === undefined) {
      client = createPeeringClient({ socketPath: runtime.workerSocket(worker), token: runtime.token });
      this.#clients.set(worker, client);
    }
    return client;
  }

  #workerWith(has: (link: LinkStatus) => boolean): number | undefined {
    for (const [index, { links }] of this.#reports) if (links.some(has)) return index;
    return undefined;
  }

  #ended(worker: number): void {
    this.#droppedByEnded += this.#reports.get(worker)?.dropped ?? 0;
    this.#sum.ended(worker);
    this.#applied.delete(worker);
    this.#answers.delete(worker);
    if (this.#reports.delete(worker)) this.#linksChanged();
  }

  #linksChanged(): void {
    this.#tellHolders();
    for (const listener of [...this.#linkListeners]) listener();
  }

  /** Workers without a link to a peer hand its calls to those that have one. */
  #tellHolders(): void {
    const holders = new Map<string, number[]>();
    for (const [worker, { links }] of this.#reports) {
      const peers = new Set(links.filter((link) => isWay(link, link.peer)).map(({ peer }) => peer));
      for (const peer of peers) holders.set(peer, [...(holders.get(peer) ?? []), worker]);
    }
    this.#tell({ kind: 'holders', holders });
  }
}

function isWay({ peer, direction, state }: LinkStatus, to: string): boolean {
  return peer === to && direction === 'outbound' && state === 'up';
}

/** Which links there are, whatever they carry. */
function linksKey(report: WorkerReport | undefined): string {
  return (report?.links ?? [])
    .map(({ peer, direction, instance, state }) => `${peer} ${direction} ${instance} ${state}`)
    .join();
}

/** What control and the workers say to each other, as bytes that the primary relays unread. */
import { createPrivateKey } from 'node:crypto';
import { deserialize, serialize } from 'node:v8';

import { asList, asRecord } from '../../base/brand.ts';
import { LOG_LEVELS, type LogLevel } from '../../base/log.ts';
import { type ImportedCatalogue } from '../../federation/catalogue/imported.ts';
import { type BindAddress, type ResourceSet } from '../../federation/resources/values.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { trySpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { type BoundListener } from './channel.ts';
import { type CallListenSpecs } from './listeners.ts';
import { readReport, type WorkerReport } from './worker-report.ts';

/** Control says. The relay's topic is the kind; all but `report` are retained. */
export type ToWorker =
  /** Answered by `applied` with the same sequence. */
  | { readonly kind: 'snapshot'; readonly sequence: number; readonly snapshot: Snapshot }
  /** Never the CA's key: only what the jump port shows, or that there is none. */
  | { readonly kind: 'svid'; readonly svid: X509Svid | undefined }
  | { readonly kind: 'settings'; readonly settings: WorkerSettings }
  /** Which workers have a link to which peer. */
  | { readonly kind: 'holders'; readonly holders: ReadonlyMap<string, readonly number[]> }
  /** Answered by `report` with the same id. */
  | { readonly kind: 'report'; readonly id: number };

/** What a worker cannot read from a snapshot. But for the log level and the edges' certificates it holds until a restart. */
export interface WorkerSettings {
  readonly logLevel: LogLevel;
  readonly linksPerPeer: number;
  readonly instance: string;
  readonly epoch: bigint;
  readonly jump: BindAddress;
  readonly bundleServerName: string | undefined;
  readonly calls: CallListenSpecs;
  readonly bound: readonly BoundListener[];
  /** Standard output without one. */
  readonly accessLogFile: string | undefined;
}

/** A worker says. */
export type FromWorker =
  /** It judges by the snapshot of this sequence from now on, and has closed what no longer holds. */
  | { readonly kind: 'applied'; readonly sequence: number }
  /** Every second, when links came or went, and when asked: then with the id. */
  | { readonly kind: 'report'; readonly id: number | undefined; readonly report: WorkerReport };

/** Writes what control says. */
export function writeToWorker(message: ToWorker): Uint8Array {
  if (message.kind !== 'svid' || message.svid === undefined) return serialize(message);
  const { key, ...rest } = message.svid;
  return serialize({ kind: message.kind, svid: { ...rest, key: key.export({ type: 'pkcs8', format: 'der' }) } });
}

/** Reads what control said; `undefined` for what this version does not know. */
export function readToWorker(bytes: Uint8Array): ToWorker | undefined {
  const record = read(bytes);
  const { kind, sequence, id } = record;
  switch (kind) {
    case 'snapshot': {
      const { snapshot } = record;
      return isCount(sequence) && isSnapshot(snapshot) ? { kind, sequence, snapshot } : undefined;
    }
    case 'svid': {
      if ('svid' in record && record['svid'] === undefined) return { kind, svid: undefined };
      const svid = readSvid(record['svid']);
      return svid && { kind, svid };
    }
    case 'settings': {
      const { settings } = record;
      return isSettings(settings) ? { kind, settings } : undefined;
    }
    case 'holders': {
      const { holders } = record;
      return isHolders(holders) ? { kind, holders } : undefined;
    }
    case 'report':
      return isCount(id) ? { kind, id } : undefined;
    default:
      return undefined;
  }
}

/** Writes what a worker says. */
export function writeFromWorker(message: FromWorker): Uint8Array {
  return serialize(message);
}

/** Reads what a worker said, which has parsed what strangers sent: `undefined` for everything that does not fit. */
export function readFromWorker(bytes: Uint8Array): FromWorker | undefined {
  const record = read(bytes);
  const { kind, sequence, id } = record;
  if (kind === 'applied') return isCount(sequence) ? { kind, sequence } : undefined;
  if (kind !== 'report' || (id !== undefined && !isCount(id))) return undefined;
  const report = readReport(record['report']);
  return report && { kind, id, report };
}

/** Writes what peers have announced, for the control process after this one. */
export function writeCatalogues(catalogues: ReadonlyMap<string, ImportedCatalogue>): Uint8Array {
  return serialize({ catalogues });
}

/** Reads what the control process before this one had heard; nothing when it does not fit. */
export function readCatalogues(bytes: Uint8Array): ReadonlyMap<string, ImportedCatalogue> {
  const { catalogues } = read(bytes);
  return isCatalogues(catalogues) ? catalogues : new Map();
}

/** What the listeners and workers of a gateway were started with. */
export interface StartedWith {
  readonly set: ResourceSet;
  readonly calls: CallListenSpecs;
}

/** Writes it for the control process after this one. */
export function writeStarted(started: StartedWith): Uint8Array {
  return serialize({ started });
}

/** Reads it; `undefined` when it does not fit. */
export function readStarted(bytes: Uint8Array): StartedWith | undefined {
  const { started } = read(bytes);
  return isStarted(started) ? started : undefined;
}

function read(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = deserialize(bytes);
    return asRecord(value) ?? {};
  } catch {
    return {};
  }
}

/** Control is believed about what is in it; a value of another version would fail here and not at a call. */
function isSnapshot(value: unknown): value is Snapshot {
  const { mesh, trustDomain, gatewayId, generations, bundles, tainted, distrust, peers, exports, imports, routes } =
    asRecord(value) ?? {};
  const texts = [mesh, trustDomain, gatewayId].every((text) => typeof text === 'string');
  const maps = [bundles, peers, exports, imports].every((map) => map instanceof Map);
  const records = [generations, distrust].every((record) => asRecord(record) !== undefined);
  return texts && maps && records && tainted instanceof Set && asList(routes) !== undefined;
}

/** As for snapshots. */
function isSettings(value: unknown): value is WorkerSettings {
  const { logLevel, linksPerPeer, instance, epoch, jump, calls, bound } = asRecord(value) ?? {};
  const { outbound, imports, edges } = asRecord(calls) ?? {};
  const lists = [outbound, imports, edges, bound].every((list) => asList(list) !== undefined);
  const level = LOG_LEVELS.some((each) => each === logLevel);
  return (
    level &&
    lists &&
    isCount(linksPerPeer) &&
    typeof epoch === 'bigint' &&
    typeof instance === 'string' &&
    asRecord(jump) !== undefined
  );
}

/** As for snapshots. */
function isStarted(value: unknown): value is StartedWith {
  const { set, calls } = asRecord(value) ?? {};
  const { mesh, peers, exports, imports, edges, routes } = asRecord(set) ?? {};
  const { outbound, imports: listening, edges: open } = asRecord(calls) ?? {};
  const lists = [peers, exports, imports, edges, routes, outbound, listening, open];
  return asRecord(asRecord(mesh)?.['spec']) !== undefined && lists.every((list) => asList(list) !== undefined);
}

/** As for snapshots. */
function isHolders(value: unknown): value is ReadonlyMap<string, readonly number[]> {
  return value instanceof Map && [...value.values()].every((each) => asList(each)?.every(isCount) === true);
}

/** As for snapshots. */
function isCatalogues(value: unknown): value is ReadonlyMap<string, ImportedCatalogue> {
  return value instanceof Map && [...value.values()].every((each) => asRecord(each)?.['entries'] instanceof Map);
}

function readSvid(value: unknown): X509Svid | undefined {
  const { id, chain, key, notBeforeMs, notAfterMs } = asRecord(value) ?? {};
  const spiffeId = typeof id === 'string' ? trySpiffeId(id) : undefined;
  const certificates = asList(chain)?.filter((each) => each instanceof Uint8Array) ?? [];
  if (spiffeId === undefined || certificates.length === 0 || !(key instanceof Uint8Array)) return undefined;
  if (typeof notBeforeMs !== 'number' || typeof notAfterMs !== 'number') return undefined;
  const privateKey = createPrivateKey({ key: Buffer.from(key), type: 'pkcs8', format: 'der' });
  return { id: spiffeId, chain: certificates, key: privateKey, notBeforeMs, notAfterMs };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

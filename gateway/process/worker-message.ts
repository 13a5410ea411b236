/** What control and the workers say to each other, as bytes that the primary relays unread. */
import { createPrivateKey } from 'node:crypto';
import { deserialize, serialize } from 'node:v8';

import { asList, asRecord } from '../../base/brand.ts';
import { LOG_LEVELS, type LogLevel } from '../../base/log.ts';
import { type Snapshot } from '../../federation/snapshot/snapshot.ts';
import { trySpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { type LinkStatus } from '../admin/operations.ts';

/** Control says. The relay's topic is the kind; `snapshot`, `svid` and `settings` are retained. */
export type ToWorker =
  | { readonly kind: 'snapshot'; readonly sequence: number; readonly snapshot: Snapshot }
  /** Never the CA's key: only what the jump port shows. */
  | { readonly kind: 'svid'; readonly svid: X509Svid }
  | { readonly kind: 'settings'; readonly settings: WorkerSettings }
  /** Answered by `counters` or `links` with the same id. */
  | { readonly kind: 'counters'; readonly id: number }
  | { readonly kind: 'links'; readonly id: number }
  /** Close every link to a peer now, whatever it carries. Answered by `applied` with the same sequence. */
  | { readonly kind: 'cut'; readonly sequence: number; readonly peer: string };

/** What a worker cannot read from a snapshot. */
export interface WorkerSettings {
  readonly logLevel: LogLevel;
  readonly linksPerPeer: number;
  readonly instance: string;
  readonly epoch: bigint;
  /** The 0700 directory of the Unix sockets `worker-N.sock`, `server.sock` and `join.sock`, and their token. */
  readonly runtime: string;
  readonly token: string;
}

/** A worker says. */
export type FromWorker =
  /** It judges by the snapshot of this sequence from now on, and has closed what no longer holds. */
  | { readonly kind: 'applied'; readonly sequence: number; readonly linksClosed: number }
  /** At every change, and when asked: then with the id. */
  | { readonly kind: 'links'; readonly id: number | undefined; readonly links: readonly LinkStatus[] }
  /** `names[i]` is a metric with its labels, `values[i]` its count since the worker started. */
  | {
      readonly kind: 'counters';
      readonly id: number | undefined;
      readonly names: readonly string[];
      readonly values: Float64Array;
    };

/** More than linksPerPeer x peers of a large mesh; a worker that says more is not believed. */
const LINKS_MAX = 100_000;
/** Metrics with their labels, which come from closed sets. */
const COUNTERS_MAX = 100_000;
const NAME_LENGTH_MAX = 1_024;

/** Writes what control says. */
export function writeToWorker(message: ToWorker): Uint8Array {
  if (message.kind !== 'svid') return serialize(message);
  const { key, ...rest } = message.svid;
  return serialize({ kind: message.kind, svid: { ...rest, key: key.export({ type: 'pkcs8', format: 'der' }) } });
}

/** Reads what control said; `undefined` for what this version does not know. */
export function readToWorker(bytes: Uint8Array): ToWorker | undefined {
  const record = read(bytes);
  const { kind, sequence, id, peer } = record;
  switch (kind) {
    case 'snapshot': {
      const { snapshot } = record;
      return isCount(sequence) && isSnapshot(snapshot) ? { kind, sequence, snapshot } : undefined;
    }
    case 'svid': {
      const svid = readSvid(record['svid']);
      return svid && { kind, svid };
    }
    case 'settings': {
      const settings = readSettings(record['settings']);
      return settings && { kind, settings };
    }
    case 'counters':
    case 'links':
      return isCount(id) ? { kind, id } : undefined;
    case 'cut':
      return isCount(sequence) && typeof peer === 'string' ? { kind, sequence, peer } : undefined;
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
  const { kind, sequence, linksClosed, id } = record;
  if (kind === 'applied') {
    return isCount(sequence) && isCount(linksClosed) ? { kind, sequence, linksClosed } : undefined;
  }
  if (id !== undefined && !isCount(id)) return undefined;
  if (kind === 'links') {
    const listed = asList(record['links']);
    if (listed === undefined || listed.length > LINKS_MAX) return undefined;
    const links = listed.filter(isLink);
    return links.length === listed.length ? { kind, id, links } : undefined;
  }
  if (kind !== 'counters') return undefined;
  const listed = asList(record['names']);
  const { values } = record;
  if (listed === undefined || listed.length > COUNTERS_MAX || !(values instanceof Float64Array)) return undefined;
  const names = listed.filter((name) => isText(name));
  if (names.length !== listed.length || values.length !== names.length) return undefined;
  return values.every((value) => Number.isFinite(value) && value >= 0) ? { kind, id, names, values } : undefined;
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
  const { mesh, trustDomain, gatewayId, generations, bundles, peers, exports, imports, routes } = asRecord(value) ?? {};
  const texts = [mesh, trustDomain, gatewayId].every((text) => typeof text === 'string');
  const maps = [bundles, peers, exports, imports].every((map) => map instanceof Map);
  return texts && maps && asRecord(generations) !== undefined && asList(routes) !== undefined;
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

function readSettings(value: unknown): WorkerSettings | undefined {
  const { logLevel, linksPerPeer, instance, epoch, runtime, token } = asRecord(value) ?? {};
  const level = LOG_LEVELS.find((each) => each === logLevel);
  if (level === undefined || !isCount(linksPerPeer) || typeof epoch !== 'bigint') return undefined;
  if (typeof instance !== 'string' || typeof runtime !== 'string' || typeof token !== 'string') return undefined;
  return { logLevel: level, linksPerPeer, instance, epoch, runtime, token };
}

function isLink(value: unknown): value is LinkStatus {
  const { peer, direction, instance, address, state, since, expiresAt, calls } = asRecord(value) ?? {};
  return (
    [peer, address, state, since, expiresAt].every(isText) &&
    (instance === null || isText(instance)) &&
    (direction === 'outbound' || direction === 'inbound') &&
    isCount(calls)
  );
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= NAME_LENGTH_MAX;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

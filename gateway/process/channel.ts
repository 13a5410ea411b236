/** What the primary and its children say to each other over IPC, and the strict reading of what a child says. */
import { asList, asRecord } from '../../base/brand.ts';
import { type ServerAddress } from '../../base/net/bind-server.ts';

/** The control process, or a worker by its index. */
export type ProcessId = 'control' | number;

/** A listener that control wants; the primary owns it and hands its connections to workers, or to control. */
export interface WantedListener {
  /** Unique, as status shows it: `jump`, `outbound[0]`. */
  readonly name: string;
  readonly address: ServerAddress;
  readonly to: 'workers' | 'control';
  /** Whether callers connect here, who wait after a start until their calls can be carried. */
  readonly forCalls: boolean;
}

/** A listener as bound. */
export interface BoundListener {
  readonly name: string;
  readonly address: ServerAddress;
}

const PROCESS_STATES = ['starting', 'ready', 'waiting', 'crash-looping', 'draining', 'ended'] as const;

/** One child as status shows it. */
export interface ProcessStatus {
  readonly id: ProcessId;
  /** `null` while there is none. */
  readonly pid: number | null;
  /** `waiting` and `crash-looping` are the back-off before the next start. */
  readonly state: (typeof PROCESS_STATES)[number];
  readonly restarts: number;
  /** How the last one ended, as a phrase; `null` if none has. */
  readonly lastEnd: string | null;
  readonly connections: number;
}

/** What the primary says. */
export type ToChild =
  /** With the socket. The child answers `taken` before it reads a byte, or `returned`. */
  | { readonly kind: 'connection'; readonly id: number; readonly listener: string }
  /** With a listening handle, to be sent back as it is: that is how a process makes a copy of a descriptor. */
  | { readonly kind: 'copy'; readonly id: number }
  | { readonly kind: 'relay'; readonly from: ProcessId; readonly topic: string; readonly bytes: Uint8Array }
  | { readonly kind: 'bound'; readonly listeners: readonly BoundListener[] }
  | { readonly kind: 'not-bound'; readonly code: string; readonly message: string }
  | { readonly kind: 'processes'; readonly processes: readonly ProcessStatus[] }
  | { readonly kind: 'drain'; readonly deadlineMs: number }
  /** To control, once every worker has ended. */
  | { readonly kind: 'finish' }
  | { readonly kind: 'hang-up' };

/** What a child says. */
export type FromChild =
  | { readonly kind: 'ready' }
  | { readonly kind: 'taken'; readonly id: number }
  | { readonly kind: 'returned'; readonly id: number }
  | { readonly kind: 'closed'; readonly listener: string; readonly count: number }
  /** Control only, with the handle. */
  | { readonly kind: 'copy'; readonly id: number }
  /** Control only: connections of listeners for calls need wait no longer after the start. */
  | { readonly kind: 'calls-can-be-carried' }
  | {
      readonly kind: 'relay';
      readonly to: ProcessId | 'workers';
      readonly topic: string;
      /**
       * Give the last bytes of this topic to every worker that starts later, also while control is down. To control: keep
       * them for the control process after this one, and for it only.
       */
      readonly retained: boolean;
      readonly bytes: Uint8Array;
    }
  /** Control only. Repeated by each new control process; what is already bound stays as it is. */
  | {
      readonly kind: 'listen';
      readonly listeners: readonly WantedListener[];
      readonly workers: number;
      readonly drainMs: number;
    };

/** What one relay may carry: a snapshot of a large mesh, and far less than would hurt the primary. */
const RELAY_BYTES_MAX = 64 * 1024 * 1024;
/** Listeners of one gateway. */
const LISTENERS_MAX = 256;
/** Workers of one gateway; a hello tells peers of at most 1,024. */
const WORKERS_MAX = 256;
/** A day: longer is a slip of the pen. */
const DRAIN_MS_MAX = 86_400_000;
const TOPIC = /^[a-z][a-z-]{0,31}$/;
const LISTENER_NAME_LENGTH_MAX = 255;
/** sun_path with its final zero; binding says more. */
const PATH_LENGTH_MAX = 107;

/**
 * Reads what a child said; `undefined` for everything that is not exactly one of the forms. A worker has parsed what
 * strangers sent, so the primary believes none of its words unread.
 */
export function readFromChild(message: unknown, from: ProcessId): FromChild | undefined {
  const record = asRecord(message) ?? {};
  const { kind, id } = record;
  switch (kind) {
    case 'ready':
      return { kind };
    case 'taken':
    case 'returned':
      return isCount(id, Number.MAX_SAFE_INTEGER) ? { kind, id } : undefined;
    case 'copy':
      return from === 'control' && isCount(id, Number.MAX_SAFE_INTEGER) ? { kind, id } : undefined;
    case 'calls-can-be-carried':
      return from === 'control' ? { kind } : undefined;
    case 'closed': {
      const { listener, count } = record;
      return isListenerName(listener) && isCount(count, Number.MAX_SAFE_INTEGER) && count > 0
        ? { kind, listener, count }
        : undefined;
    }
    case 'relay':
      return readRelay(record, from);
    case 'listen':
      return from === 'control' ? readListen(record) : undefined;
    default:
      return undefined;
  }
}

/** Reads what the primary said; `undefined` for what a later version says and this one does not know. */
export function readToChild(message: unknown): ToChild | undefined {
  const record = asRecord(message) ?? {};
  const { kind, id, listener } = record;
  switch (kind) {
    case 'connection':
      return isCount(id, Number.MAX_SAFE_INTEGER) && isListenerName(listener) ? { kind, id, listener } : undefined;
    case 'copy':
      return isCount(id, Number.MAX_SAFE_INTEGER) ? { kind, id } : undefined;
    case 'relay':
      return readRelayed(record);
    case 'bound':
      return { kind, listeners: readEach(record['listeners'], readBound) };
    case 'processes':
      return { kind, processes: readEach(record['processes'], readProcess) };
    case 'not-bound': {
      const { code, message: why } = record;
      return typeof code === 'string' && typeof why === 'string' ? { kind, code, message: why } : undefined;
    }
    case 'drain': {
      const { deadlineMs } = record;
      return isCount(deadlineMs, DRAIN_MS_MAX) ? { kind, deadlineMs } : undefined;
    }
    case 'finish':
    case 'hang-up':
      return { kind };
    default:
      return undefined;
  }
}

function readRelayed({ from, topic, bytes }: Readonly<Record<string, unknown>>): ToChild | undefined {
  if (from !== 'control' && !isCount(from, WORKERS_MAX - 1)) return undefined;
  if (typeof topic !== 'string' || !TOPIC.test(topic) || !(bytes instanceof Uint8Array)) return undefined;
  return { kind: 'relay', from, topic, bytes };
}

function readEach<T>(values: unknown, read: (value: unknown) => T | undefined): readonly T[] {
  return (asList(values) ?? []).map(read).filter((value) => value !== undefined);
}

function readBound(value: unknown): BoundListener | undefined {
  const { name, address } = asRecord(value) ?? {};
  const at = readAddress(address);
  return isListenerName(name) && at !== undefined ? { name, address: at } : undefined;
}

function readProcess(value: unknown): ProcessStatus | undefined {
  const { id, pid, state, restarts, lastEnd, connections } = asRecord(value) ?? {};
  const known = PROCESS_STATES.find((each) => each === state);
  if (id !== 'control' && !isCount(id, WORKERS_MAX - 1)) return undefined;
  if (known === undefined || !isCount(restarts, Number.MAX_SAFE_INTEGER)) return undefined;
  if (!isCount(connections, Number.MAX_SAFE_INTEGER)) return undefined;
  return {
    id,
    pid: typeof pid === 'number' ? pid : null,
    state: known,
    restarts,
    lastEnd: typeof lastEnd === 'string' ? lastEnd : null,
    connections,
  };
}

/** Workers speak to control only, and leave nothing behind in the primary. */
function readRelay(record: Readonly<Record<string, unknown>>, from: ProcessId): FromChild | undefined {
  const { to, topic, retained, bytes } = record;
  if (to !== 'control' && to !== 'workers' && !isCount(to, WORKERS_MAX - 1)) return undefined;
  if (from !== 'control' && (to !== 'control' || retained !== false)) return undefined;
  if (typeof topic !== 'string' || !TOPIC.test(topic) || typeof retained !== 'boolean') return undefined;
  if (!(bytes instanceof Uint8Array) || bytes.byteLength > RELAY_BYTES_MAX) return undefined;
  return { kind: 'relay', to, topic, retained, bytes };
}

function readListen(record: Readonly<Record<string, unknown>>): FromChild | undefined {
  const { workers, drainMs } = record;
  const listed = asList(record['listeners']);
  if (listed === undefined || listed.length > LISTENERS_MAX) return undefined;
  if (!isCount(workers, WORKERS_MAX) || workers === 0 || !isCount(drainMs, DRAIN_MS_MAX)) return undefined;
  const listeners = listed.map(readListener).filter((listener) => listener !== undefined);
  const names = new Set(listeners.map(({ name }) => name));
  if (listeners.length !== listed.length || names.size !== listed.length) return undefined;
  return { kind: 'listen', listeners, workers, drainMs };
}

function readListener(value: unknown): WantedListener | undefined {
  const { name, to, address, forCalls } = asRecord(value) ?? {};
  const at = readAddress(address);
  if (!isListenerName(name) || at === undefined || (to !== 'workers' && to !== 'control')) return undefined;
  return typeof forCalls === 'boolean' ? { name, to, address: at, forCalls } : undefined;
}

function readAddress(value: unknown): ServerAddress | undefined {
  const { kind, host, port, path } = asRecord(value) ?? {};
  if (kind === 'tcp' && typeof host === 'string' && isCount(port, 65_535)) return { kind, host, port };
  if (kind === 'unix' && typeof path === 'string' && path.length <= PATH_LENGTH_MAX) return { kind, path };
  return undefined;
}

function isListenerName(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= LISTENER_NAME_LENGTH_MAX;
}

function isCount(value: unknown, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max;
}

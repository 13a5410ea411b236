/** How many descriptors this process may open, and how much of that connections may take. */
import { readFileSync } from 'node:fs';

/** What POSIX systems give where nothing is said, and what is believed where the limit cannot be read. */
const DESCRIPTORS_DEFAULT = 1_024;
/** More would only size tables; `unlimited` is shown as such by Linux. */
const DESCRIPTORS_MAX = 1_048_576;

/** Held connections are milliseconds old unless every worker is dead; this many are a second of a busy listener. */
const HELD_MAX = 16_384;

/** Connections that each kind of process may hold. */
export interface ConnectionRoom {
  /** Accepted by the primary and not taken by a worker yet. */
  readonly heldMax: number;
  /** Open in one worker. */
  readonly perWorkerMax: number;
}

/**
 * The soft limit on open files from the text of /proc/self/limits, or what is believed without it. Node raises the soft
 * limit to the hard one when it starts, and children inherit it.
 */
export function descriptorLimit(text = limitsOfThisProcess()): number {
  const found = /^Max open files\s+(\d+|unlimited)\s/m.exec(text)?.[1];
  if (found === undefined) return DESCRIPTORS_DEFAULT;
  return found === 'unlimited' ? DESCRIPTORS_MAX : Math.min(Number(found), DESCRIPTORS_MAX);
}

/**
 * A worker keeps half of its descriptors for what calls open towards services and peers; the primary only passes
 * connections on, and at EMFILE libuv would accept and close them, so it stays at a quarter.
 */
export function connectionRoom(limit: number): ConnectionRoom {
  return {
    heldMax: Math.max(1, Math.min(HELD_MAX, Math.floor(limit / 4))),
    perWorkerMax: Math.max(1, Math.floor(limit / 2)),
  };
}

function limitsOfThisProcess(): string {
  try {
    return readFileSync('/proc/self/limits', 'latin1');
  } catch {
    return '';
  }
}

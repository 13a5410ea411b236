/** A store whose rows carry a MAC, so that whoever can write to a shared engine cannot make rows that we believe. */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import { JumpgateError } from '../errors.ts';
import { type Logger } from '../log.ts';
import {
  checkValue,
  type Expected,
  type PutOutcome,
  type RemoveOutcome,
  type Row,
  ROWS_MAX,
  type Store,
  VALUE_BYTES_MAX,
  type WatchListener,
} from './store.ts';

/** HMAC-SHA256 gains nothing from more, and loses strength with less (RFC 2104 section 3). */
const SEAL_KEY_BYTES_MIN = 32;

/** Names the format; a value never starts with it unsealed, since every value is written through this file. */
const SEAL_PREFIX = 's1.';

/** SHA-256 in base64url without padding. */
const MAC_CHARS = 43;

/** What a seal adds to a value. */
const SEAL_BYTES = SEAL_PREFIX.length + MAC_CHARS + 1;

/** The largest value of a sealed store: the seal takes its part of the engine's limit. */
export const SEALED_VALUE_BYTES_MAX = VALUE_BYTES_MAX - SEAL_BYTES;

/** How rows are sealed. */
export interface SealOptions {
  /** At least 32 bytes. */
  readonly key: Uint8Array;
  /** Whose rows they are: one of another store under the same key is not believed here. No NUL. */
  readonly scope: string;
  readonly log: Logger;
}

/**
 * Seals `store`: HMAC-SHA256 per row over scope, key and value. A row whose seal is missing or wrong is logged and counts
 * as absent; it can be written over as such. A seal does not tell an old row put back from the newest: a remembered
 * store does that. Disposes of `store`. Throws `seal-key-short` (source `config`) for a key below 32 bytes.
 */
export function sealedStore(store: Store, { key, scope, log }: SealOptions): Store {
  if (key.byteLength < SEAL_KEY_BYTES_MIN) {
    throw new JumpgateError(
      'seal-key-short',
      `expected a seal key of at least ${SEAL_KEY_BYTES_MIN} bytes, found ${key.byteLength}`,
      { source: 'config' },
    );
  }
  return new SealedStore(store, createSecretKey(key), { scope, log });
}

class SealedStore implements Store {
  readonly #store: Store;
  readonly #key: KeyObject;
  readonly #scope: string;
  readonly #log: Logger;
  /** Versions of rows that were logged as broken, by key, so that each is logged once. */
  readonly #broken = new Map<string, string>();

  constructor(store: Store, key: KeyObject, { scope, log }: Pick<SealOptions, 'scope' | 'log'>) {
    this.#store = store;
    this.#key = key;
    this.#scope = scope;
    this.#log = log;
  }

  async get(key: string): Promise<Row | undefined> {
    const row = await this.#store.get(key);
    return row === undefined ? undefined : this.#open(row);
  }

  async list(prefix: string): Promise<readonly Row[]> {
    const rows = await this.#store.list(prefix);
    return rows.map((row) => this.#open(row)).filter((row) => row !== undefined);
  }

  async put(key: string, value: string, expected: Expected): Promise<PutOutcome> {
    checkValue(key, value, SEALED_VALUE_BYTES_MAX);
    const sealed = `${SEAL_PREFIX}${this.#mac(key, value)}.${value}`;
    const outcome = await this.#store.put(key, sealed, expected);
    if (outcome.kind === 'stored' || expected !== 'absent') return outcome;
    const row = await this.#store.get(key);
    if (row === undefined || this.#open(row) !== undefined) return outcome;
    return this.#store.put(key, sealed, row.version);
  }

  async remove(key: string, expected: Expected): Promise<RemoveOutcome> {
    return this.#store.remove(key, expected);
  }

  watch(prefix: string, listener: WatchListener): Disposable {
    return this.#store.watch(prefix, listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }

  #open(row: Row): Row | undefined {
    const mac = row.value.slice(SEAL_PREFIX.length, SEAL_PREFIX.length + MAC_CHARS);
    const value = row.value.slice(SEAL_BYTES);
    const framed = row.value.startsWith(SEAL_PREFIX) && row.value[SEAL_BYTES - 1] === '.';
    if (framed && sameText(mac, this.#mac(row.key, value))) {
      this.#broken.delete(row.key);
      return { ...row, value };
    }
    if (this.#broken.get(row.key) === row.version || this.#broken.size >= ROWS_MAX) return undefined;
    this.#broken.set(row.key, row.version);
    this.#log.error('store row ignored: its seal is missing or wrong', { key: row.key });
    return undefined;
  }

  /** Scope and key hold no NUL, so the parts cannot run into each other. */
  #mac(key: string, value: string): string {
    return createHmac('sha256', this.#key)
      .update(`jumpgate-row-1\0${this.#scope}\0${key}\0${value}`)
      .digest('base64url');
  }
}

function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

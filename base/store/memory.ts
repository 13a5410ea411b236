/** Rows in memory, optionally written through to something that outlives the process. */
import { type Logger, silentLog } from '../log.ts';
import { Serial } from './serial.ts';
import {
  checkKey,
  checkValue,
  isExpected,
  type Expected,
  newVersion,
  type PutOutcome,
  type RemoveOutcome,
  type Row,
  ROWS_MAX,
  type Store,
  storeClosed,
  storeFull,
  VALUE_BYTES_MAX,
  type WatchListener,
} from './store.ts';
import { Watchers } from './watchers.ts';

/** Where rows go before they count as stored. Called by one task at a time. */
export interface Persistence extends AsyncDisposable {
  /** Writes the row for good. */
  write(row: Row): Promise<void>;
  /** Removes the row for good. */
  erase(key: string): Promise<void>;
}

/** Options of {@link memoryStore}. */
export interface MemoryStoreOptions {
  /** The rows to start with. Default: none. */
  readonly rows?: Iterable<Row>;
  /** Default: nothing outlives the process. Disposed of with the store. */
  readonly persistence?: Persistence;
  /** Told of listeners that throw. Default: nobody. */
  readonly log?: Logger;
}

/** Makes a store whose rows are read from memory. A write takes effect when the persistence has taken it. */
export function memoryStore(options: MemoryStoreOptions = {}): Store {
  return new MemoryStore(options);
}

class MemoryStore implements Store {
  readonly #rows = new Map<string, Row>();
  readonly #serial = new Serial();
  readonly #watchers: Watchers;
  readonly #persistence: Persistence | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: MemoryStoreOptions) {
    for (const row of options.rows ?? []) this.#rows.set(row.key, row);
    this.#watchers = new Watchers(options.log ?? silentLog);
    this.#persistence = options.persistence;
  }

  async get(key: string): Promise<Row | undefined> {
    this.#checkOpen();
    checkKey(key);
    return this.#rows.get(key);
  }

  async list(prefix: string): Promise<readonly Row[]> {
    this.#checkOpen();
    const rows = [...this.#rows.values()].filter((row) => row.key.startsWith(prefix));
    return rows.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async put(key: string, value: string, expected: Expected): Promise<PutOutcome> {
    this.#checkOpen();
    checkKey(key);
    checkValue(key, value, VALUE_BYTES_MAX);
    return this.#serial.run(async () => {
      const stored = this.#rows.get(key);
      if (!isExpected(stored, expected)) return { kind: 'conflict' };
      if (stored === undefined && this.#rows.size >= ROWS_MAX) throw storeFull();
      const row = { key, value, version: newVersion() };
      await this.#persistence?.write(row);
      this.#rows.set(key, row);
      this.#watchers.notify(key);
      return { kind: 'stored', version: row.version };
    });
  }

  async remove(key: string, expected: Expected): Promise<RemoveOutcome> {
    this.#checkOpen();
    checkKey(key);
    return this.#serial.run(async () => {
      const stored = this.#rows.get(key);
      if (stored === undefined) return 'absent';
      if (!isExpected(stored, expected)) return 'conflict';
      await this.#persistence?.erase(key);
      this.#rows.delete(key);
      this.#watchers.notify(key);
      return 'removed';
    });
  }

  watch(prefix: string, listener: WatchListener): Disposable {
    this.#checkOpen();
    return this.#watchers.add(prefix, listener);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#watchers.clear();
    await this.#serial.idle();
    await this.#persistence?.[Symbol.asyncDispose]();
  }

  #checkOpen(): void {
    if (this.#closed !== undefined) throw storeClosed();
  }
}

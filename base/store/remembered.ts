/**
 * A shared store whose rows are remembered on this machine, so that nothing is lost or comes back because the shared
 * store is away, loses what it has acknowledged, or is written by somebody else. Of each key the later word counts:
 *
 *     shared is later   -> remembered here before it is believed
 *     shared is behind  -> what is remembered is believed, and written there again        (missing, evicted, put back)
 *     shared is away    -> what is remembered is believed; lasting rows can be written and removed here until it is back
 *
 * A removal is a word too: its row stays and says so. What nobody here has ever seen is believed as it stands: the seal
 * below this store says that a replica has written it, not that it is the newest.
 */
import { type Clock } from '../clock.ts';
import { JumpgateError, messageOf } from '../errors.ts';
import { Lifetime } from '../lifetime.ts';
import { type Logger } from '../log.ts';
import { isLater, nextRow, readRememberedRow, type RememberedRow, writeRememberedRow } from './remembered-row.ts';
import { Serial } from './serial.ts';
import {
  checkKey,
  checkValue,
  isExpected,
  type Expected,
  type PutOutcome,
  type RemoveOutcome,
  type Row,
  type Store,
  storeClosed,
  type WatchListener,
} from './store.ts';
import { Watchers } from './watchers.ts';

/** Whoever puts old rows back as fast as he can costs one look in this time, not a duel. */
const MEND_EVERY_MS = 2_000;

/** What no change of the shared store told of is found by then. */
const LOOK_EVERY_MS = 30_000;

/** Longer than any row lives whose key is not lasting: after that its removal need not be remembered. */
const REMOVALS_KEPT_MS = 30 * 24 * 60 * 60 * 1000;

/** How often a lost race for a row is run again before its writer is told. */
const ATTEMPTS_MAX = 8;

/** What a remembered store is made of. */
export interface RememberedStoreOptions {
  /** Disposed of with this one. */
  readonly shared: Store;
  /** Of this machine alone. Disposed of with this one. */
  readonly local: Store;
  /** The largest value: what `shared` takes, less REVISION_BYTES_MAX. */
  readonly valueBytesMax: number;
  /**
   * Whether a key's row may be written here while the shared store is away, and its removal is remembered for ever. Not
   * so what may be taken once only, by whichever replica is the first.
   */
  readonly isLasting: (key: string) => boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What an operator must know of a shared store. */
export interface StoreTrouble {
  /** Why the shared store did not serve when it was last asked; `undefined` when it did. */
  readonly away: string | undefined;
  /** Rows that were missing or older in the shared store than here, since the start. */
  readonly mended: number;
  /** The last of them, and when. */
  readonly last: { readonly key: string; readonly problem: 'missing' | 'older'; readonly atMs: number } | undefined;
  /** Rows that the shared store is not known to hold as they are here. */
  readonly behind: number;
  /** Rows that this machine's disk does not take: a restart would not know them. */
  readonly unsaved: number;
}

/** A store with its trouble. */
export interface RememberedStore extends Store {
  readonly trouble: StoreTrouble;
}

/** Opens it: reads what is remembered, then what is shared, as far as that can be reached. Throws what `local` throws. */
export async function openRememberedStore(options: RememberedStoreOptions): Promise<RememberedStore> {
  const store = new Remembered(options);
  try {
    await store.open();
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
  return store;
}

class Remembered implements RememberedStore {
  readonly #options: RememberedStoreOptions;
  readonly #known = new Map<string, RememberedRow>();
  readonly #behind = new Set<string>();
  readonly #unsaved = new Set<string>();
  /** Written here while the shared store was away: that it lacks them is nobody's fault. */
  readonly #ahead = new Set<string>();
  readonly #serial = new Serial();
  readonly #watchers: Watchers;
  readonly #lifetime: Lifetime;
  #away: string | undefined;
  #mended = 0;
  #last: StoreTrouble['last'];
  #timer: Disposable | undefined;
  #mendedAtMs = -Infinity;
  #lookedAtMs = -Infinity;
  #closed: Promise<void> | undefined;

  constructor(options: RememberedStoreOptions) {
    this.#options = options;
    this.#watchers = new Watchers(options.log);
    this.#lifetime = new Lifetime((task, error) => {
      options.log.error('remembered store task failed', { task, error: messageOf(error) });
    });
  }

  get trouble(): StoreTrouble {
    return {
      away: this.#away,
      mended: this.#mended,
      last: this.#last,
      behind: this.#behind.size,
      unsaved: this.#unsaved.size,
    };
  }

  async open(): Promise<void> {
    const { local, log, shared } = this.#options;
    for (const { key, value } of await local.list('')) {
      const row = readRememberedRow(value);
      if (row === undefined) log.error('a remembered row cannot be read', { key });
      else this.#known.set(key, row);
    }
    shared.watch('', (key) => {
      if (this.#closed !== undefined) return;
      this.#watchers.notify(key);
      this.#lifetime.run('look', async () => {
        await this.get(key);
      });
    });
    await this.list('');
    this.#arm();
  }

  async get(key: string): Promise<Row | undefined> {
    this.#checkOpen();
    checkKey(key);
    const row = await this.#ask(() => this.#options.shared.get(key));
    return this.#merge(key, row);
  }

  async list(prefix: string): Promise<readonly Row[]> {
    this.#checkOpen();
    const asked = await this.#ask(() => this.#options.shared.list(prefix));
    if (asked !== 'away' && prefix === '') this.#lookedAtMs = this.#options.clock.monotonic();
    const shared = new Map(asked === 'away' ? [] : asked.map((row) => [row.key, row]));
    const keys = new Set([...shared.keys(), ...[...this.#known.keys()].filter((key) => key.startsWith(prefix))]);
    const rows: Row[] = [];
    for (const key of [...keys].sort()) {
      const row = await this.#merge(key, asked === 'away' ? asked : shared.get(key));
      if (row !== undefined) rows.push(row);
    }
    return rows;
  }

  async put(key: string, value: string, expected: Expected): Promise<PutOutcome> {
    checkValue(key, value, this.#options.valueBytesMax);
    const { version } = await this.#change(key, value, (row) => isExpected(row, expected));
    return version === undefined ? { kind: 'conflict' } : { kind: 'stored', version };
  }

  async remove(key: string, expected: Expected): Promise<RemoveOutcome> {
    const wanted = (row: Row | undefined): boolean => row !== undefined && isExpected(row, expected);
    const { version, found } = await this.#change(key, undefined, wanted);
    if (version !== undefined) return 'removed';
    return found ? 'conflict' : 'absent';
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
    this.#timer?.[Symbol.dispose]();
    await this.#serial.idle();
    await this.#options.shared[Symbol.asyncDispose]();
    await this.#lifetime[Symbol.asyncDispose]();
    await this.#options.local[Symbol.asyncDispose]();
  }

  /** Writes the word `value` about `key` if `wanted` holds for what is believed of it; no `version`: it did not. */
  async #change(
    key: string,
    value: string | undefined,
    wanted: (row: Row | undefined) => boolean,
  ): Promise<{ readonly version?: string; readonly found: boolean }> {
    this.#checkOpen();
    checkKey(key);
    return this.#serial.run(async () => {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
        // What may not be decided here alone fails while the shared store is away.
        const stored = await this.#ask(() => this.#options.shared.get(key), this.#options.isLasting(key));
        const row = await this.#merge(key, stored);
        if (!wanted(row)) return { found: row !== undefined };
        const next = nextRow(this.#known.get(key), value, this.#options.clock.now());
        const outcome = stored === 'away' ? stored : await this.#share(key, next, stored?.version ?? 'absent');
        if (outcome === 'away') return { version: await this.#writeHere(key, next), found: true };
        if (outcome.kind === 'stored') {
          await this.#learn(key, next);
          return { version: outcome.version, found: true };
        }
      }
      return { found: true };
    });
  }

  #share(key: string, next: RememberedRow, expected: Expected): Promise<PutOutcome | 'away'> {
    const put = (): Promise<PutOutcome> => this.#options.shared.put(key, writeRememberedRow(next), expected);
    return this.#ask(put, this.#options.isLasting(key));
  }

  async #writeHere(key: string, next: RememberedRow): Promise<string> {
    await this.#learn(key, next);
    this.#ahead.add(key);
    this.#setBehind(key);
    this.#watchers.notify(key);
    return versionHere(next);
  }

  /** A shared store that somebody has filled or spoiled is as good as away: what is remembered counts. */
  async #ask<T>(question: () => Promise<T>, isLasting = true): Promise<T | 'away'> {
    try {
      const answer = await question();
      this.#away = undefined;
      return answer;
    } catch (error) {
      if (!(error instanceof JumpgateError)) throw error;
      const { code, message } = error;
      if (this.#away === undefined) this.#options.log.warn('the shared store does not serve', { code, error: message });
      this.#away = message;
      if (!isLasting) throw error;
      return 'away';
    }
  }

  /** What is believed of a key, now that the shared store has said `stored`. */
  async #merge(key: string, stored: Row | 'away' | undefined): Promise<Row | undefined> {
    const read = stored === 'away' || stored === undefined ? undefined : readRememberedRow(stored.value);
    if (read !== undefined && isLater(read, this.#known.get(key))) await this.#learn(key, read);
    const known = this.#known.get(key);
    if (known === undefined) return undefined;
    const isSame = read !== undefined && !isLater(known, read);
    if (isSame) this.#behind.delete(key);
    else if (!this.#isSpent(key, known)) this.#setBehind(key);
    if (known.value === undefined) return undefined;
    const version = isSame && stored !== 'away' && stored !== undefined ? stored.version : versionHere(known);
    return { key, value: known.value, version };
  }

  /** Believed at once, and written down if the disk takes it. */
  async #learn(key: string, row: RememberedRow): Promise<void> {
    this.#known.set(key, row);
    this.#ahead.delete(key);
    await this.#save(key, row);
  }

  async #save(key: string, row: RememberedRow): Promise<void> {
    const { local, log } = this.#options;
    try {
      await local.put(key, writeRememberedRow(row), 'any');
      if (this.#known.get(key) === row) this.#unsaved.delete(key);
    } catch (error) {
      if (!(error instanceof JumpgateError)) throw error;
      if (!this.#unsaved.has(key)) {
        log.error('a row is remembered until the next restart only', { key, error: error.message });
      }
      this.#unsaved.add(key);
      this.#arm();
    }
  }

  #isSpent(key: string, { revision, value }: RememberedRow): boolean {
    const { clock, isLasting } = this.#options;
    return value === undefined && !isLasting(key) && revision + REMOVALS_KEPT_MS <= clock.now();
  }

  #setBehind(key: string): void {
    this.#behind.add(key);
    this.#arm();
  }

  #arm(): void {
    const { clock } = this.#options;
    if (this.#closed !== undefined) return;
    const isWanted = this.#behind.size > 0 || this.#unsaved.size > 0;
    const dueMs = isWanted ? this.#mendedAtMs + MEND_EVERY_MS : this.#lookedAtMs + LOOK_EVERY_MS;
    this.#timer?.[Symbol.dispose]();
    this.#timer = clock.after(Math.max(0, dueMs - clock.monotonic()), () => {
      this.#lifetime.run('mend', async () => {
        try {
          await this.#serial.run(() => this.#mend());
        } finally {
          this.#arm();
        }
      });
    });
  }

  async #mend(): Promise<void> {
    const { clock } = this.#options;
    this.#mendedAtMs = clock.monotonic();
    if (this.#mendedAtMs - this.#lookedAtMs >= LOOK_EVERY_MS) {
      // Without an answer the next look is as far away as after one.
      this.#lookedAtMs = this.#mendedAtMs;
      await this.list('');
      await this.#forget();
    }
    for (const key of [...this.#unsaved]) {
      const row = this.#known.get(key);
      if (row !== undefined) await this.#save(key, row);
    }
    for (const key of [...this.#behind]) if (!(await this.#mendRow(key))) return;
  }

  /** `false`: the shared store is away. */
  async #mendRow(key: string): Promise<boolean> {
    const { clock, log, shared } = this.#options;
    const stored = await this.#ask(() => shared.get(key));
    if (stored === 'away') return false;
    await this.#merge(key, stored);
    const known = this.#known.get(key);
    if (!this.#behind.has(key) || known === undefined) return true;
    const version = stored?.version ?? 'absent';
    const outcome = await this.#ask(() => shared.put(key, writeRememberedRow(known), version));
    if (outcome === 'away') return false;
    if (outcome.kind === 'conflict') return true;
    this.#behind.delete(key);
    if (this.#ahead.delete(key)) return true;
    const problem = stored === undefined ? 'missing' : 'older';
    this.#mended += 1;
    this.#last = { key, problem, atMs: clock.now() };
    log.error('a row of the shared store was lost or went back, and is written again', { key, problem });
    return true;
  }

  /** Removals that nobody can undo any more by what he has kept. */
  async #forget(): Promise<void> {
    const { local, shared } = this.#options;
    for (const [key, row] of [...this.#known]) {
      if (!this.#isSpent(key, row)) continue;
      if ((await this.#ask(() => shared.remove(key, 'any'))) === 'away') return;
      await local.remove(key, 'any');
      this.#known.delete(key);
      this.#behind.delete(key);
    }
  }

  #checkOpen(): void {
    if (this.#closed !== undefined) throw storeClosed();
  }
}

/** Of a row that the shared store has not got as it is believed. */
function versionHere({ revision }: RememberedRow): string {
  return `here-${revision}`;
}

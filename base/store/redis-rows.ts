/** Rows in Redis by optimistic locking (WATCH, MULTI, EXEC), without scripts; knows no client library. */
import { type Clock, sleep } from '../clock.ts';
import { codeOf, JumpgateError, messageOf } from '../errors.ts';
import { Lifetime } from '../lifetime.ts';
import { type Logger } from '../log.ts';
import { Serial } from './serial.ts';
import {
  checkKey,
  checkValue,
  isExpected,
  type Expected,
  isKey,
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

/** What GETRANGE finds, or that the key holds no string at all. */
export type RawRow = Uint8Array | 'wrong-type';

/** One command with its arguments. */
export type RedisCommand = readonly [name: string, ...args: string[]];

/** A connection to one Redis server. Everything fails fast with `store-unavailable` while there is none. */
export interface RedisLink extends AsyncDisposable {
  /** The first `bytesMax` bytes of each string; empty for keys that do not exist. */
  read(keys: readonly string[], bytesMax: number): Promise<readonly RawRow[]>;
  /** At most `max` members of a set. */
  members(key: string, max: number): Promise<readonly string[] | 'wrong-type'>;
  /** At most `max` names of keys that match a glob. */
  scan(pattern: string, max: number): Promise<readonly string[]>;
  /** Makes {@link execute} with the returned token fail if `key` changes in between. */
  guard(key: string): Promise<number>;
  /** All commands or none; one reply each, an Error for one that failed. `interrupted`: a guarded key changed. */
  execute(commands: readonly RedisCommand[], guard?: number): Promise<readonly unknown[] | 'interrupted'>;
  /** Calls `onMessage` per message of the channel, and `onReady` each time that listening begins (anew). */
  subscribe(channel: string, onMessage: (message: string) => void, onReady: () => void): void;
}

/** Options of {@link redisRows}. */
export interface RedisRowsOptions {
  readonly link: RedisLink;
  /** Of every key and channel; no glob characters. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A change whose message was lost is found by then, below the 30 s of the contract. */
const RECONCILE_MS = 20_000;

/** Rows of 4 MiB must not be asked for by the thousand at once. */
const READ_BATCH = 32;

/** Somebody else wrote the same row in each of so many rounds: it is contended, and the caller should look again. */
const ROUNDS_MAX = 16;

/** In the index of every complete store; without it the index was evicted or flushed, and is rebuilt. */
const INDEX_MARK = '.';

/** A version is shorter; `\n` ends it. */
const HEADER_BYTES_MAX = 65;

const ROW_BYTES_MAX = HEADER_BYTES_MAX + VALUE_BYTES_MAX;

type ChangeOutcome = { readonly kind: 'done' } | { readonly kind: 'refused'; readonly found: boolean };

/**
 * A store over `link`, of which it disposes. A row is a string, `<version>\n<value>`, since GETRANGE bounds what is read
 * of it; a set names the keys; each change is published as `<key> <version>`, or `<key> -` for a removal.
 */
export function redisRows(options: RedisRowsOptions): Store {
  return new RedisRows(options);
}

class RedisRows implements Store {
  readonly #link: RedisLink;
  readonly #log: Logger;
  readonly #rowPrefix: string;
  readonly #index: string;
  readonly #channel: string;
  readonly #serial = new Serial();
  readonly #watchers: Watchers;
  readonly #lifetime: Lifetime;
  /** The versions last told to watchers. */
  readonly #seen = new Map<string, string>();
  /** Keys of rows that were logged as unusable, so that each is logged once. */
  readonly #unusable = new Set<string>();
  #reconciling = false;
  #closed: Promise<void> | undefined;

  constructor(options: RedisRowsOptions) {
    this.#link = options.link;
    this.#log = options.log;
    this.#rowPrefix = `${options.prefix}row:`;
    this.#index = `${options.prefix}keys`;
    this.#channel = `${options.prefix}changes`;
    this.#watchers = new Watchers(options.log);
    this.#lifetime = new Lifetime((task, error) => {
      options.log.error('redis store task failed', { task, error: messageOf(error) });
    });
    this.#link.subscribe(
      this.#channel,
      (message) => {
        this.#onMessage(message);
      },
      () => {
        this.#lifetime.run('reconcile', () => this.#reconcile());
      },
    );
    this.#lifetime.run('reconcile', async (signal) => {
      while (!signal.aborted) {
        await sleep(options.clock, RECONCILE_MS, signal);
        await this.#reconcile();
      }
    });
  }

  async get(key: string): Promise<Row | undefined> {
    this.#checkOpen();
    checkKey(key);
    const [raw] = await this.#link.read([this.#rowPrefix + key], ROW_BYTES_MAX + 1);
    return raw === undefined ? undefined : this.#decode(key, raw);
  }

  async list(prefix: string): Promise<readonly Row[]> {
    this.#checkOpen();
    const keys = (await this.#keys()).filter((key) => key.startsWith(prefix));
    const rows: Row[] = [];
    await this.#readEach(keys, ROW_BYTES_MAX + 1, (key, raw) => {
      const row = this.#decode(key, raw);
      if (row !== undefined) rows.push(row);
    });
    return rows;
  }

  async put(key: string, value: string, expected: Expected): Promise<PutOutcome> {
    this.#checkOpen();
    checkKey(key);
    checkValue(key, value, VALUE_BYTES_MAX);
    const version = newVersion();
    const commands: readonly RedisCommand[] = [
      ['set', this.#rowPrefix + key, `${version}\n${value}`],
      ['sadd', this.#index, key],
      ['publish', this.#channel, `${key} ${version}`],
    ];
    const outcome = await this.#change(key, commands, (row) => isExpected(row, expected));
    return outcome.kind === 'done' ? { kind: 'stored', version } : { kind: 'conflict' };
  }

  async remove(key: string, expected: Expected): Promise<RemoveOutcome> {
    this.#checkOpen();
    checkKey(key);
    const commands: readonly RedisCommand[] = [
      ['del', this.#rowPrefix + key],
      ['srem', this.#index, key],
      ['publish', this.#channel, `${key} -`],
    ];
    const outcome = await this.#change(key, commands, (row) => row !== undefined && isExpected(row, expected));
    if (outcome.kind === 'done') return 'removed';
    return outcome.found ? 'conflict' : 'absent';
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
    await this.#link[Symbol.asyncDispose]();
    await this.#lifetime[Symbol.asyncDispose]();
    await this.#serial.idle();
  }

  /** Applies `commands` if `wanted` holds for the row, and still does when they are applied. */
  #change(
    key: string,
    commands: readonly RedisCommand[],
    wanted: (row: Row | undefined) => boolean,
  ): Promise<ChangeOutcome> {
    return this.#serial.run(async () => {
      for (let round = 0; round < ROUNDS_MAX; round += 1) {
        const guard = await this.#link.guard(this.#rowPrefix + key);
        const row = await this.get(key);
        if (!wanted(row)) return { kind: 'refused', found: row !== undefined };
        const replies = await this.#link.execute(commands, guard);
        if (replies !== 'interrupted') {
          const [first, second] = replies;
          if (first instanceof Error) throw first;
          // The row itself is written; only an index of the wrong type can refuse.
          if (second instanceof Error) await this.#rebuild();
          return { kind: 'done' };
        }
      }
      return { kind: 'refused', found: true };
    });
  }

  /** Every key of the index, in order. */
  async #keys(): Promise<readonly string[]> {
    let members = await this.#link.members(this.#index, ROWS_MAX + 2);
    if (members === 'wrong-type' || !members.includes(INDEX_MARK)) {
      members = await this.#serial.run(() => this.#rebuild());
    }
    const keys = members.filter(isKey);
    if (keys.length > ROWS_MAX) throw storeFull();
    return keys.sort();
  }

  /**
   * Makes the index anew from the rows that are there: it was never made, or evicted, flushed or damaged. Runs within
   * {@link Serial}, since any EXEC on the connection ends a guard. The guard is for an index that goes or comes meanwhile:
   * what was found before would then be marked complete without the rows that were written since.
   */
  async #rebuild(): Promise<readonly string[]> {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const guard = await this.#link.guard(this.#index);
      const members = await this.#link.members(this.#index, 1);
      const names = await this.#link.scan(`${this.#rowPrefix}*`, ROWS_MAX + 1);
      const keys = names.map((name) => name.slice(this.#rowPrefix.length)).filter(isKey);
      const drop: readonly RedisCommand[] = members === 'wrong-type' ? [['del', this.#index]] : [];
      const replies = await this.#link.execute([...drop, ['sadd', this.#index, INDEX_MARK, ...keys]], guard);
      if (replies !== 'interrupted') return keys;
    }
    throw new JumpgateError('store-busy', `expected the index of the store to rest for one of ${ROUNDS_MAX} looks`, {
      source: 'local',
      retry: 'later',
    });
  }

  async #readEach(keys: readonly string[], bytesMax: number, each: (key: string, raw: RawRow) => void): Promise<void> {
    for (let start = 0; start < keys.length; start += READ_BATCH) {
      const batch = keys.slice(start, start + READ_BATCH);
      const raws = await this.#link.read(
        batch.map((key) => this.#rowPrefix + key),
        bytesMax,
      );
      for (const [position, key] of batch.entries()) {
        const raw = raws[position];
        if (raw !== undefined) each(key, raw);
      }
    }
  }

  #decode(key: string, raw: RawRow): Row | undefined {
    if (raw !== 'wrong-type' && raw.byteLength === 0) return undefined;
    const version = versionOf(raw);
    if (raw === 'wrong-type') {
      this.#ignore(key, 'not a string');
      return;
    }
    if (version === undefined) {
      this.#ignore(key, 'no version line');
      return;
    }
    const body = raw.subarray(version.length + 1);
    if (body.byteLength > VALUE_BYTES_MAX) {
      this.#ignore(key, `more than ${VALUE_BYTES_MAX} bytes`);
      return;
    }
    try {
      const value = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
      this.#unusable.delete(key);
      return { key, value, version };
    } catch {
      this.#ignore(key, 'not UTF-8');
      return;
    }
  }

  #ignore(key: string, problem: string): undefined {
    if (!this.#unusable.has(key) && this.#unusable.size < ROWS_MAX) {
      this.#unusable.add(key);
      this.#log.error('redis row ignored', { key, problem });
    }
    return undefined;
  }

  #onMessage(message: string): void {
    const [key, version] = message.split(' ', 2);
    if (key === undefined || version === undefined || version.length >= HEADER_BYTES_MAX || !isKey(key)) return;
    if (version === '-') this.#seen.delete(key);
    else if (this.#seen.size < ROWS_MAX) this.#seen.set(key, version);
    this.#watchers.notify(key);
  }

  /** Finds what no message told. While the server is away there is nothing to find; listening anew reconciles again. */
  async #reconcile(): Promise<void> {
    if (this.#reconciling) return;
    this.#reconciling = true;
    try {
      const gone = new Set(this.#seen.keys());
      await this.#readEach(await this.#keys(), HEADER_BYTES_MAX, (key, raw) => {
        const version = versionOf(raw);
        if (version === undefined) return;
        gone.delete(key);
        if (this.#seen.get(key) === version) return;
        this.#seen.set(key, version);
        this.#watchers.notify(key);
      });
      for (const key of gone) {
        this.#seen.delete(key);
        this.#watchers.notify(key);
      }
    } catch (error) {
      if (codeOf(error) !== 'store-unavailable' && codeOf(error) !== 'store-busy') throw error;
    } finally {
      this.#reconciling = false;
    }
  }

  #checkOpen(): void {
    if (this.#closed !== undefined) throw storeClosed();
  }
}

function versionOf(raw: RawRow): string | undefined {
  if (raw === 'wrong-type') return undefined;
  const end = raw.subarray(0, HEADER_BYTES_MAX).indexOf(0x0a);
  const version = Buffer.from(raw.subarray(0, Math.max(end, 0))).toString('latin1');
  return /^[A-Za-z0-9_-]+$/.test(version) ? version : undefined;
}

/**
 * The quarantine: what is distrusted, in memory, in the store and in a copy on this machine. Whatever of the three says
 * that something is distrusted is believed until a newer word lifts it:
 *
 *   none ──add──▶ in force ──lift──▶ lifted ──30 d──▶ none        a row that is gone is written again
 *                  │  ▲ └─ its time is over ──▶ none              a row that cannot be read: its key says what is meant
 *                  └add┘◀──────────add──────┘
 */
import { type Clock } from '../../base/clock.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { Serial } from '../../base/store/serial.ts';
import { type Row, type Store } from '../../base/store/store.ts';
import { type DistrustCopy } from './distrust-copy.ts';
import {
  DISTRUST_PREFIX,
  type DistrustEntry,
  type DistrustRecord,
  keyOf,
  readRecord,
  reasonProblem,
  targetOfKey,
  writeRecord,
} from './record.ts';
import { type DistrustTarget, isPattern } from './target.ts';

/** Far beyond an incident, and compiled and sent to every worker in milliseconds. */
export const ENTRIES_MAX = 10_000;
/** Each is looked at for each caller that is new. */
export const PATTERNS_MAX = 256;
/** So long a replica can be away and still learn that something was lifted. */
const LIFTED_KEPT_MS = 30 * 24 * 60 * 60 * 1000;
/** What the store did not take is offered again; and timers stop in a suspended machine, so the wall clock is looked at. */
const LOOK_EVERY_MS = 30_000;
/** How often a lost race for a row is run again before it is left to the next look. */
const ATTEMPTS_MAX = 8;

/** What a set is made of. */
export interface DistrustSetOptions {
  readonly store: Store;
  readonly copy: DistrustCopy;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What became of an entry: kept by the store, or here only until the store takes it. */
export type Kept = 'stored' | 'here';

/** A row, and what it says; `undefined` for what cannot be read. */
interface ReadRow {
  readonly key: string;
  readonly version: string;
  readonly record: DistrustRecord | undefined;
}

/** See the head of this file. */
export class DistrustSet implements AsyncDisposable {
  readonly #options: DistrustSetOptions;
  readonly #records = new Map<string, DistrustRecord>();
  readonly #unsaved = new Set<string>();
  readonly #alarms = new Map<string, string>();
  readonly #listeners = new Set<() => void>();
  readonly #serial = new Serial();
  #subscription: Disposable | undefined;
  #timer: Disposable | undefined;
  /** When something was last added, in the order of what was said here: a word lifts nothing that was added after it. */
  readonly #words = new Map<string, number>();
  /** What rows said, by their versions: they are read once. */
  #read: ReadonlyMap<string, ReadRow> = new Map();
  #lastWord = 0;
  #following = false;
  #ended = false;

  private constructor(options: DistrustSetOptions) {
    this.#options = options;
  }

  /** Takes what the copy and the store say; a store that is away is asked again. */
  static async open(options: DistrustSetOptions): Promise<DistrustSet> {
    const set = new DistrustSet(options);
    for (const record of await options.copy.read()) set.#take(keyOf(record), record);
    set.#subscription = options.store.watch(DISTRUST_PREFIX, () => set.#follow());
    await set.#serial.run(() => set.#reconcile());
    set.#arm();
    return set;
  }

  /** What is in force, the oldest first. */
  entries(): readonly DistrustEntry[] {
    return this.#inForce().sort((a, b) => a.sinceMs - b.sinceMs);
  }

  /** What an operator must see to: rows that cannot be read, or are of a newer version. */
  alarms(): readonly string[] {
    return [...this.#alarms.values()];
  }

  /**
   * Distrusts something from now on, whether the store can be reached or not; what is distrusted already gets the new
   * reason and end. Throws `distrust-malformed` and `distrust-full` (source caller).
   */
  async add(entry: Omit<DistrustEntry, 'sinceMs'>): Promise<Kept> {
    const key = keyOf(entry);
    const nowMs = this.#options.clock.now();
    this.#checkRoom(entry, key);
    const { kind, name, untilMs, reason, by } = entry;
    const problem = reasonProblem(reason);
    if (problem !== undefined) throw refused('distrust-malformed', `the reason: ${problem}`);
    if (untilMs !== undefined && untilMs <= nowMs) throw refused('distrust-malformed', 'its time is over already');
    const known = this.#records.get(key);
    // Above every record of this target that was ever forgotten: one of those, put back, lifts nothing (catalogue M5).
    const revision = Math.max((known?.revision ?? 0) + 1, nowMs);
    this.#records.set(key, { kind, name, sinceMs: nowMs, untilMs, reason, by, revision, liftedMs: undefined });
    this.#unsaved.add(key);
    this.#words.set(key, this.#nextWord());
    this.#options.log.warn('quarantined', { kind, name, until: timeOf(untilMs), reason, by });
    this.#tell();
    await this.#serial.run(() => this.#keep(key));
    return this.#unsaved.has(key) ? 'here' : 'stored';
  }

  /** Lifts a quarantine; `false` when there is none. What the store does not learn is not lifted: throws what it throws. */
  lift(target: DistrustTarget, by: string): Promise<boolean> {
    const asked = this.#nextWord();
    return this.#serial.run(async () => {
      const found = [...this.#records].filter(
        ([key, { kind, name, liftedMs }]) =>
          kind === target.kind && name === target.name && liftedMs === undefined && (this.#words.get(key) ?? 0) < asked,
      );
      for (const [key, record] of found) await this.#lift(key, record, by);
      if (found.length > 0) await this.#saveCopy();
      return found.length > 0;
    });
  }

  /** Calls `listener` after every change of what is in force, until disposed of. */
  watch(listener: () => void): Disposable {
    const entry = (): void => listener();
    this.#listeners.add(entry);
    return { [Symbol.dispose]: () => void this.#listeners.delete(entry) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#subscription?.[Symbol.dispose]();
    this.#timer?.[Symbol.dispose]();
    this.#listeners.clear();
    await this.#serial.idle();
  }

  #nextWord(): number {
    this.#lastWord += 1;
    return this.#lastWord;
  }

  #inForce(): DistrustRecord[] {
    return [...this.#records.values()].filter(({ liftedMs }) => liftedMs === undefined);
  }

  #checkRoom(target: DistrustTarget, key: string): void {
    if (this.#records.get(key)?.liftedMs === undefined && this.#records.has(key)) return;
    const held = this.#inForce();
    if (held.length >= ENTRIES_MAX)
      throw refused('distrust-full', `expected at most ${ENTRIES_MAX} quarantines; a whole domain or peer is one`);
    if (isPattern(target) && held.filter(isPattern).length >= PATTERNS_MAX)
      throw refused('distrust-full', `expected at most ${PATTERNS_MAX} patterns; a wider one, or its domain, is one`);
  }

  async #lift(key: string, record: DistrustRecord, by: string): Promise<void> {
    const { clock, log, store } = this.#options;
    const lifted = { ...record, by, liftedMs: clock.now() };
    const isUnread = record.revision === 0;
    const revision = isUnread ? 0 : await this.#put(key, { ...lifted, revision: record.revision + 1 });
    if (isUnread) await store.remove(key, 'any');
    log.warn('quarantine lifted', { kind: record.kind, name: record.name, by });
    // Added again meanwhile: that is the newer word, and waits to be stored.
    if (this.#records.get(key) !== record) return;
    if (isUnread) this.#records.delete(key);
    else this.#records.set(key, { ...lifted, revision });
    this.#alarms.delete(key);
    this.#unsaved.delete(key);
    this.#tell();
  }

  /** Puts a record into the store, above whatever revision is there; returns its own. Throws what the store throws. */
  async #put(key: string, record: DistrustRecord): Promise<number> {
    const { store } = this.#options;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const row = await store.get(key);
      const there = row && readRecord(key, row.value);
      const revision = Math.max(record.revision, (there?.revision ?? 0) + 1);
      const outcome = await store.put(key, writeRecord({ ...record, revision }), row?.version ?? 'absent');
      if (outcome.kind === 'stored') return revision;
    }
    const message = `the row of ${record.kind} ${record.name} changed ${ATTEMPTS_MAX} times while it was written`;
    throw new JumpgateError('store-contended', message, { source: 'local', retry: 'later' });
  }

  /** Keeps what memory says of `key` in the copy and in the store. A failure is told and tried again: it is in force here. */
  async #keep(key: string): Promise<void> {
    await this.#saveCopy();
    const record = this.#records.get(key);
    if (record === undefined || !this.#unsaved.has(key)) return;
    try {
      const revision = await this.#put(key, record);
      if (this.#records.get(key) !== record) return;
      this.#unsaved.delete(key);
      this.#records.set(key, { ...record, revision });
    } catch (error) {
      if (!(error instanceof JumpgateError)) throw error;
      this.#options.log.error('a quarantine is in force here only: the store does not take it', {
        kind: record.kind,
        name: record.name,
        error: error.message,
      });
    }
  }

  async #saveCopy(): Promise<void> {
    try {
      await this.#options.copy.write([...this.#records.values()].filter(({ revision }) => revision > 0));
    } catch (error) {
      this.#options.log.error('the copy of the quarantine cannot be written', { error: messageOf(error) });
    }
  }

  /** Rows changed, here or at another replica: they are read once for all changes that came meanwhile. */
  #follow(): void {
    if (this.#following || this.#ended) return;
    this.#following = true;
    void this.#serial
      .run(async () => {
        this.#following = false;
        await this.#reconcile();
      })
      .catch((error: unknown) => {
        this.#following = false;
        this.#options.log.error('the quarantine cannot be read again', { error: messageOf(error) });
      });
  }

  /** Makes of memory and store the newer of both. */
  async #reconcile(): Promise<void> {
    const { log, store } = this.#options;
    try {
      const rows = this.#readRows(await store.list(DISTRUST_PREFIX));
      const before = this.#inForce();
      for (const row of rows.values()) this.#takeRow(row);
      this.#forgetSpent();
      this.#forgetUnread(rows);
      const now = new Set(this.#inForce());
      if (before.length !== now.size || before.some((record) => !now.has(record))) {
        this.#tell();
        await this.#saveCopy();
      }
      for (const row of rows.values()) if (this.#isSpent(row)) await store.remove(row.key, row.version);
      for (const [key, record] of this.#records) if (isBehind(rows.get(key), record)) this.#unsaved.add(key);
      for (const key of [...this.#unsaved]) await this.#keep(key);
    } catch (error) {
      if (!(error instanceof JumpgateError)) throw error;
      log.error('the store does not answer about the quarantine: what was known stays in force', {
        error: error.message,
      });
    }
  }

  #readRows(rows: readonly Row[]): ReadonlyMap<string, ReadRow> {
    const read = rows.map(({ key, value, version }): [string, ReadRow] => {
      const known = this.#read.get(key);
      return [key, known?.version === version ? known : { key, version, record: readRecord(key, value) }];
    });
    this.#read = new Map(read);
    return this.#read;
  }

  #takeRow({ key, record }: ReadRow): void {
    if (record !== undefined) {
      this.#alarms.delete(key);
      this.#take(key, record);
      return;
    }
    const target = targetOfKey(key);
    const message =
      target === undefined
        ? `the row ${JSON.stringify(key)} is of a kind that this version cannot enforce`
        : `the row ${JSON.stringify(key)} cannot be read, so ${target.kind} ${target.name} is distrusted until that is lifted`;
    // What is known of it is written over the row, and nothing is amiss then.
    if (this.#records.has(key)) return;
    if (!this.#alarms.has(key)) this.#options.log.error('a row of the quarantine cannot be read', { key, message });
    this.#alarms.set(key, message);
    if (target === undefined) return;
    const sinceMs = this.#options.clock.now();
    const unknown = { sinceMs, untilMs: undefined, liftedMs: undefined, revision: 0 };
    this.#records.set(key, { ...target, ...unknown, reason: 'its row cannot be read', by: 'unknown' });
  }

  /** Believes a record unless a newer one is known or its time is over. */
  #take(key: string, record: DistrustRecord): void {
    const known = this.#records.get(key);
    if (known !== undefined && !isNewer(record, known)) return;
    if (this.#isOver(record)) this.#records.delete(key);
    else this.#records.set(key, record);
  }

  #isOver({ untilMs = Infinity, liftedMs }: DistrustRecord): boolean {
    const nowMs = this.#options.clock.now();
    return liftedMs === undefined ? untilMs <= nowMs : liftedMs + LIFTED_KEPT_MS <= nowMs;
  }

  /** Whether a row has nothing to say any more. */
  #isSpent({ key, record }: ReadRow): boolean {
    return record !== undefined && !this.#records.has(key) && this.#isOver(record);
  }

  #forgetSpent(): void {
    for (const [key, record] of [...this.#records]) {
      if (!this.#isOver(record)) continue;
      this.#records.delete(key);
      this.#unsaved.delete(key);
      this.#words.delete(key);
      const { kind, name, liftedMs } = record;
      if (liftedMs === undefined) this.#options.log.warn('quarantine is over', { kind, name });
    }
  }

  /** What was read from nowhere but a key is no better than its row. */
  #forgetUnread(rows: ReadonlyMap<string, ReadRow>): void {
    for (const key of [...this.#alarms.keys()]) {
      if (rows.has(key)) continue;
      this.#alarms.delete(key);
      if (this.#records.get(key)?.revision === 0) this.#records.delete(key);
    }
  }

  #arm(): void {
    if (this.#ended) return;
    const nowMs = this.#options.clock.now();
    const ends = this.#inForce().map(({ untilMs = Infinity }) => untilMs - nowMs);
    const delayMs = Math.max(
      1,
      ends.reduce((soonest, each) => Math.min(soonest, each), LOOK_EVERY_MS),
    );
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#options.clock.after(delayMs, () => {
      const before = this.#inForce().length;
      this.#forgetSpent();
      // At once, whether the store answers or not.
      if (this.#inForce().length !== before) this.#tell();
      if (this.#inForce().length !== before || this.#unsaved.size > 0) this.#follow();
      this.#arm();
    });
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
    this.#arm();
  }
}

/** Of two of one revision what is in force is believed, then the later one. */
function isNewer(record: DistrustRecord, known: DistrustRecord): boolean {
  if (record.revision !== known.revision) return record.revision > known.revision;
  if ((record.liftedMs === undefined) !== (known.liftedMs === undefined)) return record.liftedMs === undefined;
  return record.sinceMs > known.sinceMs;
}

/** Whether the row does not say what this record says. */
function isBehind(row: ReadRow | undefined, record: DistrustRecord): boolean {
  if (record.revision === 0) return false;
  return row?.record === undefined || isNewer(record, row.record);
}

function timeOf(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

function refused(code: string, message: string): JumpgateError {
  return new JumpgateError(code, message, { source: 'caller' });
}

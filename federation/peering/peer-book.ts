/** The peers that the store knows, kept in memory and followed as other replicas and `join` change the rows. */
import { codeOf, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type Row, type Store } from '../../base/store/store.ts';
import { readStoredPeer, writeStoredPeer, type StoredPeer } from '../resources/stored-peer.ts';
import { type Peer } from '../resources/values.ts';

const ROW_PREFIX = 'peers/';

/** Stored peers by name. */
export class PeerBook implements AsyncDisposable {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #peers = new Map<string, StoredPeer>();
  readonly #listeners = new Set<() => void>();
  #subscription: Disposable | undefined;
  #reading: Promise<void> = Promise.resolve();

  private constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** Reads the rows. One that cannot be read is no peer, and is logged; a store that is away leaves the book empty until it is back. */
  static async open(store: Store, log: Logger): Promise<PeerBook> {
    const book = new PeerBook(store, log);
    book.#subscription = store.watch(ROW_PREFIX, () => {
      book.#reading = book.#reading.then(() => book.#readAll());
    });
    await book.#readAll();
    return book;
  }

  /** All of them, by name. */
  all(): readonly StoredPeer[] {
    return [...this.#peers.values()];
  }

  /** Calls `listener` after every change, until disposed of. */
  watch(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Reads the rows again, after a change that this process made itself. */
  async refresh(): Promise<void> {
    this.#reading = this.#reading.then(() => this.#readAll());
    await this.#reading;
  }

  /** Removes a peer's row; `false` when there is none. */
  async remove(name: string): Promise<boolean> {
    const outcome = await this.#store.remove(`${ROW_PREFIX}${name}`, 'any');
    await this.refresh();
    return outcome === 'removed';
  }

  /**
   * Marks the rows that YAML documents of the same name and trust domain have adopted: from then on the document decides,
   * and removing it unpeers.
   */
  async adopt(declared: readonly Peer[]): Promise<void> {
    for (const { name, spec } of declared) {
      const row = await this.#store.get(`${ROW_PREFIX}${name}`);
      const stored = row && this.#read(row);
      if (row === undefined || stored?.source !== 'join' || stored.trustDomain !== spec.trustDomain) continue;
      await this.#store.put(row.key, writeStoredPeer({ ...stored, source: 'yaml' }), row.version);
    }
    await this.refresh();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription?.[Symbol.dispose]();
    this.#listeners.clear();
    await this.#reading;
  }

  async #readAll(): Promise<void> {
    try {
      const rows = await this.#store.list(ROW_PREFIX);
      const before = fingerprint(this.#peers.values());
      this.#peers.clear();
      for (const row of rows) {
        const peer = this.#read(row);
        if (peer !== undefined) this.#peers.set(peer.name, peer);
      }
      if (fingerprint(this.#peers.values()) !== before) for (const listener of [...this.#listeners]) listener();
    } catch (error) {
      if (codeOf(error) !== 'store-unavailable') throw error;
      this.#log.error('peers cannot be read from the store', { error: messageOf(error) });
    }
  }

  #read(row: Row): StoredPeer | undefined {
    try {
      const peer = readStoredPeer(row.value);
      if (row.key === `${ROW_PREFIX}${peer.name}`) return peer;
      this.#log.error('a stored peer stands under another name and is not used', { key: row.key, name: peer.name });
    } catch (error) {
      this.#log.error('a stored peer cannot be read and is not used', { key: row.key, error: messageOf(error) });
    }
    return undefined;
  }
}

function fingerprint(peers: Iterable<StoredPeer>): string {
  return JSON.stringify([...peers].map(writeStoredPeer).sort());
}

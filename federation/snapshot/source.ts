/** Holds the snapshot in use and tells of every change. */
import { type Snapshot, type SnapshotSource } from './snapshot.ts';

/** A source whose snapshot can be replaced, whole. */
export class ReplaceableSnapshot implements SnapshotSource {
  #current: Snapshot;
  readonly #listeners = new Set<{ readonly tell: (snapshot: Snapshot) => void }>();

  constructor(first: Snapshot) {
    this.#current = first;
  }

  current(): Snapshot {
    return this.#current;
  }

  /** Calls `listener` after each change, in the order of watching, until disposed of. */
  watch(listener: (snapshot: Snapshot) => void): Disposable {
    const entry = { tell: listener };
    this.#listeners.add(entry);
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(entry);
      },
    };
  }

  /** Puts `next` in use; the same value again tells nobody. A listener that throws is a bug, thrown on after all were told. */
  replace(next: Snapshot): void {
    if (next === this.#current) return;
    this.#current = next;
    const errors: unknown[] = [];
    for (const entry of [...this.#listeners]) {
      // A listener before this one may have replaced the snapshot again, and then all were told of the newer one.
      if (this.current() !== next) break;
      // A listener before this one may have ended this one's watch.
      if (!this.#listeners.has(entry)) continue;
      try {
        entry.tell(next);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'listeners of the snapshot failed');
  }
}

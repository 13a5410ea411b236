/** The listeners of a store, by key prefix. */
import { messageOf } from '../errors.ts';
import { type Logger } from '../log.ts';
import { type WatchListener } from './store.ts';

interface Watcher {
  readonly prefix: string;
  readonly listener: WatchListener;
}

/** Keeps listeners and calls them outside the writer's turn, so that a listener may use the store. */
export class Watchers {
  readonly #watchers = new Set<Watcher>();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Whether nobody listens. */
  get empty(): boolean {
    return this.#watchers.size === 0;
  }

  /** Adds a listener until the returned handle is disposed of. */
  add(prefix: string, listener: WatchListener): Disposable {
    const watcher: Watcher = { prefix, listener };
    this.#watchers.add(watcher);
    return {
      [Symbol.dispose]: () => {
        this.#watchers.delete(watcher);
      },
    };
  }

  /** Tells everybody who listens to `key`, in a later microtask. A listener that throws is logged. */
  notify(key: string): void {
    for (const watcher of this.#watchers) {
      if (key.startsWith(watcher.prefix)) {
        queueMicrotask(() => {
          this.#tell(watcher, key);
        });
      }
    }
  }

  /** Forgets every listener. */
  clear(): void {
    this.#watchers.clear();
  }

  #tell(watcher: Watcher, key: string): void {
    if (!this.#watchers.has(watcher)) return;
    try {
      watcher.listener(key);
    } catch (error) {
      this.#log.error('store listener failed', { key, error: messageOf(error) });
    }
  }
}

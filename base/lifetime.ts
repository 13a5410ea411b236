/** Owners of background work: what was started is known, its failure is somebody's, and it ends before its owner does. */
import { messageOf } from './errors.ts';

/** Told of background work that failed although nobody had asked it to stop. */
export type FailureListener = (task: string, error: unknown) => void;

/**
 * Runs background tasks and holds resources until disposed of: then aborts `signal`, waits for every task, and
 * disposes of the resources, last one first.
 */
export class Lifetime implements AsyncDisposable {
  readonly #controller = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  readonly #resources: (AsyncDisposable | Disposable)[] = [];
  readonly #onFailure: FailureListener;
  #ended: Promise<void> | undefined;

  constructor(onFailure: FailureListener) {
    this.#onFailure = onFailure;
  }

  /** Aborted when this lifetime ends. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Starts a task. A rejection before the end goes to the failure listener under `name`; one after it is the end itself. */
  run(name: string, task: (signal: AbortSignal) => Promise<void>): void {
    if (this.signal.aborted) return;
    const running = (async (): Promise<void> => {
      try {
        await task(this.signal);
      } catch (error) {
        if (!this.signal.aborted) this.#onFailure(name, error);
      }
    })();
    this.#tasks.add(running);
    void running.then(() => this.#tasks.delete(running));
  }

  /** Disposes of `resource` when this lifetime ends; returns it. */
  use<T extends AsyncDisposable | Disposable>(resource: T): T {
    this.#resources.push(resource);
    return resource;
  }

  /** Calls `action` when this lifetime ends. */
  defer(action: () => void | Promise<void>): void {
    this.#resources.push({ [Symbol.asyncDispose]: async () => action() });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#controller.abort(new Error('stopped'));
    await Promise.all(this.#tasks);
    for (const resource of this.#resources.reverse()) {
      try {
        if (Symbol.asyncDispose in resource) await resource[Symbol.asyncDispose]();
        else resource[Symbol.dispose]();
      } catch (error) {
        this.#onFailure(`disposal: ${messageOf(error)}`, error);
      }
    }
  }
}

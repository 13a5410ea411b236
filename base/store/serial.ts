/** One task at a time, in order, with a bounded queue. */
import { JumpgateError } from '../errors.ts';

/** More waiting writes than rows that change in a minute mean that the disk or server no longer answers. */
const WAITING_MAX = 1024;

/** Runs tasks one after the other. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Runs `task` after those before it. Throws `store-busy` when {@link WAITING_MAX} already wait. */
  run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#waiting >= WAITING_MAX) {
      throw new JumpgateError('store-busy', `expected at most ${WAITING_MAX} waiting writes; the store is too slow`, {
        source: 'local',
        retry: 'later',
      });
    }
    this.#waiting += 1;
    const running = this.#last.then(task).finally(() => {
      this.#waiting -= 1;
    });
    this.#last = running.catch(() => undefined);
    return running;
  }

  /** Resolves when nothing that was started before is left running. */
  async idle(): Promise<void> {
    await this.#last;
  }
}

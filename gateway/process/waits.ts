/** Waiting until something comes to hold, looked at whenever it may have. */
import { type Clock } from '../../base/clock.ts';

/** Those who wait for a state of the same thing. */
export class Waits {
  readonly #clock: Clock;
  readonly #looks = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Something changed: everybody looks again. */
  look(): void {
    for (const look of [...this.#looks]) look();
  }

  /** Whether it came to hold within that time. */
  until(holds: () => boolean, withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (result: boolean): void => {
        this.#looks.delete(look);
        timer[Symbol.dispose]();
        resolve(result);
      };
      const look = (): void => {
        if (holds()) settle(true);
      };
      const timer = this.#clock.after(withinMs, () => settle(false));
      this.#looks.add(look);
      look();
    });
  }
}

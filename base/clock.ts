/** Time, handed in wherever it matters, so that tests own it. */

/** A source of time. Wall-clock time decides validity, monotonic time decides waiting. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  now(): number;
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonic(): number;
  /** Calls `action` once, `delayMs` from now, unless disposed of before. Does not keep the process alive. */
  after(delayMs: number, action: () => void): Disposable;
}

/** setTimeout turns a longer delay into 1 ms (Node's TIMEOUT_MAX), so longer waits are taken in steps. */
const TIMER_STEP_MS_MAX = 2 ** 31 - 1;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, action) {
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      const stepMs = Math.min(Math.max(leftMs, 0), TIMER_STEP_MS_MAX);
      timer = setTimeout(() => {
        if (leftMs > stepMs) arm(leftMs - stepMs);
        else action();
      }, stepMs);
      timer.unref();
    };
    arm(delayMs);
    return {
      [Symbol.dispose]: () => {
        clearTimeout(timer);
      },
    };
  },
};

/** Resolves after `delayMs`; rejects with the signal's reason when it is aborted before. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(reasonOf(signal));
      return;
    }
    const onAbort = (): void => {
      timer[Symbol.dispose]();
      reject(reasonOf(signal));
    };
    const timer = clock.after(delayMs, () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted');
}

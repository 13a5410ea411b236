/** Which backend takes the next call: round robin, with those that refused lately at the end. */
import { type Clock } from '../../base/clock.ts';

/** How long a backend that refused a connection comes last. Short: it is still tried when no other takes the call. */
const REFUSED_MS = 5_000;

/** Chooses among `T`. */
export interface Balance<T> {
  /** Every choice once, in the order to try. */
  order(): readonly T[];
  /** `choice` did not accept a connection. */
  refused(choice: T): void;
}

/** Makes a balance over `choices`. */
export function roundRobin<T>(choices: readonly T[], clock: Clock): Balance<T> {
  const refusedAt = new Map<T, number>();
  let next = 0;
  const isResting = (choice: T): boolean => {
    const at = refusedAt.get(choice);
    return at !== undefined && clock.monotonic() - at < REFUSED_MS;
  };
  return {
    order: () => {
      const start = choices.length === 0 ? 0 : next % choices.length;
      next = start + 1;
      const turned = [...choices.slice(start), ...choices.slice(0, start)];
      return [...turned.filter((each) => !isResting(each)), ...turned.filter(isResting)];
    },
    refused: (choice) => {
      refusedAt.set(choice, clock.monotonic());
    },
  };
}

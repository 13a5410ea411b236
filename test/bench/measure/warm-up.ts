/** What comes before a measured round, the same for every gateway. */
import { type Clock, systemClock } from '../../../base/clock.ts';
import { type Sizing } from '../bench.ts';

/**
 * Repeats `load`, which returns how many calls it made, until at least as long as a round has passed and so many calls
 * were made that a compiler at run time is through with its work: a gateway that was never busy would be measured cold.
 */
export async function warmUp(
  { seconds, warmUpCalls }: Pick<Sizing, 'seconds' | 'warmUpCalls'>,
  load: () => Promise<number>,
  clock: Pick<Clock, 'monotonic'> = systemClock,
): Promise<void> {
  const startedMs = clock.monotonic();
  let calls = 0;
  while (calls < warmUpCalls || clock.monotonic() - startedMs < seconds * 1000) calls += await load();
}

/** Durations among the arguments. */
import { parseDuration } from '../../base/config/duration.ts';
import { type Given, usage } from './verb.ts';

/** Whole seconds of an option such as `15m` or `1h30m`; `undefined` if not given. Throws `usage`. */
export function secondsOf(given: Given, name: string): number | undefined {
  const written = given.text(name);
  if (written === undefined) return undefined;
  const milliseconds = parseDuration(written);
  if (milliseconds === undefined || milliseconds < 1000)
    throw usage(
      `expected --${name} to be a duration of at least 1s, such as 15m or 1h30m, found ${JSON.stringify(written)}`,
    );
  return Math.floor(milliseconds / 1000);
}

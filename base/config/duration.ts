/** Durations as people write them: `500ms`, `30s`, `5m`, `1h30m`, `7d`. */
import { parsed, type Schema, text } from './schema.ts';

const DURATION = /^(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?(?:(\d{1,6})ms)?$/;
const UNITS_MS = [86_400_000, 3_600_000, 60_000, 1000, 1] as const;

/** The milliseconds of a duration, `undefined` when `written` is none. */
export function parseDuration(written: string): number | undefined {
  const match = written === '' ? null : DURATION.exec(written);
  if (match === null) return undefined;
  return UNITS_MS.reduce((sum, unitMs, index) => sum + Number(match[index + 1] ?? 0) * unitMs, 0);
}

/** A duration in milliseconds between two durations, both included. */
export function duration(min: string, max: string): Schema<number> {
  const expected = `a duration from ${min} to ${max}, such as 30s, 5m or 1h`;
  const minMs = parseDuration(min) ?? 0;
  const maxMs = parseDuration(max) ?? Infinity;
  return parsed(text(expected, { pattern: DURATION.source }), (written, { node, place }) => {
    const ms = parseDuration(written);
    if (ms === undefined || ms < minMs || ms > maxMs) return place.unexpected(node, expected);
    return { value: ms };
  });
}

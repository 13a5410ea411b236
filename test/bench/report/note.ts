/** Failures as a reader of the report wants them. */

const NOTE_CHARS_MAX = 200;

/** One short line without the directories of a run, which are of no use to a reader. */
export function noteOf(why: string): string {
  return why
    .replaceAll(/\/\S*\/(?=[\w.-]+)/g, '')
    .replaceAll(/\s+/g, ' ')
    .slice(0, NOTE_CHARS_MAX);
}

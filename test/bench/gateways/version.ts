/** Versions of installed programs, as they tell them. */
import { spawnSync } from 'node:child_process';

/** What `pattern` captures of a program's words about itself; `undefined` where it is not installed. */
export function versionOf(command: string, words: readonly string[], pattern: RegExp): string | undefined {
  const { status, stdout, stderr } = spawnSync(command, words, { encoding: 'utf8' });
  return status === 0 ? (pattern.exec(stdout + stderr)?.[1] ?? 'of unknown version') : undefined;
}

/** A secret from a file that only its owner can read. */
import { open } from 'node:fs/promises';

import { JumpgateError, messageOf } from '../errors.ts';

const SECRET_BYTES_MAX = 64 * 1024;
const OTHERS = 0o077;

/**
 * The text of the file without the newline at its end. `what` names the field for messages. Throws `secret-file`
 * (source config) when it is missing, empty, too large, or readable by others.
 */
export async function readSecretFile(path: string, what: string): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const { mode, size } = await file.stat();
    if ((mode & OTHERS) !== 0) throw problem(`${what}: ${path} can be read by others: chmod 600 it`);
    if (size > SECRET_BYTES_MAX)
      throw problem(`${what}: expected at most ${SECRET_BYTES_MAX} bytes in ${path}, found ${size}`);
    const text = (await file.readFile('utf8')).replace(/\r?\n$/, '');
    if (text === '') throw problem(`${what}: ${path} is empty`);
    return text;
  } catch (cause) {
    if (cause instanceof JumpgateError) throw cause;
    throw problem(`${what}: ${messageOf(cause)}`, cause);
  }
}

function problem(message: string, cause?: unknown): JumpgateError {
  return new JumpgateError('secret-file', message, { source: 'config', cause });
}

/** Files that are either the old one or the new one, whatever happens while they are written. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf, JumpgateError, messageOf } from '../errors.ts';

/**
 * Writes a file so that a reader, or the next start after a crash, finds the old content or the new and nothing
 * between: temporary file in the same directory, fsync, rename, fsync of the directory. `mode` holds whatever the
 * umask is. A symbolic link at `path` is replaced, not followed. Throws `file-unwritable` (source `local`, retry
 * `later`); only when the directory itself could not be synced may the new content be there already.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array, mode: number): Promise<void> {
  const directory = dirname(path);
  const temporary = join(directory, `.tmp-${randomBytes(8).toString('hex')}`);
  try {
    await using file = await open(temporary, 'wx', mode);
    await fill(file, data, mode);
  } catch (error) {
    await forget(temporary);
    throw fileError('write', path, error);
  }
  try {
    await rename(temporary, path);
  } catch (error) {
    await forget(temporary);
    throw fileError('write', path, error);
  }
  await syncDirectory(directory);
}

/** Whether a file name is one that a killed {@link writeFileAtomic} leaves behind. */
export function isTemporaryName(name: string): boolean {
  return /^\.tmp-[0-9a-f]{16}$/.test(name);
}

/** Makes renames and removals in `directory` survive a power cut. Throws `file-unwritable`. */
export async function syncDirectory(directory: string): Promise<void> {
  try {
    await using handle = await open(directory, 'r');
    await handle.sync();
  } catch (error) {
    // Some network file systems know no fsync of directories, and do it on rename.
    if (codeOf(error) === 'EINVAL') return;
    throw fileError('write', directory, error);
  }
}

/** Translates a failure of the file system: `file-unwritable` or `file-unreadable`, with the path and what to do. */
export function fileError(action: 'read' | 'write', path: string, error: unknown): JumpgateError {
  const hint = hintFor(codeOf(error));
  return new JumpgateError(
    action === 'read' ? 'file-unreadable' : 'file-unwritable',
    `cannot ${action} ${path}: ${messageOf(error)}${hint === undefined ? '' : `; ${hint}`}`,
    { source: 'local', retry: 'later', cause: error },
  );
}

async function fill(file: FileHandle, data: string | Uint8Array, mode: number): Promise<void> {
  await file.chmod(mode);
  await file.writeFile(data);
  await file.sync();
}

async function forget(temporary: string): Promise<void> {
  try {
    await unlink(temporary);
  } catch {
    // It was never made, or the disk is beyond it; the failure that led here is the one to tell.
  }
}

function hintFor(code: string | undefined): string | undefined {
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the disk or quota is full: free some space';
    case 'EROFS':
      return 'the file system is mounted read-only';
    case 'EACCES':
    case 'EPERM':
      return 'this user may not: check owner and mode';
    case 'EMFILE':
    case 'ENFILE':
      return 'too many open files: raise the limit';
    case 'EFBIG':
      return 'the file size limit of this process is too small';
    default:
      return undefined;
  }
}

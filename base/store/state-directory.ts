/** The directory that holds all local state: its mode, its lock and its format version. */
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Clock } from '../clock.ts';
import { codeOf, JumpgateError } from '../errors.ts';
import { fileError, isTemporaryName, writeFileAtomic } from './atomic-file.ts';
import { isLockName, lockDirectory } from './lock.ts';

/** The newest layout that this version reads and writes. Raise it when an older version would misread the directory. */
const STATE_FORMAT = 1;

/** Holds the number alone. */
const FORMAT_FILE = 'format';

/** Named in a message before the rest is cut. */
const FOREIGN_NAMES_SHOWN = 3;

/** Options of {@link openStateDirectory}. */
export interface StateDirectoryOptions {
  /** Made with mode 0700 when it is missing. */
  readonly directory: string;
  readonly clock: Clock;
}

/** A state directory that this process alone uses until it is disposed of. */
export interface StateDirectory extends AsyncDisposable {
  /** Absolute. */
  readonly path: string;
}

/**
 * Opens the directory for this process alone. Throws, source `local`: `state-mode` (others may write to it),
 * `state-in-use` (see lock.ts), `state-format` (written by a newer version, or not a state directory),
 * `file-unreadable`, `file-unwritable`.
 */
export async function openStateDirectory(options: StateDirectoryOptions): Promise<StateDirectory> {
  const path = resolve(options.directory);
  await makeDirectory(path);
  await checkMode(path);
  await using held = new AsyncDisposableStack();
  held.use(await lockDirectory({ directory: path, clock: options.clock }));
  await checkFormat(path);
  const kept = held.move();
  return { path, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fileError('write', path, error);
  }
}

/** Whoever can write here can replace what we trust, so only our own user and root may. */
async function checkMode(path: string): Promise<void> {
  const stats = await stat(path).catch((error: unknown) => {
    throw fileError('read', path, error);
  });
  const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0');
  if ((stats.mode & 0o022) !== 0) {
    throw new JumpgateError(
      'state-mode',
      `expected a state directory that only its owner may write to, found ${path} with mode ${mode}; ` +
        `chmod go-w ${path}, or name a directory inside it that does not exist yet`,
      { source: 'local' },
    );
  }
  const user = process.geteuid?.();
  if (user !== undefined && stats.uid !== user && stats.uid !== 0) {
    throw new JumpgateError(
      'state-mode',
      `expected a state directory of user ${user} (this process), found ${path} of user ${stats.uid}; ` +
        'start the gateway as its owner, or chown it',
      { source: 'local' },
    );
  }
}

async function checkFormat(path: string): Promise<void> {
  const found = await readFormat(join(path, FORMAT_FILE));
  if (found === undefined) {
    await checkUnused(path);
    await writeFileAtomic(join(path, FORMAT_FILE), `${STATE_FORMAT}\n`, 0o600);
    return;
  }
  if (found > STATE_FORMAT) {
    throw new JumpgateError(
      'state-format',
      `expected state format ${STATE_FORMAT} or older in ${path}, found ${found}: a newer version of jumpgate wrote it`,
      { source: 'local' },
    );
  }
}

async function readFormat(path: string): Promise<number | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw fileError('read', path, error);
  }
  const digits = /^([1-9]\d{0,8})\n?$/.exec(text)?.[1];
  if (digits !== undefined) return Number(digits);
  throw new JumpgateError(
    'state-format',
    `expected a format number in ${path}, found ${JSON.stringify(text.slice(0, 20))}; it is damaged, or not ours: ` +
      `restore it (this version writes ${STATE_FORMAT})`,
    { source: 'local' },
  );
}

/**
 * A directory without a format version is new, or it is somebody else's, or ours with the version lost; only the first
 * may be taken over. Sockets, dot files and the lost+found of a fresh volume say nothing.
 */
async function checkUnused(path: string): Promise<void> {
  const names = await readdir(path);
  const foreign = names.filter((name) => {
    const harmless = isLockName(name) || isTemporaryName(name) || name.startsWith('.') || name.endsWith('.sock');
    return !harmless && name !== 'lost+found';
  });
  if (foreign.length === 0) return;
  const shown = foreign.sort().slice(0, FOREIGN_NAMES_SHOWN).join(', ');
  throw new JumpgateError(
    'state-format',
    `expected an empty directory or one with a file '${FORMAT_FILE}' in ${path}, found ${foreign.length} other entries ` +
      `(${shown}); name an empty directory, or restore '${FORMAT_FILE}' if this is a state directory`,
    { source: 'local' },
  );
}

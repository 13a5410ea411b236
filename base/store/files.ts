/** Rows as files of a state directory: the default engine, with nothing to install. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { asRecord } from '../brand.ts';
import { type Clock } from '../clock.ts';
import { codeOf, messageOf } from '../errors.ts';
import { type Logger } from '../log.ts';
import { fileError, isTemporaryName, syncDirectory, writeFileAtomic } from './atomic-file.ts';
import { memoryStore, type Persistence } from './memory.ts';
import { openStateDirectory, type StateDirectory } from './state-directory.ts';
import { isKey, type Row, ROWS_MAX, type Store, storeFull, VALUE_BYTES_MAX } from './store.ts';

/** The header line holds a key (512), a version and a digest. */
const HEADER_BYTES_MAX = 1024;

/** Names of files end at 255 bytes on every common file system; longer keys are cut and told apart by a digest. */
const PLAIN_NAME_CHARS_MAX = 200;

/** Of a cut key, to be recognised by people. */
const CUT_NAME_CHARS = 100;

/** Options of {@link openFileStore}. */
export interface FileStoreOptions {
  /** The state directory; rows live in `rows` inside it. Made when missing. */
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Opens the store in a state directory, which it locks (errors: see openStateDirectory). Rows are read once, since
 * nobody else writes them. One that is damaged is renamed to `….corrupt`, logged, and counts as absent.
 */
export async function openFileStore(options: FileStoreOptions): Promise<Store> {
  await using held = new AsyncDisposableStack();
  const state = held.use(await openStateDirectory(options));
  const directory = join(state.path, 'rows');
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await chmod(directory, 0o700);
  } catch (error) {
    throw fileError('write', directory, error);
  }
  const rows = await readRows(directory, options.log);
  held.move();
  return memoryStore({ rows, persistence: new RowFiles(directory, state), log: options.log });
}

class RowFiles implements Persistence {
  readonly #directory: string;
  readonly #state: StateDirectory;

  constructor(directory: string, state: StateDirectory) {
    this.#directory = directory;
    this.#state = state;
  }

  async write(row: Row): Promise<void> {
    await writeFileAtomic(join(this.#directory, fileNameOf(row.key)), encodeRow(row), 0o600);
  }

  async erase(key: string): Promise<void> {
    const path = join(this.#directory, fileNameOf(key));
    try {
      await unlink(path);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw fileError('write', path, error);
    }
    await syncDirectory(this.#directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#state[Symbol.asyncDispose]();
  }
}

/** A key holds neither `%` nor `~`, so no two keys share a name. */
function fileNameOf(key: string): string {
  const plain = key.replaceAll('/', '%');
  if (plain.length <= PLAIN_NAME_CHARS_MAX) return `${plain}.row`;
  return `${plain.slice(0, CUT_NAME_CHARS)}~${createHash('sha256').update(key).digest('hex')}.row`;
}

async function readRows(directory: string, log: Logger): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const name of await readdir(directory)) {
    if (rows.length >= ROWS_MAX) throw storeFull();
    const path = join(directory, name);
    if (isTemporaryName(name)) {
      // Left by a process that was killed while writing: never renamed, so never stored.
      await unlink(path);
    } else if (name.endsWith('.row')) {
      const row = await readRow(path, name);
      if (typeof row === 'string') await quarantine(path, row, log);
      else rows.push(row);
    } else if (!name.endsWith('.corrupt')) {
      log.warn('unknown file in the store ignored', { path });
    }
  }
  return rows;
}

/** The row, or what is wrong with it. A file that this user may not read is a failure, not damage. */
async function readRow(path: string, name: string): Promise<Row | string> {
  try {
    // Without O_NONBLOCK a named pipe put here would hang the start.
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) return 'not a regular file';
    if (stats.size > VALUE_BYTES_MAX + HEADER_BYTES_MAX) return `${stats.size} bytes are more than any row has`;
    const row = decodeRow(await file.readFile());
    if (typeof row === 'string') return row;
    return fileNameOf(row.key) === name ? row : `the file holds another row: ${row.key}`;
  } catch (error) {
    if (codeOf(error) === 'EACCES' || codeOf(error) === 'EPERM') throw fileError('read', path, error);
    return messageOf(error);
  }
}

/** Puts a damaged row aside for people to look at, over an older one of the same key. */
async function quarantine(path: string, problem: string, log: Logger): Promise<void> {
  const aside = `${path}.corrupt`;
  try {
    await rename(path, aside);
    log.error('corrupt row put aside', { path, aside, problem });
  } catch (error) {
    log.error('corrupt row ignored', { path, problem, error: messageOf(error) });
  }
}

/** A JSON line with key, version and digest, then the value as it is. */
function encodeRow(row: Row): string {
  return `${JSON.stringify({ row: 1, key: row.key, version: row.version, sha256: digestOf(row) })}\n${row.value}`;
}

function decodeRow(bytes: Uint8Array): Row | string {
  const end = bytes.indexOf(0x0a);
  if (end < 0 || end > HEADER_BYTES_MAX) return 'no header line: truncated or overwritten';
  let header: unknown;
  let value: string;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    header = JSON.parse(text.decode(bytes.subarray(0, end)));
    value = text.decode(bytes.subarray(end + 1));
  } catch (error) {
    return messageOf(error);
  }
  const { row: format, key, version, sha256 } = asRecord(header) ?? {};
  if (format !== 1 || typeof key !== 'string' || !isKey(key)) return 'malformed header line';
  if (typeof version !== 'string' || typeof sha256 !== 'string') return 'malformed header line';
  const row = { key, value, version };
  return digestOf(row) === sha256 ? row : 'the digest does not match: truncated or changed';
}

/** Against damage, not against attackers: whoever writes here can do anything. */
function digestOf(row: Row): string {
  return createHash('sha256').update(`${row.key}\0${row.version}\0${row.value}`).digest('hex');
}

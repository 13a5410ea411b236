/**
 * The lock of a state directory: a listening Unix socket in it. The kernel ends it with its process, however that dies,
 * and no process id is ever trusted, so neither a killed holder nor a reused id can mislead.
 *
 * Locks are numbered, `lock.1`, `lock.2`, …; the highest counts, and stays behind when its holder ends:
 *
 *     highest is live    -> refuse
 *     highest is dead    -> link our own socket, already listening, as the next number (exactly one link succeeds),
 *                           then look again: a higher one means that we looked too long ago, so start over
 *     we are the highest -> remove the lower ones
 *
 * Removing a dead lock first instead would let two starters remove each other's live one.
 */
import { randomBytes } from 'node:crypto';
import { chmod, type FileHandle, link, open, readdir, unlink } from 'node:fs/promises';
import { createConnection, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { type Clock } from '../clock.ts';
import { codeOf, JumpgateError, messageOf } from '../errors.ts';

/** sun_path of unix(7) has 108 bytes with its NUL; longer paths go through an open handle of the directory. */
const SOCKET_PATH_BYTES_MAX = 107;

/** The longest name made here, with its slash: `/.lock-` and 16 digits. */
const SOCKET_NAME_BYTES_MAX = 24;

/** A live holder answers at once; one that is stopped or overloaded still holds the lock, only without a name. */
const ANSWER_TIMEOUT_MS = 1_000;

/** Each round but the last is lost to another starter, and one starter wins each round. */
const ROUNDS_MAX = 32;

/** Options of {@link lockDirectory}. */
export interface LockOptions {
  readonly directory: string;
  readonly clock: Clock;
}

/** Whether a directory entry belongs to the lock. */
export function isLockName(name: string): boolean {
  return numberOf(name) !== undefined || isClaimName(name);
}

/**
 * Takes the lock until disposed of. Throws `state-in-use` (source `local`), naming the holder's process id, when a live
 * process has it, and `state-lock-failed` where the file system knows no sockets or hard links.
 */
export async function lockDirectory(options: LockOptions): Promise<AsyncDisposable> {
  await using held = new AsyncDisposableStack();
  try {
    const base = await socketBase(options.directory, held);
    const claim = await listen(base, options.directory);
    held.defer(() => closed(claim.server));
    await win({ ...options, base, claim: claim.name });
    await unlink(join(options.directory, claim.name));
  } catch (error) {
    if (error instanceof JumpgateError) throw error;
    throw new JumpgateError(
      'state-lock-failed',
      `cannot lock the state directory ${options.directory}: ${messageOf(error)}; it must be on a file system with ` +
        'Unix sockets and hard links',
      { source: 'local', cause: error },
    );
  }
  return held.move();
}

interface Contest extends LockOptions {
  readonly base: string;
  readonly claim: string;
}

/** Returns when the claim is linked as the highest lock. */
async function win(contest: Contest): Promise<void> {
  const { directory, base, claim } = contest;
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const highest = Math.max(0, ...(await lockNumbers(directory)));
    const holder = highest === 0 ? 'dead' : await probe(`${base}/lock.${highest}`, contest.clock);
    if (holder !== 'dead') throw inUse(directory, holder);
    const mine = highest + 1;
    if (await linked(join(directory, claim), join(directory, `lock.${mine}`))) {
      const numbers = await lockNumbers(directory);
      if (Math.max(...numbers) === mine) {
        await sweep(contest, mine);
        return;
      }
      await removed(join(directory, `lock.${mine}`));
    }
  }
  throw inUse(directory, undefined);
}

/** Removes what dead processes left. A claim that is not listening yet loses its link, and finds us as the holder. */
async function sweep(contest: Contest, mine: number): Promise<void> {
  for (const name of await readdir(contest.directory)) {
    const number = numberOf(name);
    const isOld = number !== undefined && number < mine;
    const isForeign = isClaimName(name) && name !== contest.claim;
    if (isOld || (isForeign && (await probe(`${contest.base}/${name}`, contest.clock)) === 'dead')) {
      await removed(join(contest.directory, name));
    }
  }
}

async function socketBase(directory: string, held: AsyncDisposableStack): Promise<string> {
  if (Buffer.byteLength(directory) + SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX) return directory;
  const handle: FileHandle = held.use(await open(directory, 'r'));
  return `/proc/self/fd/${handle.fd}`;
}

async function listen(base: string, directory: string): Promise<{ readonly name: string; readonly server: Server }> {
  const name = `.lock-${randomBytes(8).toString('hex')}`;
  // Whoever is told wants to stop it: a process with a channel to the one that forked it is stopped there.
  const holder = process.send === undefined ? process.pid : process.ppid;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(`${holder}\n`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(`${base}/${name}`, resolve);
  });
  // Failing to accept a prober (out of descriptors) must not end the gateway: the lock holds without an answer too.
  server.on('error', () => undefined);
  server.unref();
  await chmod(join(directory, name), 0o600);
  return { name, server };
}

/** The holder's process id, `undefined` for one that lives but does not answer, or `dead`. */
function probe(path: string, clock: Clock): Promise<number | undefined | 'dead'> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    let text = '';
    const settle = (holder: number | undefined | 'dead'): void => {
      timer[Symbol.dispose]();
      socket.destroy();
      resolve(holder);
    };
    const timer = clock.after(ANSWER_TIMEOUT_MS, () => {
      settle(undefined);
    });
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text = (text + chunk).slice(0, 16);
    });
    socket.on('close', () => {
      settle(/^\d{1,10}\n$/.test(text) ? Number(text) : undefined);
    });
    socket.on('error', (error) => {
      const code = codeOf(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') settle('dead');
      else if (code === 'EAGAIN' || code === 'ECONNRESET') settle(undefined);
      else {
        timer[Symbol.dispose]();
        reject(error);
      }
    });
  });
}

async function lockNumbers(directory: string): Promise<readonly number[]> {
  return (await readdir(directory)).map(numberOf).filter((number) => number !== undefined);
}

function numberOf(name: string): number | undefined {
  const digits = /^lock\.([1-9]\d{0,14})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function isClaimName(name: string): boolean {
  return /^\.lock-[0-9a-f]{16}$/.test(name);
}

/** Whether the link was made. EEXIST: another starter was faster. ENOENT: a holder swept our claim. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST' || codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function removed(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      resolve();
    });
  });
}

function inUse(directory: string, pid: number | undefined): JumpgateError {
  const holder = pid === undefined ? 'a process that does not answer' : `process ${pid}`;
  return new JumpgateError(
    'state-in-use',
    `the state directory ${directory} is in use by ${holder}; stop it first, or give this gateway its own directory`,
    { source: 'local' },
  );
}

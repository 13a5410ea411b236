/** A Unix socket whose file permission says who may connect: its directory lets nobody else in, and nobody replace it. */
import { chmodSync, chownSync, lchownSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import { type Server } from 'node:net';
import { basename, dirname, join } from 'node:path';

import { codeOf, JumpgateError, messageOf } from '../errors.ts';
import { bindServer } from './bind-server.ts';

/** Where the socket is, and whose. */
export interface GuardedSocket {
  /** Absolute. */
  readonly path: string;
  /** Connecting takes the right to write. Nobody but owner and group is ever given it. */
  readonly mode: 0o600 | 0o660;
  /** `undefined` leaves the user and group of this process. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

const GROUP_OR_OTHERS_WRITE = 0o022;
const OTHERS = 0o007;
const STICKY = 0o1000;
/** Of a directory made here: the group passes through, and lists. */
const GROUP_DIRECTORY = 0o750;
const OWN_DIRECTORY = 0o700;
/** Of a directory above, made here: everybody passes, nobody lists. */
const PASSAGE = 0o711;
const UNCHANGED = -1;

/**
 * Listens on the socket. A missing directory is made, for the socket's group alone. The socket has its owner and mode
 * before anybody but our own user can connect. Throws (source config) `socket-directory-open` for a directory that
 * others may enter, or that somebody else could replace the socket in or above; `socket-owner` when this process may not
 * give files away; and what {@link bindServer} throws.
 */
export async function bindGuarded(server: Server, socket: GuardedSocket): Promise<void> {
  makeDirectory(dirname(socket.path), socket.gid);
  // Through no symbolic link from here on: what was checked is what is used.
  const directory = realpathSync(dirname(socket.path));
  checkDirectory(directory);
  const path = join(directory, basename(socket.path));
  await bindServer(server, { kind: 'unix', path });
  try {
    if (socket.uid !== undefined || socket.gid !== undefined)
      lchownSync(path, socket.uid ?? UNCHANGED, socket.gid ?? UNCHANGED);
    chmodSync(path, socket.mode);
  } catch (cause) {
    server.close();
    const message = `cannot give the socket ${path} to its owner: ${messageOf(cause)}; a process that is not root can only give it a group that it is in itself`;
    throw new JumpgateError('socket-owner', message, { source: 'config', cause });
  }
}

function makeDirectory(directory: string, gid: number | undefined): void {
  try {
    if (statSync(directory, { throwIfNoEntry: false }) !== undefined) return;
    mkdirSync(dirname(directory), { recursive: true, mode: PASSAGE });
    mkdirSync(directory, { mode: OWN_DIRECTORY });
    if (gid === undefined) return;
    chownSync(directory, UNCHANGED, gid);
    // After mkdir, whose mode the umask cuts.
    chmodSync(directory, GROUP_DIRECTORY);
  } catch (cause) {
    const code = codeOf(cause) === 'EPERM' ? 'socket-owner' : 'listen-failed';
    const message = `cannot make the directory ${directory}: ${messageOf(cause)}`;
    throw new JumpgateError(code, message, { source: 'config', cause });
  }
}

function checkDirectory(directory: string): void {
  const { mode } = statSync(directory);
  if ((mode & OTHERS) !== 0) {
    const cause = 'its permission is all that tells callers apart; chmod 0750, with the group of the workload';
    throw open(
      `expected a directory that others than owner and group cannot enter, found ${shown(directory)}: ${cause}`,
    );
  }
  for (let path = directory; ; path = dirname(path)) {
    checkHolder(path, path === directory);
    if (path === dirname(path)) return;
  }
}

/** Whoever can rename in a directory can put a socket of their own in place of ours; in a sticky one, owners alone can. */
function checkHolder(path: string, isLast: boolean): void {
  const { mode, uid } = statSync(path);
  const isOurs = uid === 0 || uid === process.geteuid?.();
  const sticky = !isLast && (mode & STICKY) !== 0;
  if (isOurs && (sticky || (mode & GROUP_OR_OTHERS_WRITE) === 0)) return;
  const message = `expected a directory that only root and this process can write to, found ${shown(path)}: somebody else could put another socket in place of ours`;
  throw open(message);
}

function shown(path: string): string {
  const { mode, uid } = statSync(path);
  return `${path} with mode ${(mode & 0o7777).toString(8).padStart(4, '0')} of user ${uid}`;
}

function open(message: string): JumpgateError {
  return new JumpgateError('socket-directory-open', message, { source: 'config' });
}

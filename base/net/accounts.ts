/** Users and groups of this machine by name or number, as /etc/passwd and /etc/group say (passwd(5), group(5)). */
import { readFile } from 'node:fs/promises';

import { codeOf, JumpgateError } from '../errors.ts';

/** Where accounts are looked up. */
export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}

/** A user, and its primary group where that is known. */
export interface User {
  readonly uid: number;
  readonly gid: number | undefined;
}

const FILES: AccountFiles = { passwd: '/etc/passwd', group: '/etc/group' };
const NUMBER = /^\d{1,10}$/;
/** 2^32 - 1 means "no one" to chown(2). */
const ID_MAX = 2 ** 32 - 2;

/** The user that `name` is, a name or a number. Throws `account-unknown` (source config) for a name that the file lacks. */
export async function findUser(name: string, files = FILES): Promise<User> {
  const number = idOf(name);
  for (const [login, , uid, gid] of await rowsOf(files.passwd)) {
    const found = idOf(uid);
    if (found !== undefined && (login === name || found === number)) return { uid: found, gid: idOf(gid) };
  }
  if (number === undefined) throw unknown('user', name, files.passwd);
  return { uid: number, gid: undefined };
}

/** The number of the group that `name` is, a name or a number. Throws `account-unknown` (source config). */
export async function findGroup(name: string, files = FILES): Promise<number> {
  const number = idOf(name);
  if (number !== undefined) return number;
  for (const [group, , gid] of await rowsOf(files.group)) {
    const found = group === name ? idOf(gid) : undefined;
    if (found !== undefined) return found;
  }
  throw unknown('group', name, files.group);
}

async function rowsOf(file: string): Promise<readonly (readonly string[])[]> {
  try {
    return (await readFile(file, 'utf8')).split('\n').map((line) => line.split(':'));
  } catch (error) {
    // A container may have none, and then numbers are all there is.
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

function idOf(written: string | undefined): number | undefined {
  if (written === undefined || !NUMBER.test(written)) return undefined;
  const id = Number(written);
  return id <= ID_MAX ? id : undefined;
}

function unknown(kind: 'user' | 'group', name: string, file: string): JumpgateError {
  const message = `expected a ${kind} of ${file}, found none called ${JSON.stringify(name)}: those of a directory service go by their number`;
  return new JumpgateError('account-unknown', message, { source: 'config' });
}

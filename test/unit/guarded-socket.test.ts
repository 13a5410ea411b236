/** Sockets whose file permission says who may connect: mode, owner, and directories that would give them away. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';

import { findGroup, findUser } from '../../base/net/accounts.ts';
import { bindGuarded, type GuardedSocket } from '../../base/net/guarded-socket.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const isRoot = process.geteuid?.() === 0;
/** Nobody's, on every machine. */
const OTHER = 61_234;

async function bind(socket: Partial<GuardedSocket> & { readonly path: string }): Promise<AsyncDisposable> {
  const server = createServer();
  await bindGuarded(server, { mode: 0o600, uid: undefined, gid: undefined, ...socket });
  return {
    [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const modeOf = (path: string): string => (statSync(path).mode & 0o7777).toString(8);

test('a missing directory is made for the owner alone, and the socket with it', async () => {
  using room = temporaryDirectory();
  const path = join(room.path, 'a/b/api.sock');
  await using held = new AsyncDisposableStack();
  held.use(await bind({ path }));
  assert.deepEqual([modeOf(join(room.path, 'a/b')), modeOf(path)], ['700', '600']);
  const socket = connect({ path });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  socket.destroy();
});

test('the socket has the mode and the owner that it was to have, its new directory the group; only root may do that', async () => {
  using room = temporaryDirectory();
  const path = join(room.path, 'web/api.sock');
  const wanted = { path, mode: 0o660, uid: OTHER, gid: OTHER } as const;
  if (!isRoot) {
    await assert.rejects(bind(wanted), { code: 'socket-owner' });
    return;
  }
  await using held = new AsyncDisposableStack();
  held.use(await bind(wanted));
  const { uid, gid } = statSync(path);
  assert.deepEqual([modeOf(path), uid, gid], ['660', OTHER, OTHER]);
  const directory = statSync(join(room.path, 'web'));
  assert.deepEqual([modeOf(join(room.path, 'web')), directory.uid, directory.gid], ['750', 0, OTHER]);
  // A directory that is somebody else's is somebody else's to put sockets in.
  chownSync(join(room.path, 'web'), OTHER, OTHER);
  await assert.rejects(bind({ path: join(room.path, 'web/second.sock') }), { code: 'socket-directory-open' });
});

for (const mode of [0o755, 0o711, 0o704, 0o702, 0o777, 0o1777]) {
  test(`a directory with mode ${mode.toString(8)}, which others may use, is refused`, async () => {
    using room = temporaryDirectory();
    const directory = join(room.path, 'open');
    mkdirSync(directory);
    chmodSync(directory, mode);
    const expected = `expected a directory that others than owner and group cannot enter, found ${directory} with mode ${mode.toString(8).padStart(4, '0')} of user ${process.geteuid?.()}`;
    await assert.rejects(bind({ path: join(directory, 'api.sock') }), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'socket-directory-open');
      assert.ok(error.message.startsWith(expected), error.message);
      return true;
    });
  });
}

test('a directory that its group may write to is refused, and so is one below such a directory', async () => {
  using room = temporaryDirectory();
  const above = join(room.path, 'above');
  const directory = join(above, 'inner');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const refused = { code: 'socket-directory-open', message: /only root and this process can write to/ };
  chmodSync(directory, 0o770);
  await assert.rejects(bind({ path: join(directory, 'api.sock') }), refused);
  chmodSync(directory, 0o750);
  chmodSync(above, 0o777);
  await assert.rejects(bind({ path: join(directory, 'api.sock') }), refused);
  chmodSync(above, 0o1777);
  await (await bind({ path: join(directory, 'api.sock') }))[Symbol.asyncDispose]();
});

test('a symbolic link does not hide what the directory is', async () => {
  using room = temporaryDirectory();
  mkdirSync(join(room.path, 'open'));
  chmodSync(join(room.path, 'open'), 0o755);
  symlinkSync(join(room.path, 'open'), join(room.path, 'link'));
  await assert.rejects(bind({ path: join(room.path, 'link/api.sock') }), { code: 'socket-directory-open' });
});

test('a socket that nobody answers on is replaced, one that is in use and a file of another kind are not', async () => {
  using room = temporaryDirectory();
  const path = join(room.path, 'api.sock');
  const first = await bind({ path });
  await assert.rejects(bind({ path }), { code: 'address-in-use' });
  await first[Symbol.asyncDispose]();
  writeFileSync(path, 'mine');
  await assert.rejects(bind({ path }), { code: 'listen-failed' });
});

test('users and groups go by name or by number, and an unknown name says so', async () => {
  using room = temporaryDirectory();
  const files = { passwd: join(room.path, 'passwd'), group: join(room.path, 'group') };
  writeFileSync(files.passwd, 'root:x:0:0:root:/root:/bin/sh\nweb:x:1200:1300::/:/bin/false\nbroken\n');
  writeFileSync(files.group, 'root:x:0:\nshop:x:1400:web\n');
  assert.deepEqual(await findUser('web', files), { uid: 1200, gid: 1300 });
  assert.deepEqual(await findUser('1200', files), { uid: 1200, gid: 1300 });
  assert.deepEqual(await findUser('77', files), { uid: 77, gid: undefined });
  assert.equal(await findGroup('shop', files), 1400);
  assert.equal(await findGroup('1500', files), 1500);
  const unknown = { code: 'account-unknown', message: /none called "nobody-here"/ };
  await assert.rejects(findUser('nobody-here', files), unknown);
  await assert.rejects(findGroup('nobody-here', files), unknown);
  await assert.rejects(findUser('4294967295', files), { code: 'account-unknown' });
});

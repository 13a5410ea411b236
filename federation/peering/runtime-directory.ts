/** Where the local sockets between the engine and grpc-js live: a short directory of our own that nobody else may enter. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** sun_path has 108 octets on Linux with its final zero; longer paths fail to bind. */
const SOCKET_PATH_OCTETS_MAX = 107;

/** Socket names are `jumpgate-XXXXXX/worker-255.sock` and the like. */
const NAME_OCTETS_MAX = 36;

const TOKEN_FILE = 'token';
const TOKEN_FILE_MODE = 0o600;

/** A directory with mode 0700, its socket paths, and the token that whoever connects must show. */
export interface RuntimePaths {
  readonly directory: string;
  /** grpc-js serves here; the engine connects. */
  readonly serverSocket: string;
  /** The engine serves here; grpc-js connects. */
  readonly clientSocket: string;
  /** Where a worker's engine serves instead of `clientSocket`. */
  readonly workerSocket: (index: number) => string;
  /** Control serves joins here; workers connect. */
  readonly joinSocket: string;
  /** Control serves our bundle here where it shares the jump port; workers connect. */
  readonly bundleSocket: string;
  /** 256 random bits, hex, new at each start. */
  readonly token: string;
}

/** The directory of a gateway that runs; it goes with its disposal. */
export interface RuntimeDirectory extends RuntimePaths, AsyncDisposable {}

/** Makes the directory under the system's temporary directory, or under /tmp where that is too long a path. */
export async function createRuntimeDirectory(): Promise<RuntimeDirectory> {
  const fits = Buffer.byteLength(tmpdir()) + NAME_OCTETS_MAX <= SOCKET_PATH_OCTETS_MAX;
  const directory = await mkdtemp(join(fits ? tmpdir() : '/tmp', 'jumpgate-'));
  const token = randomBytes(32).toString('hex');
  await writeFile(join(directory, TOKEN_FILE), token, { mode: TOKEN_FILE_MODE });
  return {
    ...pathsIn(directory, token),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

/** The paths in a directory that another process of this gateway has made. Throws the system's error without one. */
export async function openRuntimeDirectory(directory: string): Promise<RuntimePaths> {
  return pathsIn(directory, await readFile(join(directory, TOKEN_FILE), 'utf8'));
}

function pathsIn(directory: string, token: string): RuntimePaths {
  return {
    directory,
    serverSocket: join(directory, 'server.sock'),
    clientSocket: join(directory, 'client.sock'),
    workerSocket: (index) => join(directory, `worker-${index}.sock`),
    joinSocket: join(directory, 'join.sock'),
    bundleSocket: join(directory, 'bundle.sock'),
    token,
  };
}

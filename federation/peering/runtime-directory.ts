/** Where the local sockets between the engine and grpc-js live: a short directory of our own that nobody else may enter. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** sun_path has 108 octets on Linux with its final zero; longer paths fail to bind. */
const SOCKET_PATH_OCTETS_MAX = 107;

/** Socket names are `jumpgate-XXXXXX/client.sock` and the like. */
const NAME_OCTETS_MAX = 32;

/** A directory with mode 0700, its socket paths, and the token that whoever connects must show. */
export interface RuntimeDirectory extends AsyncDisposable {
  /** grpc-js serves here; the engine connects. */
  readonly serverSocket: string;
  /** The engine serves here; grpc-js connects. */
  readonly clientSocket: string;
  /** 256 random bits, hex, new at each start. */
  readonly token: string;
}

/** Makes the directory under the system's temporary directory, or under /tmp where that is too long a path. */
export async function createRuntimeDirectory(): Promise<RuntimeDirectory> {
  const fits = Buffer.byteLength(tmpdir()) + NAME_OCTETS_MAX <= SOCKET_PATH_OCTETS_MAX;
  const directory = await mkdtemp(join(fits ? tmpdir() : '/tmp', 'jumpgate-'));
  return {
    serverSocket: join(directory, 'server.sock'),
    clientSocket: join(directory, 'client.sock'),
    token: randomBytes(32).toString('hex'),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

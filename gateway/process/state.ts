/** What a gateway keeps over restarts, opened in the right order: its directory, its store, its CA, its instance. */
import { readFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';

import { asRecord } from '../../base/brand.ts';
import { type Clock } from '../../base/clock.ts';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type Logger } from '../../base/log.ts';
import { writeFileAtomic } from '../../base/store/atomic-file.ts';
import { openFileStore } from '../../base/store/files.ts';
import { openRedisStore } from '../../base/store/redis.ts';
import { sealedStore } from '../../base/store/sealed.ts';
import { openStateDirectory } from '../../base/store/state-directory.ts';
import { type Store } from '../../base/store/store.ts';
import { readSecretFile } from '../../base/store/secret-file.ts';
import { type MeshSpec } from '../../federation/resources/values.ts';
import { openIdentity, type OpenIdentity } from './open-identity.ts';

/** This instance of the gateway. */
export interface Instance {
  /** 16 lower-case hex digits, the same for the life of the state directory. */
  readonly id: string;
  /** The boot counter: one more at each start. */
  readonly epoch: bigint;
}

/** The open state. */
export interface GatewayState extends OpenIdentity, AsyncDisposable {
  readonly store: Store;
  readonly instance: Instance;
  /** Whether the store answered when it was last asked; files always do. */
  storeAvailable(): boolean;
}

const INSTANCE_FILE = 'instance.json';
const FILE_MODE = 0o600;

/** Opens it; throws what the store, the state directory and the CA throw, all with one line that says what to do. */
export async function openState(
  spec: MeshSpec,
  clock: Clock,
  log: Logger,
  endpointSocket?: string,
): Promise<GatewayState> {
  await using held = new AsyncDisposableStack();
  const { directory } = spec.identity;
  const availability = { store: true };
  const onAvailability = (available: boolean): void => void (availability.store = available);
  const store = held.use(await openStore(spec, { clock, log, onAvailability }));
  const locked = spec.store.kind === 'files' && resolve(spec.store.directory) === resolve(directory);
  // The store's directory is locked by the store; one of its own must not be shared by two processes either.
  if (!locked) held.use(await openStateDirectory({ directory, clock }));
  const path = join(directory, INSTANCE_FILE);
  const last = await readInstance(path, log);
  const mustExist = last !== undefined;
  const { identity, ca } = await openIdentity(spec, { mustExist, endpointSocket, clock, log });
  held.use(identity);
  const instance = await nextBoot(path, last);
  const kept = held.move();
  const storeAvailable = (): boolean => availability.store;
  return { store, identity, ca, instance, storeAvailable, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

interface StoreSurroundings {
  readonly clock: Clock;
  readonly log: Logger;
  readonly onAvailability: (available: boolean) => void;
}

async function openStore(spec: MeshSpec, surroundings: StoreSurroundings): Promise<Store> {
  const { store } = spec;
  const { clock, log } = surroundings;
  switch (store.kind) {
    case 'files':
      return openFileStore({ directory: store.directory, clock, log });
    case 'redis': {
      const key = await readSecretFile(store.sealKeyFile, 'sealKeyFile');
      const password =
        store.passwordFile === undefined ? {} : { password: await readSecretFile(store.passwordFile, 'passwordFile') };
      const prefix = `jumpgate:${spec.trustDomain}:`;
      const redis = await openRedisStore({ url: store.url, prefix, ...surroundings, ...password });
      return sealedStore(redis, Buffer.from(key, 'utf8'), log);
    }
    default:
      return store satisfies never;
  }
}

/** Counts this boot. A counter that cannot be read starts anew under another name, so that no peer takes it for the past. */
async function nextBoot(path: string, last: Instance | undefined): Promise<Instance> {
  const next: Instance = { id: last?.id ?? randomBytes(8).toString('hex'), epoch: (last?.epoch ?? 0n) + 1n };
  await writeFileAtomic(path, JSON.stringify({ instance: next.id, epoch: String(next.epoch) }), FILE_MODE);
  return next;
}

async function readInstance(path: string, log: Logger): Promise<Instance | undefined> {
  try {
    const { instance, epoch } = asRecord(parseJson(await readFile(path))) ?? {};
    if (
      typeof instance === 'string' &&
      /^[0-9a-f]{16}$/.test(instance) &&
      typeof epoch === 'string' &&
      /^\d{1,18}$/.test(epoch)
    ) {
      return { id: instance, epoch: BigInt(epoch) };
    }
    log.error('the instance file is damaged and is made anew', { path });
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    if (!(error instanceof JumpgateError)) throw error;
    log.error('the instance file is damaged and is made anew', { path, error: messageOf(error) });
  }
  return undefined;
}

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
import { openRememberedStore, type StoreTrouble } from '../../base/store/remembered.ts';
import { REVISION_BYTES_MAX } from '../../base/store/remembered-row.ts';
import { SEALED_VALUE_BYTES_MAX, sealedStore } from '../../base/store/sealed.ts';
import { openStateDirectory } from '../../base/store/state-directory.ts';
import { type Store } from '../../base/store/store.ts';
import { readSecretFile } from '../../base/store/secret-file.ts';
import { type MeshSpec } from '../../federation/resources/values.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { BundleSet } from '../../trust-bundles/source/bundle-set.ts';
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
  /** Those of the peers' trust domains. */
  readonly bundles: BundleSet;
  /** Whether the store can be reached; files always can. */
  storeAvailable(): boolean;
  /** What is amiss with a shared store; `undefined` for files. */
  storeTrouble(): StoreTrouble | undefined;
}

/** In the state directory: what a shared store held when it was last heard, and what it must not lose or bring back. */
const REMEMBERED_DIRECTORY = 'shared';
/** Of what else is stored the first taker counts (invites), or is kept elsewhere as well (quarantine). */
const LASTING = ['bundles/', 'peers/'];

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
  const { store, storeAvailable, storeTrouble } = await openStore(spec, { held, clock, log });
  const path = join(directory, INSTANCE_FILE);
  const last = await readInstance(path, log);
  const mustExist = last !== undefined;
  let opened: OpenIdentity | undefined = undefined;
  const own = (): Bundle | undefined => opened?.identity.bundle();
  const bundles = held.use(await BundleSet.open({ store, log, own, trustDomain: spec.trustDomain, clock }));
  opened = await openIdentity(spec, { mustExist, endpointSocket, bundles: () => bundles.all(), clock, log });
  const { identity, ca } = opened;
  held.use(identity);
  const instance = await nextBoot(path, last);
  const kept = held.move();
  const dispose = (): Promise<void> => kept.disposeAsync();
  return { store, storeAvailable, storeTrouble, identity, ca, bundles, instance, [Symbol.asyncDispose]: dispose };
}

interface StateParts {
  readonly held: AsyncDisposableStack;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Opens the store, and locks the state directory with or without it: no two processes may share that. */
async function openStore(
  spec: MeshSpec,
  { held, clock, log }: StateParts,
): Promise<Pick<GatewayState, 'store' | 'storeAvailable' | 'storeTrouble'>> {
  const { directory } = spec.identity;
  const { store: from } = spec;
  switch (from.kind) {
    case 'files': {
      const store = held.use(await openFileStore({ directory: from.directory, clock, log }));
      if (resolve(from.directory) !== resolve(directory)) held.use(await openStateDirectory({ directory, clock }));
      return { store, storeAvailable: () => true, storeTrouble: () => undefined };
    }
    case 'redis': {
      held.use(await openStateDirectory({ directory, clock }));
      const local = held.use(await openFileStore({ directory: join(directory, REMEMBERED_DIRECTORY), clock, log }));
      const key = Buffer.from(await readSecretFile(from.sealKeyFile, 'sealKeyFile'), 'utf8');
      const { passwordFile } = from;
      const password =
        passwordFile === undefined ? {} : { password: await readSecretFile(passwordFile, 'passwordFile') };
      const prefix = `jumpgate:${spec.trustDomain}:`;
      let available = false;
      const onAvailability = (now: boolean): void => void (available = now);
      const redis = held.use(await openRedisStore({ url: from.url, prefix, ...password, onAvailability, clock, log }));
      const shared = sealedStore(redis, { key, scope: prefix, log });
      const isLasting = (row: string): boolean => LASTING.some((each) => row.startsWith(each));
      const valueBytesMax = SEALED_VALUE_BYTES_MAX - REVISION_BYTES_MAX;
      const store = held.use(await openRememberedStore({ shared, local, valueBytesMax, isLasting, clock, log }));
      return { store, storeAvailable: () => available, storeTrouble: () => store.trouble };
    }
    default:
      return from satisfies never;
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

/** The whole store of a gateway with Redis: a server, the seal, and what each replica remembers in a directory of its own. */
import { join } from 'node:path';

import { systemClock } from '../../base/clock.ts';
import { type Logger, silentLog } from '../../base/log.ts';
import { openFileStore } from '../../base/store/files.ts';
import { openRedisStore } from '../../base/store/redis.ts';
import { openRememberedStore, type RememberedStore } from '../../base/store/remembered.ts';
import { REVISION_BYTES_MAX } from '../../base/store/remembered-row.ts';
import { SEALED_VALUE_BYTES_MAX, sealedStore } from '../../base/store/sealed.ts';

const PREFIX = 'test:';
/** The largest value that such a store takes. */
export const SHARED_VALUE_BYTES_MAX = SEALED_VALUE_BYTES_MAX - REVISION_BYTES_MAX;

/** Opens the store of one replica; `seal` is one byte of its key. */
export async function openSharedStore(
  url: string,
  directory: string,
  { log = silentLog, seal = 7 }: { readonly log?: Logger; readonly seal?: number } = {},
): Promise<RememberedStore> {
  const base = { clock: systemClock, log };
  const local = await openFileStore({ directory: join(directory, 'shared'), ...base });
  const redis = await openRedisStore({ url, prefix: PREFIX, ...base });
  const shared = sealedStore(redis, { key: new Uint8Array(32).fill(seal), scope: PREFIX, log });
  const isLasting = (key: string): boolean => key.startsWith('bundles/') || key.startsWith('peers/');
  return openRememberedStore({ shared, local, valueBytesMax: SHARED_VALUE_BYTES_MAX, isLasting, ...base });
}

/** The name of a row's string in Redis. */
export function redisKeyOf(key: string): string {
  return `${PREFIX}row:${key}`;
}

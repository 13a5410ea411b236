/** A copy of the quarantine in a file of this machine: what a store forgets, or cannot say at the start, is not trusted again. */
import { readFile, stat } from 'node:fs/promises';

import { asList, asRecord } from '../../base/brand.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type Logger } from '../../base/log.ts';
import { writeFileAtomic } from '../../base/store/atomic-file.ts';
import { type DistrustRecord, keyOf, readRecord, writeRecord } from './record.ts';

/** Records of the largest set, with the longest IDs that patterns of real meshes have, many times over. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;
const FILE_MODE = 0o600;

/** Keeps records over restarts. */
export interface DistrustCopy {
  /** What was written last; records that cannot be read are left out and told to `log`. */
  read(): Promise<readonly DistrustRecord[]>;
  /** Throws `file-unwritable`. */
  write(records: readonly DistrustRecord[]): Promise<void>;
}

/** A copy at `path`, mode 0600, whole or not at all. */
export function distrustCopy(path: string, log: Logger): DistrustCopy {
  return {
    read: async () => {
      try {
        const { size } = await stat(path);
        if (size > FILE_BYTES_MAX) throw new Error(`expected at most ${FILE_BYTES_MAX} bytes, found ${size}`);
        const { records } = asRecord(parseJson(await readFile(path), { maxBytes: FILE_BYTES_MAX })) ?? {};
        const values = asList(records);
        if (values === undefined) throw new Error('expected a list of records');
        const read = values.map(recordOf);
        if (read.includes(undefined)) log.error('the copy of the quarantine is damaged in part', { path });
        return read.filter((record) => record !== undefined);
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return [];
        log.error('the copy of the quarantine cannot be read', { path, error: messageOf(error) });
        return [];
      }
    },
    write: async (records) => {
      const values = records.map((record) => ({ key: keyOf(record), value: writeRecord(record) }));
      await writeFileAtomic(path, JSON.stringify({ records: values }), FILE_MODE);
    },
  };
}

function recordOf(item: unknown): DistrustRecord | undefined {
  const { key, value } = asRecord(item) ?? {};
  return typeof key === 'string' && typeof value === 'string' ? readRecord(key, value) : undefined;
}

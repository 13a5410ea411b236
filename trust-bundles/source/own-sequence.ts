/** The sequence of our own bundle where somebody else makes its contents: never the same for two of them, whatever is restored. */
import { readFile } from 'node:fs/promises';

import { asRecord } from '../../base/brand.ts';
import { type Clock } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';
import { type Logger } from '../../base/log.ts';
import { writeFileAtomic } from '../../base/store/atomic-file.ts';

const FILE_MODE = 0o600;
const FILE_BYTES_MAX = 4 * 1024;

/** The higher of the next number and the unix time: a restored copy of the state is behind what peers hold, the clock is not. */
export function nextSequence(last: bigint, nowMs: number): bigint {
  const unixSeconds = BigInt(Math.floor(nowMs / 1000));
  return last + 1n > unixSeconds ? last + 1n : unixSeconds;
}

/** The last sequence that a file remembers; `undefined` when there is none that can be read, which is logged. */
export async function readOwnSequence(path: string, log: Logger): Promise<bigint | undefined> {
  try {
    const text = await readFile(path);
    const sequence = asRecord(parseJson(text, { maxBytes: FILE_BYTES_MAX }))?.['sequence'];
    if (typeof sequence === 'string' && /^\d{1,20}$/.test(sequence)) return BigInt(sequence);
    log.error('the sequence of our own bundle is damaged, and goes on from the time', { path });
  } catch (error) {
    if (codeOf(error) !== 'ENOENT')
      log.error('the sequence of our own bundle cannot be read, and goes on from the time', {
        path,
        error: messageOf(error),
      });
  }
  return undefined;
}

/** What numbering needs. */
export interface OwnSequenceOptions {
  readonly path: string;
  /** The last one that was shown to anybody. */
  readonly last: bigint;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Hands out sequences, each written down before it is shown. */
export class OwnSequence {
  readonly #options: OwnSequenceOptions;
  #last: bigint;

  constructor(options: OwnSequenceOptions) {
    this.#options = options;
    this.#last = options.last;
  }

  /** The sequence of other contents. A full disk does not keep them from anybody: a later start goes on from the time. */
  async next(): Promise<bigint> {
    const { clock, log, path } = this.#options;
    this.#last = nextSequence(this.#last, clock.now());
    try {
      await writeFileAtomic(path, `${JSON.stringify({ sequence: String(this.#last) })}\n`, FILE_MODE);
    } catch (error) {
      log.error('the sequence of our own bundle is not written down', { path, error: messageOf(error) });
    }
    return this.#last;
  }
}

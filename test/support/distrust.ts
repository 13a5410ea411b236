/** Quarantines for tests: a copy in memory, and a set over any store. */
import { silentLog } from '../../base/log.ts';
import { memoryStore } from '../../base/store/memory.ts';
import { type Store } from '../../base/store/store.ts';
import { type DistrustCopy } from '../../trust-bundles/distrust/distrust-copy.ts';
import { DistrustSet } from '../../trust-bundles/distrust/distrust-set.ts';
import { type DistrustEntry, type DistrustRecord } from '../../trust-bundles/distrust/record.ts';
import { distrustKindOf, parseTarget } from '../../trust-bundles/distrust/target.ts';
import { ManualClock } from './manual-clock.ts';

/** When the clocks of these tests begin, milliseconds since 1970. */
export const START_MS = 1_700_000_000_000;

/** A copy in memory, which outlives the sets that use it. */
export class MemoryCopy implements DistrustCopy {
  records: readonly DistrustRecord[] = [];

  async read(): Promise<readonly DistrustRecord[]> {
    return this.records;
  }

  async write(records: readonly DistrustRecord[]): Promise<void> {
    this.records = records;
  }
}

/** What a set stands on. */
export interface DistrustRig {
  readonly store: Store;
  readonly copy: MemoryCopy;
  readonly clock: ManualClock;
}

/** Empty, unless given. */
export function distrustRig(parts: Partial<DistrustRig> = {}): DistrustRig {
  return { store: memoryStore(), copy: new MemoryCopy(), clock: new ManualClock(START_MS), ...parts };
}

/** Opens a set. */
export async function openDistrust(rig: DistrustRig): Promise<DistrustSet> {
  return DistrustSet.open({ ...rig, log: silentLog });
}

/** An entry of `kind name`. */
export function suspect(target: string, parts: Partial<DistrustEntry> = {}): Omit<DistrustEntry, 'sinceMs'> {
  const [kind, name = ''] = target.split(' ');
  return {
    ...parseTarget(distrustKindOf(kind) ?? 'spiffe', name),
    untilMs: undefined,
    reason: '',
    by: 'test',
    ...parts,
  };
}

/** What is in force, as `kind name`, sorted. */
export function inForce(set: DistrustSet): readonly string[] {
  return set
    .entries()
    .map(({ kind, name }) => `${kind} ${name}`)
    .sort();
}

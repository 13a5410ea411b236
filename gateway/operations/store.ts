/** What an operator should know of a shared store. */
import { type StoreTrouble } from '../../base/store/remembered.ts';
import { type Condition } from '../admin/operations.ts';

/** So long a row that went back is shown: it has been mended, but somebody should ask how it came to that. */
const ROLLBACK_SHOWN_MS = 60 * 60 * 1000;

/** Conditions of a store that is away, has lost or brought back rows, or is remembered in memory only. */
export function storeConditions(trouble: StoreTrouble | undefined, nowMs: number): readonly Condition[] {
  if (trouble === undefined) return [];
  const { away, behind, last, mended, unsaved } = trouble;
  const conditions: Condition[] = [];
  const add = (type: string, severity: Condition['severity'], message: string): void =>
    void conditions.push({ type, severity, subject: 'Store', message });
  if (away !== undefined)
    add('StoreUnavailable', 'warning', `what this machine remembers of ${behind} rows counts: ${away}`);
  if (last !== undefined && nowMs - last.atMs < ROLLBACK_SHOWN_MS) {
    const what = `${last.key} was ${last.problem} at ${new Date(last.atMs).toISOString()}`;
    const advice = 'see to who can write to the store, and what a failover of it loses';
    add('StoreRolledBack', 'error', `${what} and is written again, ${mended} rows since the start: ${advice}`);
  }
  if (unsaved > 0)
    add('StateUnwritable', 'error', `a restart would not know ${unsaved} rows: see to the disk of the state directory`);
  return conditions;
}

/** What an operator should know about the processes of the gateway. */
import { type Condition } from '../admin/operations.ts';
import { type DataSide } from '../process/data-side.ts';

/** Conditions of workers that crash again and again, or do not answer. */
export function processConditions(data: Pick<DataSide, 'processes' | 'silent'>): readonly Condition[] {
  const looping = data.processes().filter(({ state }) => state === 'crash-looping');
  const crashes = looping.map(({ id, restarts, lastEnd }) => ({
    type: 'WorkerCrashLoop',
    severity: 'error' as const,
    subject: `Process/${id}`,
    message: `it ends soon after each start (${restarts} restarts, last ${lastEnd ?? 'unknown'}): its log says why`,
  }));
  const silent = data.silent().map((index) => ({
    type: 'WorkerSilent',
    severity: 'warning' as const,
    subject: `Process/${index}`,
    message: 'the worker did not answer in time: what is shown of its links and calls may be old',
  }));
  return [...crashes, ...silent];
}

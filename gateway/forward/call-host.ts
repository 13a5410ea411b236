/** What calls and tunnels share, whoever brings them. */
import { type Clock } from '../../base/clock.ts';
import { type EndedCalls } from '../telemetry/call-subject.ts';
import { type CallBudgets } from './caller-budget.ts';
import { type Deadlines } from './deadlines.ts';
import { type LiveCalls } from './live-calls.ts';

/** What the calls and tunnels of one process share. */
export interface CallHost {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly live: LiveCalls;
  readonly budgets: CallBudgets;
  readonly sink: EndedCalls;
}

/** Budgets of callers with limits that a test can reach. */
import { type BudgetLimits, CallerBudgets } from '../../gateway/forward/caller-budget.ts';

/** Limits that no test reaches by accident. */
const WIDE: BudgetLimits = { streamsMax: 1_000_000, resetsMax: 1_000_000, resetShareMax: 0.2 };

/** Budgets, and who flooded; `everybody` is a name that many share. */
export function testBudgets(
  limits: Partial<BudgetLimits> = {},
  lostIsGivenUp = true,
): { readonly budgets: CallerBudgets; readonly floods: string[] } {
  const floods: string[] = [];
  const all = { ...WIDE, ...limits };
  const budgets = new CallerBudgets({
    limits: () => all,
    lostIsGivenUp,
    isShared: (caller) => caller === 'everybody',
    onFlood: ({ peer, caller }) => floods.push(`${caller} at ${peer}`),
  });
  return { budgets, floods };
}

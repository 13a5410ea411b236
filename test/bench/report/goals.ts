/** The goals of the design, and whether a run meets them. The bench reports; it never fails on a figure. */
import { type Figure } from '../bench.ts';

/** Jumpgate's value in a workload against another's. */
interface Goal {
  readonly workload: string;
  readonly sense: 'at most' | 'at least';
  readonly factor: number;
  /** One or several competitors; of several, the lowest counts. */
  readonly against: readonly string[];
}

const atMost = (factor: number, workloads: readonly string[], ...against: readonly string[]): readonly Goal[] =>
  workloads.map((workload) => ({ workload, sense: 'at most', factor, against }));
const atLeast = (factor: number, workloads: readonly string[], ...against: readonly string[]): readonly Goal[] =>
  workloads.map((workload) => ({ workload, sense: 'at least', factor, against }));

const ONE_AT_A_TIME = ['1x1', '100x1'];
const MULTIPLEXED = ['10x10', '10x100', '10x100-body'];

const GOALS: readonly Goal[] = [
  ...atMost(1, ONE_AT_A_TIME, 'haproxy'),
  ...atMost(0.5, ONE_AT_A_TIME, 'envoy'),
  ...atMost(0.7, MULTIPLEXED, 'haproxy'),
  ...atMost(0.2, MULTIPLEXED, 'envoy'),
  ...atMost(1, ['10x10-16k'], 'haproxy'),
  ...atMost(1, ['10x10-16k'], 'envoy'),
  ...atMost(0.7, ['grpc'], 'haproxy'),
  ...atMost(1, ['http1'], 'nginx', 'haproxy'),
  ...atLeast(0.8, ['stream-down', 'stream-up', 'tcp'], 'haproxy'),
  ...atLeast(0.9, ['handshakes-cold'], 'bare node'),
  ...atLeast(1, ['handshakes-cached'], 'bare node'),
  ...atMost(1, ['latency-p50', 'latency-p99'], 'haproxy'),
  ...atMost(1.1, ['growth-imports', 'growth-routes'], 'jumpgate, 10'),
];

/** One goal beside what was measured. */
export interface Verdict {
  readonly workload: string;
  readonly goal: string;
  /** Jumpgate's value as a multiple of the other's; `undefined` where one of them is missing. */
  readonly ratio: number | undefined;
  readonly met: boolean | undefined;
  readonly text: string;
}

/** Every goal of the workloads that were measured. */
export function verdictsOf(figures: readonly Figure[]): readonly Verdict[] {
  return GOALS.filter(({ workload }) => figures.some((figure) => figure.workload === workload)).map((goal) => {
    const { workload, sense, factor, against } = goal;
    const text = `${sense} ${factor} × ${against.join(' or ')}`;
    const ratio = ratioOf(figures, goal);
    if (ratio === undefined) return { workload, goal: text, ratio, met: undefined, text: 'not measured' };
    const met = sense === 'at most' ? ratio <= factor : ratio >= factor;
    const off = Math.abs(ratio / factor - 1) * 100;
    const way = ratio > factor ? 'above' : 'below';
    return { workload, goal: text, ratio, met, text: met ? 'met' : `missed: ${off.toFixed(0)} % ${way} it` };
  });
}

function ratioOf(figures: readonly Figure[], { workload, against }: Goal): number | undefined {
  const valueOf = (competitor: string): number | undefined =>
    figures.find((figure) => figure.workload === workload && figure.competitor === competitor)?.value;
  const own = valueOf('jumpgate');
  const others = against.map(valueOf).filter((value) => value !== undefined);
  if (own === undefined || others.length === 0) return undefined;
  const other = Math.min(...others);
  return other > 0 ? own / other : undefined;
}

/** Figures as tables of Markdown, aligned so that they read well in a terminal too. */
import { type Figure } from '../bench.ts';
import { verdictsOf } from './goals.ts';

const MIB = 1024 * 1024;

/** A table; numbers in it are text already. The first column is left-aligned, the others too. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(3, title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |\n`;
  return line(head) + line(widths.map((width) => '-'.repeat(width))) + rows.map(line).join('');
}

/** One row for each figure. */
export function figureTable(figures: readonly Figure[]): string {
  const head = [
    'workload',
    'gateway',
    'figure',
    'unit',
    'A + B',
    'per second',
    'p50 µs',
    'p99 µs',
    'peak RSS MiB',
    'spread',
    'busy',
  ];
  return markdownTable(
    head,
    figures.map((figure) => [
      figure.workload,
      figure.competitor,
      figure.value === undefined ? 'not available' : number(figure.value),
      figure.value === undefined ? '' : figure.unit,
      [figure.aUs, figure.bUs]
        .map((us) => (us === undefined ? '' : number(us)))
        .join(' + ')
        .replace(/^ \+ | \+ $/, ''),
      number(figure.perSecond),
      number(figure.p50Us),
      number(figure.p99Us),
      number(figure.peakRssBytes === undefined ? undefined : figure.peakRssBytes / MIB),
      percent(figure.spread),
      percent(figure.busy),
    ]),
  );
}

/** One row for each goal. */
export function goalTable(figures: readonly Figure[]): string {
  const verdicts = verdictsOf(figures);
  return markdownTable(
    ['workload', 'goal', 'measured', 'verdict'],
    verdicts.map(({ workload, goal, ratio, text }) => [
      workload,
      goal,
      ratio === undefined ? '' : `${ratio.toFixed(2)} ×`,
      text,
    ]),
  );
}

/** What does not fit a table: remarks, and gateways that are several processes. */
export function remarks(figures: readonly Figure[]): readonly string[] {
  return figures.flatMap(({ workload, competitor, note, processes = {} }) => {
    const parts = Object.entries(processes).map(([name, us]) => `${name} ${number(us)} µs`);
    const text = [...(note === undefined ? [] : [note]), ...parts].join('; ');
    return text === '' ? [] : [`${workload}, ${competitor}: ${text}`];
  });
}

function percent(share: number | undefined): string {
  return share === undefined ? '' : `${(share * 100).toFixed(0)} %`;
}

/** Three significant digits; nothing for nothing. */
function number(value: number | undefined): string {
  if (value === undefined) return '';
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** What a verb shows: kubectl-like tables, JSON or YAML of the same values. */
import { asList, asRecord } from '../../base/brand.ts';
import { usage, type VerbContext } from './verb.ts';
import { writeYaml } from './yaml.ts';

/** One of the values of `-o`. */
export type OutputFormat = 'table' | 'wide' | 'json' | 'yaml';

/** A column of a table: the heading, the member shown (dots go deeper), and whether only `-o wide` shows it. */
export interface Column {
  readonly heading: string;
  readonly member: string;
  readonly wide?: boolean;
}

/** The format asked for; throws `usage`. */
export function formatOf({ given }: VerbContext): OutputFormat {
  const format = given.text('output') ?? 'table';
  switch (format) {
    case 'table':
    case 'wide':
    case 'json':
    case 'yaml':
      return format;
    default:
      throw usage(`expected -o json, yaml or wide, found ${JSON.stringify(format)}`);
  }
}

/** Prints `value` as JSON or YAML if asked for, else what `inWords` makes of it. */
export function print(context: VerbContext, value: unknown, inWords: (wide: boolean) => string): void {
  const format = formatOf(context);
  switch (format) {
    case 'json':
      context.io.stdout.write(
        `${JSON.stringify(value, (_key, item: unknown) => (typeof item === 'bigint' ? String(item) : item), 2)}\n`,
      );
      return;
    case 'yaml':
      context.io.stdout.write(writeYaml(value));
      return;
    case 'table':
    case 'wide':
      context.io.stdout.write(inWords(format === 'wide'));
      return;
    default:
      format satisfies never;
  }
}

/** A table of records; `nothing` if there are none. */
export function table(rows: unknown, columns: readonly Column[], wide: boolean): string {
  const shown = columns.filter((column) => wide || column.wide !== true);
  const cells = (asList(rows) ?? []).map((row) => shown.map(({ member }) => cell(memberOf(row, member))));
  if (cells.length === 0) return 'nothing\n';
  const lines = [shown.map(({ heading }) => heading), ...cells];
  const widths = shown.map((_column, index) => Math.max(...lines.map((line) => line[index]?.length ?? 0)));
  return lines
    .map(
      (line) =>
        `${line
          .map((text, index) => text.padEnd(widths[index] ?? 0))
          .join('   ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** The member at a dotted path; `undefined` where there is none. */
export function memberOf(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((inner, name) => asRecord(inner)?.[name], value);
}

/** A text member; empty where there is none. */
export function textOf(value: unknown, path: string): string {
  const member = memberOf(value, path);
  return typeof member === 'string' ? member : '';
}

/** A list member; empty where there is none. */
export function listOf(value: unknown, path: string): readonly unknown[] {
  return asList(memberOf(value, path)) ?? [];
}

/** A value in one cell. */
export function cell(value: unknown): string {
  if (value === undefined || value === null || value === '') return '-';
  const list = asList(value);
  if (list !== undefined) return list.length === 0 ? '-' : list.map(cell).join(',');
  if (typeof value === 'string') return printable(value);
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : JSON.stringify(value);
}

/** Text of others (a peer's message) without what steers a terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd');
}

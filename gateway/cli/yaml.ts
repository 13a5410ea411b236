/** Plain JSON values as YAML text (block style; strings that could be read as anything else are quoted as in JSON). */
import { asList, asRecord } from '../../base/brand.ts';

/** Strings that are themselves under every YAML version: words that are no number, boolean or null. */
const PLAIN = /^[A-Za-z/][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*$/;
const RESERVED = /^(?:true|false|yes|no|on|off|y|n|null|nan|inf)$/i;

/** The text, with a final newline. */
export function writeYaml(value: unknown): string {
  return `${block(value, 0).replace(/^\n/, '')}\n`;
}

function block(value: unknown, depth: number): string {
  const indent = '  '.repeat(depth);
  const list = asList(value);
  if (list !== undefined) {
    if (list.length === 0) return ' []';
    return list.map((item) => `\n${indent}-${nested(item, depth)}`).join('');
  }
  const record = asRecord(value);
  if (record === undefined) return ` ${scalar(value)}`;
  const entries = Object.entries(record).filter(([, item]) => item !== undefined);
  if (entries.length === 0) return ' {}';
  return entries.map(([key, item]) => `\n${indent}${scalar(key)}:${block(item, depth + 1)}`).join('');
}

/** The first member of a collection in a list stands on the dash's line. */
function nested(item: unknown, depth: number): string {
  return block(item, depth + 1).replace(/^\n +/, ' ');
}

function scalar(value: unknown): string {
  if (typeof value !== 'string') return value === undefined ? 'null' : JSON.stringify(value);
  return PLAIN.test(value) && !RESERVED.test(value) ? value : JSON.stringify(value);
}

/** What schemas read already and nothing enforces yet: refused by name, as every key of the design is before its time. */
import { type ConfigEntry, type ConfigMap, type ConfigNode } from '../../base/config/node.ts';
import { notEnforcedMessage, type Place } from '../../base/config/schema.ts';
import { LIMIT_NAMES } from './limits.ts';

/** A key of a kind of document, or some values of it. A step `[]` is every item of a list. */
export interface NotEnforced {
  readonly kind: string;
  readonly path: readonly string[];
  /** Absent: whatever its value. */
  readonly values?: readonly string[];
}

const under = (kind: string, names: readonly string[], ...path: readonly string[]): readonly NotEnforced[] =>
  names.map((name) => ({ kind, path: [...path, 'limits', name] }));

/** To be shortened by whoever makes something real: what is taken out of this list is accepted. */
export const NOT_ENFORCED: readonly NotEnforced[] = [
  ...under('Mesh', LIMIT_NAMES.mesh, 'spec'),
  ...under('Mesh', LIMIT_NAMES.listener, 'spec', 'listeners', 'outbound', '[]'),
  ...under('Edge', LIMIT_NAMES.listener, 'spec'),
  ...under('Export', LIMIT_NAMES.export, 'spec'),
];

/** Tells of everything in a document that is not enforced; whether there was something. */
export function refuseNotEnforced(document: ConfigMap, place: Place, rules: readonly NotEnforced[]): boolean {
  const kind = entryOf(document, 'kind')?.value;
  let refused = false;
  for (const { kind: of, path, values } of rules) {
    if (kind?.kind !== 'string' || kind.value !== of) continue;
    for (const { entry, at } of find(document, place, path)) {
      const { key, keyOrigin, value } = entry;
      if (values === undefined) at.problem(keyOrigin, notEnforcedMessage(key));
      else if (value.kind === 'string' && values.includes(value.value))
        at.key(key).problem(value.origin, notEnforcedMessage(value.value));
      else continue;
      refused = true;
    }
  }
  return refused;
}

interface Found {
  readonly entry: ConfigEntry;
  /** The place of the mapping that has it. */
  readonly at: Place;
}

function find(node: ConfigNode, at: Place, path: readonly string[]): readonly Found[] {
  const [step, ...rest] = path;
  if (step === undefined) return [];
  if (step === '[]') {
    const items = node.kind === 'list' ? node.items : [];
    return items.flatMap((item, index) => find(item, at.item(index), rest));
  }
  const entry = entryOf(node, step);
  if (entry === undefined) return [];
  return rest.length === 0 ? [{ entry, at }] : find(entry.value, at.key(step), rest);
}

function entryOf(node: ConfigNode, key: string): ConfigEntry | undefined {
  return node.kind === 'map' ? node.entries.find((entry) => entry.key === key) : undefined;
}

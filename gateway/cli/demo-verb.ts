/** `jumpgate demo`: two meshes on this machine that federate and call each other. */
import { type Verb } from './verb.ts';

/** Runs the demo that the entry supplies. */
export const demoVerb: Verb = {
  name: 'demo',
  summary: 'run two meshes on this machine that call each other',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: { once: { help: 'show every outcome, clean up, and exit 0 only if all were as expected' } },
  run: async ({ deps, given }) => deps.demo({ once: given.flag('once') }),
};

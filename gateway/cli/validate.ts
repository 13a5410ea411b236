/** `jumpgate validate`: every problem of a directory, one a line. */
import { formatProblem } from '../../base/config/problem.ts';
import { loadResources } from '../../federation/resources/load.ts';
import { EXIT } from './io.ts';
import { formatOf, print, printable } from './output.ts';
import { directoryOf, FILE_OPTION, OUTPUT_OPTION, type Verb } from './verb.ts';

/** Checks a directory without running anything. */
export const validateVerb: Verb = {
  name: 'validate',
  summary: 'check YAML documents and show every problem as file:line:column',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: { ...FILE_OPTION, ...OUTPUT_OPTION },
  run: async (context) => {
    formatOf(context);
    const loaded = await loadResources(directoryOf(context));
    const valid = loaded.kind === 'ok';
    const problems = (valid ? [] : loaded.problems).map(lineOf);
    const warnings = (valid ? loaded.warnings : []).map(lineOf);
    print(context, { valid, problems, warnings }, () => problems.map((line) => `${line}\n`).join(''));
    for (const warning of warnings) context.io.stderr.write(`warning: ${warning}\n`);
    context.io.stderr.write(
      valid ? 'valid\n' : `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}\n`,
    );
    return valid ? EXIT.ok : EXIT.problems;
  },
};

/** A value quoted from YAML may hold anything; a problem is one line. */
function lineOf(problem: Parameters<typeof formatProblem>[0]): string {
  return printable(formatProblem(problem));
}

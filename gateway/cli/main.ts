/** The command line: finds the verb, runs it, and turns what it throws into one line and an exit code. */
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { findVerb, overview, verbHelp } from './help.ts';
import { type CliDeps, type CliIo, EXIT } from './io.ts';
import { parseVerb } from './parse.ts';
import { type Verb } from './verb.ts';
import { VERBS } from './verbs.ts';

/**
 * Runs `jumpgate ARGV` (without the program's name). Never rejects: resolves with the exit code, after the reason of a
 * failure went to standard error.
 */
export async function runCli(argv: readonly string[], io: CliIo, deps: CliDeps): Promise<number> {
  const [name, ...args] = argv;
  if (name === undefined) {
    io.stderr.write(overview(VERBS));
    return EXIT.usage;
  }
  let verb: Verb | undefined;
  try {
    verb = findVerb(ALIASES.get(name) ?? name, VERBS);
    const given = parseVerb(verb, args);
    if (given === 'help') {
      io.stdout.write(verbHelp(verb));
      return EXIT.ok;
    }
    return await verb.run({ io, deps, given, verbs: VERBS });
  } catch (error) {
    io.stderr.write(`jumpgate: ${messageOf(error)}\n`);
    if (error instanceof JumpgateError && error.code === 'usage')
      io.stderr.write(`see: jumpgate help${verb === undefined ? '' : ` ${verb.name}`}\n`);
    return exitCodeOf(error);
  }
}

/** What people type out of habit. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ['-h', 'help'],
  ['--help', 'help'],
  ['-v', 'version'],
  ['--version', 'version'],
]);

function exitCodeOf(error: unknown): number {
  if (!(error instanceof JumpgateError)) return EXIT.problems;
  if (error.code === 'gateway-unreachable') return EXIT.unreachable;
  return error.source === 'caller' || error.source === 'config' ? EXIT.usage : EXIT.problems;
}

/** Arguments to values, strictly: whatever is unknown, missing or too much is a usage error that names the nearest. */
import { parseArgs, type ParseArgsConfig } from 'node:util';

import { suggestion } from '../../base/config/nearest.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { Given, usage, type Verb } from './verb.ts';

/** Parses what follows the verb's name. `-h` and `--help` yield `help`. Throws `usage`. */
export function parseVerb(verb: Verb, args: readonly string[]): Given | 'help' {
  const options: NonNullable<ParseArgsConfig['options']> = { help: { type: 'boolean', short: 'h' } };
  for (const [name, { short, argument }] of Object.entries(verb.options))
    options[name] = {
      type: argument === undefined ? 'boolean' : 'string',
      ...(short === undefined ? {} : { short }),
    };
  const { values, positionals } = attempt(
    () => parseArgs({ args: [...args], options, allowPositionals: true, strict: true }),
    Object.keys(options),
  );
  if (values['help'] === true) return 'help';
  if (positionals.length > verb.operandsMax)
    throw usage(`unexpected argument ${JSON.stringify(positionals[verb.operandsMax])}`);
  if (positionals.length < verb.operandsMin) throw usage(`expected ${verb.operands}`);
  const given = new Map<string, string | true>();
  for (const [name, value] of Object.entries(values)) {
    if (typeof value === 'string') given.set(name, value);
    else if (value === true) given.set(name, true);
  }
  return new Given(positionals, given);
}

function attempt<T>(parse: () => T, known: readonly string[]): T {
  try {
    return parse();
  } catch (error) {
    const message = messageOf(error);
    if (codeOf(error) !== 'ERR_PARSE_ARGS_UNKNOWN_OPTION')
      throw usage(lowerFirst(message.split('\n', 1)[0] ?? message));
    const name = /^Unknown option '([^']*)'/.exec(message)?.[1] ?? '';
    const nearest = name.startsWith('--') ? suggestion(name.slice(2), known) : '';
    throw usage(`unknown option ${name}${nearest.replace(/"(.*)"/, '--$1')}`);
  }
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1).replace(/\.$/, '');
}

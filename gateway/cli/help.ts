/** `jumpgate help`, and the help of each verb. */
import { suggestion } from '../../base/config/nearest.ts';
import { EXIT } from './io.ts';
import { usage, type Verb } from './verb.ts';

/** Shows help. */
export const helpVerb: Verb = {
  name: 'help',
  summary: 'show this, or the help of a verb',
  operands: '[VERB]',
  operandsMin: 0,
  operandsMax: 1,
  options: {},
  run: async ({ given, io, verbs }) => {
    const [name] = given.operands;
    io.stdout.write(name === undefined ? overview(verbs) : verbHelp(findVerb(name, verbs)));
    return EXIT.ok;
  },
};

/** The verb called `name`; throws `usage` with the nearest one. */
export function findVerb(name: string, verbs: readonly Verb[]): Verb {
  const found = verbs.find((verb) => verb.name === name);
  if (found === undefined)
    throw usage(
      `unknown verb ${JSON.stringify(name)}${suggestion(
        name,
        verbs.map((verb) => verb.name),
      )}`,
    );
  return found;
}

/** All verbs, one a line. */
export function overview(verbs: readonly Verb[]): string {
  const width = Math.max(...verbs.map(({ name }) => name.length));
  const lines = verbs.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}\n`);
  return [
    'usage: jumpgate VERB [OPTIONS]\n\n',
    ...lines,
    '\nA running gateway is found by -f DIR, --admin ADDRESS or JUMPGATE_ADMIN.\n',
    'Exit codes: 0 ok, 1 problems found, 2 usage or bad config, 3 cannot reach the gateway.\n',
  ].join('');
}

/** The help of one verb. */
export function verbHelp({ name, summary, operands, options, details }: Verb): string {
  const rows = Object.entries(options).map(([option, { short, argument, help }]) => ({
    left: `  ${short === undefined ? '   ' : `-${short},`} --${option}${argument === undefined ? '' : ` ${argument}`}`,
    help,
  }));
  const width = Math.max(0, ...rows.map(({ left }) => left.length));
  return [
    `usage: jumpgate ${name}${operands === '' ? '' : ` ${operands}`}${rows.length === 0 ? '' : ' [OPTIONS]'}\n\n${summary}\n`,
    rows.length === 0 ? '' : '\n',
    ...rows.map(({ left, help }) => `${left.padEnd(width)}  ${help}\n`),
    ...(details === undefined ? [] : ['\n', ...details.map((line) => `${line}\n`)]),
  ].join('');
}

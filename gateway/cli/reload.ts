/** `jumpgate reload`: read the documents again, now. */
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { cell, formatOf, listOf, print, textOf } from './output.ts';
import { LIVE_OPTIONS, type Verb } from './verb.ts';

/** Reloads and tells the result. */
export const reloadVerb: Verb = {
  name: 'reload',
  summary: 'read the YAML documents again, now',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: LIVE_OPTIONS,
  run: async (context) => {
    formatOf(context);
    const result = await (await openClient(context)).ask('POST', '/v1/reload', {});
    const refused = textOf(result, 'result') === 'refused';
    print(context, result, () => `${cell(textOf(result, 'result'))} ${textOf(result, 'digest').slice(0, 12)}\n`);
    for (const problem of listOf(result, 'problems')) context.io.stderr.write(`${cell(problem)}\n`);
    for (const warning of listOf(result, 'warnings')) context.io.stderr.write(`warning: ${cell(warning)}\n`);
    for (const field of listOf(result, 'needsRestart')) context.io.stderr.write(`needs a restart: ${cell(field)}\n`);
    if (refused) context.io.stderr.write('refused: the last good configuration keeps serving\n');
    return refused ? EXIT.problems : EXIT.ok;
  },
};

/** `jumpgate log-level`: show or change how much a running gateway logs. */
import { LOG_LEVELS } from '../../base/log.ts';
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { formatOf, print, textOf } from './output.ts';
import { LIVE_OPTIONS, usage, type Verb } from './verb.ts';

/** Shows or sets the level. */
export const logLevelVerb: Verb = {
  name: 'log-level',
  summary: 'show or change the log level of a running gateway',
  operands: '[debug | info | warn | error]',
  operandsMin: 0,
  operandsMax: 1,
  options: LIVE_OPTIONS,
  run: async (context) => {
    formatOf(context);
    const [written] = context.given.operands;
    const level = LOG_LEVELS.find((known) => known === written);
    if (written !== undefined && level === undefined)
      throw usage(`expected one of ${LOG_LEVELS.join(', ')}, found ${JSON.stringify(written)}`);
    const client = await openClient(context);
    const result =
      level === undefined
        ? await client.ask('GET', '/v1/log-level')
        : await client.ask('PUT', '/v1/log-level', { level });
    print(context, result, () => `${textOf(result, 'level')}\n`);
    return EXIT.ok;
  },
};

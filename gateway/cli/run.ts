/** `jumpgate run`: the gateway itself. */
import { LOG_LEVELS } from '../../base/log.ts';
import { directoryOf, FILE_OPTION, usage, type Verb } from './verb.ts';

/** Starts a gateway and stays until SIGTERM. */
export const runVerb: Verb = {
  name: 'run',
  summary: 'run a gateway from a directory of YAML documents',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: { ...FILE_OPTION, 'log-level': { argument: 'LEVEL', help: 'debug, info, warn or error' } },
  run: async (context) => {
    const directory = directoryOf(context);
    const written = context.given.text('log-level');
    const logLevel = LOG_LEVELS.find((level) => level === written);
    if (written !== undefined && logLevel === undefined)
      throw usage(`expected --log-level to be one of ${LOG_LEVELS.join(', ')}, found ${JSON.stringify(written)}`);
    return context.deps.run({ directory, logLevel });
  },
};

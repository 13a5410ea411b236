/** `jumpgate rotate`: a new root of the embedded CA. */
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { cell, formatOf, listOf, memberOf, print } from './output.ts';
import { LIVE_OPTIONS, type Verb } from './verb.ts';

/** Begins or advances a rotation. */
export const rotateVerb: Verb = {
  name: 'rotate',
  summary: 'publish a new root, and activate it when the peers hold it',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: { ...LIVE_OPTIONS, force: { help: 'activate it although some peers do not hold it: their links break' } },
  run: async (context) => {
    formatOf(context);
    const rotation = await (
      await openClient(context)
    ).ask('POST', '/v1/rotation', { force: context.given.flag('force') });
    const show = (path: string): string => cell(memberOf(rotation, path));
    print(context, rotation, () => {
      const waiting = listOf(rotation, 'waitingFor');
      return `${show('phase')}: active ${show('activeFingerprint')}, next ${show('nextFingerprint')}, sequence ${show('sequence')}${waiting.length === 0 ? '' : `, waiting for ${cell(waiting)}`}\n`;
    });
    context.io.stderr.write(`${show('message')}\n`);
    return EXIT.ok;
  },
};

/** `jumpgate rotate`: a new root, or JWT key, of the embedded CA. */
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { cell, type Column, formatOf, listOf, memberOf, print, table } from './output.ts';
import { LIVE_OPTIONS, usage, type Verb, type VerbContext } from './verb.ts';

const FINDINGS: readonly Column[] = [
  { heading: 'PEER', member: 'peer' },
  { heading: 'LINK', member: 'address' },
  { heading: 'CODE', member: 'code' },
  { heading: 'WHY', member: 'message' },
];

/** Begins or advances a rotation. */
export const rotateVerb: Verb = {
  name: 'rotate',
  summary: 'publish a new root, and activate it when the peers hold it',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  options: {
    ...LIVE_OPTIONS,
    jwt: { help: 'rotate the key of JWT-SVIDs instead: the next one signs five refresh hints later, by itself' },
    force: { help: 'activate it although some peers do not hold it: their links break' },
    rehearse: { help: 'change nothing: say which peers and links would break now, and why; exit code 1 if any would' },
  },
  run: async (context) => {
    formatOf(context);
    if (context.given.flag('jwt')) return rotateJwtKey(context);
    if (context.given.flag('rehearse')) return rehearse(context);
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

async function rotateJwtKey(context: VerbContext): Promise<number> {
  const { given } = context;
  if (given.flag('force') || given.flag('rehearse')) throw usage('--jwt goes without --force and --rehearse');
  const rotation = await (await openClient(context)).ask('POST', '/v1/jwt-keys/rotate', {});
  const show = (path: string): string => cell(memberOf(rotation, path));
  print(
    context,
    rotation,
    () => `published: active ${show('activeKeyId')}, next ${show('nextKeyId')}, sequence ${show('sequence')}\n`,
  );
  const isNext = memberOf(rotation, 'nextKeyId') !== null;
  const when = isNext ? `the next key signs from ${show('nextSignsAt')}` : 'the key that was published signs now';
  context.io.stderr.write(`${when}; its predecessor is published for a day after that\n`);
  return EXIT.ok;
}

async function rehearse(context: VerbContext): Promise<number> {
  if (context.given.flag('force')) throw usage('--rehearse changes nothing: give it without --force');
  const rehearsal = await (await openClient(context)).ask('GET', '/v1/rotation');
  const findings = listOf(rehearsal, 'findings');
  print(context, rehearsal, (wide) => (findings.length === 0 ? '' : table(findings, FINDINGS, wide)));
  const isPublished = memberOf(rehearsal, 'nextFingerprint') !== null;
  const what = isPublished ? 'if the published root signed now' : 'if a new root were published and signed now';
  context.io.stderr.write(`${findings.length === 0 ? 'nothing' : 'the above'} would break ${what}\n`);
  return findings.length === 0 ? EXIT.ok : EXIT.problems;
}

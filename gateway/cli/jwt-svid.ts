/** `jumpgate svid jwt` and `svid validate`: JWT-SVIDs by hand. */
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { cell, memberOf, print, printable, textOf } from './output.ts';
import { secondsOf } from './seconds.ts';
import { readToken } from './standard-input.ts';
import { usage, type VerbContext } from './verb.ts';

/** Four times the longest that is valid, so that the validator's refusal is seen and not ours. */
const TOKEN_CHARS_MAX = 64 * 1024;

/** Prints a fresh token for `id`. */
export async function issueToken(context: VerbContext, id: string | undefined): Promise<number> {
  const { given, io } = context;
  if (id === undefined) throw usage('expected the SPIFFE-ID that the token is for');
  if (given.text('out') !== undefined) throw usage('--out does not go with jwt: the token goes to standard output');
  const audience = given.required('audience').split(',');
  if (audience.includes(''))
    throw usage('expected --audience to be names with commas between them, found an empty one');
  const request = { id, audience, ttlSeconds: secondsOf(given, 'ttl') };
  const issued = await (await openClient(context)).ask('POST', '/v1/jwt-svids', request);
  print(context, issued, () => `${textOf(issued, 'token')}\n`);
  io.stderr.write(`${id} for ${audience.join(', ')} until ${cell(memberOf(issued, 'expiresAt'))}\n`);
  return EXIT.ok;
}

/** Judges the token on standard input; exit code 1 for a refusal. */
export async function validateToken(context: VerbContext, operand: string | undefined): Promise<number> {
  const { given, io } = context;
  if ((operand ?? '-') !== '-')
    throw usage('expected -: a token is read from standard input, since an argument is visible in ps');
  for (const name of ['out', 'ttl'])
    if (given.text(name) !== undefined) throw usage(`--${name} does not go with validate`);
  const audience = given.required('audience');
  if (audience === '') throw usage('expected --audience to be the name of the validator');
  const token = await readToken(io, TOKEN_CHARS_MAX, 'what stands before the pipe may have failed');
  const outcome = await (await openClient(context)).ask('POST', '/v1/jwt-svids/validate', { token, audience });
  const show = (path: string): string => cell(memberOf(outcome, path));
  const isValid = memberOf(outcome, 'verdict') === 'valid';
  print(context, outcome, () =>
    isValid
      ? `id        ${show('id')}\nexpires   ${show('expiresAt')}\naudience  ${show('audience')}\nkey       ${show('keyFingerprint')}\nclaims    ${printable(show('claims'))}\n`
      : '',
  );
  if (isValid) return EXIT.ok;
  io.stderr.write(`refused: ${show('code')}: ${show('message')}\n`);
  return EXIT.problems;
}

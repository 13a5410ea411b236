/** `jumpgate svid`: an SVID of the embedded CA, as files for a workload, or a JWT-SVID. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { JumpgateError, messageOf } from '../../base/errors.ts';
import { openClient } from './client.ts';
import { EXIT } from './io.ts';
import { issueToken, validateToken } from './jwt-svid.ts';
import { cell, formatOf, memberOf, print, textOf } from './output.ts';
import { secondsOf } from './seconds.ts';
import { LIVE_OPTIONS, usage, type Verb } from './verb.ts';

interface PemFile {
  readonly name: string;
  readonly text: string;
  readonly mode: number;
}

/** Writes `svid.pem`, `key.pem` (0600) and `bundle.pem`. */
export const svidVerb: Verb = {
  name: 'svid',
  summary: 'issue an SVID for a workload, as PEM files or a JWT; validate a JWT-SVID',
  operands: 'SPIFFE-ID | jwt SPIFFE-ID | validate -',
  operandsMin: 1,
  operandsMax: 2,
  options: {
    ...LIVE_OPTIONS,
    out: { argument: 'DIR', help: 'where svid.pem, key.pem and bundle.pem go; default the current directory' },
    ttl: { argument: 'DURATION', help: 'how long it is valid; default 1h, of a JWT 5m' },
    audience: { argument: 'NAME[,...]', help: 'jwt: whom the token is for; validate: who asks, one name' },
  },
  details: [
    'jwt       prints the token alone: whoever holds it can use it until it ends',
    'validate  reads a token from standard input; exit code 1 if the bundles here do not vouch for it',
  ],
  run: async (context) => {
    const { given, io } = context;
    formatOf(context);
    const [action = '', operand] = given.operands;
    if (action === 'jwt') return issueToken(context, operand);
    if (action === 'validate') return validateToken(context, operand);
    if (operand !== undefined) throw usage(`unexpected argument ${JSON.stringify(operand)}`);
    if (given.text('audience') !== undefined) throw usage('--audience goes with jwt and validate');
    const directory = resolve(io.cwd, given.text('out') ?? '.');
    const request = { id: action, ttlSeconds: secondsOf(given, 'ttl') };
    const svid = await (await openClient(context)).ask('POST', '/v1/svids', request);
    const files = [
      { name: 'bundle.pem', text: textOf(svid, 'bundle'), mode: 0o644 },
      { name: 'key.pem', text: textOf(svid, 'key'), mode: 0o600 },
      { name: 'svid.pem', text: textOf(svid, 'certificates'), mode: 0o644 },
    ];
    if (files.some(({ text }) => !text.startsWith('-----BEGIN ')))
      throw new JumpgateError('answer-malformed', 'expected three PEM texts from the gateway', { source: 'peer' });
    writeAll(directory, files);
    const written = files.map(({ name }) => join(directory, name));
    // The key never goes to standard output, whatever the format.
    print(context, { id: request.id, expiresAt: memberOf(svid, 'expiresAt'), files: written }, () =>
      written.map((file) => `${file}\n`).join(''),
    );
    io.stderr.write(`${request.id} until ${cell(memberOf(svid, 'expiresAt'))}\n`);
    return EXIT.ok;
  },
};

/** Every file is complete under another name before the first takes its place. */
function writeAll(directory: string, files: readonly PemFile[]): void {
  const temporary = (file: PemFile): string => join(directory, `.${file.name}.${process.pid}`);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const file of files) writeFileSync(temporary(file), file.text, { mode: file.mode, flag: 'wx' });
    for (const file of files) renameSync(temporary(file), join(directory, file.name));
  } catch (cause) {
    for (const file of files) rmSync(temporary(file), { force: true });
    throw new JumpgateError('write-failed', `cannot write the SVID to ${directory}: ${messageOf(cause)}`, {
      source: 'local',
      cause,
    });
  }
}

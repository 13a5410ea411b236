/** `jumpgate init`: a Mesh, an Export and an Import that run as they are. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';

import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { initialFiles } from '../../federation/resources/templates.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { EXIT } from './io.ts';
import { FILE_OPTION, usage, type Verb, type VerbContext } from './verb.ts';

/** Writes a configuration directory. */
export const initVerb: Verb = {
  name: 'init',
  summary: 'write a Mesh, an Export and an Import to start from',
  operands: '[DIR]',
  operandsMin: 0,
  operandsMax: 1,
  options: {
    ...FILE_OPTION,
    'trust-domain': { argument: 'TD', help: 'trust domain of this mesh, such as us-east.example.org' },
    name: { argument: 'NAME', help: "name of this mesh; default the trust domain's first label" },
    peer: { argument: 'NAME', help: 'what the first peer will be called here; default "peer"' },
    host: {
      argument: 'HOST',
      help: "name or address under which peers reach this machine; default this machine's name",
    },
  },
  run: async (context) => {
    const { given, io } = context;
    const [operand] = given.operands;
    if (operand !== undefined && given.text('file') !== undefined) throw usage('give DIR or -f DIR, not both');
    const directory = resolve(io.cwd, operand ?? given.text('file') ?? '.');
    const trustDomain = parseTrustDomain(given.required('trust-domain'));
    const files = initialFiles({
      trustDomain,
      name: label(context, 'name') ?? trustDomain.split('.', 1)[0]?.replaceAll('_', '-') ?? 'mesh',
      ...peerOf(context),
      host: hostOf(context),
    });
    for (const path of write(directory, files)) io.stdout.write(`${path}\n`);
    io.stderr.write(`next: jumpgate run -f ${given.text('file') ?? operand ?? '.'}\n`);
    return EXIT.ok;
  },
};

function peerOf(context: VerbContext): { readonly peer?: string } {
  const peer = label(context, 'peer');
  return peer === undefined ? {} : { peer };
}

function label({ given }: VerbContext, option: string): string | undefined {
  const text = given.text(option);
  if (text !== undefined && !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text))
    throw usage(`expected --${option} to be a name of a-z, 0-9 and -, found ${JSON.stringify(text)}`);
  return text;
}

function hostOf({ given }: VerbContext): string {
  const host = given.text('host') ?? hostname().toLowerCase();
  if (!/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(host))
    throw usage(`expected --host to be a host name or an IPv4 address, found ${JSON.stringify(host)}`);
  return host;
}

/** Nothing that is there is ever overwritten, and nothing is written unless all can be. */
function write(directory: string, files: ReturnType<typeof initialFiles>): readonly string[] {
  const written: string[] = [];
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const { file, text } of files) {
      writeFileSync(join(directory, file), text, { flag: 'wx', mode: 0o644 });
      written.push(join(directory, file));
    }
    return written;
  } catch (cause) {
    const hint = codeOf(cause) === 'EEXIST' ? ': init overwrites nothing, choose an empty directory' : '';
    const done = written.length === 0 ? '' : ` (written before: ${written.join(', ')})`;
    throw new JumpgateError('init-failed', `cannot write to ${directory}: ${messageOf(cause)}${hint}${done}`, {
      source: 'config',
      cause,
    });
  }
}

/** Which gateway a verb speaks to: `--admin`, else the Mesh document of `-f`, else `JUMPGATE_ADMIN`. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { readDocuments } from '../../base/config/document.ts';
import { type ConfigNode } from '../../base/config/node.ts';
import { formatProblem, ProblemList } from '../../base/config/problem.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { loadResources } from '../../federation/resources/load.ts';
import { type BindAddress } from '../../federation/resources/values.ts';
import { usage, type VerbContext } from './verb.ts';

/** Where an admin API listens. */
export type AdminTarget =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly token: string };

/** A longer token is no token. */
const TOKEN_BYTES_MAX = 8192;

/** Finds the gateway. Throws `usage`, or `config-invalid` when the Mesh document cannot be read. */
export async function locateGateway(context: VerbContext): Promise<AdminTarget> {
  const { io, given } = context;
  const admin = given.text('admin');
  if (admin !== undefined) return parseAdmin(admin, context);
  const directory = given.text('file');
  if (directory !== undefined) return locateByDocuments(resolve(io.cwd, directory), context);
  const fromEnvironment = io.env['JUMPGATE_ADMIN'];
  if (fromEnvironment !== undefined && fromEnvironment !== '') return parseAdmin(fromEnvironment, context);
  throw usage('which gateway? give -f DIR, --admin ADDRESS or JUMPGATE_ADMIN');
}

function parseAdmin(text: string, context: VerbContext): AdminTarget {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
    if (path === '') throw usage('expected unix:PATH, found an empty path');
    return { kind: 'unix', path: resolve(context.io.cwd, path) };
  }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port < 1 || port > 65_535)
    throw usage(`expected an admin address unix:PATH or host:port, found ${JSON.stringify(text)}`);
  return withToken({ host, port }, undefined, context);
}

/** A wrong document elsewhere must not hide the running gateway, so the Mesh document is then read by itself. */
async function locateByDocuments(directory: string, context: VerbContext): Promise<AdminTarget> {
  const loaded = await loadResources(directory, { referencedFiles: false });
  if (loaded.kind === 'ok') {
    const { address, tokenFile } = loaded.set.mesh.spec.listeners.admin;
    return targetOf(address, tokenFile, context);
  }
  const socket = adminSocketIn(directory);
  if (socket !== undefined) return { kind: 'unix', path: resolve(directory, socket) };
  throw new JumpgateError('config-invalid', loaded.problems.map(formatProblem).join('\n'), { source: 'config' });
}

function targetOf(address: BindAddress, tokenFile: string | undefined, context: VerbContext): AdminTarget {
  if (address.kind === 'unix') return { kind: 'unix', path: address.path };
  const { host, port } = address;
  if (port === 0) throw usage('the Mesh document lets the system choose the admin port: give --admin host:port');
  // A wildcard is an address to bind, not one to dial.
  const dialled = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return withToken({ host: dialled, port }, tokenFile, context);
}

function withToken(
  where: { readonly host: string; readonly port: number },
  tokenFile: string | undefined,
  { io, given }: VerbContext,
): AdminTarget {
  const file = given.text('token-file') ?? tokenFile;
  if (file === undefined) throw usage(`--admin ${where.host}:${where.port} needs --token-file FILE`);
  const path = resolve(io.cwd, file);
  try {
    if (statSync(path).size > TOKEN_BYTES_MAX)
      throw usage(`expected a token of at most ${TOKEN_BYTES_MAX} bytes in ${path}`);
    const token = readFileSync(path, 'utf8').trim();
    if (!/^[\x21-\x7e]+$/.test(token)) throw usage(`expected one token of printable characters in ${path}`);
    return { kind: 'tcp', ...where, token };
  } catch (error) {
    if (error instanceof JumpgateError) throw error;
    throw usage(`cannot read the admin token: ${messageOf(error)}`);
  }
}

/** `spec.listeners.admin.socket` of the one Mesh document that can be read. */
function adminSocketIn(directory: string): string | undefined {
  const ignored = new ProblemList();
  try {
    const sockets = readdirSync(directory)
      .filter((name) => /\.ya?ml$/.test(name))
      .flatMap((name) => readDocuments(readFileSync(join(directory, name)), name, ignored))
      .filter((document) => scalarAt(document, ['kind']) === 'Mesh')
      .flatMap((mesh) => scalarAt(mesh, ['spec', 'listeners', 'admin', 'socket']) ?? []);
    return sockets.length === 1 ? sockets[0] : undefined;
  } catch {
    return undefined;
  }
}

function scalarAt(node: ConfigNode, path: readonly string[]): string | undefined {
  let at: ConfigNode | undefined = node;
  for (const key of path) {
    if (at?.kind !== 'map') return undefined;
    at = at.entries.find((entry) => entry.key === key)?.value;
  }
  return at?.kind === 'string' ? at.value : undefined;
}

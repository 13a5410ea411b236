/** Two processes of a program that is told everything by a configuration file: how all competitors start. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { CORES, freePort, listens, type Program } from '../measure/running.ts';
import { SERVER_NAME, writeCertificates } from './certificates.ts';
import { type StartOptions, type TwoJumps } from './competitor.ts';

const CONFIGS = join(import.meta.dirname, '..', 'configs');

/** A program, the configuration of each of its two processes, and how it is called with one. */
export interface Configured {
  readonly command: string;
  readonly files: { readonly a: string; readonly b: string };
  readonly words: (configFile: string, directory: string) => readonly string[];
  /** What further `__NAME__`s of the configuration stand for. */
  readonly values?: Readonly<Record<string, string>>;
}

/** Starts B, then A. `__NAME__` in a configuration stands for a port, the directory of the certificates, or the name. */
export async function startConfigured(
  { command, files, words, values: own = {} }: Configured,
  { running, service, backendPort }: StartOptions,
): Promise<TwoJumps> {
  const directory = running.directory();
  const authority = writeCertificates(directory);
  const [inPort, jumpPort] = [await freePort(), await freePort()];
  const values: Readonly<Record<string, string>> = {
    ...own,
    IN_PORT: String(inPort),
    JUMP_PORT: String(jumpPort),
    BACKEND_PORT: String(backendPort),
    DIRECTORY: directory,
    SERVER_NAME,
  };
  const start = async (side: 'a' | 'b', port: number): Promise<Program> => {
    const template = readFileSync(join(CONFIGS, files[side]), 'utf8');
    const file = join(directory, `${side}-${files[side]}`);
    const valueOf = (name: string): string | undefined => (name === 'SIDE' ? side : values[name]);
    writeFileSync(
      file,
      template.replaceAll(/__([A-Z_]+?)__/g, (whole, name: string) => valueOf(name) ?? whole),
    );
    const program = running.start(CORES.gateways, command, words(file, directory));
    await listens(program, port);
    return program;
  };
  await using stack = new AsyncDisposableStack();
  const b = stack.use(await start('b', jumpPort));
  const a = stack.use(await start('a', inPort));
  const owned = stack.move();
  const identities = (count: number) => Array.from({ length: count }, (_, index) => authority.identity(`c${index}`));
  return {
    a: a.pid,
    b: b.pid,
    port: inPort,
    host: SERVER_NAME,
    handshakes:
      service === 'small'
        ? async (count) => ({
            port: jumpPort,
            serverPid: b.pid,
            serverName: SERVER_NAME,
            ca: authority.ca,
            identities: identities(count),
          })
        : undefined,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

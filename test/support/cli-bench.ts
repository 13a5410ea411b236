/** The command line in this process, against a real admin server on a Unix socket whose operations are recorded. */
import { join } from 'node:path';

import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { openAdminServer } from '../../gateway/admin/server.ts';
import { type RunOptions } from '../../gateway/cli/io.ts';
import { runCli } from '../../gateway/cli/main.ts';
import { RecordedOperations } from './admin-operations.ts';
import { temporaryDirectory } from './temporary-directory.ts';

/** How a command ended. */
export interface CliResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** See {@link cliBench}. */
export interface CliBench extends AsyncDisposable {
  /** Where commands run; the socket is in it. */
  readonly directory: string;
  readonly operations: RecordedOperations;
  /** What `run` was asked for. */
  readonly runs: RunOptions[];
  cli(argv: readonly string[], stdin?: string, env?: Readonly<Record<string, string>>): Promise<CliResult>;
}

/** Opens the server. */
export async function cliBench(): Promise<CliBench> {
  const directory = temporaryDirectory();
  const operations = new RecordedOperations();
  const runs: RunOptions[] = [];
  const path = join(directory.path, 'admin.sock');
  const address = { kind: 'unix', path } as const;
  const server = await openAdminServer({ address, tokenFile: undefined, operations, log: silentLog });
  return {
    directory: directory.path,
    operations,
    runs,
    cli: async (argv, stdin = '', env = { JUMPGATE_ADMIN: `unix:${path}` }) => {
      const written = { out: '', err: '' };
      const io = {
        stdout: { write: (text: string) => void (written.out += text) },
        stderr: { write: (text: string) => void (written.err += text) },
        stdin: (async function* () {
          yield Buffer.from(stdin);
        })(),
        env,
        cwd: directory.path,
      };
      const run = async (options: RunOptions): Promise<number> => (runs.push(options), 0);
      const deps = { clock: systemClock, run, demo: async ({ once }: { once: boolean }) => (once ? 0 : 1) };
      return { code: await runCli(argv, io, deps), ...written };
    },
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      directory[Symbol.dispose]();
    },
  };
}

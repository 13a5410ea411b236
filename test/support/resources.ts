/** What the processes of a gateway hold, seen from outside (/proc) and said by a probe inside: oracle 6 of the catalogue. */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { rssOfProcess } from '../bench/measure/process-tree.ts';
import { type GatewayProcess, until } from './gateway-process.ts';
import { type ProbeAnswer } from './resource-probe.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const PROBE = join(import.meta.dirname, 'resource-probe.ts');

/**
 * A control stream that had to be opened anew keeps the link that it is on, beside those that calls have, until the
 * link's term ends, and its local socket may be at another worker: not what connections left behind.
 */
export const MOVED_MAX = 2;

/** One process of a gateway. */
export interface ProcessResources extends ProbeAnswer {
  /** `primary`, `control`, or the number of a worker. */
  readonly role: string;
  readonly fds: number;
  /** After the collection. */
  readonly rssBytes: number;
}

/** Asks gateways that were started with its environment. */
export class ResourceProbe implements Disposable {
  readonly #directory = temporaryDirectory();

  /** For each gateway that is to be asked. */
  get environment(): NodeJS.ProcessEnv {
    const options = [`--import=${PROBE}`, '--disable-warning=ExperimentalWarning'];
    return { NODE_OPTIONS: options.join(' '), JUMPGATE_TEST_PROBE: this.#directory.path };
  }

  /** Has every process of a ready gateway collect its garbage, and returns what each then holds. */
  async take(gateway: GatewayProcess): Promise<readonly ProcessResources[]> {
    const processes = await processesOf(gateway);
    return Promise.all(
      processes.map(async ({ role, pid }) => {
        const said = await this.#ask(pid);
        return { ...said, role, fds: fdsOf(pid), rssBytes: rssOfProcess(pid) };
      }),
    );
  }

  async #ask(pid: number): Promise<ProbeAnswer> {
    const path = join(this.#directory.path, `${pid}.json`);
    rmSync(path, { force: true });
    process.kill(pid, 'SIGUSR2');
    let said = '';
    await until(`process ${pid} to say what it holds`, () => {
      try {
        said = readFileSync(path, 'utf8');
      } catch {
        // Not yet.
      }
      return said !== '';
    });
    return JSON.parse(said) as ProbeAnswer;
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}

/** The processes of a gateway by role; one that is all roles in one is `primary`. */
export async function processesOf(
  gateway: GatewayProcess,
): Promise<readonly { readonly role: string; readonly pid: number }[]> {
  const { processes } = await gateway.status();
  const children = processes.flatMap(({ id, pid }) => (pid === null ? [] : [{ role: String(id), pid }]));
  return [{ role: 'primary', pid: gateway.child.pid ?? 0 }, ...children];
}

/** Waits until no process of the gateway has more descriptors open than `before`, but for what may have moved. */
export async function settled(gateway: GatewayProcess, before: readonly ProcessResources[]): Promise<void> {
  let seen = '';
  const processes = await processesOf(gateway);
  await until(
    'the descriptors of before',
    () => {
      const now = processes.map(({ role, pid }) => ({ role, fds: fdsOf(pid) }));
      seen = JSON.stringify(now);
      return now.every(({ role, fds }) => fds <= (before.find((each) => each.role === role)?.fds ?? 0) + MOVED_MAX);
    },
    () => `${seen}, before ${JSON.stringify(before.map(({ role, fds }) => ({ role, fds })))}`,
  );
}

/** Descriptors that a process has open. */
function fdsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** A gateway of the demo as its own process, and the command line that speaks to it: what a user would type, nothing else. */
import { type ChildProcess, spawn } from 'node:child_process';
import { extname, join } from 'node:path';
import { text } from 'node:stream/consumers';

import { asList, asRecord } from '../../base/brand.ts';
import { type Clock, sleep } from '../../base/clock.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { parseJson } from '../../base/json.ts';

/** How long a gateway may take to come up, and an import to become active, on a slow machine. */
const WAIT_MS_MAX = 60_000;
const POLL_MS = 50;
const STOP_MS_MAX = 15_000;

/** `gateway/main` as it stands here: `.ts` in a checkout, `.js` in a package. */
const MAIN = join(import.meta.dirname, '..', `main${extname(import.meta.filename)}`);

/** What a command printed and how it ended. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command line of ours to its end. */
async function runCommand(words: readonly string[], input = ''): Promise<CommandResult> {
  const child = spawn(process.execPath, [...process.execArgv, MAIN, ...words], { stdio: ['pipe', 'pipe', 'pipe'] });
  const exited = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      resolve(code ?? 1);
    });
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code, stdout, stderr] = await Promise.all([exited, text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr };
}

/** One mesh's gateway. */
export class GatewayProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #clock: Clock;
  readonly #exited: Promise<void>;
  #errors = '';
  readonly directory: string;

  /** Starts `jumpgate run -f directory`; its access log goes where its Mesh document says. */
  constructor(directory: string, clock: Clock) {
    this.directory = directory;
    this.#clock = clock;
    this.#child = spawn(process.execPath, [...process.execArgv, MAIN, 'run', '-f', directory], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.#errors = (this.#errors + chunk).slice(-4_000);
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once('close', () => {
        resolve();
      });
    });
  }

  /** Runs a live verb against this gateway; anything but exit code 0 throws with what it printed. */
  async command(verb: string, words: readonly string[] = [], input = ''): Promise<string> {
    const result = await runCommand([verb, '-f', this.directory, ...words], input);
    if (result.code === 0) return result.stdout;
    throw new JumpgateError('command-failed', `jumpgate ${verb} exited with ${result.code}: ${result.stderr.trim()}`, {
      source: 'local',
    });
  }

  /** The status of the gateway as parsed JSON. */
  async status(): Promise<Readonly<Record<string, unknown>>> {
    return asRecord(parseJson(await this.command('status', ['-o', 'json']))) ?? {};
  }

  /** Waits until the gateway's status satisfies `holds`. */
  async until(what: string, holds: (status: Readonly<Record<string, unknown>>) => boolean): Promise<void> {
    const deadline = this.#clock.monotonic() + WAIT_MS_MAX;
    let last: unknown = 'no answer yet';
    while (this.#clock.monotonic() < deadline) {
      if (this.#child.exitCode !== null) break;
      try {
        const status = await this.status();
        if (holds(status)) return;
        last = JSON.stringify(status);
      } catch (error) {
        last = messageOf(error);
      }
      await sleep(this.#clock, POLL_MS, new AbortController().signal);
    }
    throw new JumpgateError(
      'demo-timeout',
      `${this.directory}: waited for ${what}, last seen: ${String(last)}; its log: ${this.#errors}`,
      {
        source: 'local',
      },
    );
  }

  /** Stops the gateway as systemd would, and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGTERM');
      const force = this.#clock.after(STOP_MS_MAX, () => this.#child.kill('SIGKILL'));
      await this.#exited;
      force[Symbol.dispose]();
    }
  }
}

/** The records of one list of a status. */
export function listed(
  status: Readonly<Record<string, unknown>>,
  name: string,
): readonly Readonly<Record<string, unknown>>[] {
  return (asList(status[name]) ?? []).map((item) => asRecord(item) ?? {});
}

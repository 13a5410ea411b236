/** Runs a primary with stub children as a process of its own, and reads what its control says. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { asList, asRecord } from '../../base/brand.ts';
import { type ProcessStatus } from '../../gateway/process/channel.ts';
import { until } from './gateway-process.ts';
import { type ProcessPlan } from './process-primary.ts';

const PRIMARY = join(import.meta.dirname, 'process-primary.ts');
const FLAGS = process.execArgv.filter((flag) =>
  /^--(?:openssl-config=|m[a-z]+-semi-space-size=|expose-gc$)/.test(flag),
);

/** A plan with one TCP listener for workers, on a port of the system's choice. */
export function plan(changes: Partial<ProcessPlan> = {}): ProcessPlan {
  const jump = {
    name: 'jump',
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    to: 'workers',
    forCalls: false,
  } as const;
  return { listeners: [jump], workers: 2, drainMs: 10_000, ...changes };
}

/** The words that run a primary. */
export function primaryCommand(given: ProcessPlan): readonly string[] {
  return [process.execPath, ...FLAGS, PRIMARY, JSON.stringify(given)];
}

/** A primary and what it printed. Disposal kills what is left of it. */
export class ProcessRig implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly lines: Readonly<Record<string, unknown>>[] = [];
  /** Resolves with the exit code, or the name of the signal. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  stderr = '';

  /** `through` wraps the words, as `sh -c` does. */
  constructor(given: ProcessPlan, through: (words: readonly string[]) => readonly string[] = (words) => words) {
    const [program = '', ...words] = through(primaryCommand(given));
    this.child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    if (this.child.stdout !== null) {
      createInterface(this.child.stdout).on('line', (line) => this.lines.push(asRecord(JSON.parse(line)) ?? {}));
    }
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => resolve(code ?? signal));
    });
  }

  /** Address of a listener: `port`, or `path`. */
  async address(name = 'jump', nth = 0): Promise<{ readonly port: number; readonly path: string }> {
    await until(
      `${name} to be bound`,
      () => this.#bound().length > nth,
      () => this.stderr,
    );
    const listeners = asList(this.#bound()[nth]?.['bound']) ?? [];
    const found = listeners.map((each) => asRecord(each)).find((each) => each?.['name'] === name);
    const { port, path } = asRecord(found?.['address']) ?? {};
    return { port: Number(port), path: String(path) };
  }

  #bound(): readonly Readonly<Record<string, unknown>>[] {
    return this.lines.filter((line) => 'bound' in line);
  }

  /** As control was told last. */
  processes(): readonly ProcessStatus[] {
    const last = this.lines.findLast((line) => 'processes' in line);
    return (asList(last?.['processes']) ?? []) as readonly ProcessStatus[];
  }

  /** Waits for a state of the processes, and returns it. */
  async untilProcesses(
    what: string,
    holds: (processes: readonly ProcessStatus[]) => boolean,
  ): Promise<readonly ProcessStatus[]> {
    const seen = (): string => `${JSON.stringify(this.processes())} ${this.stderr}`;
    await until(what, () => holds(this.processes()), seen);
    return this.processes();
  }

  /** Waits until control and every worker are ready. */
  async ready(): Promise<readonly ProcessStatus[]> {
    return this.untilProcesses(
      'all processes to be ready',
      (processes) => processes.length > 1 && processes.every(({ state }) => state === 'ready'),
    );
  }

  /** Waits until control has said something like that. */
  async said(what: string, holds: (line: Readonly<Record<string, unknown>>) => boolean): Promise<void> {
    await until(
      what,
      () => this.lines.some(holds),
      () => `${JSON.stringify(this.lines)} ${this.stderr}`,
    );
  }

  async stop(): Promise<number | NodeJS.Signals | null> {
    this.child.kill('SIGTERM');
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const primary = Number(this.lines.findLast((line) => 'primary' in line)?.['primary']);
    // Behind a stand-in for a service manager it is not our child; its own output is open as long as it lives.
    const open = this.child.exitCode === null && this.child.signalCode === null;
    if (open && Number.isInteger(primary) && primary !== this.child.pid) process.kill(primary, 'SIGKILL');
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** Opens a connection, sends `text` and returns the first answer with the socket; throws what the socket does. */
export async function ask(
  to: { readonly port: number } | { readonly path: string },
  text = 'x',
): Promise<{ readonly answer: string; readonly socket: Socket }> {
  const socket = 'port' in to ? connect({ port: to.port, host: '127.0.0.1' }) : connect({ path: to.path });
  socket.write(text);
  const answer = await new Promise<string>((resolve, reject) => {
    socket.once('data', (data) => resolve(data.toString()));
    socket.once('error', reject);
    socket.once('end', () => reject(new Error('ended without an answer')));
    // `error` comes first where there is one.
    socket.once('close', () => reject(new Error('closed without an answer')));
  });
  return { answer, socket };
}

/** Calls on new connections, several at a time, until told to stop; counts what was lost by reason. */
export class Load implements AsyncDisposable {
  readonly lost = new Map<string, number>();
  answered = 0;
  #stopping = false;
  readonly #ended: Promise<unknown>;

  constructor(to: { readonly port: number } | { readonly path: string }, atOnce = 10) {
    this.#ended = Promise.all(Array.from({ length: atOnce }, () => this.#run(to)));
  }

  /** Waits until `more` further calls were answered. */
  async more(more: number): Promise<void> {
    const wanted = this.answered + more;
    await until(
      `${more} more answers`,
      () => this.answered >= wanted,
      () => JSON.stringify([...this.lost]),
    );
  }

  async stop(): Promise<Readonly<Record<string, number>>> {
    this.#stopping = true;
    await this.#ended;
    return Object.fromEntries(this.lost);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #run(to: { readonly port: number } | { readonly path: string }): Promise<void> {
    while (!this.#stopping) {
      try {
        const { socket } = await ask(to);
        this.answered += 1;
        const closed = once(socket, 'close');
        socket.end();
        await closed;
      } catch (error) {
        const reason = error instanceof Error ? error.message : 'unknown';
        this.lost.set(reason, (this.lost.get(reason) ?? 0) + 1);
      }
    }
  }
}

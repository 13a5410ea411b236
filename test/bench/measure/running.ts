/** Everything that a bench has started: programs on their cores, and scratch directories; all of it goes when it ends. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { sleep, systemClock } from '../../../base/clock.ts';
import { findProgram } from '../../support/debian.ts';
import { until } from '../../support/gateway-process.ts';
import { processTree } from './process-tree.ts';

/** Gateways have one core, the load and the backend the other. */
export const CORES = { gateways: 0, load: 1 } as const;
/** How long a program may take to end by itself after SIGTERM. */
const STOP_MS_MAX = 5_000;
const STOP_POLL_MS = 10;
/** What a killed process was just writing may still appear. */
const REMOVED = { recursive: true, force: true, maxRetries: 10, retryDelay: 20 } as const;
const STDERR_CHARS_KEPT = 4_000;

/** A program that runs until it is disposed of. */
export interface Program extends AsyncDisposable {
  readonly pid: number;
  readonly child: ChildProcess;
  /** The end of what it wrote to standard error. */
  stderr(): string;
}

/** The processes and directories of this run. */
export class Running implements AsyncDisposable {
  readonly #directories = new Set<string>();
  readonly #taskset = findProgram('taskset');

  /** Whether programs can be bound to cores here. */
  get pins(): boolean {
    return this.#taskset !== undefined;
  }

  /** An empty directory that goes with the run. */
  directory(): string {
    const path = mkdtempSync(join(tmpdir(), 'jg-bench-'));
    this.#directories.add(path);
    return path;
  }

  /** Binds a process, with its threads and what they start later, to a core. */
  pin(pid: number, core: number): void {
    if (this.#taskset === undefined) return;
    spawnSync(this.#taskset, ['-acp', String(core), String(pid)], { stdio: 'ignore' });
  }

  /** Starts a program on a core. */
  start(core: number, command: string, words: readonly string[]): Program {
    const pinned = this.#taskset === undefined ? [] : [this.#taskset, '-c', String(core)];
    const [first = command, ...rest] = [...pinned, command, ...words];
    const child = spawn(first, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr = (stderr + chunk).slice(-STDERR_CHARS_KEPT);
    });
    child.on('error', (error) => (stderr += error.message));
    const pid = child.pid;
    if (pid === undefined) throw new Error(`cannot start ${command}`);
    return { pid, child, stderr: () => stderr, [Symbol.asyncDispose]: () => this.#stop(child, pid) };
  }

  /** Runs a program on the load's core to its end, and returns its standard output. */
  async output(command: string, words: readonly string[]): Promise<string> {
    const program = this.start(CORES.load, command, words);
    const { stdout } = program.child;
    if (stdout === null) throw new Error('expected a pipe');
    const closed = once(program.child, 'close');
    const read = await text(stdout);
    const [code] = (await closed) as [number | null];
    if (code !== 0) throw new Error(`${command} ended with ${code ?? 'a signal'}: ${program.stderr()}`);
    return read;
  }

  /** Ends a program: SIGTERM, and after a while SIGKILL to it and what it started. */
  async #stop(child: ChildProcess, pid: number): Promise<void> {
    const tree = processTree(pid);
    child.kill('SIGTERM');
    const deadline = systemClock.monotonic() + STOP_MS_MAX;
    const ended = (): boolean => child.exitCode !== null || child.signalCode !== null;
    while (!ended() && systemClock.monotonic() < deadline)
      await sleep(systemClock, STOP_POLL_MS, new AbortController().signal);
    for (const each of ended() ? tree.slice(1) : tree) kill(each.pid);
  }

  /** For an interrupted run: ends at once whatever this process has started, commands that run for a moment among it. */
  kill(): void {
    for (const { pid } of processTree(process.pid).slice(1)) kill(pid);
    for (const path of this.#directories) rmSync(path, REMOVED);
    this.#directories.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

/** A port that was free a moment ago, for programs that cannot be asked which port they got. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits until somebody listens on a port of loopback; fails when the program has ended. */
export async function listens(program: Program, port: number): Promise<void> {
  await until(
    `a listener on port ${port}`,
    async () => {
      if (program.child.exitCode !== null) throw new Error(`the program ended: ${program.stderr()}`);
      return answers(port);
    },
    () => program.stderr(),
  );
}

async function answers(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  const connected = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  socket.destroy();
  return connected;
}

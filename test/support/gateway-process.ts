/** Gateways as processes of their own, spoken to as a user would: the command line, the admin socket, and YAML files. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { sleep, systemClock } from '../../base/clock.ts';
import { type GatewayStatus } from '../../gateway/admin/operations.ts';

/** No wait of these tests takes this long, even on a loaded machine; it only ends one that would never end. */
const WAIT_MS_MAX = 90_000;
const POLL_MS = 20;
const MAIN = join(import.meta.dirname, '..', '..', 'gateway', 'main.ts');
/** Of the flags of this process only those that a user's `bin/node` gives too: the test runner adds dozens of its own. */
const FLAGS = process.execArgv.filter((flag) =>
  /^--(?:openssl-config=|m[a-z]+-semi-space-size=|expose-gc$)/.test(flag),
);
const API = 'apiVersion: jumpgate.dev/v1alpha1';

/** How a command ended. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `jumpgate WORDS` from this checkout to its end. */
export async function jumpgate(words: readonly string[], input = '', env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const child = spawn(process.execPath, [...FLAGS, MAIN, ...words], { env: { ...process.env, ...env } });
  return finished(child, input);
}

/** Gives `input` to a program, and waits for its end. */
export async function finished(child: ReturnType<typeof spawn>, input = ''): Promise<Ran> {
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input);
  const closed = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 128));
  });
  const read = async (stream: typeof child.stdout): Promise<string> => (stream === null ? '' : text(stream));
  const [code, stdout, stderr] = await Promise.all([closed, read(child.stdout), read(child.stderr)]);
  return { code, stdout, stderr };
}

/** Waits until `state` holds; fails with `what` and what was seen last. */
export async function until(what: string, state: () => Promise<boolean> | boolean, seen = () => ''): Promise<void> {
  const deadline = systemClock.monotonic() + WAIT_MS_MAX;
  while (!(await state())) {
    if (systemClock.monotonic() > deadline) throw new Error(`still waiting for: ${what}; ${seen()}`);
    await sleep(systemClock, POLL_MS, new AbortController().signal);
  }
}

/** The directory of one mesh. Its path is short, since Unix sockets stand in it. */
export class MeshDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'jg-e2e-'));

  constructor(files: Readonly<Record<string, string>>) {
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
    for (const [name, content] of Object.entries(files)) this.write(name, content);
  }

  /** Writes a file as careful editors do: whole, or not at all. */
  write(name: string, content: string, mode = 0o600): void {
    const temporary = join(this.path, `.${name}.new`);
    writeFileSync(temporary, content, { mode });
    renameSync(temporary, join(this.path, name));
  }

  remove(name: string): void {
    rmSync(join(this.path, name));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A running `jumpgate run -f DIR`. Disposal kills it if it still runs. */
export class GatewayProcess implements AsyncDisposable {
  readonly directory: string;
  readonly child: ChildProcess;
  /** Resolves with the exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  stderr = '';

  /** `through` wraps the words, as `sh -c` does; `env` is added to our own environment. */
  constructor(
    directory: string,
    through: (words: readonly string[]) => readonly string[] = (words) => words,
    env: NodeJS.ProcessEnv = {},
  ) {
    this.directory = directory;
    const [program = '', ...words] = through([process.execPath, ...FLAGS, MAIN, 'run', '-f', directory]);
    this.child = spawn(program, words, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'pipe'] });
    this.child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.stderr += chunk;
    });
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => resolve(code ?? signal));
    });
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Runs a verb against this gateway. */
  async run(verb: string, words: readonly string[] = [], input = ''): Promise<Ran> {
    return jumpgate([verb, '-f', this.directory, ...words], input);
  }

  /** As {@link run}, and fails unless the exit code is 0. */
  async command(verb: string, words: readonly string[] = [], input = ''): Promise<string> {
    const { code, stdout, stderr } = await this.run(verb, words, input);
    if (code !== 0) throw new Error(`jumpgate ${verb} ${words.join(' ')} exited with ${code}: ${stdout}${stderr}`);
    return stdout;
  }

  /** What the admin socket answers to a GET, or to a POST of `body`. */
  async ask(path: string, body?: Readonly<Record<string, unknown>>): Promise<unknown> {
    const socketPath = join(this.directory, 'state', 'admin.sock');
    const headers = { host: 'localhost', ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
    const method = body === undefined ? 'GET' : 'POST';
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath, path, method, headers, agent: false }, (response) => {
        text(response).then((answer) => resolve(JSON.parse(answer)), reject);
      });
      asked.on('error', reject);
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  async status(): Promise<GatewayStatus> {
    return (await this.ask('/v1/status')) as GatewayStatus;
  }

  /** Waits until the status is as wanted, and returns it. A gateway that ends meanwhile fails the wait at once. */
  async until(what: string, holds: (status: GatewayStatus) => boolean): Promise<GatewayStatus> {
    let last: GatewayStatus | undefined;
    const look = async (): Promise<boolean> => {
      if (!this.running) throw new Error(`the gateway ended while waiting for ${what}: ${this.stderr}`);
      last = await this.status().catch(() => undefined);
      return last !== undefined && holds(last);
    };
    await until(what, look, () => `${JSON.stringify(last)} ${this.stderr.slice(-4000)}`);
    if (last === undefined) throw new Error('unreachable');
    return last;
  }

  async ready(): Promise<GatewayStatus> {
    return this.until('the gateway to be ready', ({ state }) => state === 'ready');
  }

  /** Waits for an import's state. */
  async importIs(name: string, state: string): Promise<void> {
    await this.until(`import ${name} to be ${state}`, ({ imports }) =>
      imports.some((each) => each.name === name && each.state === state),
    );
  }

  /** `host:port` of a listener by its name in status. */
  async address(name: string): Promise<string> {
    const found = (await this.status()).listeners.find((listener) => listener.name === name);
    if (found === undefined) throw new Error(`no listener ${name}`);
    return found.address;
  }

  async kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
    this.child.kill(signal);
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.running) await this.kill('SIGKILL');
  }
}

/** Makes two ready gateways peers by `invite | join`, under the mesh names `east` and `west`, and waits for the streams. */
export async function federate(east: GatewayProcess, west: GatewayProcess): Promise<void> {
  await Promise.all([east.ready(), west.ready()]);
  const token = await east.command('invite', ['--peer', 'west', '--trust-domain', 'west.example']);
  await west.command('join', ['-'], token);
  for (const gateway of [east, west]) {
    await gateway.until('the peer to be active', ({ peers }) => peers.some(({ state }) => state === 'active'));
  }
}

/** What a test changes of a Mesh document. */
export interface MeshOptions {
  /** SPIFFE paths of callers, each with an outbound listener of its own; default `/web`. */
  readonly callers?: readonly string[];
  /** Ports by listener name as status names them (`jump`, `bundle`, `outbound[0]`, `status`); the others are 0. */
  readonly ports?: Readonly<Record<string, number>>;
  readonly store?: string;
  /** Further lines of the spec. Without `workers` among them the gateway is one process, which starts sooner. */
  readonly more?: string;
}

/** A Mesh document of `NAME.example` with every listener on loopback. */
export function mesh(name: string, { callers = ['/web'], ports = {}, store, more = '' }: MeshOptions = {}): string {
  const at = (listener: string): string => `127.0.0.1:${ports[listener] ?? 0}`;
  const outbound = callers.map(
    (path, index) => `      - { address: "${at(`outbound[${index}]`)}", as: "spiffe://${name}.example${path}" }\n`,
  );
  return `${API}
kind: Mesh
metadata: { name: ${name} }
spec:
  trustDomain: ${name}.example
  identity: { embedded: {} }
  listeners:
    jump: { address: "${at('jump')}" }
    bundle: { address: "${at('bundle')}", profile: https_spiffe }
    outbound:
${outbound.join('')}    status: { address: "${at('status')}" }
    admin: { socket: ./state/admin.sock }
  store: ${store ?? '{ files: { directory: ./state } }'}
  accessLog: { file: ./access.log }
${more.includes('workers:') ? '' : '  workers: 0\n'}${more}`;
}

/** The ports that a gateway got, to be written into its next Mesh document. */
export function portsOf(status: GatewayStatus): Readonly<Record<string, number>> {
  return Object.fromEntries(
    status.listeners
      .filter(({ address }) => !address.startsWith('unix:'))
      .map(({ name, address }) => [name, Number(address.slice(address.lastIndexOf(':') + 1))]),
  );
}

/** An Export document for one backend on loopback; `allow` is YAML in flow style. */
export function exported(name: string, protocol: 'http1' | 'http2' | 'grpc', port: number, allow: string): string {
  const spec = `{ protocol: ${protocol}, backends: [{ address: "127.0.0.1:${port}" }], allow: [${allow}] }`;
  return `${API}\nkind: Export\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
}

/** An Import document. */
export function imported(name: string, peer: string, service: string, who: string): string {
  return `${API}\nkind: Import\nmetadata: { name: ${name} }\nspec: { peer: ${peer}, export: ${service}, who: ["${who}"] }\n`;
}

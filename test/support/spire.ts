/** A real SPIRE server and its agent as processes of their own, in a directory that goes away with them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { asRecord } from '../../base/brand.ts';
import { finished, MeshDirectory, until } from './gateway-process.ts';
import { deadPort } from './tunnel-rig.ts';

/** The lifetime of every SVID; SPIRE's agent renews at half of it. */
export const SPIRE_SVID_TTL_S = 120;
/** An agent asks for changed entries and bundles so often. */
const SYNC_INTERVAL = '2s';
const CA_TTL = '30m';

/** The two programs of SPIRE. */
export interface SpirePrograms {
  readonly server: string;
  readonly agent: string;
}

/** What a server is started with. */
export interface SpireServerOptions {
  readonly programs: SpirePrograms;
  readonly trustDomain: string;
  /** HCL of the bundle endpoint's profile. */
  readonly profile: string;
  /** PEM files of the CAs of the web that it believes, instead of the system's. */
  readonly webCaFile?: string;
}

/** A program that runs until it is disposed. */
class Running implements AsyncDisposable {
  readonly #child: ChildProcess;
  log = '';

  constructor(program: string, words: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#child = spawn(program, words, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.setEncoding('utf8').on('data', (chunk: string) => (this.log += chunk));
  }

  /** Waits until `command` succeeds, as long as the program runs. */
  async until(what: string, command: () => Promise<string>): Promise<void> {
    const look = async (): Promise<boolean> => {
      if (this.#hasEnded) throw new Error(`ended while waiting for ${what}: ${this.log}`);
      return command().then(Boolean, () => false);
    };
    await until(what, look, () => this.log);
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#hasEnded) return;
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill('SIGTERM');
    await ended;
  }
}

async function output(program: string, words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await finished(spawn(program, words));
  if (code !== 0) throw new Error(`${program} ${words.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

/** A server with an own root, SVIDs of two minutes, and a bundle endpoint on loopback. */
export class SpireServer implements AsyncDisposable {
  readonly #options: SpireServerOptions;
  readonly #directory = new MeshDirectory({});
  readonly #running: Running;
  readonly #ports: { readonly api: number; readonly bundle: number };

  private constructor(options: SpireServerOptions, ports: { readonly api: number; readonly bundle: number }) {
    this.#options = options;
    this.#ports = ports;
    this.#directory.write('server.conf', this.#configuration());
    const env = options.webCaFile === undefined ? {} : { SSL_CERT_FILE: options.webCaFile };
    this.#running = new Running(options.programs.server, ['run', '-config', this.#path('server.conf')], env);
  }

  static async start(options: SpireServerOptions): Promise<SpireServer> {
    const server = new SpireServer(options, { api: await deadPort(), bundle: await deadPort() });
    await server.#running.until('the SPIRE server to be healthy', async () => server.command(['healthcheck']));
    return server;
  }

  get log(): string {
    return this.#running.log;
  }

  get bundleUrl(): string {
    return `https://127.0.0.1:${this.#ports.bundle}/`;
  }

  get trustDomain(): string {
    return this.#options.trustDomain;
  }

  /** Runs `spire-server WORDS` against it; fails unless the exit code is 0. */
  async command(words: readonly string[]): Promise<string> {
    const firstOption = words.findIndex((word) => word.startsWith('-'));
    const at = firstOption === -1 ? words.length : firstOption;
    const socket = ['-socketPath', this.#path('api.sock')];
    return output(this.#options.programs.server, [...words.slice(0, at), ...socket, ...words.slice(at)]);
  }

  /** Its own bundle as a SPIFFE bundle document, or the one that it holds of another domain. */
  async bundle(of?: string): Promise<string> {
    const words = of === undefined ? ['bundle', 'show'] : ['bundle', 'list', '-id', `spiffe://${of}`];
    return this.command([...words, '-format', 'spiffe']);
  }

  /** Federates with a domain whose endpoint is of profile https_spiffe (`spiffeId` given) or https_web. */
  async federate(peer: { trustDomain: string; url: string; spiffeId?: string; bundle?: string }): Promise<void> {
    const profile = peer.spiffeId === undefined ? 'https_web' : 'https_spiffe';
    const words = ['federation', 'create', '-trustDomain', peer.trustDomain, '-bundleEndpointURL', peer.url];
    words.push('-bundleEndpointProfile', profile);
    if (peer.spiffeId !== undefined) words.push('-endpointSpiffeID', peer.spiffeId);
    if (peer.bundle !== undefined) {
      const file = `${peer.trustDomain}.json`;
      this.#directory.write(file, peer.bundle);
      words.push('-trustDomainBundleFormat', 'spiffe', '-trustDomainBundlePath', this.#path(file));
    }
    await this.command(words);
  }

  /** Has it fetch the bundle of another domain now. */
  async refresh(trustDomain: string): Promise<void> {
    await this.command(['federation', 'refresh', '-id', trustDomain]);
  }

  /** Registers a workload that is whoever runs as our own user. */
  async register(path: string, federatesWith: readonly string[]): Promise<void> {
    const words = ['entry', 'create', '-parentID', `spiffe://${this.trustDomain}/node`];
    words.push('-spiffeID', `spiffe://${this.trustDomain}${path}`, '-selector', `unix:uid:${process.getuid?.() ?? 0}`);
    for (const domain of federatesWith) words.push('-federatesWith', `spiffe://${domain}`);
    await this.command(words);
  }

  /** Prepares, activates, taints or revokes an X.509 authority; tells the ID of the one that it acted on. */
  async authority(step: 'prepare' | 'activate' | 'taint' | 'revoke', id?: string): Promise<string> {
    const words = ['localauthority', 'x509', step, ...(id === undefined ? [] : ['-authorityID', id])];
    const said = asRecord(JSON.parse(await this.command([...words, '-output', 'json']))) ?? {};
    const [found] = Object.values(said).map((value) => asRecord(value)?.['authority_id']);
    return String(found);
  }

  /** The ID of the authority that signs. */
  async activeAuthority(): Promise<string> {
    const said = asRecord(JSON.parse(await this.command(['localauthority', 'x509', 'show', '-output', 'json'])));
    return String(asRecord(said?.['active'])?.['authority_id']);
  }

  /** Starts an agent of it, by a join token. */
  async startAgent(): Promise<SpireAgent> {
    const said = await this.command(['token', 'generate', '-spiffeID', `spiffe://${this.trustDomain}/node`]);
    const token = said.replace('Token: ', '').trim();
    const at = { port: this.#ports.api, trustDomain: this.trustDomain, bundle: await this.bundle() };
    return SpireAgent.start(this.#options.programs.agent, token, at);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
  }

  #path(name: string): string {
    return join(this.#directory.path, name);
  }

  #configuration(): string {
    const { trustDomain, profile } = this.#options;
    return `server {
  bind_address = "127.0.0.1"
  bind_port = "${this.#ports.api}"
  socket_path = "${this.#path('api.sock')}"
  data_dir = "${this.#directory.path}"
  trust_domain = "${trustDomain}"
  log_level = "DEBUG"
  ca_ttl = "${CA_TTL}"
  default_x509_svid_ttl = "${SPIRE_SVID_TTL_S}s"
  agent_ttl = "${SPIRE_SVID_TTL_S}s"
  federation {
    bundle_endpoint {
      address = "127.0.0.1"
      port = ${this.#ports.bundle}
      refresh_hint = "30s"
      ${profile}
    }
  }
}
plugins {
  DataStore "sql" {
    plugin_data { database_type = "sqlite3", connection_string = "${this.#path('data.sqlite3')}" }
  }
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
}
`;
  }
}

/** An agent, whose Workload API attests the user of a process. */
export class SpireAgent implements AsyncDisposable {
  readonly #program: string;
  readonly #directory: MeshDirectory;
  readonly #running: Running;

  private constructor(program: string, directory: MeshDirectory) {
    this.#program = program;
    this.#directory = directory;
    this.#running = new Running(program, ['run', '-config', join(directory.path, 'agent.conf')]);
  }

  static async start(
    program: string,
    token: string,
    server: { readonly port: number; readonly trustDomain: string; readonly bundle: string },
  ): Promise<SpireAgent> {
    const directory = new MeshDirectory({});
    mkdirSync(join(directory.path, 'data'));
    writeFileSync(join(directory.path, 'bundle.json'), server.bundle);
    const socket = join(directory.path, 'agent.sock');
    directory.write(
      'agent.conf',
      `agent {
  data_dir = "${join(directory.path, 'data')}"
  log_level = "DEBUG"
  server_address = "127.0.0.1"
  server_port = "${server.port}"
  socket_path = "${socket}"
  trust_bundle_path = "${join(directory.path, 'bundle.json')}"
  trust_bundle_format = "spiffe"
  trust_domain = "${server.trustDomain}"
  join_token = "${token}"
  experimental { sync_interval = "${SYNC_INTERVAL}" }
}
plugins {
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}
`,
    );
    const agent = new SpireAgent(program, directory);
    const health = async (): Promise<string> => output(program, ['healthcheck', '-socketPath', socket]);
    await agent.#running.until('the SPIRE agent to be healthy', health);
    return agent;
  }

  get log(): string {
    return this.#running.log;
  }

  get socket(): string {
    return join(this.#directory.path, 'agent.sock');
  }

  /** Runs `spire-agent api WORDS` as a workload against a socket, by default its own. */
  async api(words: readonly [string, string], options: readonly string[], socket = this.socket): Promise<string> {
    return output(this.#program, ['api', ...words, '-socketPath', socket, ...options]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
  }
}

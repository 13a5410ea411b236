/** A real redis-server for one test, on a free port of loopback. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from './debian.ts';

/** A running server, ended by disposal. */
export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** Ends the server as a crash would. */
  kill(): Promise<void>;
  /** Stops and resumes the process: the connection stays, the answers do not come. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void;
  /** Sends one command and returns the raw reply. */
  command(...words: readonly string[]): Promise<string>;
}

/** Starts a server, by default on a port that nobody has. Its data is nowhere but in its memory. */
export async function startRedis(
  options: { readonly port?: number; readonly settings?: readonly string[] } = {},
): Promise<RedisServer> {
  const program = findProgram('redis-server');
  if (program === undefined) throw new Error('apt-get install -y redis-server');
  const port = options.port ?? (await freePort());
  const directory = mkdtempSync(join(tmpdir(), 'jumpgate-redis-'));
  const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', directory];
  const child = spawn(program, [...fixed, ...(options.settings ?? [])], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let output = '';
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('Ready to accept connections')) resolve();
    });
    child.once('exit', () => {
      reject(new Error(`redis-server ended: ${output}`));
    });
  });
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    kill,
    signal: (name) => {
      child.kill(name);
    },
    command: (...words) => send(port, words),
    [Symbol.asyncDispose]: async () => {
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function send(port: number, words: readonly string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const encode = (list: readonly string[]): string =>
    `*${list.length}\r\n${list.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
  socket.write(encode(words) + encode(['QUIT']));
  let reply = '';
  for await (const chunk of socket) reply += String(chunk);
  return reply.replace(/\+OK\r\n$/, '');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('expected a port');
  return address.port;
}

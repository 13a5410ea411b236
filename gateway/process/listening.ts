/** A listening socket that the primary owns: it can stop accepting without losing what waits in the kernel's queue. */
import { type SendHandle } from 'node:child_process';
import { renameSync, unlinkSync } from 'node:fs';
import { createServer, isIP, type Server, type Socket } from 'node:net';

import { asRecord } from '../../base/brand.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { bindServer, formatAddress, type ServerAddress } from '../../base/net/bind-server.ts';
import { type BoundListener, type WantedListener } from './channel.ts';

/**
 * Connections that wait in the kernel while accepting pauses or the process is replaced; the kernel cuts it to
 * net.core.somaxconn, whose default is the same.
 */
const BACKLOG = 4_096;

/** Makes a copy of a descriptor, by sending it to a child and back; `undefined` when there is no child to do it. */
export type CopyHandle = (handle: SendHandle) => Promise<SendHandle | undefined>;

/** What a listening socket needs. */
export interface ListeningSocketOptions {
  readonly wanted: WantedListener;
  /** Inherited from a service manager, instead of binding. */
  readonly fd?: number | undefined;
  readonly copy: CopyHandle;
  readonly onConnection: (socket: Socket) => void;
}

/**
 * ```
 *          ┌──────── resume: copy the spare, then listen on it ───────────┐
 *          v                                                              │
 * open ──> accepting ──pause: close the server, keep the spare──> paused ─┘      close ──> closed (from anywhere)
 * ```
 * libuv has no way to stop accepting on an open handle, and at EMFILE it accepts and closes. So there is always a
 * second descriptor of the same socket, which nobody polls: closing the first then ends no connection in the queue.
 */
export class ListeningSocket {
  readonly #options: ListeningSocketOptions;
  readonly #address: ServerAddress;
  #server: Server | undefined;
  #spare: SendHandle | undefined;
  #ordering = false;
  /** Whether our server is still the one that bound the address. */
  #binder: boolean;
  #closed = false;

  private constructor(options: ListeningSocketOptions, address: ServerAddress, server: Server) {
    this.#options = options;
    this.#address = address;
    this.#server = server;
    this.#binder = options.fd === undefined;
  }

  /** Binds, or takes the inherited socket. Throws what `bindServer` throws, and `activation-mismatch`. */
  static async open(options: ListeningSocketOptions): Promise<ListeningSocket> {
    const server = acceptor(options);
    const { wanted, fd } = options;
    const address =
      fd === undefined ? await bindServer(server, wanted.address) : await takeInherited(server, wanted, fd);
    // An error of accept(2) is about one connection.
    server.on('error', () => undefined);
    const socket = new ListeningSocket(options, address, server);
    await socket.prepare();
    // From now on no handle of ours is the one that bound, and the queue has the length that we want.
    if (socket.pause()) await socket.resume();
    return socket;
  }

  get wanted(): WantedListener {
    return this.#options.wanted;
  }

  get bound(): BoundListener {
    return { name: this.wanted.name, address: this.#address };
  }

  get accepting(): boolean {
    return this.#server !== undefined;
  }

  /** Makes sure that there is a spare; resolves when it is here, or nobody could make one. */
  async prepare(): Promise<void> {
    const handle = this.#server && nativeHandle(this.#server);
    if (handle !== undefined && this.#spare === undefined) this.#keep(await this.#ordered(handle));
  }

  /** Stops accepting; whoever connects waits in the kernel's queue. False without a spare: then it goes on. */
  pause(): boolean {
    if (this.#server === undefined) return true;
    if (this.#spare === undefined) return false;
    this.#closeServer(this.#server);
    this.#server = undefined;
    return true;
  }

  /**
   * Accepts again, and first has the spare copied: libuv accepts the whole queue in one turn, and somewhere in it the
   * next pause may be due. Whether it accepts now.
   */
  async resume(): Promise<boolean> {
    if (this.#server !== undefined || this.#spare === undefined || this.#ordering) return false;
    const copy = await this.#ordered(this.#spare);
    const handle = this.#spare;
    if (this.#closed) {
      closeHandle(copy);
      return false;
    }
    this.#server = acceptor(this.#options);
    this.#server.on('error', () => undefined);
    this.#server.listen(handle, BACKLOG);
    this.#spare = copy;
    return true;
  }

  /** Closes every descriptor. What is in the queue is lost, unless a service manager holds the socket too. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const bound = this.#address;
    if (this.#server !== undefined) this.#closeServer(this.#server);
    if (this.#spare !== undefined) closeHandle(this.#spare);
    this.#server = undefined;
    this.#spare = undefined;
    if (bound.kind === 'unix' && this.#options.fd === undefined) unlinkQuietly(bound.path);
  }

  async #ordered(handle: SendHandle): Promise<SendHandle | undefined> {
    if (this.#ordering) return undefined;
    this.#ordering = true;
    const copy = await this.#options.copy(handle);
    this.#ordering = false;
    return copy;
  }

  #keep(copy: SendHandle | undefined): void {
    if (this.#closed || this.#spare !== undefined) closeHandle(copy);
    else this.#spare = copy;
  }

  /** libuv removes the file of a Unix socket when the handle that bound it closes; it must stay while we pause. */
  #closeServer(server: Server): void {
    const bound = this.#address;
    const removesFile = this.#binder && bound.kind === 'unix';
    this.#binder = false;
    if (!removesFile) {
      server.close();
      return;
    }
    const aside = `${bound.path}~`;
    renameSync(bound.path, aside);
    server.close();
    renameSync(aside, bound.path);
  }
}

function acceptor({ onConnection }: ListeningSocketOptions): Server {
  // Paused, since not a byte of a connection may be read here.
  return createServer({ pauseOnConnect: true, allowHalfOpen: true }, onConnection);
}

async function takeInherited(server: Server, wanted: WantedListener, fd: number): Promise<ServerAddress> {
  const details = { source: 'config' } as const;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ fd, backlog: BACKLOG }, () => {
      server.off('error', reject);
      resolve();
    });
  }).catch((cause: unknown) => {
    const message = `cannot listen on descriptor ${fd} for ${wanted.name}: ${messageOf(cause)}`;
    throw new JumpgateError('activation-mismatch', message, { ...details, cause });
  });
  const found = server.address();
  // Of an inherited Unix socket Node cannot say the path; that it is one is all there is to compare.
  const path = wanted.address.kind === 'unix' ? wanted.address.path : '(unknown)';
  const address: ServerAddress =
    found === null || typeof found === 'string'
      ? { kind: 'unix', path }
      : { kind: 'tcp', host: found.address, port: found.port };
  if (sameAddress(wanted.address, address)) return address;
  server.close();
  const [expected, actual] = [formatAddress(wanted.address), formatAddress(address)];
  const message = `expected the inherited socket of ${wanted.name} to listen on ${expected}, found ${actual}: make ListenStream= and the Mesh document agree`;
  throw new JumpgateError('activation-mismatch', message, details);
}

/** A configured port of 0 and a host name mean whatever the manager chose. */
function sameAddress(wanted: ServerAddress, found: ServerAddress): boolean {
  if (wanted.kind === 'unix') return found.kind === 'unix' && found.path === wanted.path;
  if (found.kind === 'unix' || (wanted.port !== 0 && wanted.port !== found.port)) return false;
  return isIP(wanted.host) === 0 || wanted.host === found.host;
}

/**
 * The descriptor's own object, as Node's cluster module sends it. Sending the `Server` instead would make the receiver
 * accept on it at once.
 */
function nativeHandle(server: Server): SendHandle | undefined {
  const handle: unknown = asRecord(server)?.['_handle'];
  return isHandle(handle) ? handle : undefined;
}

/** Closes what a copy came as. */
export function closeHandle(handle: unknown): void {
  if (isHandle(handle)) handle.close();
}

function isHandle(value: unknown): value is Server {
  return typeof value === 'object' && value !== null && 'close' in value && typeof value.close === 'function';
}

function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else has removed it.
  }
}

/** From a host name to a connected TCP socket, with failures that name the step. */
import { lookup as lookUp } from 'node:dns/promises';
import { connect, isIP, type LookupFunction, type Socket } from 'node:net';

import { JumpgateError, messageOf } from '../../base/errors.ts';

/** Resolves a host name to IP addresses, preferred first; injected in tests. */
export type Lookup = (host: string) => Promise<readonly string[]>;

/** A name with more addresses than this is tried at the first of them only: every attempt costs time before the deadline. */
const ADDRESSES_MAX = 8;
/** Below the 350 s after which load balancers forget a silent flow. */
const KEEP_ALIVE_DELAY_MS = 30_000;
/** RFC 8305 §5: the next address gets its turn after so long. */
const ATTEMPT_DELAY_MS = 250;

/** What to dial. */
export interface DialOptions {
  /** A name, or an IP literal without brackets. */
  readonly host: string;
  readonly port: number;
  readonly lookup: Lookup | undefined;
  /** Ends the attempt with its reason. */
  readonly signal: AbortSignal;
}

/** Resolves and connects. Throws `dns` or `tcp`, or the signal's reason. */
export async function dial(options: DialOptions): Promise<Socket> {
  const addresses = isIP(options.host) === 0 ? await resolve(options) : [options.host];
  options.signal.throwIfAborted();
  return connectTcp(options, addresses);
}

async function resolve(options: DialOptions): Promise<readonly string[]> {
  const { host, signal } = options;
  const lookup = options.lookup ?? systemLookup;
  try {
    const found = await abortable(lookup(host), signal);
    const addresses = found.filter((address) => isIP(address) !== 0).slice(0, ADDRESSES_MAX);
    if (addresses.length > 0) return addresses;
  } catch (cause) {
    signal.throwIfAborted();
    const message = `expected an address for ${host}, the resolver failed: ${messageOf(cause)}`;
    throw new JumpgateError('dns', message, { source: 'peer', retry: 'later', cause });
  }
  throw new JumpgateError('dns', `expected an address for ${host}, the resolver knows none`, {
    source: 'peer',
    retry: 'later',
  });
}

/** The resolver of this machine. */
export async function systemLookup(host: string): Promise<readonly string[]> {
  const found = await lookUp(host, { all: true });
  return found.map((entry) => entry.address);
}

/** The system resolver cannot be stopped, but need not be waited for. */
function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(reasonOf(signal));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}

function connectTcp(options: DialOptions, addresses: readonly string[]): Promise<Socket> {
  const { host, port, signal } = options;
  const known: LookupFunction = (_host, _options, callback) => {
    callback(
      null,
      addresses.map((address) => ({ address, family: isIP(address) })),
    );
  };
  const socket = connect({
    host: addresses.length === 1 ? (addresses[0] ?? host) : host,
    port,
    lookup: known,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ATTEMPT_DELAY_MS,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
  });
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      socket.destroy();
      reject(reasonOf(signal));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort);
      resolve(socket);
    });
    // Stays for the life of the socket: an error without a listener would crash the process.
    socket.on('error', (cause) => {
      signal.removeEventListener('abort', onAbort);
      const message = `expected ${host}:${port} (${addresses.join(', ')}) to accept, found: ${tcpReason(cause)}`;
      reject(new JumpgateError('tcp', message, { source: 'peer', retry: 'later', cause }));
    });
  });
}

/** Several failed attempts come as an AggregateError without a message. */
function tcpReason(cause: unknown): string {
  if (cause instanceof AggregateError) return cause.errors.map(messageOf).join('; ');
  return messageOf(cause);
}

/** What an aborted operation rejects with. */
export function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted');
}

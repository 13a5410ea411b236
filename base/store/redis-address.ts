/** Which Redis server a URL names, and whether it may be spoken to that way. */
import { isIPv4 } from 'node:net';
import { JumpgateError } from '../errors.ts';

/** What {@link readRedisAddress} reads. */
export interface RedisAccess {
  /** `redis://[user@]host[:port][/database]`, or `rediss://` for TLS. */
  readonly url: string;
  /** From a file, never from the URL. */
  readonly password?: string | undefined;
  /** Permits plaintext to another machine. Default: refused, since whoever is on the way reads and changes rows. */
  readonly allowPlaintext?: boolean;
  /** Permits another machine's server without a password. Default: refused. */
  readonly allowAnonymous?: boolean;
}

/** A server and how to reach it. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly database: number;
  readonly username: string | undefined;
}

/** Reads and judges the URL. Throws, source `config`: `redis-url-malformed`, `redis-plaintext`, `redis-anonymous`. */
export function readRedisAddress(access: RedisAccess): RedisAddress {
  const { url, database } = parse(access.url);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const tls = url.protocol === 'rediss:';
  if (!isLoopback(host)) {
    if (!tls && access.allowPlaintext !== true) {
      throw refusal('redis-plaintext', `expected rediss:// for ${host}, which is not this machine, found redis://`);
    }
    if (access.password === undefined && access.allowAnonymous !== true) {
      throw refusal(
        'redis-anonymous',
        `expected a password for the Redis server at ${host}, which is not this machine`,
      );
    }
  }
  const username = url.username === '' ? undefined : decodeURIComponent(url.username);
  return { host, port: url.port === '' ? 6379 : Number(url.port), tls, database, username };
}

function parse(text: string): { readonly url: URL; readonly database: number } {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const database = /^\/?(\d{0,4})$/.exec(url?.pathname ?? '')?.[1];
  const known = url?.protocol === 'redis:' || url?.protocol === 'rediss:';
  if (url === undefined || !known || url.hostname === '' || database === undefined || url.search !== '') {
    throw refusal(
      'redis-url-malformed',
      'expected redis://[user@]host[:port][/database] or rediss://… as the Redis URL',
    );
  }
  if (url.password !== '') {
    throw refusal('redis-url-malformed', 'found a password in the Redis URL; give it by file (passwordFile) instead');
  }
  return { url, database: Number(database) };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

function refusal(code: string, message: string): JumpgateError {
  return new JumpgateError(code, message, { source: 'config' });
}

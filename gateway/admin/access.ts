/** Who may speak to the admin API: bearer token, Host allow-list and refusal of browsers. All decisions are pure. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';

import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';

/** Why a request is refused. */
export interface AccessRefusal {
  readonly status: 400 | 401 | 403 | 415 | 421;
  readonly code: string;
  readonly message: string;
}

/** Facts of a request that access depends on. */
export interface AccessRequest {
  readonly method: string;
  readonly authorization: string | undefined;
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly fetchSite: string | undefined;
  readonly contentType: string | undefined;
  /** The local address of the connection; `undefined` on a Unix socket. */
  readonly localAddress: string | undefined;
}

/** How a listener is guarded: a Unix socket by its mode alone, TCP by token and Host. */
export type AccessRule =
  | { readonly kind: 'unix' }
  | { readonly kind: 'tcp'; readonly tokenDigest: Uint8Array; readonly hosts: ReadonlySet<string> };

/** 128 bits in hexadecimal; anything shorter can be guessed. */
const TOKEN_CHARS_MIN = 32;
const TOKEN_CHARS_MAX = 4096;
/** Types that a page of another site can send without asking (Fetch, CORS-safelisted request-headers). */
const FORM_TYPES: ReadonlySet<string> = new Set([
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data',
]);
const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '::1'] as const;

/** The first thing that is wrong with a request; `undefined` when it may go on. The token comes first: without it nothing else is told. */
export function refuseAccess(rule: AccessRule, request: AccessRequest): AccessRefusal | undefined {
  if (rule.kind === 'tcp') {
    if (!holdsToken(rule.tokenDigest, request.authorization))
      return { status: 401, code: 'unauthorized', message: 'expected the bearer token of the admin listener' };
    if (!hostAllowed(rule.hosts, request))
      return { status: 421, code: 'host-not-allowed', message: 'expected a Host that names this listener' };
  }
  if (crossSite(request))
    return { status: 403, code: 'cross-site', message: 'expected no request from a page of another origin' };
  return refuseContentType(request);
}

/** The hosts that a TCP listener answers to: loopback names, and the address as configured unless it is a wildcard. */
export function allowedHosts(configured: string): ReadonlySet<string> {
  return new Set([...LOOPBACK_NAMES, configured.toLowerCase()].filter((host) => host !== '0.0.0.0' && host !== '::'));
}

/**
 * Digest of the token in `path`. Throws `token-file-unreadable`, `token-file-permissions` (anybody else may read or
 * write it) or `token-malformed` (source config).
 */
export function readTokenDigest(path: string): Uint8Array {
  return digest(readToken(path));
}

function readToken(path: string): string {
  let content: string;
  try {
    const mode = statSync(path).mode & 0o777;
    if ((mode & 0o077) !== 0)
      throw new JumpgateError(
        'token-file-permissions',
        `expected ${path} to be readable by its owner only (0600), found 0${mode.toString(8)}: run chmod 600 ${path}`,
        { source: 'config' },
      );
    content = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    if (cause instanceof JumpgateError) throw cause;
    const hint = codeOf(cause) === 'ENOENT' ? `: make it with (umask 077; openssl rand -hex 32 > ${path})` : '';
    throw new JumpgateError(
      'token-file-unreadable',
      `cannot read the admin token of ${path}: ${messageOf(cause)}${hint}`,
      { source: 'config', cause },
    );
  }
  if (content.length < TOKEN_CHARS_MIN || content.length > TOKEN_CHARS_MAX || !/^[\x21-\x7e]+$/.test(content))
    throw new JumpgateError(
      'token-malformed',
      `expected ${TOKEN_CHARS_MIN} to ${TOKEN_CHARS_MAX} printable characters without spaces in ${path}, found ${content.length}`,
      { source: 'config' },
    );
  return content;
}

function digest(token: string): Uint8Array {
  return createHash('sha256').update(token).digest();
}

function holdsToken(expected: Uint8Array, authorization: string | undefined): boolean {
  const token = /^Bearer +([\x21-\x7e]+)$/i.exec(authorization ?? '')?.[1] ?? '';
  // Equal-length digests: neither the time nor an exception tells the token's length.
  return timingSafeEqual(expected, digest(token));
}

function hostAllowed(hosts: ReadonlySet<string>, request: AccessRequest): boolean {
  const host = hostOf(request.host);
  if (host === undefined) return false;
  if (hosts.has(host)) return true;
  // A rebinding page can only bring a name; the very address that the connection came to is no name.
  return isIP(host) !== 0 && host === request.localAddress?.replace(/^::ffff:/, '').toLowerCase();
}

/** Host without its port; `undefined` if malformed. */
function hostOf(field: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?$/i.exec(field ?? '');
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

function crossSite({ origin, fetchSite, host }: AccessRequest): boolean {
  if (fetchSite !== undefined && fetchSite !== 'same-origin' && fetchSite !== 'none') return true;
  return origin !== undefined && origin.toLowerCase() !== `http://${(host ?? '').toLowerCase()}`;
}

function refuseContentType({ method, contentType }: AccessRequest): AccessRefusal | undefined {
  if (contentType === undefined || method === 'GET' || method === 'HEAD') return undefined;
  const type = contentType.split(';')[0]?.trim().toLowerCase() ?? '';
  if (type === 'application/json') return undefined;
  if (FORM_TYPES.has(type))
    return { status: 403, code: 'cross-site', message: 'expected application/json, found a type that forms can send' };
  return { status: 415, code: 'content-type', message: 'expected application/json' };
}

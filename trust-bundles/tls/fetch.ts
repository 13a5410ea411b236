/** A small HTTPS GET for documents that decide about trust: no agent, no pool, no session, one connection a call. */
import { type IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { isIP } from 'node:net';
import { type TLSSocket } from 'node:tls';

import { type Clock } from '../../base/clock.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { addressKind } from '../../base/net/special-address.ts';
import { connectServerTls, connectWebTls } from './connect.ts';
import { type ChainVerifier } from './connection.ts';
import { type Lookup, reasonOf, systemLookup } from './dial.ts';
import { readEndpointUrl, type Redirects } from './endpoint-url.ts';

/** Look-up, connections, redirects and body together. */
const FETCH_TIMEOUT_MS = 10_000;
/** 256 keys with their certificates fit many times. */
const BODY_BYTES_MAX = 1024 * 1024;
const HEADER_BYTES_MAX = 16 * 1024;
const REDIRECTS_MAX = 3;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** RFC 9110 §8.8.3 has no limit; what is longer is not sent back. */
const ETAG_CHARACTERS_MAX = 256;

/** How the server proves itself, at every hop: by a chain that `verify` accepts, or as a web server of the URL's host. */
export type ServerProof =
  | { readonly kind: 'verified'; readonly verify: ChainVerifier }
  | { readonly kind: 'web'; readonly authorities: readonly string[] | undefined };

/** What to fetch. */
export interface FetchOptions {
  /** `https`, without userinfo. */
  readonly url: string;
  readonly proof: ServerProof;
  /** Default `same-host`. */
  readonly redirects?: Redirects | undefined;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** The document that we have, which makes the request to its URL conditional. */
  readonly known?: { readonly etag: string; readonly url: string } | undefined;
  readonly lookup?: Lookup | undefined;
  /** Default 10 s, for everything together. */
  readonly timeoutMs?: number | undefined;
}

/** What came back, and what it is called there. */
export type Fetched =
  | {
      readonly kind: 'document';
      readonly body: Uint8Array;
      readonly known: FetchOptions['known'];
    }
  | { readonly kind: 'not-modified' };

/**
 * GETs `url`: status 200 (or 304 to a conditional request), at most 1 MiB, at most three redirects, none of which is
 * remembered. A redirect leads to https, to the same host unless `redirects` says otherwise, and to a public address
 * or one of the same kind as the first (loopback, private, link-local). Throws as `connectServerTls` and
 * `connectWebTls`, and `url-refused`, `redirect-refused`, `http-status`, `http-malformed`, `too-large`.
 */
export async function fetchOverTls(options: FetchOptions): Promise<Fetched> {
  const timeoutMs = options.timeoutMs ?? FETCH_TIMEOUT_MS;
  const deadline = new AbortController();
  const timer = options.clock.after(timeoutMs, () => {
    const message = `expected ${options.url} to answer within ${timeoutMs} ms, it did not`;
    deadline.abort(new JumpgateError('timeout', message, { source: 'peer', retry: 'later' }));
  });
  const signal = AbortSignal.any([options.signal, deadline.signal]);
  try {
    return await followed({ ...options, signal });
  } catch (error) {
    if (signal.aborted) throw reasonOf(signal);
    throw error;
  } finally {
    timer[Symbol.dispose]();
  }
}

/** Follows redirects to their end. */
async function followed(options: FetchOptions): Promise<Fetched> {
  let hop: Hop = { url: firstUrl(options.url), firstKind: undefined };
  const seen = new Set<string>();
  for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects += 1) {
    if (seen.has(hop.url.href)) throw peerError('redirect-refused', `a redirect from ${options.url} leads in a circle`);
    seen.add(hop.url.href);
    const answer = await fetchOnce(options, hop);
    if (answer.kind !== 'redirect') return answer;
    hop = { url: answer.url, firstKind: answer.firstKind };
  }
  throw peerError('redirect-refused', `expected at most ${REDIRECTS_MAX} redirects from ${options.url}, found more`);
}

/** One request of several; `firstKind` is the kind of address that the configured URL led to, once that is known. */
interface Hop {
  readonly url: URL;
  readonly firstKind: string | undefined;
}

function firstUrl(text: string): URL {
  const read = readEndpointUrl(text);
  if (read.kind === 'url') return read.url;
  throw new JumpgateError('url-refused', `${read.message}, in ${text}`, { source: 'config' });
}

type Answer = Fetched | ({ readonly kind: 'redirect' } & Hop);

async function fetchOnce(options: FetchOptions, hop: Hop): Promise<Answer> {
  const { url } = hop;
  const socket = await connect(options, hop);
  const etag = options.known?.url === url.href ? options.known.etag : undefined;
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      // Node says nothing of a call whose socket is gone already, nor of an answer that switches protocols.
      const onClose = (): void => reject(malformed(url, 'the connection was closed'));
      if (socket.closed) onClose();
      else socket.once('close', onClose);
      const call = request({
        method: 'GET',
        path: `${url.pathname}${url.search}`,
        headers: {
          host: url.host,
          accept: 'application/json',
          'accept-encoding': 'identity',
          'user-agent': 'jumpgate',
          connection: 'close',
          ...(etag === undefined ? {} : { 'if-none-match': etag }),
        },
        maxHeaderSize: HEADER_BYTES_MAX,
        signal: options.signal,
        createConnection: () => socket,
      });
      call.once('response', resolve);
      call.on('error', (cause) => reject(malformed(url, cause)));
      call.end();
    });
    const target = redirectOf(response, url, options.redirects);
    const firstKind = hop.firstKind ?? addressKind(socket.remoteAddress ?? '');
    if (target !== undefined) return { kind: 'redirect', url: target, firstKind };
    return await read(response, url, etag !== undefined);
  } finally {
    socket.destroy();
  }
}

function connect(options: FetchOptions, { url, firstKind }: Hop): Promise<TLSSocket> {
  const { proof, lookup = systemLookup, signal, clock } = options;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const admit = (ip: string): string => {
    const kind = addressKind(ip);
    if (firstKind === undefined || kind === 'public' || kind === firstKind) return ip;
    throw peerError('redirect-refused', `expected a redirect to a public address, found one to ${ip} (${kind})`);
  };
  // Checked where it is resolved, and connected to by what was checked: a second look-up could say something else.
  if (isIP(host) !== 0) admit(host);
  const target = {
    host,
    port: url.port === '' ? 443 : Number(url.port),
    alpn: 'http/1.1',
    signal,
    clock,
    lookup: async (name: string) => (await lookup(name)).map(admit),
  };
  if (proof.kind === 'web') return connectWebTls({ ...target, authorities: proof.authorities });
  return connectServerTls({ ...target, verify: proof.verify }).then(({ socket }) => socket);
}

async function read(response: IncomingMessage, url: URL, conditional: boolean): Promise<Fetched> {
  const status = response.statusCode ?? 0;
  if (status === 304 && conditional) return { kind: 'not-modified' };
  if (status !== 200) throw peerError('http-status', `expected status 200 from ${url.href}, found ${status}`);
  const encoding = response.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw peerError('http-malformed', `expected an uncoded body from ${url.href}, found content-encoding ${encoding}`);
  }
  const { etag } = response.headers;
  const known = etag === undefined || etag.length > ETAG_CHARACTERS_MAX ? undefined : { etag, url: url.href };
  return { kind: 'document', body: await readBody(response, url), known };
}

/** Where the response leads; `undefined` when it is no redirect. */
function redirectOf(response: IncomingMessage, from: URL, redirects: Redirects | undefined): URL | undefined {
  if (!REDIRECTS.has(response.statusCode ?? 0)) return undefined;
  const { location } = response.headers;
  const target = readEndpointUrl(location ?? '', from, redirects);
  if (location !== undefined && target.kind === 'url') return target.url;
  const problem = target.kind === 'problem' ? target.message : 'expected a location header, found none';
  throw peerError('redirect-refused', `${problem}, in a redirect from ${from.href}`);
}

async function readBody(response: IncomingMessage, url: URL): Promise<Uint8Array> {
  const tooLarge = (): JumpgateError =>
    peerError('too-large', `expected at most ${BODY_BYTES_MAX} bytes from ${url.href}, found more`);
  if (Number(response.headers['content-length'] ?? 0) > BODY_BYTES_MAX) throw tooLarge();
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response) {
      const piece: unknown = chunk;
      if (!(piece instanceof Uint8Array)) continue;
      bytes += piece.length;
      if (bytes > BODY_BYTES_MAX) throw tooLarge();
      pieces.push(piece);
    }
  } catch (error) {
    throw error instanceof JumpgateError ? error : malformed(url, error);
  }
  return new Uint8Array(Buffer.concat(pieces));
}

function malformed(url: URL, cause: unknown): JumpgateError {
  const message = `expected a whole HTTP response from ${url.href}, found: ${messageOf(cause)}`;
  return new JumpgateError('http-malformed', message, { source: 'peer', retry: 'later', cause });
}

function peerError(code: string, message: string): JumpgateError {
  return new JumpgateError(code, message, { source: 'peer', retry: 'later' });
}

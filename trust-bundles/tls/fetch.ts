/** A small HTTPS GET whose server is judged by our own verifier: no agent, no pool, no session, one connection a call. */
import { type IncomingMessage } from 'node:http';
import { request } from 'node:https';

import { type Clock } from '../../base/clock.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { type VerifiedIdentity } from '../verify/verified-identity.ts';
import { connectServerTls } from './connect.ts';
import { type ChainVerifier } from './connection.ts';
import { type Lookup, reasonOf } from './dial.ts';
import { readEndpointUrl } from './endpoint-url.ts';

/** Look-up, connections, redirects and body together. */
const FETCH_TIMEOUT_MS = 10_000;
/** 256 keys with their certificates fit many times. */
const BODY_BYTES_MAX = 1024 * 1024;
const HEADER_BYTES_MAX = 16 * 1024;
const REDIRECTS_MAX = 3;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** RFC 9110 §8.8.3 has no limit; what is longer is not sent back. */
const ETAG_CHARACTERS_MAX = 256;

/** What to fetch. */
export interface FetchOptions {
  /** `https`, without userinfo. */
  readonly url: string;
  /** Judges the server's chain, at every hop of a redirect. */
  readonly verify: ChainVerifier;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Of the document that we have: makes the request conditional. */
  readonly etag?: string | undefined;
  readonly lookup?: Lookup | undefined;
  /** Default 10 s, for everything together. */
  readonly timeoutMs?: number | undefined;
}

/** What came back, and from whom. */
export type Fetched =
  | {
      readonly kind: 'document';
      readonly body: Uint8Array;
      readonly etag: string | undefined;
      readonly identity: VerifiedIdentity;
    }
  | { readonly kind: 'not-modified'; readonly identity: VerifiedIdentity };

/**
 * GETs `url`: status 200 (or 304 to a conditional request), at most 1 MiB, at most three redirects, each to https on
 * the same host. Throws as `connectServerTls`, and `url-refused`, `redirect-refused`, `http-status`, `http-malformed`,
 * `too-large`.
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
    let url = firstUrl(options.url);
    for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects += 1) {
      const answer = await fetchOnce(options, url, signal);
      if (answer.kind !== 'redirect') return answer;
      url = answer.url;
    }
  } catch (error) {
    if (signal.aborted) throw reasonOf(signal);
    throw error;
  } finally {
    timer[Symbol.dispose]();
  }
  throw peerError('redirect-refused', `expected at most ${REDIRECTS_MAX} redirects from ${options.url}, found more`);
}

function firstUrl(text: string): URL {
  const read = readEndpointUrl(text);
  if (read.kind === 'url') return read.url;
  throw new JumpgateError('url-refused', `${read.message}, in ${text}`, { source: 'config' });
}

type Answer = Fetched | { readonly kind: 'redirect'; readonly url: URL };

async function fetchOnce(options: FetchOptions, url: URL, signal: AbortSignal): Promise<Answer> {
  const { socket, identity } = await connectServerTls({
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 443 : Number(url.port),
    alpn: 'http/1.1',
    verify: options.verify,
    signal,
    clock: options.clock,
    ...(options.lookup === undefined ? {} : { lookup: options.lookup }),
  });
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = request({
        method: 'GET',
        path: `${url.pathname}${url.search}`,
        headers: {
          host: url.host,
          accept: 'application/json',
          'accept-encoding': 'identity',
          'user-agent': 'jumpgate',
          connection: 'close',
          ...(options.etag === undefined ? {} : { 'if-none-match': options.etag }),
        },
        maxHeaderSize: HEADER_BYTES_MAX,
        signal,
        createConnection: () => socket,
      });
      call.once('response', resolve);
      call.on('error', (cause) => reject(malformed(url, cause)));
      call.end();
    });
    return await read(response, url, identity, options.etag !== undefined);
  } finally {
    socket.destroy();
  }
}

async function read(
  response: IncomingMessage,
  url: URL,
  identity: VerifiedIdentity,
  conditional: boolean,
): Promise<Answer> {
  const status = response.statusCode ?? 0;
  if (REDIRECTS.has(status)) return { kind: 'redirect', url: redirectTarget(response.headers.location, url) };
  if (status === 304 && conditional) return { kind: 'not-modified', identity };
  if (status !== 200) throw peerError('http-status', `expected status 200 from ${url.href}, found ${status}`);
  const encoding = response.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw peerError('http-malformed', `expected an uncoded body from ${url.href}, found content-encoding ${encoding}`);
  }
  const etag = response.headers.etag;
  return {
    kind: 'document',
    body: await readBody(response, url),
    etag: etag === undefined || etag.length > ETAG_CHARACTERS_MAX ? undefined : etag,
    identity,
  };
}

function redirectTarget(location: string | undefined, from: URL): URL {
  const target = readEndpointUrl(location ?? '', from);
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

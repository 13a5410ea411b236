/** Looks at a server that nobody has to trust: what it agrees to in TLS, what it shows and what it answers. */
import { X509Certificate } from 'node:crypto';
import { type IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { type ConnectionOptions, type TLSSocket } from 'node:tls';

import { type Clock } from '../../base/clock.ts';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { redirectOf } from '../conformance/bundle-endpoint.ts';
import {
  type Attempt,
  type EndpointObservation,
  type ExpectedEndpoint,
  type Handshakes,
  type HttpAnswer,
  type Visit,
  type WebProof,
} from '../conformance/observation.ts';
import { connectWebTls, establish } from './connect.ts';
import { oneWayClientContext } from './context.ts';
import { type Lookup } from './dial.ts';
import { peerChain } from './peer-chain.ts';
import { hostProblem } from './web-trust.ts';

/** Each connection, with its request. */
const ATTEMPT_TIMEOUT_MS = 10_000;
const BODY_BYTES_MAX = 1024 * 1024;
const HEADER_BYTES_MAX = 16 * 1024;
const REDIRECTS_MAX = 3;
/** SECLEVEL 0 lets our own OpenSSL offer what a server has to refuse. */
const OLDER: ConnectionOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' };
const WEAK: ConnectionOptions = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ciphers: 'ALL:!CHACHA20:!kECDHE+AESGCM:!kDHE+AESGCM:@SECLEVEL=0',
};
/** OpenSSL's names for a CA that is not among those asked for. */
const UNKNOWN_ISSUER = /UNABLE_TO_|SELF_SIGNED_/;

/** What to look at. */
export interface ProbeOptions {
  /** `https`, without userinfo. */
  readonly url: URL;
  /** PEM of the CAs that may vouch for a web server; default those of this machine. */
  readonly authorities: readonly string[] | undefined;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly lookup?: Lookup | undefined;
}

/** Everything about a bundle endpoint but its behaviour over time. Never rejects on account of the server. */
export async function probeBundleEndpoint(
  options: ProbeOptions,
  expected: ExpectedEndpoint,
): Promise<EndpointObservation> {
  const visits = await visitAll(options);
  const [first] = visits;
  const web = expected.profile === 'https_web' ? await webProof(options, first) : undefined;
  const handshakes = await shakeHands(options);
  const { answer: post } = await visit(options, 'POST');
  return { ...expected, handshakes, web, visits, later: [], post };
}

/** A GET, and where redirects within its host lead. */
export async function visitAll(options: ProbeOptions): Promise<[Visit, ...Visit[]]> {
  const first = await visit(options, 'GET');
  const visits: [Visit, ...Visit[]] = [first];
  let last = first;
  for (let redirects = 0; redirects < REDIRECTS_MAX; redirects += 1) {
    const target = redirectOf(last);
    // Whoever is asked to look at one host is not sent to look at others.
    if (!(target instanceof URL) || target.hostname !== options.url.hostname) break;
    last = await visit({ ...options, url: target }, 'GET');
    visits.push(last);
  }
  return visits;
}

/** Whether nothing listens there, or nothing answers. */
export function isUnreachable({ chain }: Visit): boolean {
  return chain.kind === 'failed' && ['dns', 'tcp', 'timeout'].includes(chain.code);
}

async function shakeHands(options: ProbeOptions): Promise<Handshakes> {
  const only = (version: 'TLSv1.2' | 'TLSv1.3'): ConnectionOptions => ({
    ...oneWayClientContext(),
    minVersion: version,
    maxVersion: version,
  });
  const agreed = (context: ConnectionOptions): Promise<Attempt<string>> =>
    attempt(() =>
      connected(options, context, (socket) => {
        const { standardName } = socket.getCipher();
        const version = socket.getProtocol() ?? 'TLS';
        socket.destroy();
        return `${version} ${standardName}`;
      }),
    );
  return {
    tls13: await agreed(only('TLSv1.3')),
    tls12: await agreed(only('TLSv1.2')),
    older: await agreed(OLDER),
    weak: await agreed(WEAK),
  };
}

/** A refusal of one version must not keep us from looking at what the others show. */
const ANY_VERSION: ConnectionOptions = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' };

async function visit(options: ProbeOptions, method: string): Promise<Visit> {
  const url = options.url.href;
  const opened = await attempt(() =>
    connected(options, ANY_VERSION, (socket) => {
      const peer = peerChain(socket);
      if (peer.kind === 'chain') return { socket, chain: peer.chain };
      throw new JumpgateError(peer.code, peer.message, { source: 'peer' });
    }),
  );
  if (opened.kind === 'failed') return { url, chain: opened, answer: opened };
  const { socket, chain } = opened.value;
  const answer = await attempt(() => exchange(options, socket, method));
  socket.destroy();
  return { url, chain: { kind: 'done', value: chain }, answer };
}

function connected<T>(options: ProbeOptions, context: ConnectionOptions, judge: (socket: TLSSocket) => T): Promise<T> {
  return establish(target(options), () => ({ ca: [], ...context }), judge);
}

function target({ url, signal, clock, lookup }: ProbeOptions): Parameters<typeof establish>[0] {
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 443 : Number(url.port),
    alpn: 'http/1.1',
    signal,
    clock,
    timeoutMs: ATTEMPT_TIMEOUT_MS,
    ...(lookup === undefined ? {} : { lookup }),
  };
}

async function exchange(options: ProbeOptions, socket: TLSSocket, method: string): Promise<HttpAnswer> {
  const { url, clock } = options;
  const timer = clock.after(ATTEMPT_TIMEOUT_MS, () =>
    socket.destroy(new Error(`no whole answer within ${ATTEMPT_TIMEOUT_MS} ms`)),
  );
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = request({
        method,
        path: `${url.pathname}${url.search}`,
        headers: {
          host: url.host,
          accept: 'application/json',
          'accept-encoding': 'identity',
          'user-agent': 'jumpgate',
          connection: 'close',
          ...(method === 'GET' ? {} : { 'content-length': '0' }),
        },
        maxHeaderSize: HEADER_BYTES_MAX,
        signal: options.signal,
        createConnection: () => socket,
      });
      call.once('response', resolve);
      // Stays: what comes after the response must not crash the process either.
      call.on('error', reject);
      call.on('upgrade', () => reject(new Error('expected an answer, found a change of protocol')));
      call.end();
    });
    return { status: response.statusCode ?? 0, headers: headersOf(response), body: await bodyOf(response) };
  } finally {
    timer[Symbol.dispose]();
  }
}

function headersOf({ headers }: IncomingMessage): HttpAnswer['headers'] {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  );
}

async function bodyOf(response: IncomingMessage): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    const piece: unknown = chunk;
    if (!(piece instanceof Uint8Array)) continue;
    bytes += piece.length;
    if (bytes > BODY_BYTES_MAX) throw new Error(`expected a body of at most ${BODY_BYTES_MAX} bytes, found more`);
    pieces.push(piece);
  }
  return new Uint8Array(Buffer.concat(pieces));
}

async function webProof(options: ProbeOptions, { chain }: Visit): Promise<WebProof | undefined> {
  const leaf = chain.kind === 'done' ? chain.value[0] : undefined;
  if (leaf === undefined) return undefined;
  const { authorities } = options;
  const where = target(options);
  const proved = await attempt(async () => {
    (await connectWebTls({ ...where, authorities })).destroy();
  });
  const host = hostProblem(new X509Certificate(leaf), where.host)?.message;
  const isOfChain = proved.kind === 'failed' && proved.code === 'untrusted' && !/wrong-host/.test(proved.reason);
  return {
    host,
    chain: isOfChain ? { unknownIssuer: UNKNOWN_ISSUER.test(proved.reason), reason: proved.reason } : undefined,
    authoritiesNamed: authorities !== undefined,
  };
}

async function attempt<T>(work: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { kind: 'done', value: await work() };
  } catch (error) {
    return { kind: 'failed', code: codeOf(error) ?? 'failed', reason: messageOf(error) };
  }
}

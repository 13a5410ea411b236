/** One link that we dialled: TLS, HTTP/2 and hello, up or not at all. */
import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { type Snapshot, type SnapshotPeer } from '../../federation/snapshot/snapshot.ts';
import { type HostPort } from '../../federation/resources/values.ts';
import { connectMutualTls } from '../../trust-bundles/tls/connect.ts';
import { type VerifiedConnection } from '../../trust-bundles/tls/connection.ts';
import { type Lookup } from '../../trust-bundles/tls/dial.ts';
import { type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { type Upstream } from '../forward/exchange.ts';
import { http2Client, type Http2Connection } from '../http2/client.ts';
import { LINK_LIMITS } from '../http2/server.ts';
import { verifyGatewayOf } from './gateway-identity.ts';
import {
  commonVersion,
  HELLO_AUTHORITY,
  HELLO_BYTES_MAX,
  HELLO_PATH,
  readHello,
  writeHello,
  type Hello,
} from './hello.ts';
import { linkTerm, type LinkTerm } from './link-term.ts';
import { readSmallBody } from './small-body.ts';

/** From the first byte of HTTP/2 to the peer's hello: a round trip, and a busy moment. */
const HELLO_TIMEOUT_MS = 10_000;

/** A link that is up, as an upstream for calls. */
export interface DialledLink extends Upstream {
  readonly peer: string;
  readonly identity: VerifiedIdentity;
  readonly instance: string;
  readonly epoch: bigint;
  /** `host:port` as dialled. */
  readonly address: string;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
  readonly term: LinkTerm;
  /** Whether it takes calls. */
  readonly usable: boolean;
  /** Calls under way. */
  readonly calls: number;
  readonly closed: Promise<void>;
  /** Round trip of a PING, milliseconds. */
  ping(): Promise<number>;
  /** No new calls; closes when those under way are done, and at the end of its term whatever is under way. */
  retire(): void;
  destroy(): void;
}

/** What to dial, and as whom. */
export interface DialLinkOptions {
  readonly peer: SnapshotPeer;
  readonly address: HostPort;
  readonly svid: SvidSource;
  readonly snapshot: () => Snapshot;
  readonly hello: Hello;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly random: () => number;
  readonly lookup?: Lookup | undefined;
}

/**
 * Dials one link. Throws what `connectMutualTls` throws, and `hello` (no or a wrong answer, also when the peer refused
 * our certificate), `version`, `untrusted`.
 */
export async function dialLink(options: DialLinkOptions): Promise<DialledLink> {
  const { peer, address, svid, clock, signal, lookup } = options;
  const judge = (chain: readonly Uint8Array[]): ReturnType<typeof verifyGatewayOf> =>
    verifyGatewayOf(options.snapshot(), peer.name, { chain, role: 'server', nowMs: clock.now() });
  const ours = svid.current();
  const connection = await connectMutualTls({
    host: address.host,
    port: address.port,
    svid: { current: () => ours, watch: (listener) => svid.watch(listener) },
    alpn: 'h2',
    verify: judge,
    signal,
    clock,
    ...(lookup === undefined ? {} : { lookup }),
  });
  const http2 = http2Client(connection.socket, LINK_LIMITS);
  try {
    const theirs = await exchangeHello(http2, options);
    if (theirs.trustDomain !== peer.trustDomain) throw failure('hello', `expected a hello of ${peer.trustDomain}`);
    // Trust may have changed while we waited.
    const again = judge(connection.identity.chain);
    if (again.kind === 'rejected') throw failure('untrusted', again.message);
    return upLink({ options, connection, http2, theirs, oursEndsAtMs: ours.notAfterMs });
  } catch (error) {
    http2.destroy();
    throw error;
  }
}

async function exchangeHello(http2: Http2Connection, options: DialLinkOptions): Promise<Hello> {
  const deadline = new AbortController();
  const timer = options.clock.after(HELLO_TIMEOUT_MS, () => deadline.abort());
  const signal = AbortSignal.any([options.signal, deadline.signal]);
  try {
    const text = writeHello(options.hello);
    const call = http2.request(
      {
        method: 'POST',
        path: HELLO_PATH,
        authority: HELLO_AUTHORITY,
        scheme: 'https',
        headers: [['content-type', 'application/json']],
        neverIndexed: [],
        hasBody: true,
      },
      signal,
    );
    call.body.on('error', () => undefined);
    call.body.end(text);
    const response = await call.response;
    if (response.status !== 200) throw failure('hello', `expected status 200 for a hello, found ${response.status}`);
    const theirs = readHello(await readSmallBody(response.body, HELLO_BYTES_MAX, signal));
    const version = commonVersion(options.hello.versions, theirs.versions);
    if (version.kind === 'none') throw failure('version', version.message);
    return theirs;
  } catch (cause) {
    if (cause instanceof JumpgateError && ['hello', 'version', 'hello-malformed'].includes(cause.code)) throw cause;
    options.signal.throwIfAborted();
    const hint = 'the peer may have removed this mesh (its "jumpgate peers" tells), or not trust our certificate';
    throw failure('hello', `expected a hello from ${options.peer.name}, the link was closed before: ${hint}`, cause);
  } finally {
    timer[Symbol.dispose]();
  }
}

interface UpLink {
  readonly options: DialLinkOptions;
  readonly connection: VerifiedConnection;
  readonly http2: Http2Connection;
  readonly theirs: Hello;
  readonly oursEndsAtMs: number;
}

function upLink({ options, connection, http2, theirs, oursEndsAtMs }: UpLink): DialledLink {
  const { clock, peer, address } = options;
  const { identity } = connection;
  const sinceMs = clock.now();
  const term = linkTerm(sinceMs, Math.min(identity.expiresAtMs, oursEndsAtMs), options.random());
  const end = clock.after(term.endsAtMs - sinceMs, () => http2.destroy());
  void http2.closed.then(() => end[Symbol.dispose]());
  return {
    peer: peer.name,
    identity,
    instance: theirs.instance,
    epoch: theirs.epoch,
    address: `${address.host}:${address.port}`,
    sinceMs,
    term,
    get usable(): boolean {
      return http2.usable && clock.now() < term.noNewCallsAtMs;
    },
    get calls(): number {
      return http2.streams;
    },
    closed: http2.closed,
    request: (head, signal) => http2.request(head, signal),
    ping: () => http2.ping(),
    retire: () => http2.finish(),
    destroy: () => http2.destroy(),
  };
}

function failure(code: string, message: string, cause?: unknown): JumpgateError {
  return new JumpgateError(code, message, { source: 'peer', retry: 'later', cause });
}

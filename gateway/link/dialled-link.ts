/** One link that we dialled: TLS, HTTP/2 and hello, up or not at all. */
import { type Clock } from '../../base/clock.ts';
import { JumpgateError } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type Snapshot, type SnapshotPeer } from '../../federation/snapshot/snapshot.ts';
import { type HostPort } from '../../federation/resources/values.ts';
import { connectMutualTls } from '../../trust-bundles/tls/connect.ts';
import { type VerifiedConnection } from '../../trust-bundles/tls/connection.ts';
import { type Lookup } from '../../trust-bundles/tls/dial.ts';
import { type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';
import { type ChainVerifier } from '../../trust-bundles/tls/connection.ts';
import { heldSvid, type SvidSource, type X509Svid } from '../../trust-bundles/x509/svid.ts';
import { type RequestHead } from '../message/head.ts';
import { type BufferPool } from '../message/output.ts';
import { type ClientConnection, type ResponseReceiver, type StreamSender } from '../message/stream.ts';
import { linkHttp2 } from '../socket/connection-limits.ts';
import { type ConnectedHttp2, connectHttp2 } from '../socket/http2-socket.ts';
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
import { LinkProof, REPROVE_FEATURE } from './link-proof.ts';
import { linkEndMs, linkTerm, renewedTerm, TermTimers, type LinkTerm } from './link-term.ts';
import { Reproving } from './reproving.ts';
import { askSmall } from './small-body.ts';

/** From the first byte of HTTP/2 to the peer's hello: a round trip, and a busy moment. */
const HELLO_TIMEOUT_MS = 10_000;

/** A link that is up, to send calls on. */
export interface DialledLink extends ClientConnection {
  readonly peer: string;
  readonly identity: VerifiedIdentity;
  readonly instance: string;
  readonly epoch: bigint;
  /** Which of how many workers of the instance has it; counts from 0. */
  readonly worker: number;
  readonly workers: number;
  /** `host:port` as dialled. */
  readonly address: string;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
  readonly term: LinkTerm;
  /** New SVIDs are proved on it in place. */
  readonly reproves: boolean;
  /** It takes no calls any more, unlike one that is merely full: another must replace it. */
  readonly leaving: boolean;
  /** Something leaves on it at the end of this turn anyway: one more call costs no write of its own. */
  readonly leavesSoon: boolean;
  /** Resolves when the other end takes no calls on it any more, or it has closed. */
  readonly going: Promise<void>;
  /** Resolves when it should be replaced: it could not be re-proved in time, or the other end knows no re-proof. */
  readonly due: Promise<void>;
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
  readonly buffers: BufferPool;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly random: () => number;
  readonly log: Logger;
  readonly lookup?: Lookup | undefined;
}

/**
 * Dials one link. Throws what `connectMutualTls` throws, and `hello` (no or a wrong answer, also when the peer refused
 * our certificate), `version`, `untrusted`, `no-svid`.
 */
export async function dialLink(options: DialLinkOptions): Promise<DialledLink> {
  const { peer, address, svid, clock, signal, lookup, buffers } = options;
  const judge: ChainVerifier = (chain) =>
    verifyGatewayOf(options.snapshot(), peer.name, { chain, role: 'server', nowMs: clock.now() });
  const ours = heldSvid(svid);
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
  const http2 = connectHttp2(connection.socket, { clock, limits: linkHttp2(options.snapshot().limits), pool: buffers });
  try {
    const theirs = await exchangeHello(http2, options);
    if (theirs.trustDomain !== peer.trustDomain) throw failure('hello', `expected a hello of ${peer.trustDomain}`);
    // Trust may have changed while we waited.
    const again = judge(connection.identity.chain);
    if (again.kind === 'rejected') throw failure('untrusted', again.message);
    return new UpLink({ options, connection, http2, theirs, ours, judge });
  } catch (error) {
    http2.destroy();
    throw error;
  }
}

async function exchangeHello(http2: ConnectedHttp2, options: DialLinkOptions): Promise<Hello> {
  const deadline = new AbortController();
  const timer = options.clock.after(HELLO_TIMEOUT_MS, () => deadline.abort());
  const signal = AbortSignal.any([options.signal, deadline.signal]);
  const ours = writeHello(options.hello);
  const question = { method: 'POST', authority: HELLO_AUTHORITY, path: HELLO_PATH, json: ours } as const;
  try {
    const answer = await askSmall(http2, question, { bytesMax: HELLO_BYTES_MAX, signal });
    if (answer.status !== 200) throw failure('hello', `expected status 200 for a hello, found ${answer.status}`);
    const theirs = readHello(answer.body);
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

interface Established {
  readonly options: DialLinkOptions;
  readonly connection: VerifiedConnection;
  readonly http2: ConnectedHttp2;
  readonly theirs: Hello;
  /** As the handshake showed it. */
  readonly ours: X509Svid;
  readonly judge: ChainVerifier;
}

/** See {@link DialledLink}. */
class UpLink implements DialledLink {
  readonly peer: string;
  readonly instance: string;
  readonly epoch: bigint;
  readonly worker: number;
  readonly workers: number;
  readonly address: string;
  readonly sinceMs: number;
  readonly due: Promise<void>;
  readonly reproves: boolean;
  readonly #options: DialLinkOptions;
  readonly #http2: ConnectedHttp2;
  readonly #proof: LinkProof;
  readonly #timers: TermTimers;
  readonly #due = Promise.withResolvers<undefined>();
  /** Turned by a timer: whoever looks for a link for a call does not look at the clock. */
  #isSpent = false;
  #isOver = false;

  constructor({ options, connection, http2, theirs, ours, judge }: Established) {
    const { clock, peer, address } = options;
    const { identity, socket } = connection;
    const sinceMs = clock.now();
    this.#options = options;
    this.peer = peer.name;
    this.instance = theirs.instance;
    this.epoch = theirs.epoch;
    this.worker = theirs.worker;
    this.workers = theirs.workers;
    this.address = `${address.host}:${address.port}`;
    this.sinceMs = sinceMs;
    this.due = this.#due.promise;
    this.reproves = [options.hello, theirs].every(({ features }) => features.includes(REPROVE_FEATURE));
    this.#http2 = http2;
    this.#proof = new LinkProof({ socket, role: 'client', identity, admit: judge });
    const endsAtMs = this.#endMs(Math.min(identity.expiresAtMs, ours.notAfterMs));
    this.#timers = new TermTimers(clock, linkTerm(sinceMs, endsAtMs, options.random()), {
      onReplace: () => this.#due.resolve(undefined),
      onNoNewCalls: () => (this.#isSpent = true),
      onEnd: () => this.destroy(),
    });
    const kept = this.#keepProved(ours);
    void http2.closed.then(() => {
      kept[Symbol.dispose]();
      this.#timers[Symbol.dispose]();
    });
  }

  get identity(): VerifiedIdentity {
    return this.#proof.identity;
  }

  get term(): LinkTerm {
    return this.#timers.term;
  }

  get usable(): boolean {
    return !this.#isSpent && this.#http2.usable;
  }

  get leaving(): boolean {
    return this.#isSpent || this.#http2.wantsClose;
  }

  get streams(): number {
    return this.#http2.streams;
  }

  get leavesSoon(): boolean {
    return this.#http2.leavesSoon;
  }

  get going(): Promise<void> {
    return this.#http2.going;
  }

  get closed(): Promise<void> {
    return this.#http2.closed;
  }

  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): StreamSender | undefined {
    return this.#isSpent ? undefined : this.#http2.open(head, end, receiver);
  }

  ping(): Promise<number> {
    return this.#http2.ping();
  }

  retire(): void {
    this.#http2.finish();
  }

  destroy(): void {
    // The engine learns of it only when the socket has closed.
    this.#isSpent = true;
    this.#isOver = true;
    this.#http2.destroy();
  }

  /** What follows our SVID: re-proof where both ends know it, else a link to replace this one. */
  #keepProved(shown: X509Svid): Disposable {
    const { svid, clock, random, log } = this.#options;
    const follow = (current: X509Svid | undefined): void => {
      if (current === undefined || (!this.reproves && current !== shown)) this.#due.resolve(undefined);
    };
    // It may have changed during the handshake.
    follow(svid.current());
    const kept = new DisposableStack();
    kept.use(svid.watch(follow));
    const link = { http2: this.#http2, proof: this.#proof, facts: { peer: this.peer, address: this.address } };
    const onProved = (expiresAtMs: number): void => this.#proved(expiresAtMs);
    const reproving = { ...link, svid, shown, term: () => this.term, onProved, clock, random, log };
    if (this.reproves) kept.use(new Reproving(reproving));
    return kept;
  }

  #proved(expiresAtMs: number): void {
    const { clock, random } = this.#options;
    const nowMs = clock.now();
    this.#timers.term = renewedTerm(this.term, nowMs, this.#endMs(expiresAtMs), random());
    // Closing is final; being spent is not, if the proof came late.
    this.#isSpent = this.#isOver || nowMs >= this.term.noNewCallsAtMs;
  }

  #endMs(expiresAtMs: number): number {
    return linkEndMs(this.sinceMs, expiresAtMs, this.#options.snapshot().linkMaxAgeMs);
  }
}

function failure(code: string, message: string, cause?: unknown): JumpgateError {
  return new JumpgateError(code, message, { source: 'peer', retry: 'later', cause });
}

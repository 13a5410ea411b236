/** One link that a peer dialled: hello first, then calls, each to whoever serves its authority. */
import { type Clock } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type SnapshotPeer } from '../../federation/snapshot/snapshot.ts';
import { type ChainVerifier, type VerifiedConnection } from '../../trust-bundles/tls/connection.ts';
import { REPROOF_BYTES_MAX } from '../../trust-bundles/tls/reprove.ts';
import { type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';
import { heldSvid, type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { readRequestFields } from '../headers/request-fields.ts';
import { type ConnectionLimits } from '../http2/limits.ts';
import { ERROR_CODE } from '../message/error-code.ts';
import { type Field } from '../message/field.ts';
import { type RequestHead } from '../message/head.ts';
import { type BufferPool } from '../message/output.ts';
import { type EarlyReason, type RequestListener, type ServerStream, type StreamReceiver } from '../message/stream.ts';
import { refuse } from '../refusal/refuse.ts';
import { type Http2Socket, serveHttp2 } from '../socket/http2-socket.ts';
import {
  BUNDLE_AUTHORITY,
  commonVersion,
  HELLO_AUTHORITY,
  HELLO_BYTES_MAX,
  HELLO_PATH,
  readHello,
  writeHello,
  type Hello,
} from './hello.ts';
import { LinkProof, REPROVE_AUTHORITY, REPROVE_FEATURE, REPROVE_PATH } from './link-proof.ts';
import { linkEndMs, linkTerm, renewedTerm, TermTimers, type LinkTerm } from './link-term.ts';
import { answerJson, SmallBody, UnreadBody } from './small-body.ts';

/** From the handshake to the hello; a dialler sends it at once. */
const HELLO_TIMEOUT_MS = 10_000;

/** A re-proof costs two signatures: an honest dialler tries once a second at most, and flooding buys nothing. */
const REPROVE_EVERY_MS_MIN = 500;

/** A link that a peer dialled and whose hello has come. */
export interface AcceptedLink {
  readonly peer: SnapshotPeer;
  readonly identity: VerifiedIdentity;
  readonly instance: string;
  readonly epoch: bigint;
  readonly remoteAddress: string;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
  readonly term: LinkTerm;
  /** The dialler proves itself anew when SVIDs change: it need not be turned away. */
  readonly reproves: boolean;
  /** Calls under way. */
  readonly calls: number;
}

/** Who serves what comes over a link; each is asked once for each link, after its hello. */
export interface LinkServices {
  /** Takes every call whose authority is no gateway's. */
  readonly callsFor: (link: AcceptedLink) => RequestListener;
  /** Takes calls to `peering.jumpgate`. */
  readonly peeringFor: (link: AcceptedLink) => RequestListener;
  /** Our bundle as a SPIFFE document. */
  readonly bundleDocument: () => string;
}

/** How a link is served. */
export interface AcceptLinkOptions extends LinkServices {
  readonly hello: Hello;
  readonly limits: ConnectionLimits;
  /** `undefined` for none. */
  readonly linkMaxAgeMs: number | undefined;
  /** Shown in answer to a re-proof. */
  readonly svid: SvidSource;
  /** Judges a new chain of `peer`'s gateway by what is trusted now. */
  readonly judge: (peer: SnapshotPeer) => ChainVerifier;
  /** Told when the hello of the other end was good. */
  readonly onLink: (link: AcceptedLink) => void;
  readonly buffers: BufferPool;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A connection that was admitted, before and after its hello. */
export interface AdmittedConnection {
  readonly identity: VerifiedIdentity;
  readonly peer: SnapshotPeer;
  /** `undefined` before the hello. */
  readonly link: AcceptedLink | undefined;
  readonly closed: Promise<void>;
  /** No new calls; closes when those under way are done, and at the end of its term whatever is under way. */
  finish(): void;
  destroy(): void;
}

/** Serves a connection whose other end is the gateway of `peer`. */
export function serveLink(
  connection: VerifiedConnection,
  peer: SnapshotPeer,
  options: AcceptLinkOptions,
): AdmittedConnection {
  return new ServedLink(connection, peer, options);
}

/** What a link is once its hello has come. */
interface Established {
  readonly link: AcceptedLink;
  readonly calls: RequestListener;
  readonly peering: RequestListener;
}

/**
 * One link:
 *
 *     new --hello--> greeted --it is good--> established --finish, end of term--> over
 *      +-- anything else, 10 s --> over <-- it is not --+
 */
class ServedLink implements AdmittedConnection, RequestListener {
  readonly peer: SnapshotPeer;
  readonly #options: AcceptLinkOptions;
  readonly #served: Http2Socket;
  readonly #remoteAddress: string;
  readonly #sinceMs: number;
  readonly #proof: LinkProof;
  readonly #timers: TermTimers;
  #reprovedAtMs = -Infinity;
  #greeted = false;
  #over = false;
  #established: Established | undefined;
  /** The last authority that was found to be no gateway's: most calls have the same object. */
  #ordinary: Field | undefined;

  constructor(connection: VerifiedConnection, peer: SnapshotPeer, options: AcceptLinkOptions) {
    const { buffers, clock, limits, log } = options;
    const { identity, socket } = connection;
    this.#proof = new LinkProof({ socket, role: 'server', identity, admit: options.judge(peer) });
    this.peer = peer;
    this.#options = options;
    this.#remoteAddress = connection.remoteAddress;
    this.#sinceMs = clock.now();
    const facts = { peer: peer.name, remoteAddress: connection.remoteAddress };
    this.#served = serveHttp2(socket, {
      scheme: 'https',
      listener: this,
      clock,
      limits,
      pool: buffers,
      onError: (code, reason) => log.warn('link ended with an error', { ...facts, code, reason }),
      onAbuse: () => log.warn('link resets more of its calls than callers have reason to', facts),
    });
    this.#timers = new TermTimers(clock, linkTerm(this.#sinceMs, this.#endMs(identity), 0), {
      onNoNewCalls: () => this.finish(),
      onEnd: () => this.destroy(),
    });
    const timer = clock.after(HELLO_TIMEOUT_MS, () => {
      if (this.#established === undefined) this.destroy();
    });
    void this.#served.closed.then(() => {
      timer[Symbol.dispose]();
      this.#timers[Symbol.dispose]();
    });
  }

  get identity(): VerifiedIdentity {
    return this.#proof.identity;
  }

  get link(): AcceptedLink | undefined {
    return this.#established?.link;
  }

  get closed(): Promise<void> {
    return this.#served.closed;
  }

  finish(): void {
    this.#served.finish();
  }

  destroy(): void {
    // What was read already may still be told of.
    this.#over = true;
    this.#established = undefined;
    this.#ordinary = undefined;
    this.#served.destroy();
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamReceiver {
    const established = this.#established;
    if (established === undefined) return this.#greet(stream, head, end);
    if (head.authority === this.#ordinary) return established.calls.onRequest(stream, head, end);
    return this.#dispatch(established, stream, head, end);
  }

  onRefused(reason: EarlyReason, head: Partial<RequestHead>, stream: ServerStream | undefined): void {
    if (this.#established === undefined) this.#refuseLink('its hello cannot be read', { reason });
    else this.#established.calls.onRefused(reason, head, stream);
  }

  #dispatch(established: Established, stream: ServerStream, head: RequestHead, end: boolean): StreamReceiver {
    const { method, path } = head;
    const authority = head.authority.value.toLowerCase();
    if (authority === 'peering.jumpgate') return established.peering.onRequest(stream, head, end);
    if (authority === BUNDLE_AUTHORITY && method.value === 'GET' && path.value === '/') {
      answerJson(stream, 200, this.#options.bundleDocument());
      return new UnreadBody(stream);
    }
    if (authority === REPROVE_AUTHORITY && method.value === 'POST' && path.value === REPROVE_PATH) {
      if (established.link.reproves) return this.#reprove(stream, end);
    }
    if (/\.jumpgate\.?(?::\d*)?$/.test(authority)) {
      const { grpc } = readRequestFields(head);
      refuse(stream, { reason: 'no-route', grpc, audience: 'trusted', method: method.value });
      return new UnreadBody(stream);
    }
    this.#ordinary = head.authority;
    return established.calls.onRequest(stream, head, end);
  }

  #reprove(stream: ServerStream, end: boolean): StreamReceiver {
    const nowMs = this.#options.clock.monotonic();
    if (nowMs - this.#reprovedAtMs < REPROVE_EVERY_MS_MIN) {
      stream.unwanted();
      stream.respond({ status: 429, fields: [] }, true);
      return new UnreadBody(stream);
    }
    this.#reprovedAtMs = nowMs;
    const body = new SmallBody(REPROOF_BYTES_MAX, stream, end);
    void this.#hearProof(stream, body);
    return body;
  }

  /** Whatever is wrong with a statement, the link stays as it was: without a good one it ends with its term. */
  async #hearProof(stream: ServerStream, body: SmallBody): Promise<void> {
    const { clock, log, svid } = this.#options;
    try {
      const bytes = await body.whole;
      if (this.#over) return;
      const ours = heldSvid(svid);
      const endMs = this.#endMs(this.#proof.hear(bytes));
      this.#timers.term = renewedTerm(this.#timers.term, clock.now(), endMs, 0);
      answerJson(stream, 200, this.#proof.answer(ours));
    } catch (error) {
      const facts = { peer: this.peer.name, remoteAddress: this.#remoteAddress };
      log.warn('re-proof of a link refused', { ...facts, code: codeOf(error), reason: messageOf(error) });
      stream.unwanted();
      stream.respond({ status: 403, fields: [] }, true);
    }
  }

  /** The first stream. Anything but a hello ends the connection. */
  #greet(stream: ServerStream, head: RequestHead, end: boolean): StreamReceiver {
    const isHello = head.authority.value === HELLO_AUTHORITY && head.path.value === HELLO_PATH;
    if (this.#greeted || this.#over || !isHello || head.method.value !== 'POST') {
      stream.reset(ERROR_CODE.refusedStream);
      this.#refuseLink('its first stream is no hello', {});
      return new UnreadBody(stream);
    }
    this.#greeted = true;
    const body = new SmallBody(HELLO_BYTES_MAX, stream, end);
    void this.#hear(stream, body);
    return body;
  }

  /** Our own hello goes out even when theirs is not good enough, so that both sides can say why. */
  async #hear(stream: ServerStream, body: SmallBody): Promise<void> {
    const { callsFor, hello, log, peeringFor } = this.#options;
    const { peer } = this;
    try {
      const theirs = readHello(await body.whole);
      // Trust may have gone while we waited.
      if (this.#over) return;
      const version = commonVersion(hello.versions, theirs.versions);
      if (version.kind === 'none' || theirs.trustDomain !== peer.trustDomain) {
        const reason = version.kind === 'none' ? version.message : `expected a hello of ${peer.trustDomain}`;
        log.warn('link refused', { peer: peer.name, remoteAddress: this.#remoteAddress, reason });
        answerJson(stream, 200, writeHello(hello));
        this.finish();
        return;
      }
      const link = this.#linkOf(theirs);
      this.#established = { link, calls: callsFor(link), peering: peeringFor(link) };
      answerJson(stream, 200, writeHello(hello));
      log.info('link accepted', { peer: peer.name, remoteAddress: this.#remoteAddress, instance: theirs.instance });
      this.#options.onLink(link);
    } catch (error) {
      this.#refuseLink('its hello cannot be read', { reason: messageOf(error) });
    }
  }

  #endMs({ expiresAtMs }: VerifiedIdentity): number {
    return linkEndMs(this.#sinceMs, expiresAtMs, this.#options.linkMaxAgeMs);
  }

  #linkOf(theirs: Hello): AcceptedLink {
    const served = this.#served;
    const proof = this.#proof;
    const timers = this.#timers;
    const { instance, epoch } = theirs;
    const reproves = [this.#options.hello, theirs].every(({ features }) => features.includes(REPROVE_FEATURE));
    return {
      peer: this.peer,
      get identity(): VerifiedIdentity {
        return proof.identity;
      },
      instance,
      epoch,
      remoteAddress: this.#remoteAddress,
      sinceMs: this.#sinceMs,
      get term(): LinkTerm {
        return timers.term;
      },
      reproves,
      get calls(): number {
        return served.streams;
      },
    };
  }

  #refuseLink(why: string, more: Readonly<Record<string, string>>): void {
    if (this.#over) return;
    const facts = { peer: this.peer.name, remoteAddress: this.#remoteAddress, ...more };
    this.#options.log.warn(`link refused: ${why}`, facts);
    this.destroy();
  }
}

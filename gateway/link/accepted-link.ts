/** One link that a peer dialled: hello first, then calls, each to whoever serves its authority. */
import { type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { type SnapshotPeer } from '../../federation/snapshot/snapshot.ts';
import { type VerifiedConnection } from '../../trust-bundles/tls/connection.ts';
import { type VerifiedIdentity } from '../../trust-bundles/verify/verified-identity.ts';
import { type HeaderField, type IncomingCall } from '../forward/exchange.ts';
import { LINK_LIMITS, serveHttp2, type ServedConnection } from '../http2/server.ts';
import { refuse } from '../refusal/refuse.ts';
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
import { linkTerm, type LinkTerm } from './link-term.ts';
import { readSmallBody } from './small-body.ts';

/** From the handshake to the hello; a dialler sends it at once. */
const HELLO_TIMEOUT_MS = 10_000;

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
  /** Calls under way. */
  readonly calls: number;
}

/** Who serves what comes over a link. */
export interface LinkServices {
  /** Takes every call whose authority is no gateway's; answers or aborts each. */
  readonly onCall: (call: IncomingCall, link: AcceptedLink) => void;
  /** Takes calls to `peering.jumpgate`. */
  readonly onPeering: (call: IncomingCall, link: AcceptedLink) => void;
  /** Our bundle as a SPIFFE document. */
  readonly bundleDocument: () => string;
}

/** How a link is served. */
export interface AcceptLinkOptions extends LinkServices {
  readonly hello: Hello;
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
  const { clock } = options;
  const sinceMs = clock.now();
  const term = linkTerm(sinceMs, connection.identity.expiresAtMs, 0);
  const state: LinkState = { link: undefined, calls: 0, greeted: false };
  const served = serveHttp2(connection.socket, {
    scheme: 'https',
    remoteAddress: connection.remoteAddress,
    limits: LINK_LIMITS,
    onCall: (call) => {
      state.calls += 1;
      call.body.once('close', () => (state.calls -= 1));
      if (state.link !== undefined) dispatch(call, state.link, options);
      else void greet(call, { connection, peer, options, state, served, sinceMs, term });
    },
  });
  const timers = [
    clock.after(HELLO_TIMEOUT_MS, () => {
      if (state.link === undefined) served.destroy();
    }),
    clock.after(term.noNewCallsAtMs - sinceMs, () => served.finish()),
    clock.after(term.endsAtMs - sinceMs, () => served.destroy()),
  ];
  void served.closed.then(() => {
    for (const timer of timers) timer[Symbol.dispose]();
  });
  return {
    identity: connection.identity,
    peer,
    get link(): AcceptedLink | undefined {
      return state.link;
    },
    closed: served.closed,
    finish: () => served.finish(),
    destroy: () => {
      state.link = undefined;
      state.greeted = true;
      served.destroy();
    },
  };
}

interface LinkState {
  link: AcceptedLink | undefined;
  calls: number;
  greeted: boolean;
}

interface Greeting {
  readonly connection: VerifiedConnection;
  readonly peer: SnapshotPeer;
  readonly options: AcceptLinkOptions;
  readonly state: LinkState;
  readonly served: ServedConnection;
  readonly sinceMs: number;
  readonly term: LinkTerm;
}

/** The first stream. Anything but a good hello ends the connection; our own hello goes out first, so that both sides can say why. */
async function greet(call: IncomingCall, greeting: Greeting): Promise<void> {
  const { connection, peer, options, state, served, sinceMs, term } = greeting;
  const { log, hello } = options;
  const facts = { peer: peer.name, remoteAddress: connection.remoteAddress };
  if (state.greeted || call.authority !== HELLO_AUTHORITY || call.path !== HELLO_PATH || call.method !== 'POST') {
    log.warn('link refused: its first stream is no hello', facts);
    served.destroy();
    return;
  }
  state.greeted = true;
  try {
    const theirs = readHello(await readSmallBody(call.body, HELLO_BYTES_MAX, call.closed));
    const version = commonVersion(hello.versions, theirs.versions);
    if (version.kind === 'none' || theirs.trustDomain !== peer.trustDomain) {
      const reason = version.kind === 'none' ? version.message : `expected a hello of ${peer.trustDomain}`;
      log.warn('link refused', { ...facts, reason });
      answer(call, writeHello(hello), 'application/json');
      served.finish();
      return;
    }
    state.link = {
      peer,
      identity: connection.identity,
      instance: theirs.instance,
      epoch: theirs.epoch,
      remoteAddress: connection.remoteAddress,
      sinceMs,
      term,
      get calls(): number {
        return state.calls;
      },
    };
    answer(call, writeHello(hello), 'application/json');
    log.info('link accepted', { ...facts, instance: theirs.instance });
  } catch (error) {
    log.warn('link refused: its hello cannot be read', { ...facts, reason: messageOf(error) });
    served.destroy();
  }
}

function dispatch(call: IncomingCall, link: AcceptedLink, options: AcceptLinkOptions): void {
  const authority = call.authority.toLowerCase();
  if (authority === 'peering.jumpgate') {
    options.onPeering(call, link);
  } else if (authority === BUNDLE_AUTHORITY && call.method === 'GET' && call.path === '/') {
    answer(call, options.bundleDocument(), 'application/json');
  } else if (/\.jumpgate\.?(?::\d*)?$/.test(authority)) {
    refuse(call, 'no-route', 'trusted');
  } else {
    options.onCall(call, link);
  }
}

function answer(call: IncomingCall, text: string, type: string): void {
  const headers: readonly HeaderField[] = [
    ['content-type', type],
    ['content-length', String(Buffer.byteLength(text))],
  ];
  const sink = call.respond(200, headers);
  sink.body.on('error', () => undefined);
  sink.body.end(text);
  call.body.resume();
}

/** The inviting side of a join: two endpoints for strangers, which answer nothing without an invite's secret. */
import { type Clock } from '../../base/clock.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { Lifetime } from '../../base/lifetime.ts';
import { type Logger } from '../../base/log.ts';
import { type InviteBook, type PresentedInvite } from '../../federation/peering/invites.ts';
import { type Registration, type RegistrationRefusal } from '../../federation/peering/registration.ts';
import { type HostPort } from '../../federation/resources/values.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { type ConnectionLimits, STRANGER_CONNECTION } from '../http2/limits.ts';
import { type RequestHead } from '../message/head.ts';
import { serveHttp2 } from '../socket/http2-socket.ts';
import { commonVersion } from './hello.ts';
import { type JoinConnection } from './join-connection.ts';
import {
  CLOCK_DIFFERENCE_MS_MAX,
  JOIN_AUTHORITY,
  JOIN_BYTES_MAX,
  JOIN_VERSIONS,
  readJoinMessage,
  readPresented,
  type JoinAnswer,
  type JoinMessage,
  type Reach,
} from './join-message.ts';
import { formatTcp } from './reach.ts';
import { answerJson, SmallBody } from './small-body.ts';

/** Preflight, join, and one to spare. */
const JOIN_LIMITS: ConnectionLimits = {
  ...STRANGER_CONNECTION,
  streamsMax: 4,
  connectionWindowBytes: 128 * 1024,
  resetsMax: 8,
};

/** A join is two requests; a connection that takes longer is not one. */
const CONNECTION_MS_MAX = 30_000;

/** Strangers at once, whoever they are: joining is rare. */
const CONNECTIONS_MAX = 32;

/** Guesses at a 256-bit secret are hopeless; this bounds what they cost. One more every second, so many in a burst. */
const ATTEMPTS_BURST = 30;
const ATTEMPT_EVERY_MS = 1_000;

/** What redeeming needs. */
export interface JoinServerOptions {
  readonly invites: InviteBook;
  readonly registration: Registration;
  /** As in a trust store, asked for at every join. */
  readonly tainted: () => ReadonlySet<string>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Tries the joiner's addresses, under the address policy; called once per invite, after the secret was right. Default: `unknown`. */
  readonly reach?: (addresses: readonly HostPort[]) => Promise<readonly Reach[]>;
}

/** Serves connections with ALPN `jumpgate-join`. */
export class JoinServer implements AsyncDisposable {
  readonly #options: JoinServerOptions;
  readonly #lifetime: Lifetime;
  readonly #cut = new Set<() => void>();
  /** Invites that were presented with the right secret, until they expire: as many as operators make. */
  readonly #reached = new Map<string, number>();
  #attemptsLeft = ATTEMPTS_BURST;
  #attemptAtMs: number;

  constructor(options: JoinServerOptions) {
    this.#options = options;
    this.#attemptAtMs = options.clock.monotonic();
    this.#lifetime = new Lifetime((task, error) => options.log.error('join task failed', { task, error }));
  }

  /** Takes a connection over. */
  serve(connection: JoinConnection): void {
    if (this.#cut.size >= CONNECTIONS_MAX || this.#lifetime.signal.aborted) {
      connection.socket.destroy();
      return;
    }
    const served = serveHttp2(connection.socket, {
      scheme: 'https',
      clock: this.#options.clock,
      limits: JOIN_LIMITS,
      listener: {
        onRequest: (stream, head, end) => {
          const body = new SmallBody(JOIN_BYTES_MAX, stream, end);
          this.#lifetime.run('join', async () => {
            const answer = await this.#answer(head, body, connection);
            if (answer === undefined) served.destroy();
            else answerJson(stream, answer.kind === 'refused' ? 403 : 200, JSON.stringify(answer));
          });
          return body;
        },
        onRefused: () => served.destroy(),
      },
    });
    const destroy = (): void => served.destroy();
    this.#cut.add(destroy);
    const timer = this.#options.clock.after(CONNECTION_MS_MAX, destroy);
    void served.closed.then(() => {
      timer[Symbol.dispose]();
      this.#cut.delete(destroy);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cut of [...this.#cut]) cut();
    await this.#lifetime[Symbol.asyncDispose]();
  }

  /** `undefined`: this was nobody with an invite, and gets nothing but a closed connection. */
  async #answer(head: RequestHead, body: SmallBody, connection: JoinConnection): Promise<JoinAnswer | undefined> {
    const path = head.path.value;
    const isKnown = path === '/preflight' || path === '/join';
    const isOurs = isKnown && head.method.value === 'POST' && head.authority.value === JOIN_AUTHORITY;
    if (!isOurs || !this.#mayTry()) return undefined;
    const presented = readPresented(await body.whole.catch(() => new Uint8Array()));
    const invite = presented && (await this.#options.invites.present(presented.id, presented.secret));
    if (presented === undefined || invite === undefined) return undefined;
    return this.#judge(path, { presented, invite, connection });
  }

  async #judge(path: string, request: JoinRequest): Promise<JoinAnswer> {
    const { log } = this.#options;
    const { row } = request.invite;
    try {
      const message = readJoinMessage(request.presented);
      const answer =
        this.#refusal(message, request) ??
        (path === '/join' ? await this.#join(message, request.invite) : await this.#preflight(message, row));
      log.info('invite presented', {
        invite: row.id,
        peer: row.peer,
        path,
        outcome: answer.kind === 'refused' ? answer.code : answer.kind,
      });
      return answer;
    } catch (error) {
      log.warn('invite presented with a request that failed', {
        invite: row.id,
        peer: row.peer,
        error: messageOf(error),
      });
      if (error instanceof JumpgateError && error.source === 'peer') return refused('malformed', error.message);
      return refused('internal', 'the inviting gateway could not finish: see its log, and try again');
    }
  }

  /** What the invite, the clocks, the versions and the joiner's own certificate say. */
  #refusal(message: JoinMessage, { invite, connection }: JoinRequest): JoinAnswer | undefined {
    const nowMs = this.#options.clock.now();
    const { row } = invite;
    const { joiner } = message;
    if (row.state !== 'open') return refused('invite-used', 'this invite was redeemed already: make another');
    if (row.expiresAtMs <= nowMs) return refused('invite-expired', 'this invite has expired: make another');
    if (joiner.trustDomain !== row.audience) {
      return refused('audience', `this invite is for ${row.audience}, and was presented by ${joiner.trustDomain}`);
    }
    const version = commonVersion(JOIN_VERSIONS, message.versions);
    if (version.kind === 'none') return refused('version', version.message);
    const difference = Math.abs(message.nowMs - nowMs);
    if (difference > CLOCK_DIFFERENCE_MS_MAX) {
      return refused('clock', `the two clocks differ by ${Math.round(difference / 1000)} s: set them by NTP`);
    }
    const { peer } = connection;
    const trust = { bundles: new Map([[joiner.trustDomain, joiner.bundle]]), tainted: this.#options.tainted() };
    const verdict = peer.kind === 'chain' ? verifySvid({ chain: peer.chain, trust, role: 'client', nowMs }) : peer;
    if (verdict.kind === 'rejected') return refused('svid-untrusted', `the joiner's certificate: ${verdict.message}`);
    if (verdict.id === joiner.gatewayId) return undefined;
    return refused('svid-untrusted', `expected the certificate of ${joiner.gatewayId}, found ${verdict.id}`);
  }

  async #preflight(message: JoinMessage, row: PresentedInvite['row']): Promise<JoinAnswer> {
    const { peer } = row;
    const { registration, clock, reach } = this.#options;
    const refusal = await registration.check({ name: peer, identity: message.joiner, replace: false });
    if (refusal !== undefined) return advised(refusal, peer);
    const { addresses } = message.joiner;
    const tried = reach === undefined || this.#reachedBefore(row) ? untried(addresses) : await reach(addresses);
    return { kind: 'ready', versions: JOIN_VERSIONS, nowMs: clock.now(), reach: tried };
  }

  async #join(message: JoinMessage, invite: PresentedInvite): Promise<JoinAnswer> {
    const { invites, registration } = this.#options;
    const candidate = { name: invite.row.peer, identity: message.joiner, replace: false };
    const refusal = await registration.check(candidate);
    if (refusal !== undefined) return advised(refusal, candidate.name);
    const redeemed = await invites.redeem(invite, message.joiner);
    if (redeemed === undefined) return refused('invite-used', 'this invite was redeemed by somebody else a moment ago');
    if (invite.row.approve) return { kind: 'joined', awaitingApproval: true };
    try {
      const outcome = await registration.register(candidate);
      if (outcome.kind === 'registered') return { kind: 'joined', awaitingApproval: false };
      await invites.restore(redeemed);
      return outcome;
    } catch (error) {
      await invites.restore(redeemed);
      throw error;
    }
  }

  /** Whether an invite had its one try already: more would make us a port scanner for whoever holds it. */
  #reachedBefore({ id, expiresAtMs }: PresentedInvite['row']): boolean {
    const nowMs = this.#options.clock.now();
    for (const [known, endMs] of this.#reached) if (endMs <= nowMs) this.#reached.delete(known);
    if (this.#reached.has(id)) return true;
    this.#reached.set(id, expiresAtMs);
    return false;
  }

  #mayTry(): boolean {
    const nowMs = this.#options.clock.monotonic();
    const earned = Math.floor((nowMs - this.#attemptAtMs) / ATTEMPT_EVERY_MS);
    this.#attemptAtMs += earned * ATTEMPT_EVERY_MS;
    this.#attemptsLeft = Math.min(ATTEMPTS_BURST, this.#attemptsLeft + earned);
    if (this.#attemptsLeft === 0) return false;
    this.#attemptsLeft -= 1;
    return true;
  }
}

interface JoinRequest {
  readonly presented: { readonly id: string; readonly secret: string; readonly rest: unknown };
  readonly invite: PresentedInvite;
  readonly connection: JoinConnection;
}

/** Registers the mesh that redeemed a held invite. Throws `peer-unknown` when none waits under this name, and what registering refuses. */
export async function approveJoin(
  peer: string,
  { invites, registration }: Pick<JoinServerOptions, 'invites' | 'registration'>,
): Promise<void> {
  const held = (await invites.held()).find(({ row }) => row.peer === peer);
  const identity = held?.row.redeemedBy;
  if (held === undefined || identity === undefined) {
    throw new JumpgateError('peer-unknown', `no peer ${peer} waits for approval`, { source: 'caller' });
  }
  const outcome = await registration.register({ name: peer, identity, replace: false });
  if (outcome.kind === 'refused') {
    const advice = outcome.code === 'peer-exists' ? `: run "jumpgate peers remove ${peer}", then approve again` : '';
    throw new JumpgateError(outcome.code, `${outcome.message}${advice}`, { source: 'caller' });
  }
  await invites.settle(held);
}

/** The joiner reads this, and it is the inviter's operator who can do something. */
function advised(refusal: RegistrationRefusal, peer: string): JoinAnswer {
  if (refusal.code !== 'peer-exists') return refusal;
  const advice = `if this mesh has started anew, an operator there runs "jumpgate peers remove ${peer}" and makes another invite`;
  return { ...refusal, message: `at the inviting mesh, ${refusal.message}: ${advice}` };
}

function untried(addresses: readonly HostPort[]): readonly Reach[] {
  return addresses.map((address) => ({
    address: formatTcp(address),
    reachable: 'unknown',
    message: 'not tried',
  }));
}

function refused(code: string, message: string): JoinAnswer {
  return { kind: 'refused', code, message };
}

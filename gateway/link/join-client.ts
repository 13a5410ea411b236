/** The joining side: redeems an invite step by step, and names the step that failed. */
import { type Clock } from '../../base/clock.ts';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { decodeInvite, type Invite, type MeshIdentity } from '../../federation/peering/invite.ts';
import {
  type PreparedRegistration,
  type Registration,
  type RegistrationRefusal,
} from '../../federation/peering/registration.ts';
import { type HostPort } from '../../federation/resources/values.ts';
import { connectMutualTls } from '../../trust-bundles/tls/connect.ts';
import { type Lookup } from '../../trust-bundles/tls/dial.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { type Verification } from '../../trust-bundles/verify/verified-identity.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { STRANGER_CONNECTION } from '../http2/limits.ts';
import { type ConnectedHttp2, connectHttp2 } from '../socket/http2-socket.ts';
import { commonVersion } from './hello.ts';
import {
  CLOCK_DIFFERENCE_MS_MAX,
  JOIN_AUTHORITY,
  JOIN_BYTES_MAX,
  JOIN_PROTOCOL,
  JOIN_VERSIONS,
  readJoinAnswer,
  writeJoinMessage,
  type JoinAnswer,
} from './join-message.ts';
import { askSmall } from './small-body.ts';

/** One request with its answer: the inviter may try our addresses meanwhile. */
const REQUEST_TIMEOUT_MS = 20_000;

/** The steps, in order. */
export type JoinStepName =
  'token' | 'dns' | 'tcp' | 'tls' | 'pin' | 'clock' | 'version' | 'preflight' | 'redeem' | 'store';

/** One step that was tried. */
export interface JoinStep {
  readonly name: JoinStepName;
  readonly result: 'ok' | 'warning' | 'failed';
  readonly message: string;
}

/** The outcome: the last step is the one that failed, if any. */
export interface JoinOutcome {
  readonly joined: boolean;
  readonly steps: readonly JoinStep[];
  /** The name that the inviting mesh has here; `null` unless joined. */
  readonly peer: string | null;
  readonly trustDomain: string | null;
  /** SHA-256 of the first root in the inviter's bundle, lower-case hex. */
  readonly fingerprint: string | null;
  readonly ourFingerprint: string;
  readonly awaitingApproval: boolean;
}

/** How to join. */
export interface JoinOptions {
  readonly token: string;
  /** The peer's name here; default the inviting mesh's own. */
  readonly name?: string | undefined;
  readonly expectFingerprint?: string | undefined;
  readonly replace?: boolean | undefined;
  readonly self: MeshIdentity;
  readonly svid: SvidSource;
  readonly registration: Registration;
  /** As in a trust store. */
  readonly tainted: ReadonlySet<string>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly lookup?: Lookup;
}

/** A step failed: ends the join, and becomes its last step. */
class StepFailure extends Error {
  readonly step: JoinStepName;

  constructor(step: JoinStepName, message: string) {
    super(message);
    this.step = step;
  }
}

/** Redeems an invite. Expected failures are in the outcome; only a bug or an abort throws. */
export async function join(options: JoinOptions): Promise<JoinOutcome> {
  const steps: JoinStep[] = [];
  const ok = (name: JoinStepName, message: string): void => void steps.push({ name, result: 'ok', message });
  const progress: { invite?: Invite } = {};
  const outcome = (joined: boolean, awaitingApproval: boolean, peer: string | null): JoinOutcome => ({
    joined,
    steps,
    peer,
    trustDomain: joined ? (progress.invite?.inviter.trustDomain ?? null) : null,
    fingerprint: progress.invite?.inviter.bundle.x509Authorities[0]?.fingerprint ?? null,
    ourFingerprint: options.self.bundle.x509Authorities[0]?.fingerprint ?? '',
    awaitingApproval,
  });
  try {
    const invite = readToken(options);
    progress.invite = invite;
    ok('token', `an invite of ${invite.inviter.trustDomain} for ${invite.audience}`);
    const name = options.name ?? invite.mesh;
    const candidate = { name, identity: invite.inviter, replace: options.replace ?? false };
    const early = await options.registration.check(candidate);
    if (early !== undefined) throw storeRefusal(early, name);
    const connection = await reach(invite, options, steps);
    try {
      await preflight(connection, { invite, options, steps });
      // Written ahead of the request that spends the invite: what this side refuses or cannot store costs nothing.
      const prepared = await options.registration.prepare(candidate);
      if (prepared.kind === 'refused') throw storeRefusal(prepared, name);
      await using ready = prepared;
      const answer = await redeem(connection, { invite, options, steps });
      await commit(ready, answer.awaitingApproval);
      ok('store', `${invite.inviter.trustDomain} is the peer ${name} here`);
      return outcome(true, answer.awaitingApproval, name);
    } finally {
      connection.destroy();
    }
  } catch (error) {
    options.signal.throwIfAborted();
    if (!(error instanceof StepFailure) && !(error instanceof JumpgateError)) throw error;
    const step = error instanceof StepFailure ? error.step : 'store';
    steps.push({ name: step, result: 'failed', message: error.message });
    return outcome(false, false, null);
  }
}

/** The invite is spent by now, so that a failure must say what stands where. */
async function commit(prepared: PreparedRegistration, awaitingApproval: boolean): Promise<void> {
  try {
    await prepared.commit();
  } catch (error) {
    if (!(error instanceof JumpgateError)) throw error;
    const there = awaitingApproval ? 'holds this mesh for approval' : 'has registered this mesh';
    const next = 'nothing is stored here; when that is mended, ask for another invite and join again';
    throw new StepFailure('store', `${error.message}: the inviter ${there} and the invite is spent, but ${next}`);
  }
}

function storeRefusal({ code, message }: RegistrationRefusal, name: string): StepFailure {
  const advice = `: if that mesh has started anew, join again with --replace, or run "jumpgate peers remove ${name}" first`;
  return new StepFailure('store', `${code}: ${message}${code === 'peer-exists' ? advice : ''}`);
}

function readToken(options: JoinOptions): Invite {
  let invite: Invite;
  try {
    invite = decodeInvite(options.token);
  } catch (error) {
    throw new StepFailure('token', messageOf(error));
  }
  const { self, clock } = options;
  if (invite.audience !== self.trustDomain) {
    throw new StepFailure('token', `the invite is for ${invite.audience}, this mesh is ${self.trustDomain}`);
  }
  if (invite.expiresAtMs <= clock.now() - CLOCK_DIFFERENCE_MS_MAX)
    throw new StepFailure('token', 'the invite has expired: ask for another');
  const expected = options.expectFingerprint?.replaceAll(':', '').toLowerCase();
  const roots = invite.inviter.bundle.x509Authorities.map((authority) => authority.fingerprint);
  if (expected === undefined) return invite;
  if (!roots.includes(expected)) {
    throw new StepFailure('pin', `expected the root ${expected} in the invite, found ${roots.join(', ')}`);
  }
  return { ...invite, inviter: { ...invite.inviter, bundle: pinned(invite.inviter.bundle, expected) } };
}

/**
 * Only the root that was compared out of band is believed. The others of a rotation come from the bundle endpoint, which
 * that root vouches for; without a sequence here, what the endpoint serves is newer.
 */
function pinned(bundle: Bundle, fingerprint: string): Bundle {
  const x509Authorities = bundle.x509Authorities.filter((authority) => authority.fingerprint === fingerprint);
  return { ...bundle, x509Authorities, jwtAuthorities: [], sequence: undefined };
}

/** Connects to the first address that answers as the inviter's gateway. */
async function reach(invite: Invite, options: JoinOptions, steps: JoinStep[]): Promise<ConnectedHttp2> {
  let last = new StepFailure('dns', 'the invite names no address');
  for (const address of invite.inviter.addresses) {
    const where = `${address.host}:${address.port}`;
    try {
      const connection = await connect(address, invite, options);
      for (const name of ['dns', 'tcp', 'tls'] as const) steps.push({ name, result: 'ok', message: where });
      steps.push({ name: 'pin', result: 'ok', message: `${where} is ${invite.inviter.gatewayId}` });
      return connection;
    } catch (error) {
      options.signal.throwIfAborted();
      last = new StepFailure(stepOf(error), messageOf(error));
    }
  }
  throw last;
}

async function connect(address: HostPort, invite: Invite, options: JoinOptions): Promise<ConnectedHttp2> {
  const { svid, clock, signal, lookup } = options;
  const { gatewayId, trustDomain, bundle } = invite.inviter;
  const trust = { bundles: new Map([[trustDomain, bundle]]), tainted: options.tainted };
  const verify = (chain: readonly Uint8Array[]): Verification => {
    const verdict = verifySvid({ chain, trust, role: 'server', nowMs: clock.now() });
    if (verdict.kind === 'rejected' || verdict.id === gatewayId) return verdict;
    return { kind: 'rejected', code: 'other-identity', message: `expected ${gatewayId}, found ${verdict.id}` };
  };
  const target = { host: address.host, port: address.port, svid, alpn: JOIN_PROTOCOL, verify, signal, clock };
  const connection = await connectMutualTls(lookup === undefined ? target : { ...target, lookup });
  return connectHttp2(connection.socket, { clock, limits: STRANGER_CONNECTION });
}

/** A certificate that is not valid yet or not any more is mostly a clock that is wrong. */
function stepOf(error: unknown): JoinStepName {
  const code = codeOf(error);
  if (code === 'dns') return 'dns';
  if (code === 'tcp' || code === 'timeout') return 'tcp';
  if (code !== 'untrusted') return 'tls';
  const cause = error instanceof Error ? codeOf(error.cause) : undefined;
  return cause === 'expired' || cause === 'not-yet-valid' ? 'clock' : 'pin';
}

interface Joining {
  readonly invite: Invite;
  readonly options: JoinOptions;
  readonly steps: JoinStep[];
}

async function preflight(connection: ConnectedHttp2, joining: Joining): Promise<void> {
  const { options, steps } = joining;
  const answer = await ask(connection, '/preflight', joining);
  if (answer.kind === 'refused') throw refusal(answer, 'preflight');
  if (answer.kind !== 'ready') throw new StepFailure('preflight', 'expected an answer to a preflight, found another');
  const difference = Math.abs(answer.nowMs - options.clock.now());
  if (difference > CLOCK_DIFFERENCE_MS_MAX) {
    throw new StepFailure('clock', `the two clocks differ by ${Math.round(difference / 1000)} s: set them by NTP`);
  }
  steps.push({ name: 'clock', result: 'ok', message: `the clocks differ by ${Math.round(difference / 1000)} s` });
  const version = commonVersion(JOIN_VERSIONS, answer.versions);
  if (version.kind === 'none') throw new StepFailure('version', version.message);
  steps.push({ name: 'version', result: 'ok', message: `both speak version ${version.version}` });
  const unreachable = answer.reach.filter((reached) => reached.reachable === 'no');
  for (const { address, message } of unreachable) {
    steps.push({ name: 'preflight', result: 'warning', message: `the inviter cannot reach ${address}: ${message}` });
  }
  if (unreachable.length === 0) steps.push({ name: 'preflight', result: 'ok', message: 'the inviter is ready' });
}

async function redeem(connection: ConnectedHttp2, joining: Joining): Promise<{ readonly awaitingApproval: boolean }> {
  const answer = await ask(connection, '/join', joining);
  if (answer.kind === 'refused') throw refusal(answer, 'redeem');
  if (answer.kind !== 'joined') throw new StepFailure('redeem', 'expected an answer to a join, found another');
  const held = 'the inviter holds it until an operator there approves';
  joining.steps.push({
    name: 'redeem',
    result: 'ok',
    message: answer.awaitingApproval ? held : 'the inviter has registered us',
  });
  return answer;
}

function refusal(answer: { readonly code: string; readonly message: string }, step: JoinStepName): StepFailure {
  const named = answer.code === 'clock' || answer.code === 'version' ? answer.code : step;
  return new StepFailure(named, `refused (${answer.code}): ${answer.message}`);
}

async function ask(connection: ConnectedHttp2, path: '/preflight' | '/join', joining: Joining): Promise<JoinAnswer> {
  const { invite, options } = joining;
  const { id, secret } = invite;
  const { clock, self } = options;
  const deadline = new AbortController();
  const timer = clock.after(REQUEST_TIMEOUT_MS, () => deadline.abort());
  const signal = AbortSignal.any([options.signal, deadline.signal]);
  const json = writeJoinMessage({ id, secret, versions: JOIN_VERSIONS, nowMs: clock.now(), joiner: self });
  const question = { method: 'POST', authority: JOIN_AUTHORITY, path, json } as const;
  try {
    const answer = await askSmall(connection, question, { bytesMax: JOIN_BYTES_MAX, signal });
    return readJoinAnswer(answer.body);
  } catch (error) {
    options.signal.throwIfAborted();
    const hint = 'the gateway there does not know this invite, or gave up';
    throw new StepFailure(
      path === '/join' ? 'redeem' : 'preflight',
      `expected an answer, the connection was closed: ${hint} (${messageOf(error)})`,
    );
  } finally {
    timer[Symbol.dispose]();
  }
}

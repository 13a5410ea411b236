/** Whether addresses can be reached from here: a joiner's under an address policy, and our own advertised ones. */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type Duplex } from 'node:stream';

import { type Clock } from '../../base/clock.ts';
import { codeOf, JumpgateError, messageOf } from '../../base/errors.ts';
import { formatAddress, type ServerAddress } from '../../base/net/bind-server.ts';
import { isLoopbackAddress, isSameAddress, unusableAddress } from '../../base/net/special-address.ts';
import { type MeshIdentity } from '../../federation/peering/invite.ts';
import { type HostPort } from '../../federation/resources/values.ts';
import { connectMutualTls } from '../../trust-bundles/tls/connect.ts';
import { dial, type Lookup, systemLookup } from '../../trust-bundles/tls/dial.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { JOIN_PROTOCOL, type Reach } from './join-message.ts';

/** A stranger with an invite waits for it, and so does the operator who makes one. */
const REACH_TIMEOUT_MS = 3_000;

/** More gateways of one mesh say nothing new, and each is a connection that a stranger makes us open. */
const ADDRESSES_MAX = 4;

/** How a joiner's addresses are tried. */
export interface JoinerReachOptions {
  /** Our own jump listener: one that is bound to loopback is tried out on one machine, and may reach loopback. */
  readonly jump: ServerAddress;
  readonly clock: Clock;
  readonly lookup?: Lookup;
  /** Addresses of this machine; default those of its interfaces. */
  readonly ownAddresses?: () => readonly string[];
}

/** What tries a joiner's addresses: each resolved, checked, and connected to by address with TCP, which is closed at once. */
export function joinerReach(
  options: JoinerReachOptions,
): (addresses: readonly HostPort[]) => Promise<readonly Reach[]> {
  return (addresses) =>
    Promise.all(
      addresses.map(async (address, index): Promise<Reach> => {
        const shown = formatTcp(address);
        if (index < ADDRESSES_MAX) return { address: shown, ...(await tryJoiner(address, options)) };
        return { address: shown, reachable: 'unknown', message: `not tried: only the first ${ADDRESSES_MAX} are` };
      }),
    );
}

/** Why an IP address is not dialled for a stranger (federation.md, rule 12), or `undefined`. */
export function forbiddenAddress(
  ip: string,
  options: Pick<JoinerReachOptions, 'jump' | 'ownAddresses'>,
): string | undefined {
  if (isLoopbackAddress(ip)) return isLoopbackBound(options.jump) ? undefined : 'loopback';
  const found = unusableAddress(ip);
  if (found !== undefined) return found;
  const own = (options.ownAddresses ?? interfaceAddresses)();
  return own.some((address) => isSameAddress(ip, address)) ? 'of this machine' : undefined;
}

/** What {@link reachUs} needs. */
export interface ReachUsOptions {
  readonly self: MeshIdentity;
  readonly svid: SvidSource;
  /** As in a trust store. */
  readonly tainted: ReadonlySet<string>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly lookup?: Lookup;
}

/** Tries each address that we advertise from here, up to the TLS handshake, in which this gateway must prove its own identity. */
export async function reachUs(options: ReachUsOptions): Promise<readonly Reach[]> {
  return Promise.all(
    options.self.addresses.map(async (address) => ({
      address: formatTcp(address),
      ...(await tryUs(address, options)),
    })),
  );
}

/** `host:port`, an IPv6 literal in brackets. */
export function formatTcp({ host, port }: HostPort): string {
  return formatAddress({ kind: 'tcp', host, port });
}

type Outcome = Pick<Reach, 'reachable' | 'message'>;

async function tryJoiner({ host, port }: HostPort, options: JoinerReachOptions): Promise<Outcome> {
  const deadline = new AbortController();
  const late = new JumpgateError('timeout', `no answer within ${REACH_TIMEOUT_MS / 1000} s`, { source: 'peer' });
  const timer = options.clock.after(REACH_TIMEOUT_MS, () => deadline.abort(late));
  const allowed = (ip: string): string => {
    const what = forbiddenAddress(ip, options);
    if (what === undefined) return ip;
    throw new JumpgateError('address-refused', `not tried: ${ip} is ${what}`, { source: 'peer' });
  };
  // Checked where it is resolved, and connected to by what was checked: a second look-up could say something else.
  const lookup: Lookup = async (name) => (await (options.lookup ?? systemLookup)(name)).map(allowed);
  try {
    if (isIP(host) !== 0) allowed(host);
    const socket = await dial({ host, port, lookup, signal: deadline.signal });
    socket.destroy();
    return { reachable: 'yes', message: 'accepts connections' };
  } catch (error) {
    const refused = [error, error instanceof Error ? error.cause : undefined].find(
      (each) => codeOf(each) === 'address-refused',
    );
    if (refused !== undefined) return { reachable: 'unknown', message: messageOf(refused) };
    return { reachable: 'no', message: messageOf(error) };
  } finally {
    timer[Symbol.dispose]();
  }
}

async function tryUs({ host, port }: HostPort, options: ReachUsOptions): Promise<Outcome> {
  const { self, svid, tainted, clock, signal, lookup } = options;
  const trust = { bundles: new Map([[self.trustDomain, self.bundle]]), tainted };
  try {
    const connection = await connectMutualTls({
      host,
      port,
      svid,
      alpn: JOIN_PROTOCOL,
      verify: (chain) => {
        const verdict = verifySvid({ chain, trust, role: 'server', nowMs: clock.now() });
        if (verdict.kind === 'rejected' || verdict.id === self.gatewayId) return verdict;
        return { kind: 'rejected', code: 'other-identity', message: `expected ${self.gatewayId}, found ${verdict.id}` };
      },
      signal,
      clock,
      timeoutMs: REACH_TIMEOUT_MS,
      ...(lookup === undefined ? {} : { lookup }),
    });
    leave(connection.socket, clock);
    return { reachable: 'yes', message: 'reaches this gateway' };
  } catch (error) {
    signal.throwIfAborted();
    const code = codeOf(error);
    if (code === 'dns') return { reachable: 'unknown', message: `${messageOf(error)}; others may know the name` };
    if (code === 'tcp' || code === 'timeout') {
      return {
        reachable: 'no',
        message: `${messageOf(error)}; behind a NAT that does not lead back inside it may work from outside`,
      };
    }
    return { reachable: 'no', message: `this gateway does not answer there: ${messageOf(error)}` };
  }
}

/** By the end that TLS has for it: a reset would look to our own listener like a handshake that somebody broke off. */
function leave(socket: Duplex, clock: Clock): void {
  const timer = clock.after(REACH_TIMEOUT_MS, () => socket.destroy());
  socket.once('close', () => timer[Symbol.dispose]());
  socket.resume();
  socket.end();
}

function isLoopbackBound(jump: ServerAddress): boolean {
  if (jump.kind === 'unix' || jump.host === 'localhost') return true;
  return isIP(jump.host) !== 0 && isLoopbackAddress(jump.host);
}

function interfaceAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((found) => (found ?? []).map(({ address }) => address));
}

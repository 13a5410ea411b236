/** Listeners for local workloads: those of a Mesh, and the one that an Import of tcp or tls has for itself. */
import { object, optional } from '../../base/config/object.ts';
import { type Decoded, parsed, type Reading, type Schema } from '../../base/config/schema.ts';
import { trySpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { type IdPattern } from '../policy/rule.ts';
import { bindAddress, isLoopback, type Located, located, socketPath, spiffeId } from './fields.ts';
import { type ListenerLimits, listenerLimits, tunnelListenerLimits } from './limits.ts';
import { type BindAddress, type HostPort, type ImportListenSpec, type OutboundListenerSpec } from './values.ts';

/** An address or a socket; exactly one of them. */
export function bindTo(
  { address, socket }: { readonly address: HostPort | undefined; readonly socket: string | undefined },
  reading: Reading,
): Decoded<BindAddress> {
  if (address !== undefined && socket === undefined) return { value: { kind: 'tcp', ...address } };
  if (socket !== undefined && address === undefined) return { value: { kind: 'unix', path: socket } };
  return reading.problem('expected exactly one of address and socket');
}

/** Limits of TLS handshakes, of which a listener with `as` has none. */
const OF_HANDSHAKES = ['handshakeMs', 'handshakesPerTurn'] as const;

/** A listener for calls of local workloads. */
export const outboundListener: Schema<OutboundListenerSpec> = listenerWith(listenerLimits, OF_HANDSHAKES);

/** Under `as` it still waits `handshakeMs` for the ClientHello that it passes through. */
const tunnelListener: Schema<OutboundListenerSpec> = listenerWith(tunnelListenerLimits, ['handshakesPerTurn']);

function listenerWith(
  ownLimits: Schema<ListenerLimits>,
  ofTls: readonly (keyof ListenerLimits)[],
): Schema<OutboundListenerSpec> {
  return parsed(
    object('an outbound listener with address or socket, and as or mutualTls', {
      address: optional(bindAddress),
      socket: optional(socketPath),
      as: optional(spiffeId),
      mutualTls: optional(object('an empty mapping {}', {})),
      limits: optional(ownLimits),
    }),
    (spec, reading): Decoded<OutboundListenerSpec> => {
      const bound = bindTo(spec, reading);
      if (bound === null) return null;
      const address = bound.value;
      const limits = spec.limits === undefined ? {} : { limits: spec.limits };
      if ((spec.as === undefined) === (spec.mutualTls === undefined))
        return reading.problem('expected exactly one of as and mutualTls: it says how callers are known');
      if (spec.as === undefined) return { value: { address, caller: { kind: 'mutual-tls' }, ...limits } };
      const problem = reachableProblem(address);
      if (problem !== undefined) return reading.problem(problem);
      const moot = ofTls.find((name) => spec.limits?.[name] !== undefined);
      if (moot !== undefined)
        return reading.problem(`expected no limit ${moot} on a listener with "as", which makes no TLS handshake`);
      return { value: { address, caller: { kind: 'as', id: spec.as }, ...limits } };
    },
  );
}

/** Who can reach a listener that names its caller is that caller. */
function reachableProblem(address: BindAddress): string | undefined {
  if (address.kind === 'unix' || isLoopback(address.host)) return undefined;
  return `expected a loopback address or a socket for a listener with "as", found ${address.host}: whoever reaches it would be that caller; use mutualTls: {} there`;
}

/** `listen` of an Import as written: in short the address alone, whose caller is then whom `who` names. */
export type WrittenListen = Located<
  | { readonly kind: 'whole'; readonly spec: OutboundListenerSpec }
  | { readonly kind: 'short'; readonly address: HostPort }
>;

const LISTEN = 'an address to bind, host:port, or a listener with address or socket, and as or mutualTls';

/** `listen` of an Import. */
export const importListen: Schema<WrittenListen> = located<WrittenListen['value']>({
  expected: LISTEN,
  read: (node, place) => {
    if (node.kind === 'map') {
      const whole = tunnelListener.read(node, place);
      return whole === null ? null : { value: { kind: 'whole', spec: whole.value } };
    }
    if (node.kind !== 'string') return place.unexpected(node, LISTEN);
    const short = bindAddress.read(node, place);
    return short === null ? null : { value: { kind: 'short', address: short.value } };
  },
  json: () => ({ oneOf: [bindAddress.json(), tunnelListener.json()] }),
});

/** The listener, once `who` is known: an address alone speaks for the one workload that `who` names. */
export function listenOf(
  { value, origin }: WrittenListen,
  who: readonly IdPattern[],
  reading: Reading,
): Decoded<ImportListenSpec> {
  if (value.kind === 'whole') return { value: { ...value.spec, origin } };
  const place = reading.place.key('listen');
  const { host, port } = value.address;
  const [only, second] = who;
  const id = only === undefined || second !== undefined ? undefined : trySpiffeId(only);
  if (id === undefined) {
    const whole = `{ address: "${host.includes(':') ? `[${host}]` : host}:${port}", as: spiffe://... }`;
    return place.problem(
      origin,
      `expected listen: ${whole}, since "who" does not name exactly one workload: a connection names nobody, so its listener must`,
    );
  }
  const address: BindAddress = { kind: 'tcp', ...value.address };
  const problem = reachableProblem(address);
  if (problem !== undefined) return place.problem(origin, problem);
  return { value: { address, caller: { kind: 'as', id }, origin } };
}

/** The listeners for calls, opened from what the documents say, and the certificates of edges kept up to date. */
import { type Logger } from '../../base/log.ts';
import { type BindServer, formatAddress } from '../../base/net/bind-server.ts';
import { type BindAddress, type OutboundListenerSpec, type ResourceSet } from '../../federation/resources/values.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { type ListenerStatus } from '../admin/operations.ts';
import { type EdgeListener, openEdge } from '../edge/listener.ts';
import { type EdgeDeps } from '../edge/plans.ts';
import { type CallListener } from '../listen/call-listener.ts';
import { type ListenHost } from '../listen/connections.ts';
import { openOutboundListener } from '../outbound/listener.ts';
import { openTunnelListener } from '../tcp/listener.ts';
import { type EdgeListen } from './edge-credentials.ts';
import { type Drainable, type Lifecycle } from './lifecycle.ts';

/** Which listeners for calls there are. */
export interface CallListenSpecs {
  readonly outbound: readonly OutboundListenerSpec[];
  readonly imports: readonly { readonly name: string; readonly spec: OutboundListenerSpec }[];
  readonly edges: readonly EdgeListen[];
}

/** What the listeners need. */
export interface CallListenersOptions {
  readonly specs: CallListenSpecs;
  /** How the listener of a name, as status shows it, is bound; default is to listen. */
  readonly bindOf?: ((name: string) => BindServer) | undefined;
  readonly deps: EdgeDeps;
  readonly host: ListenHost;
  readonly snapshots: SnapshotSource;
  readonly svid: SvidSource;
  readonly lifecycle: Lifecycle;
  readonly log: Logger;
}

/** The open listeners. */
export interface CallListeners extends AsyncDisposable {
  readonly statuses: readonly ListenerStatus[];
  /** Throws `certificate-unusable` and keeps what the edge had. */
  replaceCertificates(edges: readonly EdgeListen[]): void;
}

/** A listener before it is bound. */
export interface NamedListener {
  /** Unique: what its connections are handed over by. */
  readonly binding: string;
  /** As status shows it. */
  readonly name: string;
  readonly kind: ListenerStatus['kind'];
  readonly at: BindAddress;
  readonly caller: string | null;
}

/** What the documents ask for. */
export function callListenSpecs(set: ResourceSet, edges: readonly EdgeListen[]): CallListenSpecs {
  const imports = set.imports.flatMap(({ name, spec: { listen } }) =>
    listen === undefined ? [] : [{ name, spec: listen }],
  );
  return { outbound: set.mesh.spec.listeners.outbound, imports, edges };
}

/** The listeners by name, in the order in which status shows them. */
export function namedListeners({ outbound, imports, edges }: CallListenSpecs): readonly NamedListener[] {
  const local = (kind: 'outbound' | 'import', name: string, spec: OutboundListenerSpec): NamedListener => ({
    binding: name,
    name,
    kind,
    at: spec.address,
    caller: callerOf(spec),
  });
  return [
    ...outbound.map((spec, index) => local('outbound', `outbound[${index}]`, spec)),
    ...imports.map(({ name, spec }) => local('import', `import ${name}`, spec)),
    ...edges.map(({ name, address }) => ({
      binding: `edge ${name}`,
      name,
      kind: 'edge' as const,
      at: address,
      caller: null,
    })),
  ];
}

/** Opens all of them, or none: throws what the first failing one throws. */
export async function openCallListeners(options: CallListenersOptions): Promise<CallListeners> {
  const { specs, bindOf, deps, host, snapshots, svid, lifecycle, log } = options;
  await using held = new AsyncDisposableStack();
  const addresses = new Map<string, string>();
  const keep = (name: string, listener: CallListener): void => {
    held.use(listener);
    lifecycle.register(name, drainable(listener));
    addresses.set(name, formatAddress(listener.address));
  };
  const edges = new Map<string, EdgeListener>();
  for (const [index, spec] of specs.outbound.entries()) {
    const name = `outbound[${index}]`;
    keep(name, await openOutboundListener({ spec, bind: bindOf?.(name), deps, host, snapshots, svid, log }));
  }
  for (const { name: imported, spec } of specs.imports) {
    const name = `import ${imported}`;
    const made = { imported, spec, views: deps.views, links: deps.links, host: deps.host, snapshots, svid, log };
    keep(name, await openTunnelListener({ ...made, bind: bindOf?.(name) }));
  }
  for (const { name, address, credentials, limits } of specs.edges) {
    const binding = `edge ${name}`;
    const edge = await openEdge({ name, address, bind: bindOf?.(binding), credentials, limits, deps, host, log });
    keep(binding, edge);
    edges.set(name, edge);
  }
  const statuses = namedListeners(specs).map(({ binding, name, kind, caller }) => ({
    name,
    kind,
    address: addresses.get(binding) ?? '',
    caller,
  }));
  const kept = held.move();
  return {
    statuses,
    replaceCertificates: (renewed) => {
      for (const { name, credentials } of renewed) edges.get(name)?.replaceCertificate(credentials);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function callerOf({ caller }: OutboundListenerSpec): string {
  return caller.kind === 'as' ? caller.id : 'mutual-tls';
}

/** A call listener as the lifecycle drains it; its deadline is the lifecycle's signal. */
function drainable(listener: CallListener): Drainable {
  return {
    stopAccepting: () => listener.stopAccepting(),
    drain: (signal) => untilAborted(signal, listener.drain(DRAIN_MS_MAX)),
    destroy: async () => listener[Symbol.asyncDispose](),
  };
}

/** Longer than any configured drain: the lifecycle's deadline comes first. */
const DRAIN_MS_MAX = 24 * 60 * 60 * 1000;

async function untilAborted(signal: AbortSignal, done: Promise<void>): Promise<void> {
  const aborted = Promise.withResolvers<undefined>();
  signal.addEventListener('abort', () => aborted.resolve(undefined), { once: true });
  if (!signal.aborted) await Promise.race([done, aborted.promise]);
}

/** The listeners for calls, opened from the documents, and the certificates of edges kept up to date. */
import { readFile } from 'node:fs/promises';

import { JumpgateError, messageOf } from '../../base/errors.ts';
import { type Logger } from '../../base/log.ts';
import { formatAddress } from '../../base/net/bind-server.ts';
import { type Edge, type OutboundListenerSpec, type ResourceSet } from '../../federation/resources/values.ts';
import { type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type SvidSource } from '../../trust-bundles/x509/svid.ts';
import { type ListenerStatus } from '../admin/operations.ts';
import { type EdgeListener, openEdge } from '../edge/listener.ts';
import { type EdgeDeps } from '../edge/plans.ts';
import { type CallListener, type ListenHost } from '../listen/connections.ts';
import { openOutboundListener } from '../outbound/listener.ts';
import { openTunnelListener } from '../tcp/listener.ts';
import { type Drainable, type Lifecycle } from './lifecycle.ts';

/** What the listeners need. */
export interface CallListenersOptions {
  readonly resources: ResourceSet;
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
  /** Reads the edges' certificates again. Throws `certificate-unusable` and keeps the old ones. */
  renewCertificates(resources: ResourceSet): Promise<void>;
}

/** Opens all of them, or none: throws what the first failing one throws. */
export async function openCallListeners(options: CallListenersOptions): Promise<CallListeners> {
  const { resources, deps, host, snapshots, svid, lifecycle, log } = options;
  await using held = new AsyncDisposableStack();
  const statuses: ListenerStatus[] = [];
  const edges = new Map<string, EdgeListener>();
  for (const [index, spec] of resources.mesh.spec.listeners.outbound.entries()) {
    const name = `outbound[${index}]`;
    const listener = held.use(await openOutboundListener({ spec, deps, host, snapshots, svid, log }));
    lifecycle.register(name, drainable(listener));
    statuses.push({ name, kind: 'outbound', address: formatAddress(listener.address), caller: callerOf(spec) });
  }
  for (const { name: imported, spec: importSpec } of resources.imports) {
    const spec = importSpec.listen;
    if (spec === undefined) continue;
    const name = `import ${imported}`;
    const made = { imported, spec, views: deps.views, links: deps.links, host: deps.host, snapshots, svid, log };
    const listener = held.use(await openTunnelListener(made));
    lifecycle.register(name, drainable(listener));
    statuses.push({ name, kind: 'import', address: formatAddress(listener.address), caller: callerOf(spec) });
  }
  for (const edge of resources.edges) {
    const { address } = edge.spec;
    const listener = held.use(
      await openEdge({ name: edge.name, address, credentials: await credentialsOf(edge), deps, host, log }),
    );
    edges.set(edge.name, listener);
    lifecycle.register(`edge ${edge.name}`, drainable(listener));
    statuses.push({ name: edge.name, kind: 'edge', address: formatAddress(listener.address), caller: null });
  }
  const kept = held.move();
  return {
    statuses,
    renewCertificates: async ({ edges: declared }) => {
      for (const edge of declared) edges.get(edge.name)?.replaceCertificate(await credentialsOf(edge));
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

async function credentialsOf({ name, spec }: Edge): Promise<{ readonly cert: string; readonly key: string }> {
  try {
    const [cert, key] = await Promise.all([
      readFile(spec.tls.certificateFile, 'utf8'),
      readFile(spec.tls.keyFile, 'utf8'),
    ]);
    return { cert, key };
  } catch (cause) {
    throw new JumpgateError('certificate-unusable', `Edge ${name}: ${messageOf(cause)}`, { source: 'config', cause });
  }
}

/** A gateway in one process: opens the two sides in the order they need each other, and closes them in reverse. */
import { type Writable } from 'node:stream';

import { createPeeringClient } from '../federation/peering/client.ts';
import { createRuntimeDirectory } from '../federation/peering/runtime-directory.ts';
import { sharedServerName } from '../federation/resources/shared-port.ts';
import { type GatewayOperations } from './admin/operations.ts';
import {
  type ControlCore,
  type ControlPlaneOptions,
  loadDocuments,
  type LoadedDocuments,
  openControlCore,
  openControlPlane,
} from './process/control-plane.ts';
import { openDataPlane } from './process/data-plane.ts';
import { localSide } from './process/data-side.ts';
import { readEdges } from './process/edge-credentials.ts';
import { callListenSpecs } from './process/listeners.ts';
import { joinOf } from './link/join-connection.ts';

/** How to start. */
export interface GatewayOptions extends ControlPlaneOptions {
  /** Where access lines go unless the Mesh document names a file. */
  readonly accessLog: Writable;
}

/** A running gateway. */
export interface Gateway {
  readonly operations: GatewayOperations;
  /** Reopens the access log and reads the configuration again. */
  hangUp(): void;
  /** Drains, then closes everything. */
  stop(): Promise<void>;
}

/** Starts a gateway, or throws with every problem in its message and nothing left open. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const loaded = await loadDocuments(options);
  await using held = new AsyncDisposableStack();
  const { operations, hangUp, core } = await start(options, loaded, held);
  const kept = held.move();
  const stop = async (): Promise<void> => {
    await core.lifecycle.shutdown({ deadlineMs: core.control.resources.mesh.spec.drainMs });
    await kept.disposeAsync();
  };
  return { operations, hangUp, stop };
}

async function start(
  options: GatewayOptions,
  loaded: LoadedDocuments,
  held: AsyncDisposableStack,
): Promise<Omit<Gateway, 'stop'> & { readonly core: ControlCore }> {
  const { clock, log } = options;
  const core = await openControlCore(options, loaded.set, held);
  const { identity, control, instance, joins, lifecycle } = core;
  const starting = lifecycle.begin('start');
  const { linksPerPeer, listeners, accessLogFile: path } = loaded.set.mesh.spec;
  const runtime = held.use(await createRuntimeDirectory());
  const data = held.use(
    await openDataPlane({
      snapshots: control.snapshots,
      svid: identity.svid,
      self: { instance: instance.id, epoch: instance.epoch, worker: 0, workers: 1 },
      linksPerPeer,
      jump: listeners.jump.address,
      bundleServerName: sharedServerName(listeners),
      calls: callListenSpecs(loaded.set, await readEdges(loaded.set.edges)),
      runtime,
      onJoin: (connection) => joins.serve(joinOf(connection)),
      accessLog: path === undefined ? { kind: 'stream', stream: options.accessLog } : { kind: 'file', path },
      lifecycle,
      clock,
      log,
    }),
  );
  const client = held.use(createPeeringClient({ socketPath: runtime.clientSocket, token: runtime.token }));
  const { operations, reload } = await openControlPlane(
    options,
    {
      core,
      loaded,
      data: localSide(data, client),
      runtime,
      jump: data.jump.address,
      calls: data.calls.statuses,
    },
    held,
  );
  starting[Symbol.dispose]();
  const hangUp = (): void => {
    void data.accessLog.reopen();
    reload();
  };
  return { operations, hangUp, core };
}

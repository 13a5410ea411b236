/** A listener for calls: what accepts its connections, and what serves them, stopped and drained together. */
import { type Server } from 'node:net';

import { type BindServer, bindServer } from '../../base/net/bind-server.ts';
import { type BindAddress } from '../../federation/resources/values.ts';

/** A listener for calls. */
export interface CallListener extends AsyncDisposable {
  /** As bound. */
  readonly address: BindAddress;
  /** No new connections; those that are open go on. */
  stopAccepting(): Promise<void>;
  /** No new connections and calls; resolves when those under way are done, or were cut after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
}

/** What takes connections on. Disposed of, it takes no more. */
export interface Acceptor extends AsyncDisposable {
  /** As bound. */
  readonly address: BindAddress;
  stopAccepting(): Promise<void>;
}

/** What has taken connections over. Disposed of, it cuts them. */
export interface Connections extends Disposable {
  drain(deadlineMs: number): Promise<void>;
}

/** A listener over what accepts its connections and what serves them. */
export function callListener(acceptor: Acceptor, connections: Connections): CallListener {
  return {
    address: acceptor.address,
    stopAccepting: () => acceptor.stopAccepting(),
    drain: async (deadlineMs) => {
      await acceptor.stopAccepting();
      await connections.drain(deadlineMs);
    },
    [Symbol.asyncDispose]: async () => {
      connections[Symbol.dispose]();
      await acceptor[Symbol.asyncDispose]();
    },
  };
}

/** Listens with `server`, whose connections outlast it. Throws as {@link bindServer} does. */
export async function acceptOn(
  server: Server,
  { address, bind = bindServer }: { readonly address: BindAddress; readonly bind?: BindServer | undefined },
): Promise<Acceptor> {
  server.on('error', () => undefined);
  const bound = await bind(server, address);
  const stopAccepting = (): Promise<void> => {
    // Resolves without waiting for open connections, which go on.
    if (server.listening) server.close();
    return Promise.resolve();
  };
  return { address: bound, stopAccepting, [Symbol.asyncDispose]: stopAccepting };
}

/** Servers of a process that listens on nothing: connections are handed to them by the name of their listener. */
import { type Server, type Socket } from 'node:net';

import { asRecord } from '../../base/brand.ts';
import { type BindServer, type ServerAddress } from '../../base/net/bind-server.ts';
import { type BoundListener } from './channel.ts';

const MS_PER_S = 1_000;

/** A server that connections are handed to. */
interface Handed {
  readonly server: Server;
  open: number;
}

/** The servers by name; made with the addresses where another process listens for them. */
export class HandedListeners {
  readonly #addresses: ReadonlyMap<string, ServerAddress>;
  readonly #servers = new Map<string, Handed>();

  constructor(bound: readonly BoundListener[]) {
    this.#addresses = new Map(bound.map(({ name, address }) => [name, address]));
  }

  /** Where a listener is bound; `undefined` for one that is not known. */
  addressOf(name: string): ServerAddress | undefined {
    return this.#addresses.get(name);
  }

  /** Binds a server to the connections of the listener `name`, until it closes. */
  bind(name: string): BindServer {
    return async (server, address) => {
      this.#servers.set(name, { server, open: 0 });
      server.once('close', () => this.#servers.delete(name));
      // Servers of HTTP begin to watch the deadlines of their requests here.
      server.emit('listening');
      return this.#addresses.get(name) ?? address;
    };
  }

  /** Gives a connection to its server, as if the server had accepted it itself. False when no server takes it. */
  serve(name: string, socket: Socket): boolean {
    const handed = this.#servers.get(name);
    if (handed === undefined) return false;
    const { server } = handed;
    // Node's types have it always, and its servers have not: then any number is taken.
    const max = asRecord(server)?.['maxConnections'];
    if (typeof max === 'number' && handed.open >= max) {
      const { localAddress, localPort, remoteAddress, remotePort } = socket;
      server.emit('drop', { localAddress, localPort, remoteAddress, remotePort });
      socket.destroy();
      return true;
    }
    handed.open += 1;
    socket.once('close', () => (handed.open -= 1));
    asAccepted(server, socket);
    server.emit('connection', socket);
    return true;
  }
}

/** What Node does with the options of a server for each connection that it accepts; it types none of them. */
function asAccepted(server: Server, socket: Socket): void {
  const options = asRecord(server) ?? {};
  const { keepAliveInitialDelay } = options;
  socket.allowHalfOpen = options['allowHalfOpen'] === true;
  if (options['noDelay'] === true) socket.setNoDelay(true);
  const delayMs = typeof keepAliveInitialDelay === 'number' ? keepAliveInitialDelay * MS_PER_S : 0;
  if (options['keepAlive'] === true) socket.setKeepAlive(true, delayMs);
  if (options['pauseOnConnect'] === true) socket.pause();
}

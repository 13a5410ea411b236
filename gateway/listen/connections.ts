/** The connections of one listener for calls: served by protocol, counted, finished and cut together. */
import { type Duplex } from 'node:stream';

import { type Clock } from '../../base/clock.ts';
import { type EarlyRefusals, type IncomingCall } from '../forward/exchange.ts';
import { createHttp1Server } from '../http1/server.ts';
import { serveHttp2, STRANGER_LIMITS } from '../http2/server.ts';
import { type BindAddress } from '../../federation/resources/values.ts';

/** Connections of one listener at once (security.md §3). */
const CONNECTIONS_MAX = 10_000;

/** Time to complete a request's headers, and before it what tells the protocol (security.md §3). */
const HEADERS_TIMEOUT_MS = 10_000;

/** What a listener for calls takes on. */
export interface ListenLimits {
  readonly connectionsMax: number;
  readonly headersTimeoutMs: number;
}

/** A listener for calls. */
export interface CallListener extends AsyncDisposable {
  /** As bound. */
  readonly address: BindAddress;
  /** No new connections; those that are open go on. */
  stopAccepting(): Promise<void>;
  /** No new connections and calls; resolves when those under way are done, or were cut after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
}

/** A connection to serve. */
export interface Accepted {
  readonly socket: Duplex;
  readonly protocol: 'http1' | 'http2';
  readonly scheme: 'http' | 'https';
  readonly remoteAddress: string;
  readonly onCall: (call: IncomingCall) => void;
  readonly refusals: EarlyRefusals;
}

/** Serves connections. */
export interface CallConnections extends Disposable {
  /** As given, or the defaults. */
  readonly limits: ListenLimits;
  /** Takes a connection over; closes it at once when there are too many. */
  serve(accepted: Accepted): void;
  /** Registers a connection whose protocol is not known yet. False (and destroyed) when there are too many. */
  hold(socket: Duplex): boolean;
  drain(deadlineMs: number): Promise<void>;
}

/** Makes an empty set of connections. */
export function createCallConnections(clock: Clock, given: Partial<ListenLimits> = {}): CallConnections {
  const limits = { connectionsMax: CONNECTIONS_MAX, headersTimeoutMs: HEADERS_TIMEOUT_MS, ...given };
  const { connectionsMax, headersTimeoutMs } = limits;
  const sockets = new Set<Duplex>();
  const finishers = new Map<Duplex, () => void>();
  const http1 = createHttp1Server({ clock, headersTimeoutMs });
  const idle = { draining: false, onEmpty: (): void => undefined };
  const hold = (socket: Duplex): boolean => {
    if (sockets.has(socket)) return !socket.destroyed;
    socket.on('error', () => undefined);
    if (idle.draining || sockets.size >= connectionsMax || socket.destroyed) {
      socket.destroy();
      return false;
    }
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      finishers.delete(socket);
      if (sockets.size === 0) idle.onEmpty();
    });
    return true;
  };
  const serveSession = (accepted: Accepted): void => {
    const served = serveHttp2(accepted.socket, {
      ...accepted,
      limits: STRANGER_LIMITS,
      stall: { clock, timeoutMs: headersTimeoutMs },
    });
    finishers.set(accepted.socket, () => {
      served.finish();
    });
  };
  const destroy = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    limits,
    hold,
    serve: (accepted) => {
      const { socket, protocol } = accepted;
      if (!hold(socket)) return;
      if (protocol === 'http1') http1.serve(socket, accepted);
      else serveSession(accepted);
    },
    drain: async (deadlineMs) => {
      idle.draining = true;
      http1.finish();
      for (const finish of finishers.values()) finish();
      if (sockets.size === 0) return;
      await new Promise<void>((resolve) => {
        const timer = clock.after(deadlineMs, destroy);
        idle.onEmpty = (): void => {
          timer[Symbol.dispose]();
          resolve();
        };
      });
    },
    [Symbol.dispose]: () => {
      idle.draining = true;
      destroy();
      http1[Symbol.dispose]();
    },
  };
}

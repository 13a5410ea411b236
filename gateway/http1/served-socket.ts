/** One connection that speaks HTTP/1.1, and the requests on it that end before they are calls. */
import http from 'node:http';
import { Socket } from 'node:net';
import { type Duplex } from 'node:stream';

import { type Clock } from '../../base/clock.ts';
import { type EarlyRefusal, type EarlyRefusals, type IncomingCall } from '../forward/exchange.ts';
import { entryOf } from '../refusal/reason.ts';

/** How long the other side may take to read a refusal before the connection is cut: closing at once would reset it away. */
const LINGER_MS = 1_000;

/** What each connection is served with. */
export interface Http1Connection {
  readonly scheme: 'http' | 'https';
  readonly remoteAddress: string;
  readonly onCall: (call: IncomingCall) => void;
  readonly refusals: EarlyRefusals;
}

/** A request that became a call, and how to tell that call that its caller is gone. */
export interface Exchange {
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  readonly gone: AbortController;
}

/** A connection with what is under way on it. */
export class ServedSocket {
  readonly connection: Http1Connection;
  readonly #socket: Duplex;
  readonly #clock: Clock;
  #calls = 0;
  #latest: Exchange | undefined;
  #owed: EarlyRefusal | undefined;
  #refused = false;

  constructor(socket: Duplex, connection: Http1Connection, clock: Clock) {
    this.#socket = socket;
    this.connection = connection;
    this.#clock = clock;
  }

  /** A request has become a call. */
  began(exchange: Exchange): void {
    this.#latest = exchange;
    this.#calls += 1;
    exchange.response.once('close', () => {
      this.#calls -= 1;
      if (this.#calls === 0 && this.#owed !== undefined) this.#answer(this.#owed);
    });
  }

  /** Refuses what came last and ends the connection; never inside the response to an earlier request. Only the first time. */
  refuse(refusal: EarlyRefusal): void {
    if (this.#refused) return;
    this.#refused = true;
    const latest = this.#latest;
    if (this.#calls === 0 || latest === undefined) {
      this.#answer(refusal);
    } else if (latest.request.complete) {
      // It stands behind a good request, which still gets its response.
      this.#owed = refusal;
    } else if (this.#calls > 1 || latest.response.headersSent) {
      this.connection.refusals.record(refusal);
      cut(this.#socket);
    } else {
      // The body of a call is broken: the call ends as one whose caller went away.
      latest.gone.abort();
      this.#answer(refusal);
    }
  }

  #answer(refusal: EarlyRefusal): void {
    const socket = this.#socket;
    if (!socket.writable) {
      socket.destroy();
      return;
    }
    const { refusals } = this.connection;
    refusals.record(refusal);
    const { status } = entryOf(refusal.reason);
    const reason = refusals.tellReason ? `jumpgate-reason: ${refusal.reason}\r\n` : '';
    const line = `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ''}`;
    socket.on('error', () => undefined);
    socket.end(`${line}\r\n${reason}content-length: 0\r\nconnection: close\r\n\r\n`);
    socket.resume();
    const timer = this.#clock.after(LINGER_MS, () => socket.destroy());
    socket.once('close', () => timer[Symbol.dispose]());
  }
}

/** A reset rather than a FIN: a response that is delimited by the connection's end must not look complete. */
export function cut(socket: Duplex): void {
  try {
    if (socket instanceof Socket) socket.resetAndDestroy();
    else socket.destroy();
  } catch {
    // Node resets bare TCP only and throws for TLS, where the missing close_notify tells, and for Unix sockets.
    socket.destroy();
  }
}

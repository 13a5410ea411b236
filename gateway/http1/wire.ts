/** What an HTTP/1.1 connection needs of its socket. */
import { type Outlet } from '../message/output.ts';

/** The socket as the protocol code knows it. All take effect at once and may be called again. */
export interface Wire {
  readonly outlet: Outlet;
  /** Sends what was added so far, then FIN; what still comes in is read. */
  end(): void;
  /** The same, and drops the socket when the other end has had time to read what was sent (RFC 9112 §9.6). */
  close(): void;
  /** Ends the connection such that nobody takes what was sent for complete: RST where that can be. */
  cut(): void;
  /** Stops and starts the reading of bytes. */
  pause(): void;
  resume(): void;
}

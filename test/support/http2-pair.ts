/** Both ends of an HTTP/2 connection in memory: what one writes the other reads, when told to. */
import { Http2ClientConnection } from '../../gateway/http2/client-connection.ts';
import { type ConnectionEvents } from '../../gateway/http2/connection.ts';
import { LINK_CONNECTION, type ConnectionLimits } from '../../gateway/http2/limits.ts';
import { Http2ServerConnection } from '../../gateway/http2/server-connection.ts';
import { BufferPool, Output, type Outlet } from '../../gateway/message/output.ts';
import { type RequestListener } from '../../gateway/message/stream.ts';

/** A way out that leads nowhere until it is taken from. */
export class MemoryOutlet implements Outlet {
  readonly output = new Output(new BufferPool());
  writable = true;
  scheduled = false;

  schedule(): void {
    this.scheduled = true;
  }

  /** Takes what is written as one buffer. */
  take(): Buffer {
    const batch = this.output.take();
    const bytes = Buffer.concat(batch.segments, batch.bytes);
    this.output.release(batch);
    this.scheduled = false;
    return bytes;
  }
}

/** What was told of a connection. */
export class RecordedEvents implements ConnectionEvents {
  readonly closed: { readonly code: number; readonly reason: string; readonly byPeer: boolean }[] = [];
  abuses = 0;

  onClosed(code: number, reason: string, byPeer: boolean): void {
    this.closed.push({ code, reason, byPeer });
  }

  onAbuse(): void {
    this.abuses += 1;
  }
}

/** A client and a server. */
export class Http2Pair {
  readonly clientOutlet = new MemoryOutlet();
  readonly serverOutlet = new MemoryOutlet();
  readonly clientEvents = new RecordedEvents();
  readonly serverEvents = new RecordedEvents();
  readonly client: Http2ClientConnection;
  readonly server: Http2ServerConnection;

  constructor(listener: RequestListener, limits: ConnectionLimits = LINK_CONNECTION) {
    this.client = new Http2ClientConnection({ outlet: this.clientOutlet, limits, events: this.clientEvents });
    this.server = new Http2ServerConnection({
      outlet: this.serverOutlet,
      limits,
      events: this.serverEvents,
      listener,
      scheme: 'http',
    });
  }

  /** Ends a turn at both ends and carries over what was written. False if nothing was. */
  step(): boolean {
    this.client.turnEnd();
    const up = this.clientOutlet.take();
    this.server.turnEnd();
    const down = this.serverOutlet.take();
    if (up.length > 0) this.server.receive(up);
    if (down.length > 0) this.client.receive(down);
    return up.length > 0 || down.length > 0;
  }

  /** Steps until both are quiet. */
  settle(): void {
    for (let steps = 0; this.step(); steps += 1) if (steps > 100_000) throw new Error('the pair never comes to rest');
  }
}

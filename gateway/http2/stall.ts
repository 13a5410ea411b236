/** Cuts connections that stop half-way: before their SETTINGS are in, or inside a header block. node:http2 waits for ever. */
import { type ServerHttp2Session } from 'node:http2';

import { type Clock } from '../../base/clock.ts';

/** Looks per deadline: what has stood still for this many in a row is cut, so never later than the deadline. */
const LOOKS = 4;

/** How long a connection may stand still. */
export interface StallLimit {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** Watches until the session closes. */
export function cutStalled(session: ServerHttp2Session, limit: StallLimit): void {
  let newest = 0;
  let suspect = 0;
  let looks = 0;
  let timer: Disposable | undefined;
  let greeted = false;
  session.once('remoteSettings', () => {
    greeted = true;
    looks = 0;
  });
  session.on('stream', (stream) => {
    newest = Math.max(newest, stream.id ?? 0);
  });
  const look = (): void => {
    if (session.destroyed) return;
    const begun = session.state.lastProcStreamID ?? 0;
    if (greeted && begun <= newest) looks = 0;
    else if (greeted && begun !== suspect) {
      suspect = begun;
      looks = 1;
      // A stream that node refused by itself was not announced either; whoever is inside a header block cannot answer.
      session.ping((error) => {
        if (error === null) newest = Math.max(newest, begun);
      });
    } else looks += 1;
    if (looks >= LOOKS) session.destroy();
    else arm();
  };
  const arm = (): void => {
    timer = limit.clock.after(limit.timeoutMs / LOOKS, look);
  };
  arm();
  session.once('close', () => timer?.[Symbol.dispose]());
}

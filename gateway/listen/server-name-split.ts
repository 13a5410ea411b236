/**
 * One port for two TLS servers that must not share a context, told apart by the server name of the ClientHello before
 * either sees a byte: what asks for `serverName` is passed on, still encrypted, to the server behind a local socket.
 *
 *     connection ──hello asks for serverName──> relayed to the socket as it came
 *         │ ╲──any other hello, or none────────> proceed, the bytes put back
 *         ╰────nothing whole in time───────────> closed
 */
import { connect, type Socket } from 'node:net';
import { pipeline } from 'node:stream';

import { type Clock } from '../../base/clock.ts';
import { type Divert } from '../../trust-bundles/tls/accept.ts';
import { ClientHelloReader } from '../tcp/client-hello.ts';

/** As many as the bundle endpoint takes. */
const RELAYED_MAX = 1_000;

/** What is passed on, and where to. */
export interface ServerNameSplitOptions {
  /** Lower case. */
  readonly serverName: string;
  /** Of the other server. */
  readonly socketPath: string;
  readonly clock: Clock;
}

/** Makes the split of one listener. */
export function splitByServerName({ serverName, socketPath, clock }: ServerNameSplitOptions): Divert {
  let relayed = 0;
  const relay = (raw: Socket): void => {
    if (relayed >= RELAYED_MAX) {
      raw.destroy();
      return;
    }
    relayed += 1;
    const other = connect(socketPath);
    let halves = 2;
    const over = (): void => {
      halves -= 1;
      if (halves === 0) relayed -= 1;
    };
    // An end that breaks off takes the other with it.
    pipeline(raw, other, over);
    pipeline(other, raw, over);
  };
  return (raw, { withinMs, proceed }) => {
    const reader = new ClientHelloReader();
    const seen: Buffer[] = [];
    const timer = clock.after(withinMs, () => raw.destroy());
    const onData = (chunk: Buffer): void => {
      seen.push(chunk);
      const step = reader.read(chunk);
      if (step.kind === 'incomplete') return;
      timer[Symbol.dispose]();
      raw.off('data', onData);
      raw.pause();
      raw.unshift(Buffer.concat(seen));
      // What is no ClientHello gets its alert from the server that would have had it.
      if (step.kind === 'hello' && step.hello.serverName === serverName) relay(raw);
      else proceed();
    };
    raw.on('data', onData);
    raw.once('close', () => timer[Symbol.dispose]());
  };
}

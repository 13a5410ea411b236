/** A local workload's HTTP call to an outbound listener or an edge, as curl would make it. */
import { type IncomingMessage, request } from 'node:http';
import { request as requestOverTls } from 'node:https';
import { text } from 'node:stream/consumers';

/** What to ask, of whom. */
export interface LocalCall {
  /** `host:port` of the listener. */
  readonly listener: string;
  /** Host name of the import, or of the edge's route. */
  readonly host: string;
  readonly method: string;
  readonly path: string;
  /** PEM of the certificate to trust: the call then goes over TLS, as an outside caller's does. */
  readonly certificate?: string;
}

/** What came back. */
export interface LocalAnswer {
  readonly status: number;
  /** The gateway's reason code, where it says one. */
  readonly reason: string | undefined;
  readonly body: string;
}

const CALL_MS_MAX = 20_000;

/** Makes the call on a connection of its own; rejects when no answer comes. */
export async function callLocally(call: LocalCall): Promise<LocalAnswer> {
  const separator = call.listener.lastIndexOf(':');
  const common = {
    host: call.listener.slice(0, separator),
    port: Number(call.listener.slice(separator + 1)),
    method: call.method,
    path: call.path,
    headers: { host: call.host },
    agent: false,
    signal: AbortSignal.timeout(CALL_MS_MAX),
  } as const;
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing =
      call.certificate === undefined
        ? request(common, resolve)
        : requestOverTls({ ...common, ca: call.certificate, servername: call.host }, resolve);
    outgoing.on('error', reject);
    outgoing.end();
  });
  const reason = answer.headers['jumpgate-reason'];
  return {
    status: answer.statusCode ?? 0,
    reason: typeof reason === 'string' ? reason : undefined,
    body: await text(answer),
  };
}

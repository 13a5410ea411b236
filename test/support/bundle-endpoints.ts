/** Bundle endpoints of ours and rude ones, and clients of them, over real TLS on loopback. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer, request, type RequestOptions, type Server } from 'node:https';
import { text } from 'node:stream/consumers';

import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { parseSpiffeId } from '../../trust-bundles/identity/spiffe-id.ts';
import { serveBundle } from '../../trust-bundles/serve/bundle-endpoint.ts';
import {
  type BundleEndpoint,
  bundleEndpoint,
  type BundleEndpointOptions,
} from '../../trust-bundles/source/bundle-endpoint.ts';
import { type TlsListener } from '../../trust-bundles/tls/accept.ts';
import { credentialsOf, type TlsCredentials } from '../../trust-bundles/tls/context.ts';
import { svidCredentials } from '../../trust-bundles/tls/server-credentials.ts';
import { portOf } from './tls.ts';
import { svidSource, forgingDomain, testDomain, type TestSvidSource, trustIn } from './trust.ts';

/** The domain whose bundle is served, and another one. */
export const us = testDomain('us.test');
/** Its bundle vouches for IDs of `us.test` too, with a root of its own. */
export const forger = forgingDomain('eu.test', 'us.test');
export const eu = forger.domain;
export const usGateway = parseSpiffeId('spiffe://us.test/jumpgate');
/** A signal that nothing aborts. */
export const never = new AbortController().signal;

/** A server of our bundle, `https_spiffe` unless told otherwise. */
export interface TestBundleServer extends AsyncDisposable {
  readonly listener: TlsListener;
  readonly port: number;
  readonly svid: TestSvidSource;
  /** Served from now on. */
  bundle: Bundle;
}

/** Serves the bundle of `us.test` on loopback; `svid` instead of that of its gateway. */
export async function bundleServer({
  svid = svidSource(us.svid('/jumpgate')),
  ...options
}: Partial<Parameters<typeof serveBundle>[0]> & { readonly svid?: TestSvidSource } = {}): Promise<TestBundleServer> {
  const state = { bundle: us.bundle };
  const listener = await serveBundle({
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    credentials: svidCredentials(svid),
    bundle: () => state.bundle,
    log: silentLog,
    clock: systemClock,
    ...options,
  });
  return Object.assign(state, {
    listener,
    port: portOf(listener),
    svid,
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  });
}

/** A client of `us.test` that demands its gateway ID. */
export function clientOf(port: number, options: Partial<BundleEndpointOptions> = {}): BundleEndpoint {
  return bundleEndpoint({
    url: `https://gw.us.test:${port}/`,
    profile: { kind: 'https_spiffe', spiffeId: usGateway },
    trustDomain: us.trustDomain,
    trust: () => trustIn(us, eu),
    clock: systemClock,
    lookup: async () => ['127.0.0.1'],
    ...options,
  });
}

/** A response. */
export interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What a stranger without any credential gets. */
export async function ask(port: number, options: RequestOptions = {}, body = ''): Promise<Answer> {
  const call = request({ host: '127.0.0.1', port, rejectUnauthorized: false, agent: false, ...options });
  call.end(body);
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

/** An endpoint with the right identity, or with other credentials, and manners of its own. */
export async function rudeServer(
  listener: RequestListener,
  credentials: TlsCredentials = credentialsOf(us.svid('/jumpgate')),
  host = '127.0.0.1',
): Promise<AsyncDisposable & { port: number; server: Server }> {
  const server = createServer(credentials, listener);
  server.on('tlsClientError', () => undefined);
  server.listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    port: address.port,
    server,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

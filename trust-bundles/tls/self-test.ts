/** A handshake with ourselves at start-up, to learn whether this runtime shows the certificates that a peer sends. */
import { duplexPair } from 'node:stream';
import { connect as connectTls, createServer, type SecureContextOptions, type TLSSocket } from 'node:tls';

import { type Clock } from '../../base/clock.ts';
import { JumpgateError, messageOf } from '../../base/errors.ts';
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import { parseTrustDomain } from '../identity/trust-domain.ts';
import { createRoot, issueSvid } from '../x509/issue.ts';
import { mutualTlsContext } from './context.ts';
import { peerChain } from './peer-chain.ts';

/** Milliseconds would do; this is for machines that are starting everything at once. */
const SELF_TEST_TIMEOUT_MS = 10_000;
const CERTIFICATE_TTL_MS = 60 * 60 * 1000;

/** Reads what a socket shows of its peer's chain, as the number of certificates; injected to prove that the test can fail. */
export type ChainCounter = (socket: TLSSocket) => number;

/**
 * Lets a client and a server, each with a leaf and a second certificate, shake hands in memory, and refuses to start
 * (`runtime-hides-chain`) when either side sees less: chains with intermediates would then fail without a reason
 * (nodejs/node#65579 broke it in 24.21.0 for servers with verified roots).
 */
export async function selfTestChainGetter(clock: Clock, count: ChainCounter = countChain): Promise<void> {
  const nowMs = clock.now();
  const trustDomain = parseTrustDomain('self-test.invalid');
  const root = createRoot({ trustDomain, nowMs, ttlMs: CERTIFICATE_TTL_MS });
  const id = parseSpiffeId('spiffe://self-test.invalid/self');
  const leaf = issueSvid({ root, id, nowMs, ttlMs: CERTIFICATE_TTL_MS });
  const svid = { ...leaf, chain: [...leaf.chain, root.certificate] };
  const seen = await shakeHands(mutualTlsContext(svid), clock, count);
  if (seen.client === svid.chain.length && seen.server === svid.chain.length) return;
  throw selfTestError(
    `expected to see ${svid.chain.length} certificates of a peer, found ${seen.server} as server and ${seen.client} as client`,
  );
}

function countChain(socket: TLSSocket): number {
  const peer = peerChain(socket);
  return peer.kind === 'chain' ? peer.chain.length : 0;
}

function selfTestError(message: string, cause?: unknown): JumpgateError {
  return new JumpgateError(
    'runtime-hides-chain',
    `self-test of the TLS runtime failed: ${message}; Node ${process.version} cannot verify chains, use another release`,
    { source: 'local', cause },
  );
}

interface Seen {
  readonly client: number;
  readonly server: number;
}

async function shakeHands(context: SecureContextOptions, clock: Clock, count: ChainCounter): Promise<Seen> {
  const [near, far] = duplexPair();
  const terminator = createServer({ ...context, requestCert: true, rejectUnauthorized: false });
  const client = connectTls({ ...context, socket: near, rejectUnauthorized: false });
  const timeout = Promise.withResolvers<never>();
  const timer = clock.after(SELF_TEST_TIMEOUT_MS, () => timeout.reject(selfTestError('the handshake did not end')));
  try {
    const atServer = new Promise<number>((resolve, reject) => {
      terminator.once('secureConnection', (socket) => {
        socket.on('error', reject);
        resolve(count(socket));
      });
      terminator.once('tlsClientError', reject);
    });
    const atClient = new Promise<number>((resolve, reject) => {
      client.once('secureConnect', () => resolve(count(client)));
      client.on('error', reject);
    });
    terminator.emit('connection', far);
    const both = await Promise.race([Promise.all([atServer, atClient]), timeout.promise]);
    return { server: both[0], client: both[1] };
  } catch (error) {
    if (error instanceof JumpgateError) throw error;
    throw selfTestError(`the handshake failed: ${messageOf(error)}`, error);
  } finally {
    timer[Symbol.dispose]();
    client.destroy();
    near.destroy();
    far.destroy();
  }
}

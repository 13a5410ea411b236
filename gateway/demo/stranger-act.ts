/** A gateway of a mesh that nobody registered, with a CA and an SVID of its own, at the jump listener. */
import { type Duplex } from 'node:stream';

import { type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { parseTrustDomain } from '../../trust-bundles/identity/trust-domain.ts';
import { gatewayIdOf } from '../../trust-bundles/identity/spiffe-id.ts';
import { connectMutualTls } from '../../trust-bundles/tls/connect.ts';
import { type Bundle } from '../../trust-bundles/bundle/bundle.ts';
import { x509Authority } from '../../trust-bundles/bundle/document.ts';
import { verifySvid } from '../../trust-bundles/verify/verify.ts';
import { createRoot, issueSvid } from '../../trust-bundles/x509/issue.ts';

const HOUR_MS = 60 * 60 * 1000;

/** Dials `jump` as the stranger. In TLS 1.3 the dialler learns of its refusal after the handshake: the connection is closed. */
export async function connectAsStranger(
  jump: string,
  clock: Clock,
): Promise<{ readonly refused: boolean; readonly message: string }> {
  const trustDomain = parseTrustDomain('mallory.example.org');
  const nowMs = clock.now();
  const root = createRoot({ trustDomain, nowMs, ttlMs: HOUR_MS });
  const svid = issueSvid({ root, id: gatewayIdOf(trustDomain), nowMs, ttlMs: HOUR_MS });
  const bundle: Bundle = {
    trustDomain,
    x509Authorities: [x509Authority(root.certificate)],
    jwtAuthorities: [],
    sequence: 1n,
    refreshHintSeconds: undefined,
  };
  const trust = { bundles: new Map([[trustDomain, bundle]]), tainted: new Set<string>() };
  const separator = jump.lastIndexOf(':');
  try {
    const { socket } = await connectMutualTls({
      host: jump.slice(0, separator),
      port: Number(jump.slice(separator + 1)),
      svid: { current: () => svid, watch: () => ({ [Symbol.dispose]: () => undefined }) },
      alpn: 'h2',
      // Whom the stranger believes is its own affair: it takes the gateway for one of its own mesh, by its own chain.
      verify: () => verifySvid({ chain: svid.chain, trust, role: 'server', nowMs }),
      signal: new AbortController().signal,
      clock,
    });
    return {
      refused: await isClosedSilently(socket),
      message: 'the gateway closed the connection without a byte of HTTP/2',
    };
  } catch (error) {
    return { refused: true, message: messageOf(error) };
  }
}

/** Whether the other side closes without having said anything. */
function isClosedSilently(socket: Duplex): Promise<boolean> {
  return new Promise((resolve) => {
    let heard = false;
    socket.on('data', () => {
      heard = true;
      socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.once('close', () => {
      resolve(!heard);
    });
  });
}

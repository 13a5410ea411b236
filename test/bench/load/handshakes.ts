/** New mutual-TLS connections, one after another, each used until the server has spoken. */
import { connect } from 'node:tls';

import { type HandshakeTarget } from '../gateways/competitor.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');

/**
 * Makes `count` connections, taking the target's identities in turn. In TLS 1.3 a client has finished before the server
 * has verified, so each waits for the server's first bytes: its HTTP/2 settings.
 */
export async function handshakes(target: HandshakeTarget, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    const identity = target.identities[index % target.identities.length];
    if (identity === undefined) throw new Error('expected an identity');
    await handshake(target, identity);
  }
}

async function handshake(target: HandshakeTarget, identity: HandshakeTarget['identities'][number]): Promise<void> {
  const socket = connect({
    ...identity,
    host: '127.0.0.1',
    port: target.port,
    servername: target.serverName,
    ca: target.ca,
    // Only the server's side is measured here, and it bears SPIFFE IDs, not host names.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256',
    ecdhCurve: 'X25519',
    ALPNProtocols: ['h2'],
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', () => socket.write(PREFACE));
    socket.once('data', () => resolve());
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the server closed a connection that it should have accepted')));
  });
  socket.destroy();
}

/** A bare mutual-TLS server of Node, the yardstick of handshakes: a process of its own, whose arguments are PEM files. */
import { readFileSync } from 'node:fs';
import { type AddressInfo } from 'node:net';
import { createServer } from 'node:tls';

const [cert, key, ca] = process.argv.slice(2).map((path) => readFileSync(path, 'utf8'));

const server = createServer(
  {
    ...{ cert, key, ca },
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256',
    ecdhCurve: 'X25519',
    ALPNProtocols: ['h2'],
  },
  (socket) => {
    socket.on('error', () => undefined);
    socket.resume();
    // An empty SETTINGS frame: the sign that the client waits for.
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
  },
);
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ port: (server.address() as AddressInfo).port })}\n`);
});

/** Bytes through a TCP tunnel. */
import { once } from 'node:events';
import { connect } from 'node:net';

/** Asks the backend's source for `bytes` over one connection, and resolves when all have come. */
export async function download(port: number, bytes: number): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  const wanted = Buffer.alloc(8);
  wanted.writeBigUInt64BE(BigInt(bytes));
  socket.write(wanted);
  let got = 0;
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`the tunnel closed after ${got} of ${bytes} bytes`)));
    socket.on('data', (chunk: Buffer) => {
      got += chunk.length;
      if (got >= bytes) resolve();
    });
  });
  socket.destroy();
}

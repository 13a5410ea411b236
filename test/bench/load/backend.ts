/** The one backend of all gateways, a process of its own: each service on a port of its own, told on standard output. */
import { type AddressInfo, createServer, type Socket } from 'node:net';

import { ANSWERS } from './blocks.ts';
import { RawHttp2 } from './raw-http2.ts';
import { type BackendPorts } from './services.ts';

const SMALL = 12;
const LARGE = 16_384;
const GRPC_MESSAGE = 205;
const BLANK_LINE = '\r\n\r\n';
const HTTP1_ANSWER = Buffer.from(
  'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 12\r\n\r\njumpgate ok\n',
);
const SOURCE = Buffer.alloc(64 * 1024, 'jumpgate bench ');

const streamBytes = Number(process.argv[2]);

/** Answers when a request has ended, whatever it says. */
function answering(answer: (connection: RawHttp2, stream: number) => void): (socket: Socket) => void {
  return (socket) => {
    const connection = new RawHttp2(socket, 'server', {
      headers: (stream, _ok, end) => {
        if (end) answer(connection, stream);
      },
      data: (stream, _length, end) => {
        if (end) answer(connection, stream);
      },
      failed: () => undefined,
    });
  };
}

function plain(bytes: number): (connection: RawHttp2, stream: number) => void {
  return (connection, stream) => {
    connection.headers(stream, ANSWERS.plain, false);
    connection.body(stream, bytes);
  };
}

function grpc(connection: RawHttp2, stream: number): void {
  connection.headers(stream, ANSWERS.grpc, false);
  connection.body(stream, GRPC_MESSAGE, ANSWERS.grpcTrailers);
}

/** Requests without bodies only. */
function http1(socket: Socket): void {
  let rest = '';
  socket.setNoDelay(true);
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    const heads = (rest + chunk.toString('latin1')).split(BLANK_LINE);
    rest = heads.pop() ?? '';
    heads.forEach(() => socket.write(HTTP1_ANSWER));
  });
}

/** Sends as many bytes as the first eight that it gets say. */
function source(socket: Socket): void {
  let left = 0;
  const pour = (): void => {
    while (left > 0 && !socket.writableNeedDrain) {
      const size = Math.min(left, SOURCE.length);
      left -= size;
      socket.write(SOURCE.subarray(0, size));
    }
  };
  socket.on('error', () => undefined);
  socket.on('drain', pour);
  socket.on('data', (chunk: Buffer) => {
    left = Number(chunk.readBigUInt64BE(0));
    pour();
  });
}

async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer(onConnection);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', 1024, resolve);
  });
  return (server.address() as AddressInfo).port;
}

const ports: BackendPorts = {
  small: await listen(answering(plain(SMALL))),
  large: await listen(answering(plain(LARGE))),
  stream: await listen(answering(plain(streamBytes))),
  grpc: await listen(answering(grpc)),
  http1: await listen(http1),
  tcp: await listen(source),
};
process.stdout.write(`${JSON.stringify(ports)}\n`);

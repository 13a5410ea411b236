/** Speed of one stream over TLS whose round trip takes so many ms (150), through a relay that delays. Prints, asserts nothing. */
import { type ChildProcess, fork } from 'node:child_process';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';

import { systemClock } from '../../base/clock.ts';
import { LINK_CONNECTION } from '../../gateway/http2/limits.ts';
import { Stream } from '../../gateway/http2/stream.ts';
import { field } from '../../gateway/message/names.ts';
import { type ServerStream } from '../../gateway/message/stream.ts';
import { connectHttp2, serveHttp2 } from '../../gateway/socket/http2-socket.ts';
import { certificatesToPem, privateKeyToPem } from '../../trust-bundles/x509/pem.ts';
import { testRoot, testSvid } from '../support/certificates.ts';

const SECONDS = 10;
const CHUNK = Buffer.alloc(64 * 1024);
/** The sender keeps so much in its stream, as a gateway whose service is fast. */
const AHEAD_BYTES = 1024 * 1024;
const DAY_MS = 86_400_000;
/** As links have it. */
const CIPHER = { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' } as const;
const MIB = 1024 * 1024;

const [role = '150', ...rest] = process.argv.slice(2);
if (role === 'sender') startSender();
else if (role === 'relay') startRelay(Number(rest[0]), Number(rest[1]));
else await read(Number(role));

function startSender(): void {
  const now = systemClock.now();
  const validity = { notBeforeMs: now - DAY_MS, notAfterMs: now + DAY_MS };
  const svid = testSvid(testRoot('bench.example', validity), 'spiffe://bench.example/sender', validity);
  const identity = { cert: certificatesToPem(svid.chain), key: privateKeyToPem(svid.key) };
  const server = createTlsServer({ ...identity, ...CIPHER, noDelay: true }, (socket) => {
    serveHttp2(socket, {
      clock: systemClock,
      limits: LINK_CONNECTION,
      listener: {
        onRequest: (stream) => {
          sendEndlessly(stream);
          return { onData: nothing, onTrailers: nothing, onReset: nothing, onSent: () => stream.write(CHUNK, false) };
        },
        onRefused: nothing,
      },
    });
  });
  listen(server);
}

function sendEndlessly(stream: ServerStream): void {
  stream.respond({ status: 200, fields: [] }, false);
  for (let bytes = 0; bytes < AHEAD_BYTES; bytes += CHUNK.length) stream.write(CHUNK, false);
}

/** Hands each byte on after `delayMs`, whatever else is under way. */
function startRelay(port: number, delayMs: number): void {
  listen(
    createServer({ noDelay: true }, (near) => {
      const far = connect({ port, host: '127.0.0.1', noDelay: true });
      const close = (): void => {
        near.destroy();
        far.destroy();
      };
      for (const socket of [near, far]) socket.on('error', close).on('close', close);
      delay(near, far, delayMs);
      delay(far, near, delayMs);
    }),
  );
}

function delay(from: Socket, to: Socket, delayMs: number): void {
  let waiting: { readonly bytes: Buffer; readonly at: number }[] = [];
  from.on('data', (bytes) => waiting.push({ bytes, at: systemClock.monotonic() + delayMs }));
  const release = (): void => {
    const now = systemClock.monotonic();
    const due = waiting.findIndex(({ at }) => at > now);
    const ready = due === -1 ? waiting : waiting.slice(0, due);
    waiting = due === -1 ? [] : waiting.slice(due);
    to.cork();
    for (const { bytes } of ready) to.write(bytes);
    to.uncork();
    if (!from.destroyed) systemClock.after(1, release);
  };
  release();
}

async function read(roundTripMs: number): Promise<void> {
  const sender = await start('sender');
  const relay = await start('relay', sender.port, roundTripMs / 2);
  // Who the sender is does not matter here.
  const socket = connectTls({ port: relay.port, host: '127.0.0.1', ...CIPHER, rejectUnauthorized: false });
  const link = connectHttp2(socket, { clock: systemClock, limits: LINK_CONNECTION });
  await link.ready;
  let bytes = 0;
  let last = 0;
  const head = { method: field(':method', 'GET'), path: field(':path', '/'), authority: field(':authority', 'a.test') };
  const stream = link.open({ ...head, scheme: field(':scheme', 'https'), protocol: undefined, fields: [] }, true, {
    onInterim: nothing,
    onResponse: nothing,
    onTrailers: nothing,
    onReset: nothing,
    onSent: nothing,
    onData: (data) => {
      bytes += data.length;
      stream?.credit(data.length);
    },
  });
  const before = process.cpuUsage();
  for (let second = 1; second <= SECONDS; second += 1) {
    const startMs = systemClock.monotonic();
    await new Promise<void>((resolve) => {
      systemClock.after(1_000, resolve);
    });
    const mbPerSecond = (bytes - last) / 1e3 / (systemClock.monotonic() - startMs);
    last = bytes;
    const window = stream instanceof Stream ? LINK_CONNECTION.streamWindowBytes + stream.growth : 0;
    const speed = `${mbPerSecond.toFixed(1)} MB/s, ${((mbPerSecond * 8) / 1e3).toFixed(2)} Gbit/s`;
    process.stdout.write(`second ${second}: ${speed}, window ${(window / MIB).toFixed(2)} MiB\n`);
  }
  const { user, system } = process.cpuUsage(before);
  const share = ((user + system) / 1e4 / SECONDS).toFixed(0);
  process.stdout.write(`round trip ${(await link.ping()).toFixed(0)} ms; the reader used ${share} % of a core\n`);
  link.destroy();
  relay.child.kill();
  sender.child.kill();
}

/** This file again as another process, which says where it listens. */
async function start(
  role: string,
  ...words: readonly number[]
): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const child = fork(new URL(import.meta.url), [role, ...words.map(String)]);
  const port = await new Promise<number>((resolve) => child.once('message', (message) => resolve(Number(message))));
  return { child, port };
}

function listen(server: Server): void {
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    if (typeof address === 'object' && address !== null) process.send?.(address.port);
  });
  process.once('disconnect', () => {
    process.exit();
  });
}

function nothing(): void {
  // Only the speed matters.
}
